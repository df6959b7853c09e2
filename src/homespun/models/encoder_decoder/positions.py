"""Where a token stands: waves that are added, or a number for each distance that is learned.

Shape letters: T queries, S keys, D width, H heads.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """Sine and cosine of wavelengths from 2π to 20,000π (Vaswani et al. 2017, arXiv 1706.03762,
    section 3.5); the two halves side by side, as in its authors' code.

    Args:
        length: number of positions.
        width: D, even.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        half = width // 2
        steps = torch.arange(half, dtype=torch.float64) / max(half - 1, 1)
        angles_TD = torch.arange(length, dtype=torch.float64)[:, None] * 10_000.0**-steps
        waves_TD = torch.cat([angles_TD.sin(), angles_TD.cos()], 1).float()
        self.register_buffer("waves_TD", waves_TD, persistent=False)

    def forward(self, start: int, stop: int) -> Tensor:
        """Rows of positions start..stop-1, (T, D), float32."""
        waves_TD: Tensor = self.get_buffer("waves_TD")[start:stop]
        return waves_TD


class RelativePositions(nn.Module):
    """A learned number for each head and each bucket of distances, added to scores (Raffel et al.
    2020, arXiv 1910.10683, section 2.1): half of the buckets for single distances, the other half
    for longer and longer stretches, the last for all beyond.

    Args:
        num_heads: H.
        num_buckets: of both directions together.
        farthest: distance from which on all are alike.
        both_ways: keys may stand behind the query.
    """

    parameter_kind = "embedding"

    def __init__(self, num_heads: int, num_buckets: int, farthest: int, *, both_ways: bool) -> None:
        super().__init__()
        self.num_buckets, self.farthest, self.both_ways = num_buckets, farthest, both_ways
        self.weight = nn.Parameter(torch.zeros(num_buckets, num_heads))

    def forward(self, first: int, num_queries: int, num_keys: int) -> Tensor:
        """(1, H, T, S): of queries at `first` and on, to keys from 0 on, float32."""
        device = self.weight.device
        queries_T = torch.arange(first, first + num_queries, device=device)
        distance_TS = torch.arange(num_keys, device=device) - queries_T[:, None]
        numbers_TSH = F.embedding(self.bucket(distance_TS), self.weight)
        return numbers_TSH.permute(2, 0, 1)[None]

    def bucket(self, distance: Tensor) -> Tensor:
        """The bucket of each distance, key minus query."""
        num, base = self.num_buckets, torch.zeros_like(distance)
        if self.both_ways:
            num //= 2
            base = (distance > 0).long() * num
            distance = distance.abs()
        else:
            distance = (-distance).clamp_min(0)
        exact = num // 2
        stretch = (distance.clamp_min(1).float() / exact).log() / math.log(self.farthest / exact)
        far = (exact + (stretch * (num - exact)).long()).clamp_max(num - 1)
        return base + torch.where(distance < exact, distance, far)
