"""Lack of memory, told from other errors."""

from __future__ import annotations

import torch

_SIGNS = (
    "not enough memory",  # torch's processor allocator on Windows and macOS
    "can't allocate memory",  # the same on Linux
    "out of memory",
    "alloc_failed",  # cuBLAS
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that an allocation failed, on a processor or an accelerator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
