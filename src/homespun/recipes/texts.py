"""The stages that need no model: corpus, conversations, tokenizer, shards, baselines.

Each `ensure_…` returns at once where its last file exists, so that a run continues where it
stopped; it expects the caller to hold the run's lock.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homespun.core import (
    DataError,
    Document,
    Progress,
    RunDirectory,
    RunError,
    Split,
    Tokenizer,
    parse_config,
)
from homespun.core.files import read_json, sha256_file, write_json
from homespun.core.numbers import bytes_text
from homespun.recipes.scale.room import check_disk

if TYPE_CHECKING:
    from homespun.corpus import CorpusConfig

TokenizerKind = Literal["bpe", "char", "byte"]


def ensure_corpus(
    run: RunDirectory, source: str, *, language: str, seed: int, progress: Progress
) -> dict[str, Any]:
    """Clean and split the texts; returns the data card."""
    from homespun.corpus import build_corpus

    card_path = run.corpus / "card.json"
    if not card_path.is_file():
        build_corpus(
            source,
            run.corpus,
            config=corpus_config(language, seed),
            progress=progress,
        )
        progress.say(kept_text(read_json(card_path), run.path))
    card: dict[str, Any] = read_json(card_path)
    return card


def kept_text(card: dict[str, Any], run: Path) -> str:
    """How much of what was found a corpus keeps, and where to see why not all of it.

    Args:
        card: of the corpus. run: the folder it is in.
    """
    kept = sum(split["bytes"] for split in card["splits"].values())
    documents = sum(split["documents"] for split in card["splits"].values())
    told = f"{bytes_text(kept)} in {documents:,} document{'s' if documents != 1 else ''} are kept"
    reasons = {reason: counts["bytes"] for reason, counts in card["dropped"].items()}
    left_out, unread = sum(reasons.values()), card.get("num_unreadable", len(card["unreadable"]))
    if left_out:
        most = max(reasons, key=lambda reason: reasons[reason])
        told += f", {bytes_text(left_out)} left out, most of it as {most}"
    if unread:
        told += f"; {unread:,} file{'s' if unread != 1 else ''} could not be read"
    see = f" (`homespun corpus inspect {shlex.quote(str(run))}`)"
    return told + (see if left_out or unread else "")


def corpus_config(language: str, seed: int) -> CorpusConfig:
    """Raises ConfigError for a language nobody knows."""
    from homespun.corpus import CorpusConfig

    return parse_config(
        CorpusConfig, {"language": language, "seed": seed}, where="the corpus settings"
    )


def check_source(run: RunDirectory, source: str, *, remedy: str) -> None:
    """Raises RunError where the run's text is of another source.

    Args:
        source: as `pipeline.source_name` gives it: an absolute path, or the name of a corpus.
        remedy: what to do then.
    """
    kept = run.record().asked.get("source")
    if kept != source and (kept is None or str(Path(str(kept)).resolve()) != source):
        raise RunError(
            f"the run {run.path} has the text of {kept or 'something else'}",
            got=source,
            remedy=remedy,
        )


def ensure_conversations(
    run: RunDirectory, source: str, chat: Path | None, *, seed: int, progress: Progress
) -> dict[str, Any]:
    """Gather or make the conversations for the chat fine-tune; returns their card.

    Raises:
        RunError: they are there already, made from something else than the file `chat`.
    """
    from homespun.corpus.chat import build_chat

    card_path = run.path / "chat" / "card.json"
    if not card_path.is_file():
        build_chat(
            run.path / "chat",
            corpus_dir=run.corpus,
            source=source,
            chat_file=chat,
            seed=seed,
            progress=progress,
        )
    card: dict[str, Any] = read_json(card_path)
    if chat is not None and (card.get("input") or {}).get("sha256") != sha256_file(chat):
        raise RunError(
            f"{run.path} already has conversations, and they are not those of {chat}",
            remedy=run.to_redo("chat"),
        )
    return card


def check_chat_file(chat: str | Path | None) -> Path | None:
    """Read the whole chat file once: a wrong row should stop the run before it starts.

    Raises:
        DataError: it does not exist, has a wrong row, or has no conversations.
    """
    if chat is None:
        return None
    from homespun.corpus.chat import read_conversations

    path = Path(chat)
    if not path.is_file():
        raise DataError("the chat file does not exist", got=str(chat), remedy="check the path")
    if not list(read_conversations(path)):
        raise DataError(
            "the chat file has no conversations", got=str(chat), remedy="give it at least one row"
        )
    return path.resolve()


def main_language(card: dict[str, Any]) -> str:
    """The language most of the corpus is in, by bytes."""
    languages: dict[str, dict[str, int]] = card["languages"]
    return max(languages, key=lambda name: languages[name]["bytes"]) if languages else "und"


def texts(run: RunDirectory, split: Split) -> list[str]:
    """All texts of a split; for validation and test, which are small."""
    from homespun.corpus import iter_documents

    return [document.text for document in iter_documents(run.corpus, split)]


def ensure_tokenizer(
    run: RunDirectory,
    *,
    kind: TokenizerKind = "bpe",
    vocab_size: int | None = None,
    progress: Progress,
) -> Tokenizer:
    """Train the tokenizer on the training split, or load the one that is there.

    Raises:
        RunError: one is there that was trained with other settings.
    """
    from homespun.corpus import iter_documents
    from homespun.tokenizer import (
        TokenizerConfig,
        choose_vocab_size,
        load_tokenizer,
        open_tokenizer,
        tokenizer_stats,
        train_tokenizer,
    )

    if (run.path / "import.json").is_file():  # it came with the model
        return open_tokenizer(run.path)
    stats_path = run.path / "tokenizer_stats.json"
    if stats_path.is_file():
        asked = read_json(stats_path)["config"]
        if (vocab_size is not None and asked["vocab_size"] != vocab_size) or asked["kind"] != kind:
            raise RunError(
                f"{run.path} has a tokenizer with other settings",
                got=f"{asked['kind']}, {asked['vocab_size']}",
                remedy="later stages rest on it: start a new run for another tokenizer",
            )
        return load_tokenizer(run.path)
    card = read_json(run.corpus / "card.json")
    num_bytes = card["splits"]["train"]["bytes"]
    size = vocab_size or choose_vocab_size(num_bytes, main_language(card))
    started = time.monotonic()
    config = parse_config(
        TokenizerConfig,
        {"kind": kind, "vocab_size": size, "max_sample_bytes": _sample_bytes(card)},
        where="the tokenizer's settings",
    )
    documents = iter_documents(run.corpus, "train")
    tokenizer = train_tokenizer(
        (document.text for document in documents), config=config, progress=progress
    )
    tokenizer.save(run.path)
    by_language = held_out_by_language(iter_documents(run.corpus, "validation"))
    stats = tokenizer_stats(tokenizer, by_language)
    stats["config"] = {"kind": kind, "vocab_size": size}
    stats["seconds"] = round(time.monotonic() - started, 3)
    write_json(stats_path, stats)
    return tokenizer


def _sample_bytes(card: dict[str, Any]) -> int:
    """Scripts without spaces cost a trainer five times as much; 4 MB come within 1% of 16."""
    return 4_000_000 if main_language(card) in ("zh", "yue", "ja", "ko") else 16_000_000


def held_out_by_language(
    documents: Iterable[Document], limit: int = 200_000
) -> dict[str, list[str]]:
    """Validation texts by language, at most `limit` characters each."""
    found: dict[str, list[str]] = {}
    room: dict[str, int] = {}
    for document in documents:
        left = room.setdefault(document.language, limit)
        if left > 0:
            found.setdefault(document.language, []).append(document.text[:left])
            room[document.language] = left - len(document.text)
    return found


def ensure_shards(run: RunDirectory, tokenizer: Tokenizer, *, progress: Progress) -> dict[str, Any]:
    """Encode the corpus once; returns shards/index.json.

    Raises:
        DataError: the shards were made with another tokenizer.
        BudgetError: they would not fit on the disk.
    """
    from homespun.corpus import write_shards

    digest = sha256_file(run.tokenizer)
    index_path = run.shards / "index.json"
    if not index_path.is_file():
        check_disk(run.path, _shards_bytes(run, tokenizer), what="the texts as tokens")
        write_shards(run.corpus, tokenizer, run.shards, tokenizer_sha256=digest, progress=progress)
    index: dict[str, Any] = read_json(index_path)
    if index["tokenizer_sha256"] != digest:
        raise DataError(
            f"the shards in {run.shards} were made with another tokenizer",
            remedy=run.to_redo("shards"),
        )
    return index


def _shards_bytes(run: RunDirectory, tokenizer: Tokenizer) -> int:
    """Of the corpus in tokens, as far as held-out text tells how many there are."""
    sample = "".join(texts(run, "validation"))[:200_000]
    if not sample:
        return 0
    tokens_per_byte = len(tokenizer.encode(sample)) / len(sample.encode())
    splits = read_json(run.corpus / "card.json")["splits"]
    num_bytes = sum(int(split["bytes"]) for split in splits.values())
    return round(num_bytes * tokens_per_byte) * (2 if tokenizer.vocab_size < 1 << 16 else 4)


def ensure_baselines(
    run: RunDirectory,
    tokenizer: Tokenizer,
    *,
    seconds: float = 60.0,
    progress: Progress,
) -> dict[str, Any]:
    """Measure xz, unigram and 5-gram on the validation split; returns baselines.json."""
    from homespun.corpus import iter_documents
    from homespun.evaluation import run_baselines

    if not run.baselines.is_file():

        def train_texts() -> Iterator[str]:
            return (document.text for document in iter_documents(run.corpus, "train"))

        result = run_baselines(
            train_texts,
            texts(run, "validation"),
            tokenizer,
            progress=progress,
            seconds_budget=seconds,
        )
        write_json(run.baselines, result)
    baselines: dict[str, Any] = read_json(run.baselines)
    return baselines
