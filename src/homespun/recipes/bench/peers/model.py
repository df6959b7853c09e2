"""A peer as the benchmarks drive it: its model, its optimiser, the order of its own script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.recipes.bench.peers.shape import Shape, train_flops_per_token

if TYPE_CHECKING:
    from torch import Tensor, nn


class PeerAsk(NamedTuple):
    """What an adapter is asked to build.

    Attributes:
        path: the checkout, already on `sys.path`; None for an installed package.
        shape: see there.
        rows: sequences of a batch; some scale their rates by it.
        dtype: "bfloat16" or "float32", whichever this machine multiplies faster.
        compile: whether to use torch.compile on the model.
        rates: learning rates by name, each peer's own where absent.
    """

    path: Path | None
    shape: Shape
    rows: int
    dtype: str
    compile: bool
    rates: Mapping[str, float]


@dataclass
class PeerModel:
    """Attributes:
    module: its model with fp32 weights, not compiled.
    loss: (ids_BT, targets_BT) to mean nats with gradients.
    logits: ids_BT to scores (B, T, V or more).
    optimizer: its own.
    schedule: (progress from 0 to 1, step) sets its rates; called before each step.
    clip_norm: as its script does; None where it does not clip.
    autocast: whether products are in bfloat16 by autocast.
    flops_per_token: of a training step.
    """

    module: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    logits: Callable[[Tensor], Tensor]
    optimizer: Any
    schedule: Callable[[float, int], None]
    clip_norm: float | None
    autocast: bool
    flops_per_token: int
    steps: int = field(default=0)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def step(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """One whole optimiser step; returns the loss."""
        import torch

        with torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext():
            loss = self.loss(ids_BT, targets_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return loss.detach()

    def score(self, ids_BT: Tensor, targets_BT: Tensor) -> float:
        """Summed nats, scores in float32; targets of -100 do not count."""
        import torch.nn.functional as F

        logits_NV = self.logits(ids_BT).float().flatten(0, -2)
        return float(F.cross_entropy(logits_NV, targets_BT.flatten(), reduction="sum"))


def count_flops(module: nn.Module, head: nn.Module, shape: Shape) -> int:
    """Operations a token, from the linear layers the model really has; `head` is one of them."""
    from torch import nn

    products = [m for m in module.modules() if isinstance(m, nn.Linear)]
    in_head = sum(m.weight.numel() for m in products if m is head)
    return train_flops_per_token(
        matrix_parameters=sum(m.weight.numel() for m in products) - in_head,
        head_parameters=in_head,
        num_layers=shape.num_layers,
        attention_width=shape.width,
        length=shape.context,
    )


def ignored_as(value: int, targets_BT: Tensor) -> Tensor:
    """Targets that do not count, -100 here, as the value a peer's loss ignores."""
    return targets_BT.masked_fill(targets_BT == -100, value)


def scale_rates(optimizer: Any, factor: float) -> None:
    """Set each group's rate to `factor` of the one it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def remember_rates(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
