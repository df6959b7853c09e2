"""A decoder that can copy from its context before it has learned anything.

An induction head looks for what followed the present token earlier and says it again. It takes two
heads in a row: one that carries each token's predecessor along, and one of a later layer that
compares it with the present token (Olsson et al. 2022, arXiv 2209.11895). Models find it by
themselves, all at once, after a million tokens or more; text that repeats itself (documentation,
code, lists) is foretold far worse until then, which of a training of minutes is most of it. Here
the two heads are there from the start, as initial weights and nothing else, so that the model has
the parts of any other and goes on learning them.

Shape letters: D width, K head width, N a head's numbers that carry something, E embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from homespun.models.attention import Attention
from homespun.models.embedding import Embedding
from homespun.models.position import RotaryTables

if TYPE_CHECKING:
    from homespun.models.decoder import Decoder

CONSTANT = 5.0
"""Every embedding's first number, in deviations of the others: what a head can always see."""
_QUICK = 6
"""Pairs of a head that turn quickest: together they tell a distance of one from all others. With
fewer some far place looks the same (with 3 of a head of 64 that 201 back), with more the next."""
_SLOW = 0.56
"""The pairs behind this share of a head hardly turn within a context: they compare tokens."""
# The largest there can be before `qk_scale`, by which a place stands out.
_SCORE_BEFORE, _SCORE_MATCH = 32.0, 18.0
_OTHER = 0.1  # of the two heads' initial matrices, what is not set here is left at this share


@torch.no_grad()
def begin_with_induction(model: Decoder, generator: torch.Generator) -> None:
    """Set the first head of the first layer to look one token back, and the first head of the
    second to look at what followed the present token before.

    The decoder must have two layers, rotary positions, and norms of queries and keys with weights.
    """
    before, match = (block.attention for block in list(model.blocks)[:2])
    positions, embedding = model.positions, model.embedding
    assert isinstance(before, Attention)
    assert isinstance(match, Attention)
    assert isinstance(positions, RotaryTables)
    assert isinstance(embedding, Embedding)
    D, K = embedding.width, before.head_width
    spread = float(embedding.weight.std())
    embedding.weight[:, 0] = CONSTANT * spread
    # What a token is, what carries its predecessor, and where a copy is said: as many directions as
    # a head has, at random, beside the constant.
    token_KD, carried_KD, read_KD, said_KD = (_directions(K, D, generator) for _ in range(4))

    _look_one_back(before, positions)
    before.value.weight[:K] = token_KD
    before.out.weight[:, :K] = carried_KD.T

    slow_N = _both_halves(torch.arange(int(_SLOW * K / 2), K // 2), K)
    for linear, seen_KD in ((match.query, token_KD), (match.key, carried_KD)):
        linear.weight[:K] *= _OTHER
        linear.weight[slow_N] = seen_KD[: len(slow_N)]
    _sharpen(match, slow_N, _SCORE_MATCH)
    match.value.weight[:K] = read_KD
    match.out.weight[:, :K] = said_KD.T


def _look_one_back(attention: Attention, positions: RotaryTables) -> None:
    """Queries and keys of the constant alone: a key is turned as far as a query one place on."""
    K = attention.head_width
    quick_F = torch.arange(min(_QUICK, K // 2))
    angle_F = 1.0 / positions.base ** (2 * quick_F / K)
    query_K, key_K = torch.zeros(K), torch.zeros(K)
    query_K[quick_F] = 1.0
    key_K[quick_F], key_K[quick_F + K // 2] = angle_F.cos(), angle_F.sin()
    for linear, direction_K in ((attention.query, query_K), (attention.key, key_K)):
        linear.weight[:K] *= _OTHER
        linear.weight[:K, 0] = 4.0 * direction_K
    _sharpen(attention, _both_halves(quick_F, K), _SCORE_BEFORE)


def _sharpen(attention: Attention, numbers_N: Tensor, score: float) -> None:
    """A query of norm sqrt(K) that meets its own key scores sqrt(K) times both norms' weights. They
    are those of all heads of the layer."""
    factor = (score / attention.head_width**0.5) ** 0.5
    for norm in (attention.query_norm, attention.key_norm):
        assert norm is not None
        assert norm.weight is not None
        norm.weight[numbers_N] = factor


def _both_halves(pairs_F: Tensor, head_width: int) -> Tensor:
    return torch.cat((pairs_F, pairs_F + head_width // 2))


def _directions(num: int, width: int, generator: torch.Generator) -> Tensor:
    """(num, width): orthonormal rows that do not see the constant; zeros where there are no
    more."""
    found = torch.zeros(num, width)
    some = min(num, width - 1)
    square, triangle = torch.linalg.qr(torch.randn(width - 1, some, generator=generator))
    found[:some, 1:] = (square * triangle.diagonal().sign()).T
    return found
