"""From C source to a loaded library: once for each machine, kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT = 120  # seconds; it takes four
_DIGEST_BYTES = 32
_CPU_LINES = ("model name", "flags", "Features", "CPU part")
"""Of /proc/cpuinfo: what `-march=native` sees of the processor."""


class CompileError(Exception):
    """The message says why there is no library."""


class Source(NamedTuple):
    """What a library is made from.

    Attributes:
        name: what its file's name begins with.
        main: the C file; it includes the `others`.
        others: all else that decides what the code is.
        flags: of the compiler.
        libraries: to link with, behind the code.
        machines: processors it exists for, as `platform.machine` names them.
    """

    name: str
    main: Path
    others: tuple[Path, ...]
    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ("-lm",)
    machines: tuple[str, ...] = ("x86_64", "AMD64")


def load_compiled(source: Source, folder: Path | None = None) -> ctypes.CDLL:
    """The library, compiled now or by an earlier process.

    A file that is cut short, changed or does not load is made anew. Where the folder cannot be
    written, or nothing may be run from it, a private one among the temporary files is taken.

    Args:
        folder: where libraries are kept; None is `build_folder()`.

    Raises:
        CompileError: there is none for this machine, no compiler, or all compilers fail.
    """
    if sys.platform != "linux" or platform.machine() not in source.machines:
        there = f"{platform.system()} {platform.machine()}"
        raise CompileError(f"it exists for Linux on {' and '.join(source.machines)}, not {there}")
    compilers = found_compilers()
    if not compilers:
        raise CompileError("there is no C compiler")
    problems: list[str] = []
    for compiler in compilers:
        for place in _folders(folder):
            try:
                return _load(source, compiler, place)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                detail = str(getattr(error, "stderr", "") or error).strip()[-300:]
                problems.append(f"{Path(compiler).name}: {detail}")
                if isinstance(error, subprocess.SubprocessError):
                    break  # another folder would change nothing
    if not problems:
        raise CompileError("there is no folder to compile in")
    raise CompileError(f"compiling failed ({problems[0]})")


def found_compilers() -> list[str]:
    """Paths of the C compilers there are, each once."""
    found = (shutil.which(name) for name in COMPILERS)
    by_file = {os.path.realpath(path): path for path in reversed(list(found)) if path}
    return list(reversed(by_file.values()))


def build_folder() -> Path:
    """`homespun/kernels` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache).

    Raises OSError where there is no home.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(cache or Path.home() / ".cache") / "homespun" / "kernels"
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _folders(folder: Path | None) -> Iterator[Path]:
    """Where to try, one after another."""
    if folder is not None:
        yield folder
    else:
        with contextlib.suppress(OSError):
            yield build_folder()
    with contextlib.suppress(OSError):
        yield private_folder()


def private_folder() -> Path:
    """A folder among the temporary files that nobody else could have put a library into.

    Raises OSError where there can be none.
    """
    path = Path(tempfile.gettempdir()) / f"homespun-kernels-{os.geteuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        seen = path.lstat()
        if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o077:
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="homespun-kernels-"))


def _load(source: Source, compiler: str, folder: Path) -> ctypes.CDLL:
    target = folder / f"{source.name}-{_key(source, compiler)}.so"
    if _is_whole(target):
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            pass  # from another machine's libraries, perhaps: it is made anew
    _compile(source, compiler, target)
    return ctypes.CDLL(str(target))


def _compile(source: Source, compiler: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        code, library = Path(scratch) / "code.o", Path(scratch) / "library.so"
        _run([compiler, *source.flags, "-fPIC", "-c", str(source.main), "-o", str(code)])
        # What a library lacks is told now, and not in the middle of its work.
        link = ["-shared", "-Wl,-z,defs", "-pthread", str(code), *source.libraries]
        _run([compiler, *link, "-o", str(library)])
        with open(library, "r+b") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(digest)  # loaders do not look behind the end
            file.flush()
            os.fsync(file.fileno())
        library.replace(target)  # in one go: another process may be doing the same


def _is_whole(path: Path) -> bool:
    """Whether the digest at its end is that of all before it."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    return bool(body) and hashlib.sha256(body).digest() == digest


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)


def _key(source: Source, compiler: str) -> str:
    """A digest of all that decides what the compiled code is."""
    digest = hashlib.sha256("\0".join((*source.flags, *source.libraries)).encode())
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=_TIMEOUT, check=True
    )
    digest.update(version.stdout)
    lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    seen = sorted({line for line in lines if line.startswith(_CPU_LINES)})
    digest.update("\n".join(seen).encode())
    for path in (source.main, *source.others):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]
