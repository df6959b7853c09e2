"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864), in the "rotate half" layout.

Component i of a head is paired with component i + K/2 and the pair is turned by the angle
`position · base^(-2i/K)`. This is the layout of Llama and Qwen checkpoints on Hugging Face, so
weights are interchangeable without reordering.

Shape letters: B batch, T time, H heads, K head width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from homespun.models.native.active import active_kernels
from homespun.models.native.functions import NativeRotate
from homespun.models.reshape.rope_scaling import RopeScaling

CHUNK = 16_384
"""Positions that tables grow by."""


class Rotation(NamedTuple):
    """What turns the heads of one forward pass; the same for all layers.

    Attributes:
        cos: cosines, (T, H, K), or (B, T, H, K) where rows have positions of their own. They are
            repeated for every head: on processors a plain product is twice as fast as one that
            broadcasts over heads.
        sin: sines, same shape, with the sign of the first half flipped, so that the rotation is
            `x · cos + roll(x, K/2) · sin`.
    """

    cos: Tensor
    sin: Tensor


class RotaryTables:
    """Cosines and sines of positions up to a length, made once a (device, dtype); of a long context
    no more than are used, `CHUNK` at a time.

    Args:
        num_heads: H, most heads that are turned at once.
        head_width: K, even.
        base: longest wavelength is about 2π·base positions.
        length: number of positions.
        scale: every head is made this many times as long; costs nothing here.
        scaling: of the frequencies, for a context longer than the one trained with.
    """

    def __init__(
        self,
        num_heads: int,
        head_width: int,
        base: float,
        length: int,
        scale: float = 1.0,
        scaling: RopeScaling | None = None,
    ) -> None:
        self.num_heads = num_heads
        self.head_width = head_width
        self.base = base
        self.length = length
        self.scale = scale
        self.scaling = scaling
        self._tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    @property
    def score_scale(self) -> float:
        """How many times as large turning makes the scores of queries against keys."""
        magnitude = 1.0 if self.scaling is None else self.scaling.magnitude
        return float(self.scale * magnitude) ** 2

    def rotation(
        self, start: int, stop: int, positions_BT: Tensor | None, like: Tensor
    ) -> Rotation:
        """Rotation of positions start..stop-1, or of `positions_BT` where given, on the device and
        in the dtype of `like`."""
        if positions_BT is not None and self.length > CHUNK:
            stop = int(positions_BT.max()) + 1
        cos_TK, sin_TK = self.table(stop, like)
        where = slice(start, stop) if positions_BT is None else positions_BT
        return Rotation(self._repeat(cos_TK[where]), self._repeat(sin_TK[where]))

    def table(self, stop: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (as in `Rotation`) of positions 0 to at least `stop` - 1, (T, K)."""
        key = (like.device, like.dtype)
        have = self._tables.get(key)
        num = 0 if have is None else len(have[0])
        if have is None or num < stop:
            # Twice as many as before; chunks are the same whenever they are made.
            wanted = min(self.length, max(stop, 2 * num, CHUNK))
            starts = range(num, wanted, CHUNK)
            # Tensors made in inference mode could not be used in training later on.
            with torch.inference_mode(False):
                made = [self._make(at, like.device, like.dtype) for at in starts]
                parts = [*([] if have is None else [have]), *made]
                have = (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))
            self._tables[key] = have
        return have

    def _repeat(self, table_TK: Tensor) -> Tensor:
        *leading, width = table_TK.shape
        return table_TK.unsqueeze(-2).expand(*leading, self.num_heads, width).contiguous()

    def _make(self, start: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        even = torch.arange(0, self.head_width, 2, dtype=torch.float32, device=device)
        frequency = 1.0 / self.base ** (even / self.head_width)
        magnitude = 1.0
        if self.scaling is not None:
            frequency = self.scaling.frequencies(frequency, self.base)
            magnitude = self.scaling.magnitude
        stop = min(start + CHUNK, self.length)
        position = torch.arange(start, stop, dtype=torch.float32, device=device)
        angle = torch.outer(position, frequency)
        size = self.scale * magnitude
        cos, sin = angle.cos().mul_(size), angle.sin().mul_(size)
        return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


def rotate(x_BTHK: Tensor, rotation: Rotation) -> Tensor:
    """Turn every head of `x_BTHK` by its position. The fast version: nothing but the tables is kept
    for the backward pass, which turns the gradient the other way."""
    num_heads = x_BTHK.shape[-2]
    cos, sin = rotation.cos[..., :num_heads, :], rotation.sin[..., :num_heads, :]
    if (kernels := active_kernels(x_BTHK)) is not None and x_BTHK.dim() == 4:
        return NativeRotate.apply(kernels, x_BTHK, cos, sin)  # type: ignore
    y_BTHK: Tensor = _Rotate.apply(x_BTHK, cos, sin)  # type: ignore[no-untyped-call]
    return y_BTHK


def rotate_obvious(x_BTHK: Tensor, positions_BT: Tensor, base: float) -> Tensor:
    """The slow version: every pair as a complex number, in float64."""
    half = x_BTHK.shape[-1] // 2
    x = x_BTHK.double()
    pair = torch.complex(x[..., :half], x[..., half:])
    frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions_BT.double()[:, :, None, None] * frequency
    turned = pair * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((turned.real, turned.imag), -1).to(x_BTHK.dtype)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        half = x_BTHK.shape[-1] // 2
        return torch.mul(x_BTHK, cos).addcmul_(x_BTHK.roll(half, -1), sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad_BTHK = grads[0]
        cos, sin = ctx.saved_tensors
        half = grad_BTHK.shape[-1] // 2
        # The transpose of a rotation is the rotation by the opposite angle.
        grad_BTHK = torch.mul(grad_BTHK, cos).addcmul_(grad_BTHK.roll(half, -1), sin, value=-1)
        return grad_BTHK, None, None
