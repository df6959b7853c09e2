"""How this process uses cores and memory. Called by every job before torch is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3


def prepare_process() -> None:
    """Let threads sleep while they wait, and let freed memory be used again. Safe to repeat.

    Waiting OpenMP threads spin by default, which assumes that nothing else runs. On two cores a
    browser or a second job is enough to make every small operation wait for a thread that is not
    running: training was measured 3 to 5 times slower beside one busy process, and no slower alone
    when they sleep (benchmarks/process.md). OMP_WAIT_POLICY, where it is set, is left as it is.

    glibc gives large freed blocks back to the system at once; a training step asks for them again,
    page by page. Keeping them was measured to save a fifth of a step.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux":
        # Other C libraries have no mallopt, or one that does nothing: then nothing is lost.
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(_M_TOP_PAD, 64 << 20)
