"""Each filter agrees with a few lines of numpy, and the sampler as a whole with plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from homespun.core import RequestError, SamplingSettings
from homespun.inference import check_settings, reference_sample
from homespun.inference.reference import reference_adjusted
from homespun.inference.sampling import Adjustment, Ask, Filters, choose, draw_noise, sample
from homespun.inference.sampling.filters import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    penalise_repeats,
)
from homespun.inference.sampling.noise import noise_obvious

# Coarse steps make ties frequent, which is where filters go wrong.
LOGITS = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=40)


def kept(filtered_BV: torch.Tensor) -> set[int]:
    return set(np.flatnonzero(np.isfinite(filtered_BV[0].numpy())).tolist())


@given(LOGITS, st.integers(0, 45))
def test_top_k_keeps_the_k_likeliest_and_their_ties(logits: list[float], top_k: int) -> None:
    fast = kept(keep_top_k(torch.tensor([logits]), top_k))
    least = sorted(logits)[-top_k] if 0 < top_k < len(logits) else -math.inf
    assert fast == {i for i, value in enumerate(logits) if value >= least}


@given(LOGITS, st.floats(0.01, 1.0))
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits: list[float], top_p: float) -> None:
    values = np.array(logits)
    order = np.argsort(-values)
    mass = np.exp(values[order]) / np.exp(values).sum()
    sums = mass.cumsum()
    assume(np.abs(sums - top_p).min() > 1e-5)  # on the edge, rounding decides
    least = values[order][min(int((sums < top_p).sum()), len(values) - 1)]
    fast = kept(keep_top_p(torch.tensor([logits]), top_p))
    assert fast == {i for i, value in enumerate(logits) if value >= least}


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999])
def test_top_p_agrees_where_the_nucleus_is_wider_than_the_first_guess(top_p: float) -> None:
    logits_BV = torch.randn(3, 2000, generator=torch.Generator().manual_seed(5)) * 0.5
    logits_BV[1] *= 20
    filtered_BV = keep_top_p(logits_BV, top_p)
    for row in range(3):
        values = logits_BV[row].double().numpy()
        descending = np.sort(values)[::-1]
        sums = (np.exp(descending) / np.exp(values).sum()).cumsum()
        least = descending[int((sums < top_p).sum())]
        expected = set(np.flatnonzero(values >= least).tolist())
        assert kept(filtered_BV[row : row + 1]) == expected


@given(LOGITS, st.floats(0.0, 0.99))
def test_min_p_keeps_what_is_likely_beside_the_likeliest(logits: list[float], min_p: float) -> None:
    ratios = np.exp(np.array(logits) - max(logits))
    assume(np.abs(ratios - min_p).min() > 1e-5)
    expected = {i for i, ratio in enumerate(ratios) if ratio >= min_p}
    assert kept(keep_min_p(torch.tensor([logits]), min_p)) == expected


@given(LOGITS, st.floats(0.5, 2.0), st.data())
def test_repetition_penalty_divides_positive_and_multiplies_negative_logits(
    logits: list[float], penalty: float, data: Any
) -> None:
    seen = data.draw(st.sets(st.integers(0, len(logits) - 1)))
    mask = [i in seen for i in range(len(logits))]
    fast = penalise_repeats(torch.tensor([logits]), torch.tensor([mask]), penalty)[0].tolist()
    slow = [
        value if i not in seen else (value / penalty if value > 0 else value * penalty)
        for i, value in enumerate(logits)
    ]
    assert fast == pytest.approx(slow, rel=1e-6)


@given(LOGITS, st.floats(0.01, 0.99))
def test_typical_keeps_the_smallest_set_of_expected_surprise(
    logits: list[float], typical_p: float
) -> None:
    values = np.array(logits)
    p = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    distance = np.abs(-np.log(p) + (p * np.log(p)).sum())
    order = np.argsort(distance, kind="stable")
    sums = p[order].cumsum()
    assume(np.abs(sums - typical_p).min() > 1e-5)
    farthest = distance[order][min(int((sums < typical_p).sum()), len(p) - 1)]
    near = {i for i, d in enumerate(distance) if d <= farthest + 1e-6}
    sure = {i for i, d in enumerate(distance) if d <= farthest - 1e-6}
    fast = kept(keep_typical(torch.tensor([logits]), typical_p))
    assert sure <= fast <= near
    assert fast


def test_noise_is_a_function_of_seed_place_and_token() -> None:
    for seed, place in ((0, 0), (7, 3), (2**63 - 1, 10**6)):
        slow = [noise_obvious(seed, place, token) for token in range(50)]
        assert draw_noise(seed, place, 50).tolist() == slow
    many = draw_noise(1, 1, 100_000)
    assert 0 < float(many.min()) < 1e-4
    assert 1 - 1e-4 < float(many.max()) < 1
    assert abs(float(many.mean()) - 0.5) < 4 * math.sqrt(1 / 12 / 100_000)
    both = torch.stack([draw_noise(1, place, 10_000) for place in range(2)])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.04


@given(
    st.integers(0, 2**32),
    st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([0.0, 0.3, 1.0, 1.7]),
            "top_k": st.sampled_from([0, 1, 5, 30]),
            "top_p": st.sampled_from([0.1, 0.7, 0.95, 1.0]),
            "min_p": st.sampled_from([0.0, 0.05, 0.5]),
            "typical_p": st.sampled_from([1.0, 1.0, 0.3, 0.8]),
            "repetition_penalty": st.sampled_from([1.0, 1.3]),
            "frequency_penalty": st.sampled_from([0.0, 0.4]),
            "presence_penalty": st.sampled_from([0.0, -0.7]),
            "logit_bias": st.sampled_from([(), ((3, 5.0), (9, -2.0))]),
            "banned_tokens": st.sampled_from([(), (3, 4)]),
            "min_tokens": st.sampled_from([0, 9]),
        }
    ),
)
def test_the_sampler_agrees_with_the_slow_one(seed: int, wish: dict[str, Any]) -> None:
    settings = SamplingSettings(seed=seed, **wish)
    logits_V = torch.randn(50, generator=torch.Generator().manual_seed(seed)) * 3
    prompt, answer, ends = [3, 7, 7, 20], [1, 7, 1, 5], frozenset({11, 12})
    adjustment = Adjustment(settings, prompt, 50, ends)
    for token in answer:
        adjustment.see(token)
    adjusted = reference_adjusted(logits_V.double().numpy(), settings, prompt, answer, ends)
    slow = reference_sample(adjusted, settings, len(answer))
    ask = Ask(Filters.of(settings), seed, len(answer), adjustment)
    assert choose(logits_V[None], [ask]) == [slow]


def test_rows_of_different_settings_are_chosen_as_if_alone() -> None:
    logits_RV = torch.randn(6, 40, generator=torch.Generator().manual_seed(2)) * 2
    wishes = [
        SamplingSettings(seed=row, temperature=row % 2 * 0.9, repetition_penalty=1 + row % 3)
        for row in range(6)
    ]
    asks = [
        Ask(Filters.of(wish), wish.seed, row, Adjustment(wish, [row, 5], 40, ()) if row else None)
        for row, wish in enumerate(wishes)
    ]
    asks[4] = asks[4]._replace(forced=17)
    together = choose(logits_RV, asks)
    assert together == [choose(logits_RV[row : row + 1], [asks[row]])[0] for row in range(6)]
    assert together[4] == 17


def test_where_everything_is_banned_nothing_is_chosen() -> None:
    wish = SamplingSettings(banned_tokens=tuple(range(8)))
    ask = Ask(Filters.of(wish), 0, 0, Adjustment(wish, [], 8, ()))
    assert choose(torch.zeros(1, 8), [ask]) == [-1]


def test_draws_follow_the_softmax() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rows = 20_000
    settings = SamplingSettings(temperature=1.0, top_p=1.0)
    noise_BV = draw_noise(0, 0, rows * 4).view(rows, 4)
    ids_B = sample(probabilities.log().expand(rows, 4), Filters.of(settings), noise_BV)
    shares = torch.bincount(ids_B, minlength=4) / rows
    # Four standard errors of a share of one half.
    assert (shares - probabilities).abs().max() < 4 * math.sqrt(0.25 / rows)


def test_the_only_token_left_is_chosen_whatever_the_noise() -> None:
    logits_BV = torch.tensor([[0.0, 5.0, 1.0]])
    settings = SamplingSettings(top_k=1)
    for noise in (2**-24, 0.5, 1 - 2**-24):
        drawn_BV = torch.full((1, 3), noise)
        assert sample(logits_BV, Filters.of(settings), drawn_BV).tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"min_p": 1.0}, "min_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": math.nan}, "repetition_penalty"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"typical_p": 0.0}, "typical_p"),
        ({"frequency_penalty": math.nan}, "frequency_penalty"),
        ({"presence_penalty": 101}, "presence_penalty"),
        ({"logit_bias": ((3, math.nan),)}, "logit_bias"),
        ({"logit_bias": ((-1, 1.0),)}, "logit_bias"),
        ({"banned_tokens": (1.5,)}, "banned_tokens"),
        ({"forced_tokens": tuple(range(5000))}, "forced_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"num_answers": 0}, "num_answers"),
        ({"num_answers": 10**6}, "num_answers"),
        ({"best_of": 2, "num_answers": 3}, "best_of"),
        ({"beams": 4, "beam_groups": 3}, "beam_groups"),
        ({"beams": 2, "repetition_penalty": 1.2}, "penalties"),
        ({"contrastive_alpha": 0.6}, "top_k"),
        ({"contrastive_alpha": 0.6, "top_k": 4, "forced_tokens": (5,)}, "forced_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 3.0}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"stop": "END"}, "stop"),
        ({"stop": ("",)}, "stop"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        check_settings(SamplingSettings(**changes))


def test_settings_at_their_limits_are_taken() -> None:
    check_settings(SamplingSettings())
    check_settings(
        SamplingSettings(temperature=0, top_p=1, min_p=0, top_k=0, max_tokens=1, stop=("a",))
    )
