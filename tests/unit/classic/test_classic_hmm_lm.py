"""The HMM of running text: its forward-backward against sums over all paths, and that it learns."""

import itertools
import math

import numpy as np
import pytest

from homespun.classic.hmm_lm import HmmTextModel
from homespun.core import ConfigError, DataError


def small() -> HmmTextModel:
    model = HmmTextModel(3, 5, seed=4)
    draw = np.random.default_rng(0)
    model.writes_VS = draw.dirichlet(np.ones(5), 3).T.astype(np.float32)
    model.begin_S = draw.dirichlet(np.ones(3)).astype(np.float32)
    return model


def paths(model: HmmTextModel, ids: list[int]) -> dict[tuple[int, ...], float]:
    """The joint probability of each path of states with `ids`."""
    found = {}
    for path in itertools.product(range(3), repeat=len(ids)):
        p = model.begin_S[path[0]] * model.writes_VS[ids[0], path[0]]
        for (a, b), token in zip(itertools.pairwise(path), ids[1:], strict=True):
            p *= model.next_SS[a, b] * model.writes_VS[token, b]
        found[path] = float(p)
    return found


def test_likelihood_is_the_sum_over_all_paths() -> None:
    model, ids = small(), [1, 4, 0, 2]
    every = np.ones((1, 4), bool)
    total = sum(paths(model, ids).values())
    assert model.nats(np.array([ids]), every) == pytest.approx(-math.log(total), rel=1e-5)
    last = np.array([[False, False, False, True]])
    before = sum(paths(model, ids[:3]).values())
    assert model.nats(np.array([ids]), last) == pytest.approx(-math.log(total / before), rel=1e-5)


def test_expected_counts_are_those_of_all_paths() -> None:
    model, ids = small(), [1, 4, 4, 2]
    first_S, pair_SS, emit_VS = model.expected(np.array([ids, ids]))
    found = paths(model, ids)
    total = sum(found.values())
    wanted_pair, wanted_emit, wanted_first = np.zeros((3, 3)), np.zeros((5, 3)), np.zeros(3)
    for path, p in found.items():
        wanted_first[path[0]] += 2 * p / total
        for a, b in itertools.pairwise(path):
            wanted_pair[a, b] += 2 * p / total
        for state, token in zip(path, ids, strict=True):
            wanted_emit[token, state] += 2 * p / total
    np.testing.assert_allclose(first_S, wanted_first, rtol=1e-4)
    np.testing.assert_allclose(pair_SS, wanted_pair, rtol=1e-4)
    np.testing.assert_allclose(emit_VS, wanted_emit, rtol=1e-4, atol=1e-6)


def test_it_learns_a_rhythm_that_frequencies_do_not_know() -> None:
    stream = np.tile(np.array([0, 1, 2, 3]), 500)
    model = HmmTextModel(8, 4, seed=1).fit(stream, seconds=60, max_batches=80, rows=32, length=32)
    counts = np.ones((1, 100), bool)
    counts[0, :4] = False
    nats = model.nats(stream[None, :100], counts) / 96
    assert nats < 0.7 * math.log(4)
    again = HmmTextModel(8, 4, seed=1).fit(stream, seconds=60, max_batches=80, rows=32, length=32)
    assert np.array_equal(again.next_SS, model.next_SS)
    with pytest.raises(ConfigError, match="state"):
        HmmTextModel(0, 4, seed=1)


def test_what_cannot_be_learned_from_is_told() -> None:
    model = HmmTextModel(2, 3, seed=1)
    for stream, match in (([], "two tokens"), ([1], "two tokens"), ([0, 3], "vocabulary of 3")):
        with pytest.raises(DataError, match=match):
            model.fit(np.array(stream, np.int64), seconds=1, max_batches=2)
    for rows, length in ((0, 8), (8, 1)):
        with pytest.raises(ConfigError, match="batch"):
            model.fit(np.arange(3), seconds=1, rows=rows, length=length)
    assert np.isfinite(model.fit(np.array([0, 1]), seconds=9, max_batches=3).next_SS).all()
