"""The training kernels, compiled by `compile`, or a sentence on why there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from homespun.core import ConfigError
from homespun.core.compile import CompileError, Source, load_compiled
from homespun.models.native.library import NativeKernels

# Neither reorders a sum that is not marked, nor assumes that there is no NaN.
FLAGS = (
    *("-O3", "-march=native", "-std=c11", "-fopenmp"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-thread-jumps"),
)


def load_kernels(folder: Path | None = None) -> NativeKernels:
    """The kernels, compiled now or by an earlier process.

    Args:
        folder: where compiled kernels are kept; None is the user's cache folder.

    Raises:
        ConfigError: they cannot be had on this machine; the message says why.
    """
    try:
        return NativeKernels(load_compiled(kernels_source(), folder))
    except (CompileError, AttributeError) as error:
        raise ConfigError(
            "compiled kernels are not to be had here",
            got=str(error),
            remedy="install gcc for faster training, or train without them (kernels = torch)",
        ) from error


def kernels_by_name(name: Literal["torch", "native"]) -> NativeKernels | None:
    """What `use_kernels` takes. Raises ConfigError where "native" is not to be had."""
    return load_kernels() if name == "native" else None


def kernels_source() -> Source:
    """Raises CompileError where torch's own libraries are not where wheels have them."""
    here = Path(__file__).parent
    # Linking to torch's own OpenMP shares its threads; a second pool would fight with them.
    openmp = _torch_library("gomp")
    return Source(
        name="kernels",
        main=here / "kernels.c",
        others=tuple(sorted(here.glob("*.h"))),
        flags=FLAGS,
        libraries=(str(openmp), "-lm"),
    )


def _torch_library(name: str) -> Path:
    """`lib<name>….so…` among the libraries that torch's wheel brings along."""
    folder = Path(torch.__file__).parent / "lib"
    beside = folder.parent.parent / "torch.libs"
    for path in sorted([*folder.glob(f"lib{name}*.so*"), *beside.glob(f"lib{name}*.so*")]):
        return path
    raise CompileError(f"this build of torch has no lib{name}")
