"""Stochastic gradient descent with momentum: the plainest optimiser, to compare with.

Sutskever et al. 2013 (proceedings.mlr.press/v28/sutskever13), with weight decay apart from the
gradient as in algorithm 1 of Loshchilov and Hutter 2019 (arXiv 1711.05101).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from homespun.training.optim.decay import apply_decay, decay_share, grouped


class SGDSettings(NamedTuple):
    """Attributes:
    learning_rate: peak rate.
    weight_decay: multiplied by the learning rate.
    """

    learning_rate: float
    weight_decay: float = 0.0


class SGD:
    """`running = momentum · running + gradient`, which is subtracted; nothing is averaged, so a
    momentum of 0.9 makes steps ten times as long.

    Args:
        parameters: by name, fp32. One without a gradient stays as it is.
        settings: of each parameter, by its name.
        momentum: decay of the running gradient; 0 for none.
        nesterov: subtract `gradient + momentum · running` instead.
        cautious: decay only the numbers that the update moves towards zero.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        settings: Mapping[str, SGDSettings],
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        cautious: bool = False,
    ) -> None:
        self._parameters = dict(parameters)
        self._groups = grouped(self._parameters, settings)
        self._momentum, self._nesterov, self._cautious = momentum, nesterov, cautious
        self._running = {name: torch.zeros_like(p) for name, p in self._parameters.items()}

    @torch.no_grad()
    def step(
        self, lr_scale: float, *, decay_scale: float | None = None, momentum: float | None = None
    ) -> None:
        """Apply the gradients in `.grad`.

        Args:
            lr_scale: factor on the learning rates.
            decay_scale: factor on learning rate times weight decay; None for `lr_scale`.
            momentum: in place of the usual one.
        """
        momentum = self._momentum if momentum is None else momentum
        for group, all_names in self._groups.items():
            names = [name for name in all_names if self._parameters[name].grad is not None]
            if not names:
                continue
            parameters = [self._parameters[name] for name in names]
            gradients = [p.grad for p in parameters if p.grad is not None]
            updates = [self._running[name] for name in names]
            torch._foreach_mul_(updates, momentum)
            torch._foreach_add_(updates, gradients)
            if self._nesterov:
                updates = list(torch._foreach_add(gradients, updates, alpha=momentum))
            decay = decay_share(group.learning_rate, group.weight_decay, lr_scale, decay_scale)
            apply_decay(parameters, updates, decay, cautious=self._cautious)
            torch._foreach_add_(parameters, updates, alpha=-group.learning_rate * lr_scale)

    def state_tensors(self) -> dict[str, Tensor]:
        """The running gradient of every parameter, by its name; copying into it loads."""
        return {f"{name}.momentum": tensor for name, tensor in self._running.items()}
