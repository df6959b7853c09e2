"""AdamW through PyTorch's fused kernel, with its state where it can be seen.

Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2. The kernel is the one behind
`torch.optim.AdamW(fused=True)`; that class itself loads the whole compiler when it is made, which
takes seconds at the start of every process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


class AdamW:
    """Running means of the gradient and of its square; decoupled weight decay.

    Args:
        parameters: by name, fp32. One without a gradient stays as it is.
        decayed: names of those that decay.
        learning_rate: peak rate.
        betas: decay of the two running means.
        eps: added to the root of the second.
        weight_decay: multiplied by the learning rate.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        decayed: frozenset[str],
        learning_rate: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        self._parameters = dict(parameters)
        self._decays = {name: weight_decay * (name in decayed) for name in parameters}
        self._learning_rate, self._betas, self._eps = learning_rate, betas, eps
        self._mean = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        self._square = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        # One count a parameter, as one that had no gradient was not updated.
        self._count = {
            name: torch.zeros((), device=p.device) for name, p in self._parameters.items()
        }

    @torch.no_grad()
    def step(self, lr_scale: float) -> None:
        """Apply the gradients in `.grad`."""
        for decay in set(self._decays.values()):
            names = [
                name
                for name, parameter in self._parameters.items()
                if parameter.grad is not None and self._decays[name] == decay
            ]
            if not names:
                continue
            counts = [self._count[name] for name in names]
            torch._foreach_add_(counts, 1.0)
            torch._fused_adamw_(
                [self._parameters[name] for name in names],
                [
                    gradient
                    for name in names
                    if (gradient := self._parameters[name].grad) is not None
                ],
                [self._mean[name] for name in names],
                [self._square[name] for name in names],
                [],
                counts,
                lr=self._learning_rate * lr_scale,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=decay,
                eps=self._eps,
                amsgrad=False,
                maximize=False,
            )

    def state_tensors(self) -> dict[str, Tensor]:
        """Mean, square and count of every parameter, by its name; copying into them loads."""
        kinds = {"mean": self._mean, "square": self._square, "count": self._count}
        return {
            f"{name}.{kind}": tensors[name]
            for kind, tensors in kinds.items()
            for name in self._parameters
        }


def adamw_one(
    parameter: Tensor,
    gradients: list[Tensor],
    *,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Tensor:
    """What AdamW makes of one parameter and its gradients, one a step: slow and plain."""
    mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
    for count, gradient in enumerate(gradients, start=1):
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        unbiased_mean = mean / (1 - betas[0] ** count)
        unbiased_root = square.sqrt() / math.sqrt(1 - betas[1] ** count)
        parameter = parameter - learning_rate * weight_decay * parameter
        parameter = parameter - learning_rate * unbiased_mean / (unbiased_root + eps)
    return parameter
