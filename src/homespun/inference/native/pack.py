"""Weights as matmul.h reads them, and back.

N rows (outputs), K columns (inputs), P panels of 16 rows, G groups of 32 columns.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

WeightKind = Literal["float32", "bfloat16", "int8", "int4"]
WEIGHT_KINDS: tuple[WeightKind, ...] = ("float32", "bfloat16", "int8", "int4")

PANEL = 16
GROUP = 32
_SCALES_TRIED = 16


class Packed(NamedTuple):
    """A matrix in the layout of matmul.h.

    Attributes:
        kind: of its numbers.
        rows, cols: padded.
        data: one dimension.
        scales: bfloat16, where numbers are whole; else empty.
    """

    kind: WeightKind
    rows: int
    cols: int
    data: Tensor
    scales: Tensor

    @property
    def num_bytes(self) -> int:
        """Bytes that are read for one token."""
        return sum(t.numel() * t.element_size() for t in (self.data, self.scales))


def packed(weight_NK: Tensor, kind: WeightKind) -> Packed:
    """`weight_NK`, float32, padded with zeros to whole panels and groups."""
    rows, cols = weight_NK.shape
    weight_NK = F.pad(weight_NK.detach().float(), (0, -cols % GROUP, 0, -rows % PANEL)).contiguous()
    rows, cols = weight_NK.shape
    none = torch.empty(0, dtype=torch.bfloat16)
    if kind in ("float32", "bfloat16"):
        dtype = torch.float32 if kind == "float32" else torch.bfloat16
        panels = weight_NK.to(dtype).view(rows // PANEL, PANEL, cols).transpose(1, 2)
        return Packed(kind, rows, cols, panels.contiguous().flatten(), none)
    scales_NG, whole_NK = rounded(weight_NK, kind)
    # panel, half, row of 8, group, quad, 4
    shape = (rows // PANEL, 2, 8, cols // GROUP, 8, 4)
    quads = whole_NK.view(shape).permute(0, 3, 4, 1, 2, 5)
    if kind == "int8":
        data = (quads.to(torch.int16) + 128).to(torch.uint8).contiguous().flatten()
    else:
        pairs = (quads + 8).to(torch.uint8).reshape(rows // PANEL, cols // GROUP, 4, 2, 2, 8, 4)
        low, high = pairs.unbind(3)
        data = (low | (high << 4)).contiguous().flatten()
    scales = scales_NG.view(rows // PANEL, PANEL, -1).transpose(1, 2).contiguous().flatten()
    return Packed(kind, rows, cols, data, scales)


def rounded(weight_NK: Tensor, kind: Literal["int8", "int4"] | str) -> tuple[Tensor, Tensor]:
    """Scales (N, G), bfloat16, and whole numbers (N, K), int8, whose product is nearest.

    With 8 bits the largest of a group becomes 127. With 4 bits, -8 to 7, several scales around the
    one that takes the largest to an end of the range are tried, and the one with the least squared
    error is kept.
    """
    groups_NGK = weight_NK.view(len(weight_NK), -1, GROUP)
    magnitude_NG = groups_NGK.abs().amax(-1)
    if kind == "int8":
        # Rounded up, so that no number leaves the range.
        scales_NG = _up(magnitude_NG / 127)
        whole = (groups_NGK / _safe(scales_NG)[..., None]).round().clamp(-127, 127)
        return scales_NG, whole.to(torch.int8).flatten(1)
    at = groups_NGK.abs().argmax(-1, keepdim=True)
    # The largest takes the longer side of the range; its sign makes the scale's.
    full_NG = groups_NGK.gather(-1, at)[..., 0] / -8
    best_NG = torch.full_like(full_NG, float("inf"))
    # No scale is right for a group with what is no finite number: it is not to pass for zeros.
    scales_NG = torch.full_like(full_NG, float("nan"), dtype=torch.bfloat16)
    whole_NGK = torch.zeros_like(groups_NGK)
    for step in range(_SCALES_TRIED):
        tried_NG = (full_NG * (1.05 - 0.03 * step)).to(torch.bfloat16)
        found_NGK = (groups_NGK / _safe(tried_NG)[..., None]).round().clamp(-8, 7)
        error_NG = (found_NGK * tried_NG.float()[..., None] - groups_NGK).square().sum(-1)
        better_NG = error_NG < best_NG
        best_NG = torch.where(better_NG, error_NG, best_NG)
        scales_NG = torch.where(better_NG, tried_NG, scales_NG)
        whole_NGK = torch.where(better_NG[..., None], found_NGK, whole_NGK)
    return scales_NG, whole_NGK.to(torch.int8).flatten(1)


def unpacked(weight_NK: Tensor, kind: WeightKind) -> Tensor:
    """What a matrix is after packing, (N, K) in float32: the slow version of all that reads it."""
    cols = weight_NK.shape[1]
    if kind == "float32":
        return weight_NK.detach().float()
    if kind == "bfloat16":
        return weight_NK.detach().bfloat16().float()
    padded = F.pad(weight_NK.detach().float(), (0, -cols % GROUP))
    scales_NG, whole_NK = rounded(padded, kind)
    groups_NGK = whole_NK.float().view(len(padded), -1, GROUP) * scales_NG.float()[..., None]
    return groups_NGK.flatten(1)[:, :cols]


def _safe(scales: Tensor) -> Tensor:
    """Float32 without zeros: a group of zeros has a scale of zero."""
    return torch.where(scales == 0, 1.0, scales.float())


def _up(x: Tensor) -> Tensor:
    """To bfloat16, never to less."""
    near = x.to(torch.bfloat16)
    bits = near.view(torch.int16)
    return torch.where(near.float() < x, bits + 1, bits).view(torch.bfloat16)
