"""Threads and memory of this process."""

from __future__ import annotations

import torch

from homespun.core.machine import peak_memory_bytes

__all__ = ["peak_memory_bytes", "set_threads"]


def set_threads(num_threads: int) -> None:
    """Use that many threads inside operations. Results depend on it in the last bits."""
    torch.set_num_threads(max(1, num_threads))
