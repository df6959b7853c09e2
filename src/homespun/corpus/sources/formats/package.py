"""Documents that are zip archives of XML (EPUB, DOCX, ODT): their parts within bounds, and XML read
as it streams by, without entities and without anything from elsewhere."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast
from xml.parsers import expat

from homespun.core.errors import DataError
from homespun.corpus.sources.archives import budget, is_bounded, is_locked, spend
from homespun.corpus.sources.files import MAX_IN_MEMORY, seekable
from homespun.corpus.sources.items import SourceFile

# What Office writes with a password is no zip but its older container, as are files of before 2007.
_OLD_CONTAINER = b"\xd0\xcf\x11\xe0"
_BLOCK, _LARGEST_BLOCK = 1 << 16, 1 << 24
_DEEPEST = 1_000_000
"""Elements in one another: of each the parser keeps the name."""


class Package:
    """The parts of one document. All that are opened together may unpack to no more than what is
    allowed an archive of that size."""

    def __init__(self, archive: zipfile.ZipFile, left: int) -> None:
        self._archive = archive
        self._left = left
        self._names = frozenset(archive.namelist())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def open(self, name: str) -> BinaryIO:
        """A part, unpacked.

        Raises:
            DataError: there is none of that name, it is locked, packed as no such document is, or
                it or all are absurdly much.
        """
        if name not in self._names:
            raise DataError(f"its part {name} is missing", remedy="check that the file is whole")
        entry = self._archive.getinfo(name)
        if is_locked(entry):
            raise locked()
        if not is_bounded(entry):
            raise DataError(
                f"its part {name} is packed otherwise than by zip",
                remedy="open it and save it anew",
            )
        self._left = spend(self._left, entry.file_size)
        if entry.file_size > MAX_IN_MEMORY:  # a paragraph of it may be all of that
            raise DataError(f"its part {name} is more than 256 MB", remedy="save it as text")
        return cast(BinaryIO, self._archive.open(entry))


def locked() -> DataError:
    return DataError("it is locked with a password", remedy="save it without one")


@contextmanager
def open_package(file: SourceFile) -> Iterator[Package]:
    """The parts of a document.

    Raises:
        DataError: it is locked, or an old document under a new name. zipfile.BadZipFile: damaged.
    """
    with file.open() as raw:
        stream = seekable(raw)
        begin = stream.read(len(_OLD_CONTAINER))
        if begin == _OLD_CONTAINER:
            raise DataError(
                "it is locked with a password, or of an older kind than its name says",
                remedy="open it and save it anew, without a password",
            )
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            yield Package(archive, budget(file))


class XmlReader:
    """Told of elements and text of an XML file, names without their prefix. What is in elements
    that `skipped` names, with or without prefix, is not told."""

    skipped: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._depth = self._depth_skipped = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins. Attributes have their names without prefix too."""

    def end(self, name: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """Text between two of these; what stands together may come in pieces."""

    def read(self, stream: BinaryIO) -> Iterator[None]:
        """Read the XML; gives way after each block, so that what came of it can be handed on.

        Raises:
            DataError: it is not well-formed, nested absurdly deep, or declares entities.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        # Entities may stand for one another until a few lines are gigabytes. Those of other files
        # are never fetched: that needs a handler, and there is none.
        parser.EntityDeclHandler = _refuse
        size, reached = _BLOCK, 0
        try:
            while block := stream.read(size):
                parser.Parse(block, False)
                # A tag that does not end is looked at anew with each block: so let there be few.
                stuck = parser.CurrentByteIndex <= reached
                size = min(2 * size, _LARGEST_BLOCK) if stuck else _BLOCK
                reached = parser.CurrentByteIndex
                yield
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise DataError(
                f"its XML is damaged: {error}", remedy="open it and save it anew"
            ) from error
        yield

    def read_all(self, stream: BinaryIO) -> None:
        """`read` for files of which nothing is handed on."""
        for _ in self.read(stream):
            pass

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise DataError("its XML is nested absurdly deep", remedy="save it as text")
        local = _local(name)
        if self._depth_skipped or name in self.skipped or local in self.skipped:
            self._depth_skipped += 1
        else:
            self.begin(local, {_local(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth_skipped:
            self._depth_skipped -= 1
        else:
            self.end(_local(name))

    def _data(self, text: str) -> None:
        if not self._depth_skipped:
            self.data(text)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _refuse(*_: object) -> None:
    raise DataError("its XML declares entities", remedy="open it and save it anew")


def beside(part: str, target: str) -> str:
    """The part that `part` names by `target`, a path from where it stands or from the root."""
    if target.startswith("/"):
        return posixpath.normpath(target).lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(part), target))
