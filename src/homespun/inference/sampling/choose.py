"""The next tokens of the rows of a step.

R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from homespun.core import TokenLogprob
from homespun.inference.sampling.adjust import Adjustment
from homespun.inference.sampling.constraint import ConstraintState
from homespun.inference.sampling.filters import MINUS_INFINITY, Filters, is_greedy, sample
from homespun.inference.sampling.noise import draw_noise


class Ask(NamedTuple):
    """How one row's next token is to be chosen.

    Attributes:
        filters: equal ones are computed together.
        seed, place: of the answer, and of the token within it.
        adjustment: None where scores are taken as they are.
        constraint: which tokens may come at all; None for all.
        forced: the token, where it is fixed beforehand.
    """

    filters: Filters
    seed: int
    place: int
    adjustment: Adjustment | None = None
    constraint: ConstraintState | None = None
    forced: int | None = None


NOTHING = -1
"""Chosen where no token may come."""


def choose(logits_RV: Tensor, asks: Sequence[Ask]) -> list[int]:
    """A token a row; `NOTHING` where all are banned."""
    chosen = [NOTHING] * len(asks)
    groups: dict[Filters, list[int]] = {}
    for row, ask in enumerate(asks):
        if ask.forced is not None:
            chosen[row] = ask.forced
        else:
            groups.setdefault(ask.filters, []).append(row)
    vocab_size = logits_RV.shape[-1]
    for filters, rows in groups.items():
        own_RV = logits_RV if len(rows) == len(asks) else logits_RV[rows]
        adjusted = [
            adjusted_logits(logits_V, asks[row])
            for row, logits_V in zip(rows, own_RV, strict=True)
            if asks[row].adjustment is not None or asks[row].constraint is not None
        ]
        if len(adjusted) == len(rows):
            own_RV = torch.stack(adjusted)
        elif adjusted:
            left = iter(adjusted)
            own_RV = torch.stack(
                [
                    next(left)
                    if asks[row].adjustment is not None or asks[row].constraint is not None
                    else logits_V
                    for row, logits_V in zip(rows, own_RV, strict=True)
                ]
            )
        noise_RV = None
        if not is_greedy(filters.temperature):
            noise_RV = torch.stack(
                [draw_noise(asks[row].seed, asks[row].place, vocab_size) for row in rows]
            )
        tokens = sample(own_RV, filters, noise_RV).tolist()
        nothing = (own_RV.amax(-1) == MINUS_INFINITY).tolist() if adjusted else [False] * len(rows)
        for row, token, is_nothing in zip(rows, tokens, nothing, strict=True):
            chosen[row] = NOTHING if is_nothing else token
    return chosen


def adjusted_logits(logits_V: Tensor, ask: Ask) -> Tensor:
    if ask.adjustment is not None:
        logits_V = ask.adjustment(logits_V, ask.place)
    if ask.constraint is not None:
        logits_V = ask.constraint.masked(logits_V)
    return logits_V


def log_probabilities(logits_V: Tensor, token: int, num_top: int) -> TokenLogprob:
    """Of the chosen token and of the `num_top` likeliest, before anything was adjusted."""
    log_p_V = torch.log_softmax(logits_V, -1)
    top: tuple[tuple[int, float], ...] = ()
    if num_top > 0:
        least = log_p_V.topk(min(num_top, len(log_p_V))).values[-1]
        ids = (log_p_V >= least).nonzero()[:, 0].tolist()
        found = sorted((-float(log_p_V[token_id]), token_id) for token_id in ids)[:num_top]
        top = tuple((token_id, -minus) for minus, token_id in found)
    return TokenLogprob(token, float(log_p_V[token]), top)
