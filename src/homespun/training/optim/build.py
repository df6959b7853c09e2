"""Which optimiser updates which parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from homespun.core import CheckpointError
from homespun.models import ParameterKind
from homespun.training.optim.adamw import AdamW, AdamWSettings
from homespun.training.optim.config import OptimizerConfig
from homespun.training.optim.kinds import parameter_kinds
from homespun.training.optim.muon import Muon
from homespun.training.optim.sgd import SGD, SGDSettings


class Part(Protocol):
    """An optimiser of some of the parameters: AdamW, Muon or SGD."""

    def step(
        self, lr_scale: float, *, decay_scale: float | None = None, momentum: float | None = None
    ) -> None: ...
    def state_tensors(self) -> dict[str, Tensor]: ...


class Optimizer:
    """One `step` over all parameters, and a state that is a flat dictionary of tensors.

    Made by `build_optimizer`.

    Args:
        parts: the optimisers that share the parameters, by the prefix of their state's names.
        weight_decay_power: see `OptimizerConfig`.
        momentum_at: the momentum as a function of progress; None leaves it to the parts.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        *,
        weight_decay_power: float = 1.0,
        momentum_at: Callable[[float], float] | None = None,
    ) -> None:
        self._parts = parts
        self._power = weight_decay_power
        self._momentum_at = momentum_at
        self._progress = 1.0

    def set_progress(self, progress: float) -> None:
        """How much of the run is done, 0 to 1, which the momentum may depend on. To be called ahead
        of each step; what was never told counts as the end."""
        self._progress = progress

    def step(self, lr_scale: float) -> None:
        """Apply the gradients with `lr_scale` times the peak learning rates."""
        decay_scale = None if self._power == 1.0 else float(lr_scale**self._power)
        momentum = None if self._momentum_at is None else self._momentum_at(self._progress)
        for part in self._parts.values():
            part.step(lr_scale, decay_scale=decay_scale, momentum=momentum)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, under names like "adamw.norm.weight.mean". Not copied."""
        return {
            f"{prefix}.{name}": tensor
            for prefix, part in self._parts.items()
            for name, tensor in part.state_tensors().items()
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy what `state_tensors` gave.

        Raises:
            CheckpointError: the state is of another model or another kind of optimiser.
        """
        own = self.state_tensors()
        for name in sorted({*own, *tensors}):
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
                raise CheckpointError(
                    f"the saved optimiser state does not fit the model at {name}",
                    remedy="resume with the settings the stage was started with",
                )
            own[name].copy_(tensors[name])


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, *, matrix_dtype: torch.dtype = torch.float32
) -> Optimizer:
    """An optimiser over all parameters of `model` that want a gradient.

    Args:
        model: fp32 parameters.
        config: which and how.
        matrix_dtype: dtype of Muon's products.
    """
    kinds = parameter_kinds(model)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    parts: dict[str, Part] = {}
    if config.kind == "muon":
        matrices = {n: p for n, p in named.items() if kinds[n] == "matrix" and p.ndim == 2}
        if matrices:
            parts["muon"] = _muon(matrices, config, matrix_dtype)
        named = {name: p for name, p in named.items() if name not in matrices}
    if named and config.kind == "sgd":
        parts["sgd"] = SGD(
            named,
            {name: SGDSettings(*_rate_and_decay(kinds[name], config)) for name in named},
            momentum=config.momentum,
            nesterov=config.nesterov,
            cautious=config.cautious,
        )
    elif named:
        settings = {name: _adamw_settings(kinds[name], config) for name in named}
        parts["adamw"] = AdamW(named, settings, cautious=config.cautious)
    return Optimizer(
        parts,
        weight_decay_power=config.weight_decay_power,
        momentum_at=None if config.momentum_start is None else config.momentum_at,
    )


def _muon(matrices: Mapping[str, Tensor], config: OptimizerConfig, dtype: torch.dtype) -> Muon:
    rate, decay = _rate_and_decay("matrix", config)
    if config.matrix_learning_rate is not None:
        rate = config.matrix_learning_rate * config.kinds.matrix.rate
    return Muon(
        matrices,
        learning_rate=rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=decay,
        cautious=config.cautious,
        scale=config.update_scale,
        variance=config.variance,
        variance_beta2=config.variance_beta2,
        method=config.orthogonal,
        dtype=dtype,
    )


def _rate_and_decay(kind: ParameterKind, config: OptimizerConfig) -> tuple[float, float]:
    own = config.kinds.of(kind)
    usual = config.weight_decay if kind == "matrix" else 0.0
    decay = usual if own.weight_decay is None else own.weight_decay
    return config.learning_rate * own.rate, decay


def _adamw_settings(kind: ParameterKind, config: OptimizerConfig) -> AdamWSettings:
    own = config.kinds.of(kind)
    rate, decay = _rate_and_decay(kind, config)
    beta1 = config.beta1 if own.beta1 is None else own.beta1
    beta2 = config.beta2 if own.beta2 is None else own.beta2
    return AdamWSettings(rate, (beta1, beta2), config.eps, decay)


def beta2_for(batch_tokens: int, num_tokens: int, *, half_life: float = 10e6) -> float:
    """AdamW's beta2 from a half-life in tokens: 2^(-batch / half-life).

    Marek et al. 2025 (arXiv 2507.07101) hold the half-life rather than beta2 when the batch
    changes. It is capped at a tenth of the run, so that short runs forget their start, and the
    result lies within [0.9, 0.9995].
    """
    tokens = min(half_life, max(1.0, num_tokens / 10))
    return float(min(0.9995, max(0.9, 2.0 ** (-batch_tokens / tokens))))
