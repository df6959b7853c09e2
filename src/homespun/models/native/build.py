"""From C source to a loaded library: once for each machine, kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import torch

from homespun.core import ConfigError
from homespun.models.native.library import NativeKernels

COMPILERS = ("cc", "gcc", "clang")
# Neither reorders a sum that is not marked, nor assumes that there is no NaN.
FLAGS = (
    *("-O3", "-march=native", "-std=c11", "-fPIC", "-fopenmp"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-thread-jumps"),
)
_TIMEOUT = 120  # seconds; it takes three


def load_kernels(folder: Path | None = None) -> NativeKernels:
    """The kernels, compiled now or by an earlier process.

    Args:
        folder: where compiled kernels are kept; None is `build_folder()`.

    Raises:
        ConfigError: they cannot be had on this machine; the message says why.
    """
    path = build_kernels(folder)
    try:
        return NativeKernels(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as error:
        raise _unavailable(f"the compiled kernels do not load ({error})") from error


def kernels_by_name(name: Literal["torch", "native"]) -> NativeKernels | None:
    """What `use_kernels` takes. Raises ConfigError where "native" is not to be had."""
    return load_kernels() if name == "native" else None


def build_folder() -> Path:
    """`homespun/kernels` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homespun" / "kernels"


def build_kernels(folder: Path | None = None) -> Path:
    """Path of the shared library; compiled unless `folder` holds it for this very source, compiler
    and processor.

    Raises:
        ConfigError: no compiler, it fails, or torch's own libraries are not where wheels have them.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise _unavailable(f"they exist for Linux on x86-64, not {platform.system()}")
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise _unavailable("there is no C compiler")
    folder = build_folder() if folder is None else folder
    # Linking to torch's own OpenMP shares its threads; a second pool would fight with them.
    openmp = _torch_library("gomp")
    source = Path(__file__).with_name("kernels.c")
    key = _key(compiler, openmp, [source, *sorted(source.parent.glob("*.h"))])
    target = folder / f"kernels-{key}.so"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made, linked = Path(scratch) / "kernels.o", Path(scratch) / "kernels.so"
            _run([compiler, *FLAGS, "-c", str(source), "-o", str(made)])
            _run([compiler, "-shared", str(made), str(openmp), "-lm", "-o", str(linked)])
            linked.replace(target)  # in one go: another process may be doing the same
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise _unavailable(f"compiling failed ({detail.strip()[-300:]})") from error
    return target


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT)


def _torch_library(name: str) -> Path:
    """`lib<name>….so…` among the libraries that torch's wheel brings along."""
    folder = Path(torch.__file__).parent / "lib"
    beside = folder.parent.parent / "torch.libs"
    for path in sorted([*folder.glob(f"lib{name}*.so*"), *beside.glob(f"lib{name}*.so*")]):
        return path
    raise _unavailable(f"this build of torch has no lib{name}")


def _key(compiler: str, openmp: Path, sources: list[Path]) -> str:
    """A digest of all that decides what the compiled code is."""
    digest = hashlib.sha256("\0".join((*FLAGS, torch.__version__, str(openmp))).encode())
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=_TIMEOUT, check=False
    )
    digest.update(version.stdout)
    digest.update(_processor().encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:20]


def _processor() -> str:
    """Name and abilities of the processor, as `-march=native` sees them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _unavailable(why: str) -> ConfigError:
    return ConfigError(
        "compiled kernels are not to be had here",
        got=why,
        remedy="install gcc for faster training, or train without them (kernels = torch)",
    )
