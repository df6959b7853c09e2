"""From C source to a loaded library: once for each machine, kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from homespun.core import ConfigError
from homespun.models.native.build import build_folder

COMPILERS = ("cc", "gcc", "clang")
# None of them reorders a sum, or assumes that there is no NaN.
FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
SOURCES = ("decode.c", "common.h", "matmul.h", "attention.h", "sample.h")
_TIMEOUT = 120  # seconds; it takes four


def load_library(folder: Path | None = None) -> ctypes.CDLL:
    """The compiled step, compiled now or by an earlier process.

    Args:
        folder: where compiled kernels are kept; None is the user's cache folder.

    Raises:
        ConfigError: it cannot be had on this machine; the message says why.
    """
    path = _build(build_folder() if folder is None else folder)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise _unavailable(f"it does not load ({error})") from error


def _build(folder: Path) -> Path:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64", "aarch64"):
        raise _unavailable(f"it exists for Linux, not {platform.system()} {platform.machine()}")
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise _unavailable("there is no C compiler")
    here = Path(__file__).parent
    target = folder / f"decode-{_key(compiler, here)}.so"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "decode.so"
            command = [compiler, *FLAGS, str(here / "decode.c"), "-o", str(made), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)
            made.replace(target)  # in one go: another process may be doing the same
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise _unavailable(f"compiling failed ({detail.strip()[-300:]})") from error
    return target


def _key(compiler: str, here: Path) -> str:
    """A digest of all that decides what the compiled code is."""
    digest = hashlib.sha256("\0".join(FLAGS).encode())
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=_TIMEOUT, check=False
    )
    digest.update(version.stdout)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = ("model name", "flags", "Features", "CPU part")
    digest.update("\n".join(sorted({line for line in lines if line.startswith(names)})).encode())
    for source in SOURCES:
        digest.update((here / source).read_bytes())
    return digest.hexdigest()[:20]


def _unavailable(why: str) -> ConfigError:
    return ConfigError(
        "the compiled decoding step is not to be had here",
        got=why,
        remedy="install gcc for faster answers, or go without it (kernels = torch)",
    )
