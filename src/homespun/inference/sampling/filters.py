"""Which tokens may come, and a draw among them: pure functions.

B rows, V vocabulary. A filter sets the logits it refuses to minus infinity. Each keeps *every*
token that is as likely as the least likely one it must keep, so that the outcome never depends
on how a sort breaks ties.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from homespun.core import SamplingSettings

MINUS_INFINITY = float("-inf")

LOWEST_TEMPERATURE = 1e-4

# The nucleus is mostly small. Looking among this many of the likeliest tokens first spares a sort
# of the whole vocabulary; where they do not suffice, everything is sorted.
_NUCLEUS_GUESS = 256


class Filters(NamedTuple):
    """The settings of `core.SamplingSettings` that decide which tokens may come."""

    temperature: float
    top_k: int
    typical_p: float
    top_p: float
    min_p: float

    @classmethod
    def of(cls, settings: SamplingSettings) -> Filters:
        return cls(
            settings.temperature,
            settings.top_k,
            settings.typical_p,
            settings.top_p,
            settings.min_p,
        )


def is_greedy(temperature: float) -> bool:
    """Whether the likeliest token is taken as it is: at 0, and so near to 0 that logits divided by
    the temperature might leave the range of fp32 while the noise decides nothing any more."""
    return temperature < LOWEST_TEMPERATURE


def penalise_repeats(logits_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Make tokens that occurred less likely: positive logits are divided, negative multiplied.

    The formulation of CTRL (Keskar et al. 2019, arXiv 1909.05858, section 4.1), with the sign
    handled so that a penalty above 1 always lowers.

    Args:
        seen_BV: True where the token is in the row's prompt or answer.
    """
    lowered_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return torch.where(seen_BV, lowered_BV, logits_BV)


def keep_top_k(logits_BV: Tensor, top_k: int) -> Tensor:
    """Keep the `top_k` likeliest tokens. 0 keeps all."""
    if top_k == 0 or top_k >= logits_BV.shape[-1]:
        return logits_BV
    least_B1 = torch.topk(logits_BV, top_k).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < least_B1, MINUS_INFINITY)


def keep_top_p(logits_BV: Tensor, top_p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probabilities sum to `top_p` or more.

    Nucleus sampling (Holtzman et al. 2020, arXiv 1904.09751, section 3.1). 1 keeps all.
    """
    if top_p >= 1.0:
        return logits_BV
    log_total_B1 = torch.logsumexp(logits_BV, dim=-1, keepdim=True)
    sorted_BN, reached_BN = _nucleus(logits_BV, log_total_B1, top_p, _NUCLEUS_GUESS)
    if not bool(reached_BN[:, -1].all()):
        sorted_BN, reached_BN = _nucleus(logits_BV, log_total_B1, top_p, None)
    # The number of tokens before the sum is reached is the position of the last one kept. Rounding
    # may leave the whole sum a hair below top_p: then all are kept.
    last_B1 = (~reached_BN).sum(dim=-1, keepdim=True).clamp(max=sorted_BN.shape[-1] - 1)
    return logits_BV.masked_fill(logits_BV < sorted_BN.gather(-1, last_B1), MINUS_INFINITY)


def _nucleus(
    logits_BV: Tensor, log_total_B1: Tensor, top_p: float, num_tokens: int | None
) -> tuple[Tensor, Tensor]:
    """The `num_tokens` largest logits in descending order (None: all), and at which of them the
    probability summed so far has reached `top_p`."""
    if num_tokens is None or num_tokens >= logits_BV.shape[-1]:
        sorted_BN = logits_BV.sort(dim=-1, descending=True).values
    else:
        sorted_BN = logits_BV.topk(num_tokens).values
    return sorted_BN, (sorted_BN - log_total_B1).exp().cumsum(dim=-1) >= top_p


def keep_min_p(logits_BV: Tensor, min_p: float) -> Tensor:
    """Keep tokens at least `min_p` times as likely as the likeliest (arXiv 2407.01082). 0: all."""
    if min_p == 0.0:
        return logits_BV
    least_B1 = logits_BV.amax(dim=-1, keepdim=True) + math.log(min_p)
    return logits_BV.masked_fill(logits_BV < least_B1, MINUS_INFINITY)


def keep_typical(logits_BV: Tensor, typical_p: float) -> Tensor:
    """Keep the smallest set of tokens whose surprise is nearest to the expected one and whose
    probabilities sum to `typical_p` or more (Meister et al. 2023, arXiv 2202.00666, section 4).
    1 keeps all."""
    if typical_p >= 1.0:
        return logits_BV
    log_p_BV = torch.log_softmax(logits_BV, -1)
    p_BV = log_p_BV.exp()
    entropy_B1 = -torch.where(p_BV > 0, p_BV * log_p_BV, 0.0).sum(-1, keepdim=True)
    distance_BV = torch.where(p_BV > 0, (-log_p_BV - entropy_B1).abs(), math.inf)
    sorted_BV, order_BV = distance_BV.sort(dim=-1, stable=True)
    reached_BV = p_BV.gather(-1, order_BV).cumsum(-1) >= typical_p
    last_B1 = (~reached_BV).sum(-1, keepdim=True).clamp(max=logits_BV.shape[-1] - 1)
    return logits_BV.masked_fill(distance_BV > sorted_BV.gather(-1, last_B1), MINUS_INFINITY)


def filter_logits(logits_BV: Tensor, filters: Filters) -> Tensor:
    """Temperature, then top-k, typical, top-p and min-p, each among what the one before left. Not
    for greedy settings."""
    logits_BV = logits_BV / filters.temperature
    logits_BV = keep_top_k(logits_BV, filters.top_k)
    logits_BV = keep_typical(logits_BV, filters.typical_p)
    logits_BV = keep_top_p(logits_BV, filters.top_p)
    return keep_min_p(logits_BV, filters.min_p)


def sample(logits_BV: Tensor, filters: Filters, noise_BV: Tensor | None) -> Tensor:
    """Choose a token for each row.

    The choice is the largest of logit + Gumbel noise, which is a draw from the softmax (Gumbel
    1954; Maddison et al. 2014). A draw through the cumulative sum would need less noise, but a
    difference of one rounding anywhere shifts all that follows in the sum; here it can only decide
    between tokens that are tied to within rounding. So a seed gives the same text whether a row is
    computed alone or in a batch.

    Args:
        logits_BV: fp32, adjusted already.
        noise_BV: uniform in (0, 1), from `draw_noise`. Not needed where greedy.

    Returns:
        ids_B, int64.
    """
    if is_greedy(filters.temperature):
        return logits_BV.argmax(dim=-1)
    assert noise_BV is not None
    gumbel_BV = noise_BV.log().neg_().log_().neg_()
    return gumbel_BV.add_(filter_logits(logits_BV, filters)).argmax(dim=-1)
