"""How this process uses cores and memory. Called by every job before torch is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
import threading
import time

SPINS = 10_000
# glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3


def prepare_process() -> None:
    """Let waiting threads spin only briefly, and let freed memory be used again. Safe to repeat.

    Between two small operations OpenMP's threads spin, by default for about a millisecond, which
    assumes that nothing else runs: beside one busy process on two cores a training step then takes
    four times as long. Sleeping at once makes it half as fast alone. A short spin is as fast as a
    long one alone; what it still loses in company, `plan` sees and uses one thread.
    OMP_WAIT_POLICY or GOMP_SPINCOUNT, where set, are left as they are.

    glibc gives large freed blocks back to the system at once; a training step asks for them again,
    page by page. Keeping them was measured to save a fifth of a step.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    if sys.platform == "linux":
        # Other C libraries have no mallopt, or one that does nothing: then nothing is lost.
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            # Up to glibc 2.34 no more than half a heap is taken. Where it is refused, 128 kB would
            # stay: what is set below ends the growth by which larger blocks come to be kept.
            if not libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30):
                libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(_M_TOP_PAD, 64 << 20)


def keep_memory() -> None:
    """What is there now stays until the end. Looking through it again and again, as Python does
    for what nobody needs any more, would hold up everybody."""
    gc.collect()
    gc.freeze()


def log_to_stderr() -> None:
    """What goes wrong inside is told there, with its place."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")


def end_with_parent(*, look_seconds: float = 1.0) -> None:
    """End this process, whatever it is doing, soon after the one that started it has ended.

    For jobs that only their parent waits for: killed, it cannot end them, and they would go on for
    minutes beside whatever is measured next.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(look_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="homespun-parent", daemon=True).start()
