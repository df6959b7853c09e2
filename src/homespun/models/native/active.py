"""Which compiled kernels the present block of code uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from homespun.models.native.library import NativeKernels

_ACTIVE: ContextVar[NativeKernels | None] = ContextVar("native_kernels", default=None)


@contextmanager
def use_kernels(kernels: NativeKernels | None) -> Iterator[None]:
    """Inside the `with`, models on the processor compute by `kernels`; by torch where None."""
    token = _ACTIVE.set(kernels)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def active_kernels(x: Tensor) -> NativeKernels | None:
    """The kernels in use where they can serve `x`: on the processor, float32 or bfloat16."""
    return kernels_on(x.device) if x.dtype in (torch.float32, torch.bfloat16) else None


def kernels_on(device: torch.device) -> NativeKernels | None:
    """The kernels in use where `device` is the processor."""
    return _ACTIVE.get() if device.type == "cpu" else None
