"""From a folder, a file or a named corpus to clean, deduplicated, divided documents and a card."""

from __future__ import annotations

import shutil
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from homespun.core.errors import DataError
from homespun.core.files import os_error, write_json
from homespun.core.protocols import Progress, Silent
from homespun.core.types import SPLITS, Document
from homespun.corpus.api_entries import ENTRIES_NAME
from homespun.corpus.card import CardBuilder, num_utf8
from homespun.corpus.clean import clean_text, num_letters, replacement_share
from homespun.corpus.config import KINDS, CorpusConfig
from homespun.corpus.dedup import DuplicateFilter
from homespun.corpus.documents import RowWriter, from_row, read_rows, to_row
from homespun.corpus.language import LanguageDetector
from homespun.corpus.near import SeenShares, ShingleMemory
from homespun.corpus.sources.items import Item, ReadLog, Rejected
from homespun.corpus.sources.open import Source, open_sources
from homespun.corpus.split import assign_splits, split_key, target_bytes
from homespun.corpus.tagging import TAGS_FILE

_PENDING = ".pending.jsonl.zst"
_MIN_CHARACTERS = 200


@dataclass(slots=True)
class _Kept:
    """What the division into splits needs to know of the documents kept, in their order."""

    keys: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    num_characters: int = 0


def build_corpus(
    source: Path | str | Sequence[Path | str],
    out: Path,
    *,
    config: CorpusConfig | None = None,
    redact: Callable[[str], str] | None = None,
    known: Callable[[], Iterable[Document]] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Read, clean, deduplicate and divide texts; write them and the data card to `out`.

    Documents stream through a temporary file in `out`, so a corpus may be far larger than memory:
    held there are 64-bit hashes of documents and paragraphs and 16 bytes a document. `card.json` is
    written last: a folder without it is not finished, and building again begins anew.

    Args:
        source: a folder, a file or the name of a corpus (see `named_corpora`), or several of them.
        out: folder to write; what an earlier build left there is replaced.
        config: None for the defaults.
        redact: applied to every cleaned text, to take out personal data.
        known: gives documents of an earlier corpus, cleaned: what stood there counts as seen
            before, and is dropped here as a duplicate.
        progress: told of documents as they are kept.

    Returns:
        The card, as in `card.json`.

    Raises:
        DataError: a source is missing, or nothing in it can be used.
        BudgetError: the disk is full.
    """
    config = config or CorpusConfig()
    progress = progress or Silent()
    start = time.monotonic()
    sources = open_sources(
        source, config=config, excluded=out, entries=out / ENTRIES_NAME, progress=progress
    )
    builder = _Builder(out, config, redact, known, progress)
    card = builder.run(sources, finer=0)
    if card is None:
        # One or two documents cannot be divided three ways; their paragraphs can.
        card = builder.run(sources, finer=max(_MIN_CHARACTERS // 4, builder.num_characters // 20))
    assert card is not None
    name = "+".join(item.name for item in sources)
    written = card.card(name, config, time.monotonic() - start)
    write_json(out / "card.json", written)
    return written


class _Builder:
    """One build: first pass to a temporary file, then the division, then the final files."""

    def __init__(
        self,
        out: Path,
        config: CorpusConfig,
        redact: Callable[[str], str] | None,
        known: Callable[[], Iterable[Document]] | None,
        progress: Progress,
    ) -> None:
        self._out = out
        self._config = config
        self._redact = redact
        self._known = known
        self._progress = progress
        self._languages = LanguageDetector()
        self.num_characters = 0

    def run(self, sources: Sequence[Source], *, finer: int) -> CardBuilder | None:
        """Build with documents of at most `finer` characters (0: as configured).

        Returns None, with nothing written, where so few documents are left that finer ones are
        needed to divide them.
        """
        _clear(self._out)
        card = CardBuilder(self._out, ReadLog())
        pending = self._out / _PENDING
        try:
            kept = self._first_pass(self._items(sources, card.log, finer), card, pending)
            self.num_characters = kept.num_characters
            if not kept.keys:
                raise _nothing_left(sources, card)
            if len(kept.keys) < len(SPLITS):
                if kept.num_characters < _MIN_CHARACTERS:
                    raise DataError(
                        "there is too little text to learn from",
                        got=f"{kept.num_characters} characters",
                        remedy="add more text; a first model wants some hundred thousand",
                    )
                if not finer:
                    return None
            self._second_pass(kept, card, pending)
        finally:
            try:
                card.close()
            finally:
                pending.unlink(missing_ok=True)
        return card

    def _items(self, sources: Sequence[Source], log: ReadLog, finer: int) -> Iterator[Item]:
        for source in sources:
            yield from source.items(log, finer)

    def _first_pass(self, items: Iterable[Item], card: CardBuilder, pending: Path) -> _Kept:
        """Clean and deduplicate everything, in order, before any document has a split."""
        config = self._config
        seen = SeenShares(config.max_seen_share, config.max_seen_document_share)
        shingles = ShingleMemory() if min(seen) < 1.0 else None
        duplicates = DuplicateFilter(
            min_width=config.min_paragraph_characters,
            enough=self._has_enough_letters,
            remove_paragraphs=config.remove_repeated_paragraphs,
            shingles=shingles,
            max_seen=seen,
        )
        if self._known is not None:
            task = self._progress.task("reading what was learnt before", unit="documents")
            for earlier in self._known():
                duplicates.check(earlier.text, is_code=earlier.language == "code")
                task.advance()
            task.finish()
        kept = _Kept()
        task = self._progress.task("reading", unit="documents")
        with RowWriter(pending) as writer:
            for item in items:
                document = self._judge(item, card)
                if document is None:
                    continue
                is_code = document.language == "code"
                verdict = duplicates.check(document.text, is_code=is_code)
                if verdict.reason:
                    card.drop(document, verdict.reason)
                    continue
                if verdict.removed:
                    card.drop_paragraphs(document, verdict.removed, "repeated-paragraph")
                if verdict.near:
                    card.drop_paragraphs(document, verdict.near, "near-repeated-paragraph")
                if verdict.removed or verdict.near:
                    document = replace(document, text=verdict.text)
                writer.write(to_row(document))
                kept.keys.append(split_key(document.doc_id, config.seed))
                kept.sizes.append(num_utf8(document.text))
                kept.num_characters += len(document.text)
                task.advance()
        if shingles is not None and shingles.one_in > 1:
            card.log.note(
                f"near copies were looked for by a sample: one in {shingles.one_in} word runs"
            )
        task.finish()
        return kept

    def _judge(self, item: Item, card: CardBuilder) -> Document | None:
        """The cleaned document, or None where it is dropped for what it is by itself."""
        if isinstance(item, Rejected):
            card.read(item.num_bytes)
            card.drop(Document(item.doc_id, "", item.source), item.reason, item.num_bytes)
            return None
        card.read(num_utf8(item.text))
        if replacement_share(item.text) > self._config.max_replacement_share:
            card.drop(item, "undecodable")
            return None
        text = clean_text(item.text)
        if self._redact is not None:
            text = clean_text(self._redact(text))
        document = replace(item, text=text)
        if not self._has_enough_letters(text):
            card.drop(document, "near-empty")
            return None
        if document.language == "und":
            document = replace(document, language=self._languages.detect(text))
        if self._config.language not in ("auto", document.language):
            card.drop(document, "wrong-language")
            return None
        return document

    def _has_enough_letters(self, text: str) -> bool:
        enough = self._config.min_letters
        return num_letters(text, enough=enough) >= enough

    def _second_pass(self, kept: _Kept, card: CardBuilder, pending: Path) -> None:
        config = self._config
        total = sum(kept.sizes)
        bounds = {"smallest": config.min_split_bytes, "largest": config.max_split_bytes}
        splits = assign_splits(
            np.array(kept.keys, np.uint64),
            np.array(kept.sizes, np.int64),
            validation=target_bytes(total, config.validation_share, **bounds),
            test=target_bytes(total, config.test_share, **bounds),
        )
        task = self._progress.task("dividing", total=len(splits), unit="documents")
        writers = [RowWriter(self._out / f"{split}.jsonl.zst") for split in SPLITS]
        try:
            for row, split in zip(read_rows(pending), splits, strict=True):
                writers[split].write(row)
                card.keep(from_row(row), int(split))
                task.advance()
        finally:
            for writer in writers:
                writer.close()
        task.finish()


def _clear(out: Path) -> None:
    """Take away what an earlier build left, its card first so that it never looks finished."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in (
            "card.json",
            ENTRIES_NAME,
            TAGS_FILE,
            *(f"{split}.jsonl.zst" for split in SPLITS),
            _PENDING,
        ):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "dropped", ignore_errors=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{out} is not a folder", remedy="choose another place") from error
    except OSError as error:
        raise os_error(error, f"clearing {out}") from error


def _nothing_left(sources: Sequence[Source], card: CardBuilder) -> DataError:
    """What to say when not one document is left."""
    names = ", ".join(source.name for source in sources)
    if not card.num_read and not card.log.num_unreadable:
        return DataError(
            f"there is no file to read in {names}",
            remedy=f"put text there: {KINDS}, also as .gz, .bz2, .xz or .zst",
        )
    reasons = [card.dropped_summary()] if card.dropped_summary() else []
    if card.log.num_unreadable:
        first = card.log.unreadable[0]
        reasons.append(
            f"{card.log.num_unreadable} unreadable (the first is {first['path']}: {first['why']})"
        )
    remedy = f"add text: {KINDS}"
    if found := card.other_languages():
        shown = ", ".join(found[:5])
        remedy = f"leave --lang out or choose one of the languages found: {shown}"
    elif 0 < card.num_read == card.num_dropped("near-empty"):
        remedy = (
            "it is too short: add more text; a first model wants some hundred thousand characters"
        )
    return DataError(f"nothing in {names} can be learnt from: {'; '.join(reasons)}", remedy=remedy)
