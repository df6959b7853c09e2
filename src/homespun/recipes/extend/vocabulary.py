"""`homespun extend vocabulary`: more tokens, so that text takes fewer of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import Progress, RunDirectory, Tokenizer
from homespun.core.files import read_json, write_json
from homespun.recipes import texts
from homespun.recipes.extend.compare import Difference, Scores, in_numbers
from homespun.recipes.extend.engine import extend_run, link_texts, score_validation
from homespun.recipes.extend.lineage import Kind
from homespun.recipes.pipeline import source_name
from homespun.recipes.plan import read_plan
from homespun.recipes.prior.kept import has_table, keep_prior

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import Decoder, DecoderConfig

REWARM = 0.5


def extend_vocabulary(  # noqa: PLR0913 - the command, as one call
    parent: Path | str,
    vocab_size: int,
    *,
    text: str | Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    rewarm: float = REWARM,
    name: str | None = None,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> RunDirectory:
    """Learn more merges on top of a finished run's tokenizer, give its model rows for them, and
    train it further on its own text, in a new run. Killed, the same call goes on.

    Args:
        parent: the finished run.
        vocab_size: ids, control tokens included, more than now; fewer come of a short text.
        text: a folder, a file or a named corpus to learn the merges from, such as text in another
            language that is to be read next; the run's own text where None.
        minutes, steps, rewarm, strategy: as for `continue_run`.
        name: of the new run; by default the parent's with `-v` and the number.
        progress: who is told.

    Raises:
        ConfigError: not more tokens than now, or a tokenizer of another kind than "bpe".
    """
    return extend_run(
        parent,
        _LargerVocabulary(vocab_size, None if text is None else source_name(text)),
        minutes=minutes,
        steps=steps,
        rewarm=rewarm,
        name=name or f"{Path(parent).resolve().name}-v{vocab_size}",
        strategy=strategy,
        progress=progress,
    )


class _LargerVocabulary:
    kind: Kind = "vocabulary"

    def __init__(self, vocab_size: int, text: str | None) -> None:
        self._vocab_size, self._text = vocab_size, text
        self._bytes_per_token = (0.0, 0.0)

    def settings(self) -> dict[str, Any]:
        return {"vocab": self._vocab_size, "text": self._text}

    def check(self, old: RunDirectory, shape: DecoderConfig) -> None:
        from homespun.models.reshape.vocabulary import extended_config
        from homespun.tokenizer import check_extension, load_tokenizer

        extended_config(shape, self._vocab_size)
        check_extension(load_tokenizer(old.path), self._vocab_size)

    def take_texts(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        from homespun.corpus import build_corpus, iter_documents
        from homespun.tokenizer import extend_tokenizer, load_tokenizer, tokenizer_stats

        link_texts(old, run, shards=False)
        stats_path = run.path / "tokenizer_stats.json"
        if not stats_path.is_file():
            began = time.monotonic()
            folder = run.corpus
            if self._text is not None:
                folder = run.path / "merges"
                build_corpus(self._text, folder, progress=progress)

            def train_texts() -> Iterator[str]:
                return (document.text for document in iter_documents(folder, "train"))

            tokenizer = extend_tokenizer(
                load_tokenizer(old.path),
                train_texts(),
                vocab_size=self._vocab_size,
                progress=progress,
            )
            tokenizer.save(run.path)
            held_out = texts.held_out_by_language(iter_documents(run.corpus, "validation"))
            stats = tokenizer_stats(tokenizer, held_out)
            stats["config"] = {"kind": "bpe", "vocab_size": self._vocab_size}
            stats["seconds"] = round(time.monotonic() - began, 3)
            write_json(stats_path, stats)
        texts.ensure_shards(run, load_tokenizer(run.path), progress=progress)
        sizes = []
        for folder in (old.shards, run.shards):
            split = read_json(folder / "index.json")["splits"]["validation"]
            sizes.append(split["bytes"] / max(1, split["tokens"]))
        self._bytes_per_token = (sizes[0], sizes[1])

    def take_table(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        """Of the same text in the new tokens, counted anew."""
        from homespun.tokenizer import load_tokenizer

        plan = read_plan(old)
        if not has_table(plan):
            return
        keep_prior(
            run,
            order=plan.prior_order,
            num_blocks=plan.prior_blocks,
            copy_context=int(plan.model["context"]) if plan.prior_copies else None,
            vocab_size=load_tokenizer(run.path).vocab_size,
            progress=progress,
        )

    def shape(self, run: RunDirectory, shape: DecoderConfig) -> DecoderConfig:
        from homespun.models.reshape.vocabulary import extended_config
        from homespun.tokenizer import load_tokenizer

        return extended_config(shape, load_tokenizer(run.path).vocab_size)

    def weights(
        self,
        run: RunDirectory,
        old: RunDirectory,
        tensors: Mapping[str, Tensor],
        shapes: tuple[DecoderConfig, DecoderConfig],
    ) -> dict[str, Tensor]:
        from homespun.models.reshape.vocabulary import extend_tables
        from homespun.tokenizer import load_tokenizer, pieces_of

        return extend_tables(tensors, pieces_of(load_tokenizer(old.path), load_tokenizer(run.path)))

    def score(self, model: Decoder, tokenizer: Tokenizer, run: RunDirectory) -> Scores:
        return score_validation(model, tokenizer, run)

    def sentences(
        self, at_start: Mapping[str, Difference], after: Mapping[str, Difference]
    ) -> list[str]:
        before, now = self._bytes_per_token
        said = {
            "better": "The model is better for it",
            "worse": "The model is worse than before: it wants more minutes with the new tokens",
            "unclear": "The model is no better and no worse that can be measured",
            "unknown": "Before and after",
        }[after["same"].outcome]
        return [
            f"{said}: {in_numbers(after['same'])}.",
            f"A token now holds {now:.2f} bytes of the validation text instead of {before:.2f}, "
            f"so that text takes {1 - before / now:.0%} fewer tokens.",
            f"Right after the change, before training, it stood at "
            f"{at_start['same'].after:.3f} bits per byte.",
        ]
