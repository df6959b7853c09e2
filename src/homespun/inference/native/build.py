"""The compiled step as a loaded library."""

from __future__ import annotations

import ctypes
from pathlib import Path

from homespun.core import ConfigError
from homespun.core.compile import CompileError, Source, load_compiled

# None of them reorders a sum, or assumes that there is no NaN.
FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-pthread"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)


class NotCompiledError(ConfigError):
    """The compiled step cannot be had on this machine, whatever the model."""


def load_library(folder: Path | None = None) -> ctypes.CDLL:
    """The compiled step, compiled now or by an earlier process.

    Args:
        folder: where compiled code is kept; None is the user's cache folder.

    Raises:
        NotCompiledError: it cannot be had on this machine; the message says why.
    """
    here = Path(__file__).parent
    source = Source(
        name="decode",
        main=here / "decode.c",
        # The last as common.h includes it.
        others=(*sorted(here.glob("*.h")), here.parents[1] / "models/native/log.h"),
        flags=FLAGS,
        machines=("x86_64", "AMD64", "aarch64"),
    )
    try:
        return load_compiled(source, folder)
    except CompileError as error:
        raise NotCompiledError(
            "the compiled decoding step is not to be had here",
            got=str(error),
            remedy="install gcc for faster answers, or go without it (kernels = torch)",
        ) from error
