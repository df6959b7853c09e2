"""Muon: momentum whose update matrices are made orthogonal before they are applied.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"
(kellerjordan.github.io/posts/muon), with the update scale of Moonlight (arXiv 2502.16982), so that
one learning rate serves Muon and AdamW alike.

Shape letters: S stacked matrices, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from homespun.training.optim.decay import apply_decay, decay_share
from homespun.training.optim.orthogonal import Method, orthogonalise

# Moonlight, section 2.2: an orthogonal R x C matrix has root mean square 1/sqrt(max(R, C)), while
# AdamW's updates measure 0.2 to 0.4; this brings the one to the other.
ADAMW_RMS = 0.2
# Keeps rows that never had a gradient from being divided by zero.
VARIANCE_FLOOR = 1e-10

UpdateScale = Literal["match_rms_adamw", "sqrt_ratio"]
Variance = Literal["none", "rows", "longer_side"]
Shape = tuple[int, int]


class Muon:
    """Momentum, Nesterov, orthogonal update, as an option divided by a running root mean square.

    Matrices of one shape are stacked and treated at once.

    Args:
        matrices: the parameters by name, each [R, C] in fp32.
        learning_rate: peak rate, on AdamW's scale with `scale` "match_rms_adamw".
        momentum: decay of the running gradient.
        nesterov: whether the update looks one step ahead.
        weight_decay: decoupled, multiplied by the learning rate as in AdamW.
        cautious: decay only the numbers that the update moves towards zero.
        scale, variance, variance_beta2, method: see `OptimizerConfig`.
        dtype: of the products. bfloat16 is enough for them, and faster on processors that multiply
            it natively.
    """

    def __init__(  # noqa: PLR0913 - plain values, one an option
        self,
        matrices: Mapping[str, Tensor],
        *,
        learning_rate: float,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        cautious: bool = False,
        scale: UpdateScale = "match_rms_adamw",
        variance: Variance = "none",
        variance_beta2: float = 0.95,
        method: Method = "quintic",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._learning_rate, self._momentum, self._nesterov = learning_rate, momentum, nesterov
        self._weight_decay, self._cautious = weight_decay, cautious
        self._scale, self._variance_beta2 = scale, variance_beta2
        self._method: Method = method
        self._dtype = dtype
        self._stacks: dict[Shape, list[str]] = {}
        self._matrices = dict(matrices)
        for name, matrix in matrices.items():
            rows, columns = matrix.shape
            self._stacks.setdefault((rows, columns), []).append(name)
        self._running: dict[Shape, Tensor] = {}
        self._square: dict[Shape, Tensor] = {}
        for shape, names in self._stacks.items():
            device = matrices[names[0]].device
            self._running[shape] = torch.zeros(len(names), *shape, device=device)
            if variance != "none":
                kept = (1, shape[1]) if _is_by_columns(shape, variance) else (shape[0], 1)
                self._square[shape] = torch.zeros(len(names), *kept, device=device)

    @torch.no_grad()
    def step(
        self, lr_scale: float, *, decay_scale: float | None = None, momentum: float | None = None
    ) -> None:
        """Apply the gradients in `.grad`; a matrix without one counts as a gradient of zero.

        Args:
            lr_scale: factor on the learning rate.
            decay_scale: factor on learning rate times weight decay; None for `lr_scale`.
            momentum: in place of the usual one.
        """
        momentum = self._momentum if momentum is None else momentum
        rate = self._learning_rate * lr_scale
        decay = decay_share(self._learning_rate, self._weight_decay, lr_scale, decay_scale)
        for shape, names in self._stacks.items():
            params: list[Tensor] = [self._matrices[name] for name in names]
            update_SRC = self._update(shape, params, momentum)
            apply_decay(params, update_SRC.unbind(), decay, cautious=self._cautious)
            factor = update_scale(shape, self._scale)
            torch._foreach_add_(params, update_SRC.unbind(), alpha=-rate * factor)

    def state_tensors(self) -> dict[str, Tensor]:
        """The running gradient of every matrix, by its name, and the running mean square where
        there is one: views, so copying into them loads."""
        kinds = {"momentum": self._running, "variance": self._square}
        return {
            f"{name}.{kind}": tensors[shape][place]
            for kind, tensors in kinds.items()
            for shape, names in self._stacks.items()
            if shape in tensors
            for place, name in enumerate(names)
        }

    def _update(self, shape: Shape, params: list[Tensor], momentum: float) -> Tensor:
        """What is to be subtracted, but for the rate and the scale."""
        gradient_SRC = torch.stack(
            [p.grad if p.grad is not None else torch.zeros_like(p) for p in params]
        )
        running_SRC = self._running[shape]
        running_SRC.lerp_(gradient_SRC, 1.0 - momentum)
        ahead_SRC = gradient_SRC.lerp_(running_SRC, momentum) if self._nesterov else running_SRC
        update_SRC = orthogonalise(ahead_SRC.to(self._dtype), self._method).to(torch.float32)
        if shape in self._square:
            update_SRC = normalise(update_SRC, self._square[shape], self._variance_beta2)
        return update_SRC


def update_scale(shape: Shape, scale: UpdateScale = "match_rms_adamw") -> float:
    """What an orthogonal update of this shape is multiplied by."""
    if scale == "sqrt_ratio":
        return math.sqrt(max(1.0, shape[0] / shape[1]))
    return ADAMW_RMS * math.sqrt(max(shape))


def normalise(update_SRC: Tensor, square: Tensor, beta2: float) -> Tensor:
    """NorMuon (arXiv 2510.05491, algorithm 1): divide rows by their running root mean square, then
    give each matrix the norm of an exactly semi-orthogonal one, sqrt(min(R, C)).

    Args:
        update_SRC: orthogonal updates.
        square: the running mean squares, [S, R, 1], or [S, 1, C] for columns; changed in place.
        beta2: their decay.
    """
    across = 2 if square.size(2) == 1 else 1
    square.lerp_(update_SRC.square().mean(across, keepdim=True), 1.0 - beta2)
    update_SRC = update_SRC * square.clamp_min(VARIANCE_FLOOR).rsqrt()
    norm = update_SRC.norm(dim=(1, 2), keepdim=True).clamp_min(VARIANCE_FLOOR)
    normed_SRC: Tensor = update_SRC * (math.sqrt(min(update_SRC.shape[1:])) / norm)
    return normed_SRC


def _is_by_columns(shape: Shape, variance: Variance) -> bool:
    return variance == "longer_side" and shape[1] > shape[0]
