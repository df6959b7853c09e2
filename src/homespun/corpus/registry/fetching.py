"""Finding a named corpus on this machine, or fetching it."""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from homespun.core.config import did_you_mean
from homespun.core.errors import DataError
from homespun.core.files import atomic_path, sha256_file
from homespun.core.protocols import Progress, Silent, Task
from homespun.corpus.registry.entries import CorpusEntry, RemoteFile, find_entry, names

_BLOCK = 1 << 16
_TIMEOUT = 30.0
# Of the errors of the system these are the network's; others, a full disk among them, are not.
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


def data_folder() -> Path | None:
    """$HOMESPUN_DATA, or None where it is not set."""
    value = os.environ.get("HOMESPUN_DATA", "")
    return Path(value).expanduser() if value else None


def cache_folder() -> Path:
    """$HOMESPUN_CACHE, or `homespun` in the user's cache folder of this system."""
    if value := os.environ.get("HOMESPUN_CACHE", ""):
        return Path(value).expanduser()  # a file of variables has no shell to do it
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "homespun"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "homespun"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homespun"


def locate(name: str, *, progress: Progress | None = None) -> Path:
    """The file or folder that holds a named corpus; downloaded first where it is nowhere.

    Looks in $HOMESPUN_DATA, then in the cache.

    Raises:
        DataError: no corpus has that name, it is embedded, or it could not be fetched.
    """
    paths = locate_files(name, progress=progress)
    if len(paths) == 1:
        return paths[0]
    return Path(os.path.commonpath([path.parent for path in paths]))


def locate_files(name: str, *, progress: Progress | None = None) -> list[Path]:
    """The files of a named corpus, as `locate` finds them."""
    entry = _entry(name)
    folder = data_folder()
    if folder is not None and entry.local:
        local = [folder / path for path in entry.local]
        if all(path.is_file() for path in local):
            return local
    if not entry.files:
        raise DataError(
            f"the corpus '{name}' is not on this machine and cannot be downloaded",
            remedy=f"set HOMESPUN_DATA to a folder with {' and '.join(entry.local)}; "
            f"its source is {entry.page}",
        )
    cached = _cached(entry)
    if not all(_has_size(path, file) for path, file in zip(cached, entry.files, strict=True)):
        download(name, progress=progress)
    return cached


def download(name: str, *, progress: Progress | None = None) -> Path:
    """Fetch a named corpus into the cache; files already there and whole are kept.

    Every file is checked against its known size and SHA-256 before it gets its name.

    Returns:
        The corpus's folder in the cache.

    Raises:
        DataError: it cannot be reached, or what came is not what was expected; the message tells
            where to put the file by hand.
    """
    entry = _entry(name)
    progress = progress or Silent()
    total = sum(file.size for file in entry.files)
    task = progress.task(f"downloading {name}", total=total, unit="bytes")
    for file, path in zip(entry.files, _cached(entry), strict=True):
        if _has_size(path, file) and sha256_file(path) == file.sha256:
            task.advance(file.size)
            continue
        fetch(file, path, task)
    task.finish()
    return cache_folder() / name


def fetch(file: RemoteFile, path: Path, task: Task) -> None:
    """Download one file to `path`, checked.

    Raises:
        DataError: as `download`.
    """
    if urllib.parse.urlsplit(file.url).scheme not in ("http", "https"):
        raise DataError("only http and https are fetched", got=file.url)
    by_hand = (
        f"download it another way and put it at {path}, "
        "or set HOMESPUN_DATA to a folder that has it"
    )
    digest = hashlib.sha256()
    size = 0
    with atomic_path(path) as temporary:
        try:
            request = urllib.request.Request(file.url, headers={"User-Agent": "homespun"})
            with (
                urllib.request.urlopen(request, timeout=_TIMEOUT) as response,
                open(temporary, "wb") as out,
            ):
                while block := response.read(_BLOCK):
                    size += len(block)
                    if size > file.size:
                        break
                    digest.update(block)
                    out.write(block)
                    task.advance(len(block))
        except urllib.error.HTTPError as error:
            error.close()
            raise DataError(
                f"{file.url} cannot be downloaded", got=f"HTTP {error.code}", remedy=by_hand
            ) from error
        except _NETWORK_ERRORS as error:
            why = getattr(error, "reason", error)
            raise DataError(
                f"{file.url} cannot be reached", got=str(why), remedy=by_hand
            ) from error
        if size != file.size or digest.hexdigest() != file.sha256:
            raise DataError(
                f"{file.url} is not the file that was expected",
                got=f"{size:,} bytes" if size != file.size else f"sha256 {digest.hexdigest()}",
                remedy=f"try again later, or {by_hand} ({file.size:,} bytes, sha256 {file.sha256})",
            )


def _entry(name: str) -> CorpusEntry:
    entry = find_entry(name)
    if entry is None:
        raise DataError(f"there is no corpus '{name}'", remedy=did_you_mean(name, names()))
    if entry.embedded:
        raise DataError(
            f"the corpus '{name}' is read from the Python installation and has no file",
            remedy="name it as a source; there is nothing to download",
        )
    return entry


def _cached(entry: CorpusEntry) -> list[Path]:
    return [cache_folder() / entry.name / file.path for file in entry.files]


def _has_size(path: Path, file: RemoteFile) -> bool:
    try:
        return path.stat().st_size == file.size
    except OSError:
        return False
