"""Threads and memory of this process."""

from __future__ import annotations

import resource
import sys

import torch


def set_threads(num_threads: int) -> None:
    """Use that many threads inside operations. Results depend on it in the last bits."""
    torch.set_num_threads(max(1, num_threads))


def peak_memory_bytes() -> int:
    """The most memory this process has held resident so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes
