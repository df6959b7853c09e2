"""Members of tar and zip archives, read in place: nothing is ever unpacked into a folder."""

from __future__ import annotations

import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from homespun.core.errors import DataError
from homespun.corpus.sources.files import (
    MAX_EXPANSION,
    MIN_EXPANDED,
    bounded,
    is_archive,
    is_hidden,
    logical_name,
    unpacked,
)
from homespun.corpus.sources.items import SourceFile

# A member stays in memory up to this size and goes to a temporary file beyond.
_IN_MEMORY = 16 << 20
_BZIP2 = b"BZh"
_PACKED_AT_ONCE = 64
"""Bytes of bzip2: forty of them may stand for 46 MB."""
_LOCKED = 1
"""The flag of a zip's entry that has a password."""
# Of one member of a zip: the others can be read all the same, as a list at the end says where.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)

Tell = Callable[[str, str], None]
"""Told the id of something that is not read, and why."""


def members(file: SourceFile, tell: Tell | None = None) -> Iterator[SourceFile]:
    """Regular, visible files inside an archive, in its order. Each is readable until the next.

    Their ids are the archive's id, "/" and their name; of an archive without an id their name.

    Links and devices are passed over, and with a word to `tell` whatever else holds text that a
    person would look for: archives inside, files with a password, damaged files of a zip, absolute
    names and names with "..".

    Raises:
        DataError: the archive unpacks to absurdly much, or all in it has a password.
    """
    with file.open() as raw:
        if file.name.lower().endswith(".zip"):
            yield from _zip_members(file, raw, tell or _nobody)
        else:
            yield from _tar_members(file, raw, tell or _nobody)


def _nobody(_: str, __: str) -> None:
    pass


def _tar_members(file: SourceFile, raw: BinaryIO, tell: Tell) -> Iterator[SourceFile]:
    begin = raw.read(len(_BZIP2))
    raw.seek(0)
    if begin == _BZIP2:
        # `tarfile` unpacks ten kilobytes of it at once, which may stand for ten gigabytes, and goes
        # by what the file holds: so does this.
        raw, mode = unpacked(raw, ".bz2", file.size), "r|"
    elif file.name.lower().endswith(".zst"):
        raw, mode = unpacked(raw, file.name, file.size), "r|"
    else:
        mode = "r|*"
    left = budget(file)
    with tarfile.open(fileobj=raw, mode=mode) as archive:  # type: ignore[call-overload]
        for entry in archive:
            left = spend(left, entry.size)
            if entry.isfile() and _is_wanted(file, entry.name, tell):
                content = archive.extractfile(entry)
                assert content is not None
                yield from _member(file, entry.name, entry.size, cast(BinaryIO, content))


def _zip_members(file: SourceFile, raw: BinaryIO, tell: Tell) -> Iterator[SourceFile]:
    left = budget(file)
    num_read = 0
    locked: list[str] = []
    with zipfile.ZipFile(raw) as archive:
        for entry in archive.infolist():
            left = spend(left, entry.file_size)
            name = _zip_name(entry)
            if entry.is_dir() or not _is_wanted(file, name, tell):
                continue
            if is_locked(entry):
                locked.append(name)
                continue
            num_read += 1
            try:
                with archive.open(entry) as content:
                    unpacking = cast(BinaryIO, content if is_bounded(entry) else _Sparing(content))
                    yield from _member(file, name, entry.file_size, unpacking)
            except (*DAMAGED, OSError) as error:
                # Of bzip2 it is an OSError without a number; one of the disk has one.
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                tell(_id(file, name), str(error) or "it is damaged")
    if locked and not num_read:
        raise DataError(
            "all files in the archive are locked with a password", remedy="unpack it yourself"
        )
    for name in locked:
        tell(_id(file, name), "it is locked with a password")


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Names without the UTF-8 flag were read as cp437; those of Chinese systems are GB18030."""
    if entry.flag_bits & 0x800:
        return entry.filename
    try:
        raw = entry.filename.encode("cp437")
    except UnicodeEncodeError:
        return entry.filename  # newer Pythons look up the name in Unicode that some zips have too
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return entry.filename


def _member(file: SourceFile, name: str, size: int, content: BinaryIO) -> Iterator[SourceFile]:
    """The member as a source that can be opened more than once: its bytes are spooled."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
        limited = bounded(content, size)
        while block := limited.read(1 << 20):
            spool.write(block)

        def reopen() -> BinaryIO:
            spool.seek(0)
            return unpacked(_Unclosed(spool), name, size)  # type: ignore[arg-type]

        yield SourceFile(
            doc_id=_id(file, name),
            source=file.source,
            name=logical_name(PurePosixPath(name).name),
            size=size,
            open=reopen,
        )


class _Sparing:
    """A member of a zip whose packing Python undoes without a bound: a little at a time, so that
    what is absurdly much is seen before it takes the memory."""

    def __init__(self, content: IO[bytes]) -> None:
        content.MIN_READ_SIZE = _PACKED_AT_ONCE  # type: ignore[attr-defined]
        self._content = content

    def read(self, num: int) -> bytes:
        return self._content.read(min(num, _PACKED_AT_ONCE))

    def close(self) -> None:
        self._content.close()


class _Unclosed:
    """A stream whose `close` leaves the spool underneath open, for the next reader."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def close(self) -> None:
        pass

    def __enter__(self) -> _Unclosed:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _id(file: SourceFile, name: str) -> str:
    shown = str(PurePosixPath(name)).encode("utf-8", "replace").decode()
    return f"{file.doc_id}/{shown}" if file.doc_id else shown


def _is_wanted(file: SourceFile, name: str, tell: Tell) -> bool:
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != "."]
    if not parts or any(part == "__MACOSX" or (is_hidden(part) and part != "..") for part in parts):
        return False  # hidden
    if path.is_absolute() or ".." in parts:
        tell(_id(file, name), "its name leads out of the archive")
        return False
    if is_archive(name):
        tell(_id(file, name), "an archive inside an archive: unpack the outer one")
        return False
    return True


def is_locked(entry: zipfile.ZipInfo) -> bool:
    """Whether a member of a zip has a password."""
    return bool(entry.flag_bits & _LOCKED)


def is_bounded(entry: zipfile.ZipInfo) -> bool:
    """Whether Python unpacks a member of a zip no further than it is asked to."""
    return entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def budget(file: SourceFile) -> int:
    """Bytes that all members of an archive together may unpack to."""
    return max(MIN_EXPANDED, MAX_EXPANSION * file.size)


def spend(left: int, size: int) -> int:
    """What is left of a budget after a member of that size.

    Raises:
        DataError: it is too large.
    """
    if size > left:
        raise DataError(
            "the archive unpacks to absurdly much", remedy="unpack it yourself if you trust it"
        )
    return left - size
