"""The data card: what was read, what was kept, what was dropped and why."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from homespun.core.errors import DataError
from homespun.core.files import read_json
from homespun.core.types import SPLITS, Document
from homespun.corpus.config import EXPLANATIONS, CorpusConfig, DropReason
from homespun.corpus.documents import RowWriter, iter_documents, read_rows
from homespun.corpus.sources.items import ReadLog

FORMAT = 1
_MAX_SOURCES = 100
_MAX_EXCERPT = 20_000


class CardBuilder:
    """Counts what happens to documents, and writes dropped ones to `dropped/REASON.jsonl.zst`."""

    def __init__(self, out: Path, log: ReadLog) -> None:
        self._out = out
        self.log = log
        self.num_read = 0
        self.read_bytes = 0
        self._languages: dict[str, list[int]] = {}
        self._sources: dict[str, list[int]] = {}
        self._splits = {split: [0, 0, 0] for split in SPLITS}
        self._documents: Counter[DropReason] = Counter()
        self._paragraphs: Counter[DropReason] = Counter()
        self._other_languages: Counter[str] = Counter()
        self._bytes: Counter[DropReason] = Counter()
        self._writers: dict[str, RowWriter] = {}

    def read(self, num_bytes: int) -> None:
        self.num_read += 1
        self.read_bytes += num_bytes

    def drop(self, document: Document, reason: DropReason, num_bytes: int | None = None) -> None:
        """Count a document as dropped and keep its beginning for people to look at."""
        self._documents[reason] += 1
        if reason == "wrong-language":
            self._other_languages[document.language] += 1
        self._bytes[reason] += num_bytes if num_bytes is not None else num_utf8(document.text)
        self._write(document, document.text, reason)

    def drop_paragraphs(
        self, document: Document, removed: tuple[str, ...], reason: DropReason
    ) -> None:
        """Count paragraphs taken out of a document that itself is kept."""
        self._paragraphs[reason] += len(removed)
        self._bytes[reason] += sum(num_utf8(text) for text in removed)
        self._write(document, "\n\n".join(text.strip("\n") for text in removed), reason)

    def keep(self, document: Document, split: int) -> None:
        size = num_utf8(document.text)
        for counts in (
            self._languages.setdefault(document.language, [0, 0]),
            self._sources.setdefault(document.source, [0, 0]),
            self._splits[SPLITS[split]],
        ):
            counts[0] += 1
            counts[1] += size
        self._splits[SPLITS[split]][2] += len(document.text)

    def close(self) -> None:
        with (
            ExitStack() as stack
        ):  # on a full disk closing one fails; the others close all the same
            for writer in self._writers.values():
                stack.callback(writer.close)

    def dropped_summary(self) -> str:
        """ "3 near-empty, 2 binary", for messages."""
        return ", ".join(f"{n} {reason}" for reason, n in self._documents.most_common())

    def other_languages(self) -> list[str]:
        """The languages of documents dropped as wrong-language, the most common first."""
        return [language for language, _ in self._other_languages.most_common()]

    def num_dropped(self, reason: DropReason) -> int:
        """Documents dropped for that reason."""
        return self._documents[reason]

    def card(self, name: str, config: CorpusConfig, seconds: float) -> dict[str, Any]:
        """The contents of card.json; see docs/design/spine.md."""
        splits = {
            split: {"documents": n, "bytes": size, "characters": characters}
            for split, (n, size, characters) in self._splits.items()
        }
        log = self.log
        unreadable = list(log.unreadable)
        if log.num_unreadable > len(unreadable):
            more = log.num_unreadable - len(unreadable)
            unreadable.append({"path": "…", "why": f"and {more:,} more"})
        return {
            "format": FORMAT,
            "name": name,
            "splits": splits,
            "languages": _counts(self._languages),
            "sources": _counts(self._sources, at_most=_MAX_SOURCES),
            "encodings": dict(log.encodings.most_common()),
            "read": {
                "documents": self.num_read,
                "bytes": self.read_bytes,
                "files": log.num_files,
            },
            "dropped": {
                reason: {
                    "documents": self._documents[reason],
                    "paragraphs": self._paragraphs[reason],
                    "bytes": self._bytes[reason],
                    "explanation": explanation,
                }
                for reason, explanation in EXPLANATIONS.items()
                if self._documents[reason] or self._paragraphs[reason]
            },
            "num_unreadable": log.num_unreadable,
            "unreadable": unreadable,
            "notes": list(log.notes),
            "seconds": round(seconds, 2),
            "config": config.model_dump(),
        }

    def _write(self, document: Document, text: str, reason: DropReason) -> None:
        if reason not in self._writers:
            path = self._out / "dropped" / f"{reason}.jsonl.zst"
            self._writers[reason] = RowWriter(path)
        self._writers[reason].write(
            {
                "id": document.doc_id,
                "text": text[:_MAX_EXCERPT],
                "source": document.source,
                "language": document.language,
                "metadata": dict(document.metadata),
                "reason": reason,
            }
        )


def num_utf8(text: str) -> int:
    """Bytes of the text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _counts(table: dict[str, list[int]], *, at_most: int = 0) -> dict[str, dict[str, int]]:
    """Largest first; beyond `at_most` the rest together as "others"."""
    rows = sorted(table.items(), key=lambda row: (-row[1][1], row[0]))
    if at_most and len(rows) > at_most:
        rest = [counts for _, counts in rows[at_most:]]
        rows = rows[:at_most]
        rows.append(("others", [sum(r[0] for r in rest), sum(r[1] for r in rest)]))
    return {name: {"documents": n, "bytes": size} for name, (n, size) in rows}


def read_card(corpus_dir: Path) -> dict[str, Any]:
    """card.json of a finished corpus.

    Raises:
        DataError: there is none, or it is of another format.
    """
    path = corpus_dir / "card.json"
    card = read_json(path)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path} is no data card of format {FORMAT}", remedy="build it again")
    return card


def inspect_corpus(
    corpus_dir: Path, *, num_samples: int = 3, num_dropped: int = 2, characters: int = 600
) -> dict[str, Any]:
    """The card with a few documents and dropped rows to look at.

    Args:
        num_samples: documents of the training split.
        num_dropped: rows of each reason, the reason with most bytes first.
        characters: of text shown of each.

    Returns:
        {"card", "samples": [{"id","source","language","text","characters"}],
        "dropped": [{"reason","documents","paragraphs","bytes","explanation","examples": […]}]}

    Raises:
        DataError: there is no finished corpus.
    """
    card = read_card(corpus_dir)
    num_train = card["splits"]["train"]["documents"]
    # Spread over the split, but never far into a large one: it is read from its beginning.
    step = max(1, min(num_train // max(1, num_samples), 500))
    samples: list[dict[str, Any]] = []
    for index, document in enumerate(iter_documents(corpus_dir, "train")):
        if len(samples) >= num_samples:
            break
        if index % step == 0:
            samples.append(
                {
                    "id": document.doc_id,
                    "source": document.source,
                    "language": document.language,
                    "text": document.text[:characters],
                    "characters": len(document.text),
                }
            )
    dropped: list[dict[str, Any]] = []
    for reason, counts in sorted(card["dropped"].items(), key=lambda item: -item[1]["bytes"]):
        path = corpus_dir / "dropped" / f"{reason}.jsonl.zst"
        rows = [row for _, row in zip(range(num_dropped), _rows(path), strict=False)]
        examples = [{"id": row["id"], "text": row["text"][:characters]} for row in rows]
        dropped.append({"reason": reason, **counts, "examples": examples})
    return {"card": card, "samples": samples, "dropped": dropped}


def _rows(path: Path) -> list[dict[str, Any]] | Any:
    return read_rows(path) if path.is_file() else []
