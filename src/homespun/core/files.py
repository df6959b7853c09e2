"""Files that are whole or absent: atomic writes, hashes, JSON and JSON lines; their names."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from homespun.core.errors import BudgetError, DataError, HomespunError, RunError

_LEFT_ALONE = 3600.0  # seconds


def os_error(error: OSError, doing: str) -> HomespunError:
    """Say an operating-system error in the words of a person's remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BudgetError(f"no space left while {doing}", remedy="free some disk and run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunError(
            f"not allowed while {doing}", remedy="check who owns the folder and its permissions"
        )
    return RunError(f"{error.strerror or error} while {doing}", remedy="mend that and run again")


def text_error(error: OSError | UnicodeDecodeError, path: Path) -> HomespunError:
    """Say why a text file cannot be read."""
    if isinstance(error, UnicodeDecodeError):
        remedy = "save it as UTF-8, or convert it: iconv -f GB18030 -t UTF-8"
        return DataError(f"{path} is not UTF-8 text", remedy=remedy)
    if isinstance(error, FileNotFoundError):
        return DataError(f"there is no file {path}", remedy="check its name")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{path} is a folder", remedy="name a file in it")
    return os_error(error, f"reading {path}")


def typed(word: Path | str) -> str:
    """A name as it is typed into a shell: in quotes where a space or another mark wants them.
    Letters of any language want none."""
    text = str(word)
    is_plain = all(mark.isalnum() or mark in "@%+=:,./_-" for mark in text)
    return text if text and is_plain else shlex.quote(text)


def fsync_dir(path: Path) -> None:
    """Make renames inside `path` survive a power cut. A no-op where folders cannot be opened, or
    where the file system knows no such thing, as those of some networks."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those around it, where they are missing, so that they survive a power cut.

    Raises:
        OSError: it cannot be made.
    """
    missing = list(itertools.takewhile(lambda one: not one.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True)
    for one in missing:
        fsync_dir(one.parent)


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it into place when the block succeeds.

    A device or a pipe, such as /dev/stdout, stays what it is, and is handed what was written.
    Where `sync`, what killed processes left of the same is taken away.

    Raises:
        BudgetError: the disk is full. RunError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if _is_stream(path):
            yield from _handed_on(path)
            return
        if sync:
            make_folder(path.parent)
            _remove_leftovers(path)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if sync:
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
        if sync:
            fsync_dir(path.parent)
    except OSError as error:
        raise os_error(error, f"writing {path}") from error
    finally:
        with suppress(OSError):  # whatever went wrong is already on its way
            temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Delete what killed processes left of writing `path`, which may be as large as a model.

    Whoever writes may be on another machine, where numbers of processes say nothing: what was
    written to within the hour stays as well.
    """
    begins, ends = f".{path.name}.", ".tmp"
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            pid = entry.name[len(begins) : -len(ends)]
            if entry.name != f"{begins}{pid}{ends}" or not pid.isdecimal():
                continue
            is_old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _LEFT_ALONE
            if is_old and not _is_alive(int(pid)):
                os.unlink(entry.path)


def _is_alive(pid: int) -> bool:
    """Whether there is such a process on this machine, or nobody can tell."""
    if os.name != "posix":  # elsewhere signal 0 is one
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _handed_on(path: Path) -> Iterator[Path]:
    """As `atomic_path`, of what cannot be replaced."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        yield (whole := Path(folder) / "whole")
        with open(whole, "rb") as source, open(path, "ab") as target:
            shutil.copyfileobj(source, target)


def _is_stream(path: Path) -> bool:
    """Whether it is a device, a pipe, or one of the names by which the system knows what a process
    has open. A file in its place would take it from everybody on the machine."""
    place = os.path.realpath(path.parent)
    if place == "/dev" or place.startswith("/proc/"):
        return os.path.lexists(path)
    return path.exists() and not (path.is_file() or path.is_dir())


@contextmanager
def one_at_a_time(path: Path, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be the only process (and thread) that changes `path`; wait for others, after `on_wait`.

    The lock is a file beside it, since `path` itself may be replaced. The kernel frees the lock of
    a process that is killed.

    Raises:
        RunError: the folder cannot be written, or its file system has no locks.
    """
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise os_error(error, f"writing {path}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:  # file systems of clusters may have no locks
            raise os_error(error, f"locking {path}") from error
        yield
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    write_bytes(path, text.encode("utf-8"), sync=sync)


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write `value` as readable UTF-8 JSON. NaN and infinities are refused."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    write_text(path, text + "\n", sync=sync)


def read_json(path: Path, *, remedy: str = "restore it or run its stage again") -> Any:
    """The value in a file.

    Args:
        path: of the file.
        remedy: what to do where it is no JSON; for files that a person wrote or named, not a stage.

    Raises:
        DataError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="run the stage that writes it") from error
    except (ValueError, RecursionError) as error:  # of bytes, of JSON, of numbers without an end
        raise DataError(f"{path} is not valid JSON: {error}", remedy=remedy) from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error


def read_object(path: Path, *, remedy: str = "restore it or run its stage again") -> dict[str, Any]:
    """As `read_json`, of a file that holds an object.

    Raises:
        DataError: the file is missing, is not JSON, or holds something else.
    """
    value = read_json(path, remedy=remedy)
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object", got=value, remedy=remedy)
    return value


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON-lines file; a last line cut off by a crash is left out.

    Raises:
        DataError: the file is missing, or another line is not JSON.
    """
    try:
        with open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.strip():
                    continue
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    if not line.endswith(b"\n"):
                        return
                    raise DataError(
                        f"line {number} of {path} is not valid JSON", remedy="mend that line"
                    ) from error
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="run the stage that writes it") from error


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a whole line, on disk when this returns. A line that a crash cut off is removed first."""
    cut_torn_line(path)
    try:
        with open(path, "ab") as handle:
            handle.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise os_error(error, f"writing {path}") from error


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a crash or a full disk cut off, so that the next one is whole.

    Raises:
        RunError: the file cannot be read or written; none where there is no file.
    """
    try:
        with open(path, "r+b") as handle:
            before = handle.read()
            if not before.endswith(b"\n"):
                handle.truncate(before.rfind(b"\n") + 1)
                handle.flush()
                os.fsync(handle.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise os_error(error, f"writing {path}") from error


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the text of a JSON-lines file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def sha256_file(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
