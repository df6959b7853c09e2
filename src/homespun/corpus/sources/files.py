"""Finding files, and opening them unpacked within bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from homespun.core.errors import DataError
from homespun.corpus.sources.items import ReadLog, SourceFile

_RUN_FILE, _INDEX_FILE, INDEX_KIND = "run.json", "index.json", "homespun index"
# Other folders of our own, by a file and what stands in it: other programs name files so too, and
# what lies beside theirs is text like any other.
_MADE_HERE: dict[str, dict[str, str | None]] = {
    "asked.json": {"command": None},
    "application.json": {"task": None, "method": None},
    _INDEX_FILE: {"kind": INDEX_KIND},
}
_LONGEST_MARK = 1 << 16
_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "__MACOSX"})
_PACKED = (".gz", ".zst", ".bz2", ".xz")
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst", ".zip")

TEXT = frozenset({".txt", ".text", ".tex", ".org", ".adoc", ".asciidoc"})
MARKDOWN = frozenset({".md", ".markdown", ".mdown"})
RST = frozenset({".rst", ".rest"})
HTML = frozenset({".html", ".htm", ".xhtml"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
JSON = frozenset({".json"})
TABLE = frozenset({".csv", ".tsv"})
PARQUET = frozenset({".parquet"})
DOCX = frozenset({".docx", ".docm"})
ODT = frozenset({".odt"})
EPUB = frozenset({".epub"})
PDF = frozenset({".pdf"})
MAIL = frozenset({".eml"})
MAILBOX = frozenset({".mbox"})
CODE = frozenset(
    {".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".c", ".h", ".cc"}
    | {".cpp", ".cxx", ".hpp", ".hh", ".cs", ".go", ".rs", ".rb", ".php", ".swift", ".kt"}
    | {".scala", ".sh", ".bash", ".sql", ".lua", ".pl", ".pm", ".r", ".jl", ".hs", ".ml"}
    | {".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".vue", ".m", ".dart", ".zig", ".nim"}
)
SUFFIXES = TEXT | MARKDOWN | RST | HTML | JSON_LINES | JSON | TABLE | PARQUET | CODE
# Read although they have no suffix, as people name them so.
_BARE_NAMES = frozenset({"readme", "notes", "changelog", "todo", "text"})

# What unpacking may give: this many bytes, or this many times the packed size, whichever is more.
# Text packs to a fifth or so, repetitive logs to a fiftieth; a bomb to a thousandth.
MAX_EXPANSION = 200
MIN_EXPANDED = 64 << 20
# Files that are read from their end are taken into memory where they are packed.
MAX_IN_MEMORY = 256 << 20
MAX_PAGE = 32 << 20


def suffix_of(name: str) -> str:
    """Lower-case suffix that decides how a file is read; ".txt" for README and the like, ".mbox"
    for what mail programs name so."""
    if name.lower() == "mbox":
        return ".mbox"
    stem, dot, suffix = name.lower().rpartition(".")
    if not dot or not stem:
        return ".txt" if name.lower() in _BARE_NAMES else ""
    return f".{suffix}"


def is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES)


def is_hidden(name: str) -> bool:
    """Whether a file is none of a person's: also what Word writes beside one that is open."""
    return name.startswith((".", "~$"))


def logical_name(name: str) -> str:
    """The name without ".gz" or the like, unless that is part of an archive's suffix."""
    return name[: name.rindex(".")] if name.lower().endswith(_PACKED) else name


def printable(path: str) -> str:
    """A path as text; bytes of a name that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find_files(
    root: Path, *, source: str, prefix: str, excluded: Path | None, log: ReadLog
) -> Iterator[SourceFile]:
    """Files of a folder, sorted, or the one file that `root` is.

    Hidden names, folders of programs (`node_modules`, `__pycache__`, …) and `excluded` are passed
    over, and with a note links to folders and folders of our own (runs, learned tasks, search
    indexes); so is all that is not a regular file.

    Args:
        root: folder or file.
        source: name for the card; files in a subfolder get "source/subfolder".
        prefix: put before every document id ("" or "name/").
        excluded: a folder not to read, such as the one being written.
        log: told of folders that cannot be listed.

    Raises:
        DataError: `root` is neither, such as a pipe.
    """
    if not root.is_dir():
        if not root.is_file():
            raise DataError(
                f"{root} is neither a file nor a folder",  # a pipe cannot be read twice
                remedy="save what comes out of it as a file, and name that",
            )
        yield source_file(root, f"{prefix}{printable(root.name)}", source, explicit=True)
        return

    for path in walk_files(root, excluded=excluded, log=log):
        parts = path.relative_to(root).parts
        below = f"{source}/{printable(parts[0])}" if len(parts) > 1 else source
        try:
            yield source_file(path, prefix + printable("/".join(parts)), below, explicit=False)
        except OSError as error:
            log.add_unreadable(printable(str(path)), error.strerror or str(error))


def walk_files(root: Path, *, excluded: Path | None, log: ReadLog) -> Iterator[Path]:
    """The files of a folder that `find_files` finds, sorted folder by folder."""

    def report(error: OSError) -> None:
        log.add_unreadable(printable(str(error.filename)), error.strerror or str(error))

    for folder, subfolders, names in os.walk(root, onerror=report):
        subfolders[:] = sorted(
            name for name in subfolders if not _is_skipped(os.path.join(folder, name), excluded)
        )
        for name in list(subfolders):
            path = Path(folder, name)
            why = _why_passed_over(path)
            if why:
                subfolders.remove(name)
                log.note(f"{printable(os.path.relpath(path, root))}: passed over, as {why}")
        for name in sorted(names):
            path = Path(folder, name)
            try:
                if not is_hidden(name) and stat.S_ISREG(path.stat().st_mode):
                    yield path
            except OSError as error:
                log.add_unreadable(printable(str(path)), error.strerror or str(error))


def _is_skipped(folder: str, excluded: Path | None) -> bool:
    name = os.path.basename(folder)
    if name.startswith(".") or name in _SKIPPED_FOLDERS or name.endswith(".egg-info"):
        return True
    return excluded is not None and Path(folder).resolve() == excluded


def _why_passed_over(folder: Path) -> str:
    """Why nothing below it is read, where a person might look for it; "" where it is read."""
    if folder.is_symlink():
        return "it is a link to a folder"
    return "homespun made that folder" if _is_made_here(folder) else ""


def _is_made_here(folder: Path) -> bool:
    """Whether it is a run or the like of our own: its corpus and reports are no source text."""
    if os.path.isfile(folder / _RUN_FILE):  # of what may not be looked at it says no
        return True
    for name, wanted in _MADE_HERE.items():
        path = folder / name
        try:
            if not path.is_file() or path.stat().st_size > _LONGEST_MARK:
                continue
            told = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(told, dict) and all(
            key in told and value in (None, told[key]) for key, value in wanted.items()
        ):
            return True
    return False


def source_file(path: Path, doc_id: str, source: str, *, explicit: bool) -> SourceFile:
    """A file on disk, to be opened unpacked."""
    name = path.name if is_archive(path.name) else logical_name(path.name)
    return SourceFile(
        doc_id=doc_id,
        source=source,
        name=printable(name),
        size=path.stat().st_size,
        open=lambda: open_unpacked(path),
        explicit=explicit,
    )


def open_unpacked(path: Path) -> BinaryIO:
    """The content of a file, unpacked if its name ends in .gz or the like and it is no archive."""
    if is_archive(path.name):
        return open(path, "rb")
    return unpacked(open(path, "rb"), path.name, path.stat().st_size)


_READERS: dict[str, Callable[[BinaryIO], object]] = {
    ".gz": lambda stream: gzip.GzipFile(fileobj=stream),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}


def unpacked(stream: BinaryIO, name: str, packed_size: int) -> BinaryIO:
    """`stream` unpacked according to `name`, bounded."""
    lower = name.lower()
    if lower.endswith(".zst"):
        return bounded(zstd_reader(stream), packed_size)
    for ending, reader in _READERS.items():
        if lower.endswith(ending):
            # These readers leave the file beneath them open.
            return bounded(cast(BinaryIO, reader(stream)), packed_size, beneath=stream)
    return stream


# So little at once that what comes of it fits into memory, be it packed as tightly as can be:
# four bytes may stand for 128 kB.
_PACKED_AT_ONCE = 1024


def zstd_reader(stream: BinaryIO, *, at_once: int = _PACKED_AT_ONCE) -> BinaryIO:
    """`stream` unpacked; reading raises EOFError where it is cut off, which the library's own
    reader takes for the end.

    Args:
        at_once: packed bytes that are read; more than the default of one's own files alone.
    """
    return cast(BinaryIO, io.BufferedReader(_Unpacked(stream, at_once), 1 << 16))


def bounded(stream: BinaryIO, packed_size: int, *, beneath: BinaryIO | None = None) -> BinaryIO:
    limit = max(MIN_EXPANDED, MAX_EXPANSION * packed_size)
    return cast(BinaryIO, io.BufferedReader(_Bounded(stream, limit, beneath), 1 << 16))


def seekable(stream: BinaryIO) -> BinaryIO:
    """`stream`, or its whole content where it cannot seek, as one that is unpacked cannot.

    Raises:
        DataError: that is too much.
    """
    if stream.seekable():
        return stream
    data = stream.read(MAX_IN_MEMORY + 1)
    if len(data) > MAX_IN_MEMORY:
        raise DataError("a packed file of more than 256 MB", remedy="unpack it first")
    return io.BytesIO(data)


def read_page(stream: BinaryIO) -> bytes:
    """All of it: pages are read whole, so they have a bound.

    Raises:
        DataError: there is more of it.
    """
    data = stream.read(MAX_PAGE + 1)
    if len(data) > MAX_PAGE:
        raise DataError("a page of more than 32 MB", remedy="divide it or save it as .txt")
    return data


class _Unpacked(io.RawIOBase):
    """What a stream of zstandard frames holds."""

    def __init__(self, stream: BinaryIO, at_once: int) -> None:
        self._stream = stream
        self._at_once = at_once
        self._frames = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._frame = self._frames.decompressobj()
        self._has_begun = False
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._unpacked:
            packed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._has_begun = self._frames.decompressobj(), False
            packed = packed or self._stream.read(self._at_once)
            if not packed:
                if self._has_begun:
                    raise EOFError("it is cut off: the end of what is packed is missing")
                return 0
            self._has_begun = True
            self._unpacked = memoryview(self._frame.decompress(packed))
        num = min(len(view), len(self._unpacked))
        view[:num] = self._unpacked[:num]
        self._unpacked = self._unpacked[num:]
        return num

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Bounded(io.RawIOBase):
    """Passes bytes through and fails once there are more than could be honest."""

    def __init__(self, stream: BinaryIO, limit: int, beneath: BinaryIO | None) -> None:
        self._stream = stream
        self._left = limit
        self._beneath = beneath

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._stream.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"it unpacks to more than {MAX_EXPANSION} times its size",
                remedy="unpack it yourself if you trust it",
            )
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        if self._beneath is not None:
            self._beneath.close()
        super().close()
