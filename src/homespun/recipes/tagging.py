"""What a learned tagger finds in the text of a run: names, parts of speech, Chinese words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from homespun.classic.units import as_text
from homespun.core import ConfigError, Progress, RunDirectory, Tagged
from homespun.core.types import Split
from homespun.recipes.applications.applying import Opened, open_application
from homespun.recipes.applications.tag.task import Sentence

_TASKS = ("tag", "segment")


class LearnedTagger:
    """`core.Tagger` of what `finetune tag` or `finetune segment` has learned.

    Args:
        opened: what was learned.

    Attributes:
        unparted: texts so far that were Chinese, and whose characters it took for words.
    """

    def __init__(self, opened: Opened) -> None:
        self._task, self._learned = opened.task, opened.learned
        self.unparted = 0

    def tagged(self, texts: Sequence[str]) -> list[list[Tagged]]:
        column = self._task.inputs[0].name
        examples = [self._task.example({column: text}) for text in texts]
        self.unparted += sum(getattr(example, "unparted", False) for example in examples)
        answers = self._learned.answer(examples)
        if self._task.name == "segment":
            words = (
                self._task.shown(*pair)["words"] for pair in zip(examples, answers, strict=True)
            )
            return [[Tagged(word, "word") for word in row] for row in words]
        # What was learned says so: of texts without any name all tags are O, which tells nothing.
        if not getattr(self._learned, "finds_spans", False):
            return [
                [Tagged(*pair) for pair in zip(example.tokens, tags, strict=True)]
                for example, tags in zip(examples, answers, strict=True)
            ]
        return [_names(example, tags) for example, tags in zip(examples, answers, strict=True)]


def tag_run(
    run_dir: Path,
    folder: Path,
    *,
    segmenter: Path | None = None,
    split: Split = "train",
    most_characters: int = 1_000_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Count what the tagger in `folder` finds in a run's corpus; see `corpus.tag_corpus`. What is
    returned also says `unparted`, sentences of Chinese whose characters it took for words.

    Args:
        segmenter: as for `open_application`.

    Raises:
        ConfigError: what was learned there tags nothing. DataError: there is no corpus, or nothing
            was learned.
    """
    from homespun.corpus import tag_corpus

    opened = open_application(folder, segmenter=segmenter)
    if opened.task.name not in _TASKS:
        raise ConfigError(
            f"{folder} has learned no tags",
            got=opened.task.name,
            remedy="give a folder of `homespun finetune tag` or `homespun finetune segment`",
        )
    run, tagger = RunDirectory.open(run_dir), LearnedTagger(opened)
    with run.locked():
        told = tag_corpus(
            run.corpus,
            tagger,
            named=folder.name,
            split=split,
            most_characters=most_characters,
            progress=progress,
        )
    return {**told, "unparted": tagger.unparted}


def _names(sentence: Sentence, tags: Sequence[str]) -> list[Tagged]:
    """Spans as texts: characters put together but for the spaces their text has, words with spaces
    between them, but for Chinese ones."""
    from homespun.evaluation.metrics import spans_of

    tokens, breaks = sentence.tokens, set(sentence.breaks)
    are_words = any(len(token) > 1 for token in tokens)
    pieces = [f" {token}" if number in breaks else token for number, token in enumerate(tokens)]
    put_together: Callable[[Sequence[str]], str] = as_text if are_words else "".join
    return [
        Tagged(put_together(pieces[span.start : span.stop]).strip(), span.type or "span")
        for span in spans_of(tags)
    ]
