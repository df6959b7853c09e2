"""AdamW through PyTorch's fused kernel, with its state where it can be seen.

Loshchilov and Hutter 2019 (arXiv 1711.05101), algorithm 2. The kernel is the one behind
`torch.optim.AdamW(fused=True)`; that class itself loads the whole compiler when it is made, which
takes seconds at the start of every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from homespun.training.optim.decay import apply_decay, decay_share, grouped


class AdamWSettings(NamedTuple):
    """Attributes:
    learning_rate: peak rate.
    betas: decay of the two running means.
    eps: added to the root of the second.
    weight_decay: multiplied by the learning rate.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0


class AdamW:
    """Running means of the gradient and of its square; decoupled weight decay.

    Args:
        parameters: by name, fp32. One without a gradient stays as it is.
        settings: of each parameter, by its name.
        cautious: decay only the numbers that the update moves towards zero.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        settings: Mapping[str, AdamWSettings],
        *,
        cautious: bool = False,
    ) -> None:
        self._parameters = dict(parameters)
        self._groups = grouped(self._parameters, settings)
        self._cautious = cautious
        self._mean = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        self._square = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        # One count a parameter, as one that had no gradient was not updated.
        self._count = {
            name: torch.zeros((), device=p.device) for name, p in self._parameters.items()
        }

    @torch.no_grad()
    def step(
        self, lr_scale: float, *, decay_scale: float | None = None, momentum: float | None = None
    ) -> None:
        """Apply the gradients in `.grad`.

        Args:
            lr_scale: factor on the learning rates.
            decay_scale: factor on learning rate times weight decay; None for `lr_scale`.
            momentum: not AdamW's affair.
        """
        del momentum
        for group, all_names in self._groups.items():
            names = [name for name in all_names if self._parameters[name].grad is not None]
            if not names:
                continue
            parameters = [self._parameters[name] for name in names]
            gradients = [p.grad for p in parameters if p.grad is not None]
            means = [self._mean[name] for name in names]
            counts = [self._count[name] for name in names]
            decay = decay_share(group.learning_rate, group.weight_decay, lr_scale, decay_scale)
            in_kernel = decay_scale is None and not self._cautious
            new_means: Iterable[Tensor] = ()
            if decay and self._cautious:
                # The update has the sign of the new mean, what it is divided by being positive;
                # and it does not depend on the parameter, so decaying ahead of it is the same.
                new_means = torch._foreach_lerp(means, gradients, 1.0 - group.betas[0])
            if not in_kernel:
                apply_decay(parameters, new_means, decay, cautious=self._cautious)
            torch._foreach_add_(counts, 1.0)
            torch._fused_adamw_(
                parameters,
                gradients,
                means,
                [self._square[name] for name in names],
                [],
                counts,
                lr=group.learning_rate * lr_scale,
                beta1=group.betas[0],
                beta2=group.betas[1],
                weight_decay=group.weight_decay if in_kernel else 0.0,
                eps=group.eps,
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
