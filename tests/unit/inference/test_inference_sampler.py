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
from homespun.inference import check_settings, reference_sample, sample
from homespun.inference.sampler import (
    draw_noise,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repeats,
)

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


@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    st.sampled_from([0, 1, 5, 30]),
    st.sampled_from([0.1, 0.7, 0.95, 1.0]),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from([1.0, 1.3]),
)
def test_the_sampler_agrees_with_the_slow_one(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, penalty: float
) -> None:
    settings = SamplingSettings(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty
    )
    generator = torch.Generator().manual_seed(seed)
    logits_BV = torch.randn(1, 50, generator=generator) * 3
    noise_BV = draw_noise([generator], torch.empty(1, 50))
    seen = [3, 7, 7, 20]
    seen_BV = torch.zeros(1, 50, dtype=torch.bool)
    seen_BV[0, seen] = True
    slow = reference_sample(
        logits_BV[0].double().numpy(), settings, seen, noise_BV[0].double().numpy()
    )
    penalised_BV = penalise_repeats(logits_BV, seen_BV, penalty)
    assert sample(penalised_BV, settings, noise_BV).tolist() == [slow]


def test_draws_follow_the_softmax() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rows = 20_000
    settings = SamplingSettings(temperature=1.0, top_p=1.0)
    noise_BV = torch.rand(rows, 4, generator=torch.Generator().manual_seed(0))
    ids_B = sample(probabilities.log().expand(rows, 4), settings, noise_BV)
    shares = torch.bincount(ids_B, minlength=4) / rows
    # Four standard errors of a share of one half.
    assert (shares - probabilities).abs().max() < 4 * math.sqrt(0.25 / rows)


def test_the_only_token_left_is_chosen_whatever_the_noise() -> None:
    logits_BV = torch.tensor([[0.0, 5.0, 1.0]])
    settings = SamplingSettings(top_k=1)
    for noise in (0.0, 2**-24, 0.5, 1 - 2**-24):
        assert sample(logits_BV, settings, torch.full((1, 3), noise)).tolist() == [1]


def test_a_row_that_does_not_choose_keeps_its_numbers() -> None:
    alone = draw_noise([torch.Generator().manual_seed(4)], torch.empty(1, 9))
    waiting = torch.Generator().manual_seed(4)
    draw_noise([None, torch.Generator()], torch.empty(2, 9))
    later = draw_noise([torch.Generator(), waiting], torch.empty(2, 9))
    assert torch.equal(later[1], alone[0])


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
