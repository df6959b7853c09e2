"""What a user names (a folder, a file, a corpus) as a source that gives documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from homespun.core.config import did_you_mean
from homespun.core.errors import DataError
from homespun.core.protocols import Progress
from homespun.core.types import Document
from homespun.corpus.api_entries import EntryWriter
from homespun.corpus.config import CorpusConfig
from homespun.corpus.registry import CorpusEntry, find_entry, locate_files, names
from homespun.corpus.sources.archives import members
from homespun.corpus.sources.embedded import python_code_documents, python_documents
from homespun.corpus.sources.files import find_files, is_archive, printable, source_file
from homespun.corpus.sources.items import Item, ReadLog, SourceFile
from homespun.corpus.sources.read import Limit, cut, read_file

# A file that holds this share of a source is cut finely enough to be divided between the splits.
_LARGE_SHARE = 1 / 20
_PIECES = 60
_MIN_PIECE = 400


@dataclass(frozen=True, slots=True)
class Source:
    """A named stream of documents.

    Attributes:
        name: for the card.
        items: documents and what was rejected, anew at every call; told a log and the length
            in characters above which every text is cut (0: as configured).
    """

    name: str
    items: Callable[[ReadLog, int], Iterator[Item]]


class _Places(NamedTuple):
    excluded: Path | None
    entries: Path | None


def open_sources(
    source: Path | str | Sequence[Path | str],
    *,
    config: CorpusConfig,
    excluded: Path | None = None,
    entries: Path | None = None,
    progress: Progress,
) -> list[Source]:
    """Sources for folders, files and names of corpora; a path that exists goes before a name.

    Args:
        excluded: folder in which nothing is read.
        entries: where the corpus `python` keeps what it parsed, see `read_api_entries`.

    Raises:
        DataError: there is no such path and no corpus of that name.
    """
    wanted = [source] if isinstance(source, Path | str) else list(source)
    if not wanted:
        raise DataError("no source was given", remedy="name a folder, a file or a corpus")
    sources: list[Source] = []
    taken: set[str] = set()
    for item in wanted:
        opened = _open(item, len(wanted) > 1, taken, config, _Places(excluded, entries), progress)
        taken.add(opened.name)
        sources.append(opened)
    return sources


def _open(
    item: Path | str,
    several: bool,
    taken: set[str],
    config: CorpusConfig,
    places: _Places,
    progress: Progress,
) -> Source:
    path = Path(item)
    if path.exists():
        name = _free(printable(path.resolve().name) or "root", taken)
        skipped = places.excluded.resolve() if places.excluded is not None else None
        return _folder(path, name, f"{name}/" if several else "", config, skipped)
    entry = find_entry(str(item))
    if entry is None:
        raise DataError(
            f"there is no file, folder or corpus '{item}'",
            remedy=did_you_mean(str(item), names()),
        )
    name = _free(entry.name, taken)
    prefix = f"{name}/" if several else ""
    if entry.embedded:
        return _embedded(name, entry.name, prefix, config, places.entries)
    return _named(name, entry, locate_files(entry.name, progress=progress), prefix, config)


def _free(name: str, taken: set[str]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _folder(
    path: Path, name: str, prefix: str, config: CorpusConfig, excluded: Path | None
) -> Source:
    """A folder or a file of the user's."""

    def items(log: ReadLog, finer: int) -> Iterator[Item]:
        listed = find_files(path, source="", prefix="", excluded=excluded, log=ReadLog())
        limit = _limit(config.max_document_characters, sum(file.size for file in listed), finer)
        for file in find_files(path, source=name, prefix=prefix, excluded=excluded, log=log):
            yield from read_file(file, log, limit)

    return Source(name, items)


def _named(
    name: str, entry: CorpusEntry, paths: list[Path], prefix: str, config: CorpusConfig
) -> Source:
    """A named corpus: ids are the same whether its files are loose or in an archive."""

    def items(log: ReadLog, finer: int) -> Iterator[Item]:
        limit = _limit(config.max_document_characters, entry.num_bytes, finer)
        wanted = {file.path for file in entry.files}
        for file in _named_files(entry, paths, name):
            if not wanted or file.doc_id in wanted:
                named = replace(file, doc_id=prefix + file.doc_id)
                yield from read_file(named, log, limit, reader=entry.reader)

    return Source(name, items)


def _named_files(entry: CorpusEntry, paths: list[Path], name: str) -> Iterator[SourceFile]:
    for index, path in enumerate(paths):
        if is_archive(path.name):
            yield from members(source_file(path, "", name, explicit=True))
        elif index < len(entry.files):
            yield source_file(path, entry.files[index].path, name, explicit=True)
        else:
            yield source_file(path, path.name, name, explicit=True)


def _limit(configured: int, total: int, finer: int) -> Limit:
    """How long a document from a file of some size may be.

    A folder with four short books must still give held-out text that is a few percent of it and
    comes from more than one of them, so a file that is much of the source is cut more finely.
    """

    def limit(size: int) -> int:
        if finer:
            return min(configured, finer)
        if size and size >= total * _LARGE_SHARE:
            return min(configured, max(_MIN_PIECE, total // _PIECES))
        return configured

    return limit


def _embedded(
    name: str, which: str, prefix: str, config: CorpusConfig, entries: Path | None
) -> Source:
    def documents() -> Iterator[Document]:
        if which != "python":
            yield from python_code_documents(max_bytes=config.max_bytes)
        elif entries is None:
            yield from python_documents(max_bytes=config.max_bytes)
        else:
            with EntryWriter(entries) as writer:
                yield from python_documents(max_bytes=config.max_bytes, told=writer.add)

    def items(log: ReadLog, finer: int) -> Iterator[Item]:
        # A page is one module however long, so that its entries can be found by its name.
        for document in cut(documents(), lambda size: finer or 1_000_000):
            yield replace(document, doc_id=prefix + document.doc_id)

    return Source(name, items)
