"""What is done to every layer of a model, whether one process holds it or many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the model's outermost module lists: its layers."""
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    outer = [
        found
        for name, found in lists.items()
        if not any(name.startswith(f"{other}.") for other in lists if other != name)
    ]
    return [block for found in outer for block in found if any(True for _ in block.parameters())]


def checkpoint_blocks(blocks: list[nn.Module]) -> None:
    """Keep of each block only what enters it; compute the rest again on the way back.

    Random numbers are drawn as the first time, so the result is the same to the last bit. Names and
    classes of modules stay as they are.
    """
    for block in blocks:
        block.forward = partial(_again, block.forward)


def _again(forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


def compile_blocks(
    blocks: list[nn.Module], *, backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Pass each block through torch.compile: all are of one shape, so one is compiled."""
    for block in blocks:
        block.compile(backend=backend, dynamic=False)
