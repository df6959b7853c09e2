"""Optimisers: AdamW for everything, or Muon for the block matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from homespun.core import CheckpointError, Config
from homespun.training.optim.adamw import AdamW
from homespun.training.optim.muon import Muon

ParameterRole = Literal["matrix", "table", "vector"]


class OptimizerConfig(Config):
    """Attributes:
    kind: "adamw", or "muon" for Muon on block matrices and AdamW on the rest.
    learning_rate: peak rate; the schedule multiplies it.
    matrix_learning_rate: peak rate of Muon's matrices, if it is to differ.
    beta1, beta2, eps: AdamW's. `beta2_for` gives a beta2 that suits small batches.
    momentum: Muon's.
    weight_decay: decoupled, on matrices alone; embeddings, norms and biases are spared.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=3e-3, gt=0.0)
    matrix_learning_rate: float | None = Field(default=None, gt=0.0)
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.99, ge=0.0, lt=1.0)
    eps: float = Field(default=1e-8, gt=0.0)
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.1, ge=0.0)


class Optimizer:
    """One `step` over all parameters, and a state that is a flat dictionary of tensors.

    Made by `build_optimizer`.

    Args:
        parts: the optimisers that share the parameters, by the prefix of their state's names.
    """

    def __init__(self, parts: Mapping[str, AdamW | Muon]) -> None:
        self._parts = parts

    def step(self, lr_scale: float) -> None:
        """Apply the gradients with `lr_scale` times the peak learning rates."""
        for part in self._parts.values():
            part.step(lr_scale)

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
        matrix_dtype: dtype of Muon's Newton-Schulz products.
    """
    roles = parameter_roles(model)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {name: p for name, p in named.items() if roles[name] == "matrix"}
    parts: dict[str, AdamW | Muon] = {}
    if config.kind == "muon" and matrices:
        parts["muon"] = Muon(
            matrices,
            learning_rate=config.matrix_learning_rate or config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            dtype=matrix_dtype,
        )
        named = {name: p for name, p in named.items() if name not in matrices}
    if named:
        parts["adamw"] = AdamW(
            named,
            decayed=frozenset(matrices),
            learning_rate=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
        )
    return Optimizer(parts)


def parameter_roles(model: nn.Module) -> dict[str, ParameterRole]:
    """What each parameter is.

    "matrix": the 2-D parameters of repeated blocks (anything inside an `nn.ModuleList` that is not
    an embedding). "table": the other parameters of two or more dimensions: embeddings and the
    output head, whose rows stand for tokens. "vector": norms, biases and scalars.
    """
    blocks = tuple(
        f"{name}." for name, module in model.named_modules() if isinstance(module, nn.ModuleList)
    )
    embeddings = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    roles: dict[str, ParameterRole] = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            roles[name] = "vector"
        elif parameter.ndim == 2 and name.startswith(blocks) and parameter not in embeddings:
            roles[name] = "matrix"
        else:
            roles[name] = "table"
    return roles


def beta2_for(batch_tokens: int, num_tokens: int, *, half_life: float = 10e6) -> float:
    """AdamW's beta2 from a half-life in tokens: 2^(-batch / half-life).

    Marek et al. 2025 (arXiv 2507.07101) hold the half-life rather than beta2 when the batch
    changes. It is capped at a tenth of the run, so that short runs forget their start, and the
    result lies within [0.9, 0.9995].
    """
    tokens = min(half_life, max(1.0, num_tokens / 10))
    return float(min(0.9995, max(0.9, 2.0 ** (-batch_tokens / tokens))))
