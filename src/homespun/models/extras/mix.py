"""What flows into each layer: the residual stream, the embedding once more, and bigrams.

`x ← a·x + b·x₀ + c·g` before each layer, with x₀ what entered the first layer and g the vectors of
token pairs. The factors are learned, one each a layer, so that a layer can look at the tokens
themselves again (modded-nanogpt; nanochat found the gain largest in small models).

Shape letters: N numbers of a stream, whatever their shape; L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from homespun.models.extras.kinds import ParameterKind

HUNDREDTH = 0.01
"""The stream's own factor is held as its distance from 1 in hundredths: it wants a rate a hundred
times smaller than the others (modded-nanogpt, nanochat), and so one rate serves all scalars."""


class ResidualMix(nn.Module):
    """Factors of the streams that flow into each layer.

    Args:
        num_layers: L.
        first: have factors of the residual stream (`residual_L`) and of the embedding (`first_L`).
        bigrams: have a factor of the bigrams (`bigram_L`).
    """

    parameter_kind: ClassVar[ParameterKind] = "scalar"

    def __init__(self, num_layers: int, *, first: bool, bigrams: bool) -> None:
        super().__init__()
        self.residual_L = nn.Parameter(torch.empty(num_layers)) if first else None
        self.first_L = nn.Parameter(torch.empty(num_layers)) if first else None
        self.bigram_L = nn.Parameter(torch.empty(num_layers)) if bigrams else None

    def forward(self, layer: int, x_N: Tensor, first_N: Tensor, bigram_N: Tensor | None) -> Tensor:
        """What enters `layer`, given what left the one before."""
        streams = [x_N]
        factors = [
            x_N.new_ones((), dtype=torch.float32)
            if self.residual_L is None
            else 1.0 + HUNDREDTH * self.residual_L[layer]
        ]
        if self.first_L is not None:
            streams.append(first_N)
            factors.append(self.first_L[layer])
        if self.bigram_L is not None and bigram_N is not None:
            streams.append(bigram_N)
            factors.append(self.bigram_L[layer])
        return mix(streams, factors)


def mix(streams: Sequence[Tensor], factors: Sequence[Tensor]) -> Tensor:
    """`Σ factor · stream`, in the dtype of the streams.

    Args:
        streams: of equal shapes.
        factors: float32, without dimensions; one a stream.
    """
    y_N: Tensor = _Mix.apply(*streams, *factors)  # type: ignore[no-untyped-call]
    return y_N


def mix_obvious(streams: Sequence[Tensor], factors: Sequence[Tensor]) -> Tensor:
    """The slow version, differentiated by autograd."""
    total_N = torch.zeros_like(streams[0], dtype=torch.float32)
    for stream_N, factor in zip(streams, factors, strict=True):
        total_N = total_N + factor * stream_N.float()
    return total_N.to(streams[0].dtype)


class _Mix(torch.autograd.Function):
    # One pass a stream each way, and a dot product for each factor: autograd would write every
    # product out and read it again.
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        streams, factors = _halves(tensors)
        ctx.save_for_backward(*tensors)
        y_N = torch.mul(streams[0], factors[0])
        for stream_N, factor in zip(streams[1:], factors[1:], strict=True):
            y_N.addcmul_(stream_N, factor)
        return y_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        streams, factors = _halves(ctx.saved_tensors)
        needed, factors_needed = _halves(ctx.needs_input_grad)
        grad_N = grads[0]
        of_streams = [
            grad_N * factor if wanted else None
            for factor, wanted in zip(factors, needed, strict=True)
        ]
        flat = grad_N.flatten().float()
        of_factors = [
            torch.dot(flat, stream_N.flatten().float()).to(factor.dtype) if wanted else None
            for stream_N, factor, wanted in zip(streams, factors, factors_needed, strict=True)
        ]
        return (*of_streams, *of_factors)


def _halves(items: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    return items[: len(items) // 2], items[len(items) // 2 :]
