"""A law between two laws, by how much a text repeats itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scaling_samples import made_runs

from homespun.scaling.between import ROW, between, law_for, repetition
from homespun.scaling.law import Law, losses, make_law, predict, read_law, times_beyond


def test_repetition_counts_what_copying_would_foretell() -> None:
    # After "1 2" the second time 3 is said, as before; after "2 3" comes 9, which did not.
    assert repetition([1, 2, 3, 4, 1, 2, 3, 9]) == 1 / 7
    assert repetition([5] * 9) == 6 / 8
    assert repetition([]) == repetition([1]) == 0
    # Nothing is copied from a row before, and a long text is looked at here and there.
    assert repetition([*range(ROW + 1), *range(ROW)]) == 0
    once = [int(token) for token in np.random.default_rng(1).integers(0, 10**9, ROW)]
    assert repetition(once * 1000) == 0
    assert repetition(([7] * ROW + once) * 1000) == pytest.approx(0.5, abs=0.02)


def test_repetition_is_that_of_the_obvious_search() -> None:
    ids = np.random.default_rng(0).integers(0, 5, 2 * ROW + 1).tolist()
    num_right = 0
    for at in range(1, len(ids)):
        start = (at - 1) // ROW * ROW
        earlier = [k for k in range(start + 2, at) if ids[k - 2 : k] == ids[at - 2 : at]]
        if at - 2 >= start and earlier:
            num_right += ids[earlier[-1]] == ids[at]
    assert num_right > 20
    assert repetition(ids) == num_right / (len(ids) - 1)


def made_law(*, repeats: float, bytes_per_token: float, harder: float) -> Law:
    runs = [run.model_copy(update={"loss": run.loss * harder}) for run in made_runs()]
    return make_law(
        runs,
        corpus=f"text-{repeats}",
        preset="portable",
        bytes_per_token=bytes_per_token,
        repetition=repeats,
        num_draws=30,
    )


@pytest.fixture(scope="module")
def laws() -> tuple[Law, Law]:
    return (
        made_law(repeats=0.02, bytes_per_token=3.0, harder=1.0),
        made_law(repeats=0.12, bytes_per_token=4.0, harder=0.8),
    )


def bits(law: Law, parameters: float, num_bytes: float) -> float:
    return float(losses(law, parameters, num_bytes / law.bytes_per_token)[0]) / law.nats_per_bit


@pytest.mark.parametrize("place", [(1e5, 3e6), (2e6, 4e8)])
def test_a_law_between_two_has_their_losses_at_its_ends(
    laws: tuple[Law, Law], place: tuple[float, float]
) -> None:
    first, second = laws
    assert between(first, second, 0.02) is first
    assert between(first, second, 0.0) is first
    for most in (0.12, 0.5):
        assert bits(between(first, second, most), *place) == pytest.approx(bits(second, *place))
    low, middle, high = (bits(between(first, second, r), *place) for r in (0.12, 0.07, 0.02))
    assert low < middle < high
    # Here all terms are easier alike, so that their mean is that of the losses.
    assert middle == pytest.approx(math.sqrt(low * high), rel=2e-3)


def test_what_is_uncertain_of_both_is_uncertain_between_them(laws: tuple[Law, Law]) -> None:
    first, second = laws
    law = between(first, second.model_copy(update={"noise": 0.02}), 0.07)
    assert len(law.draws) == 30
    told = predict(law, parameters=1e5, tokens=1e6)
    assert told.low < 0.97 * told.loss < 1.03 * told.loss < told.high
    assert {first.runs_sha256, second.runs_sha256} == set(law.runs_sha256.split())


def test_what_both_were_fitted_to_is_counted_in_tokens_of_the_first(laws: tuple[Law, Law]) -> None:
    ours, theirs = (law.model_copy(update={"valid": dict(law.valid)}) for law in laws)
    ours.valid["products"] = (1e12, 2e12)  # parameters times tokens
    theirs.valid["products"] = (1e13, 3e13)
    law = between(ours, theirs, 0.07)
    assert law.valid["products"] == pytest.approx((1e12, 4e13))
    # A run as large as the second's largest is not beyond it, whatever its bytes are counted in.
    assert times_beyond(law, 1e6, 4e13 / 6e6) == pytest.approx(1.0)


def test_laws_without_a_repetition_have_nothing_between_them(laws: tuple[Law, Law]) -> None:
    first, second = laws
    with pytest.raises(ValueError, match="repetition"):
        between(first, second.model_copy(update={"repetition": None}), 0.05)


@pytest.mark.parametrize("preset", ["portable", "fast"])
def test_each_preset_has_a_law_of_novels_and_one_of_documentation(preset: str) -> None:
    novels, manuals = read_law(preset=preset), read_law(preset=preset, repeats=True)
    assert novels.repetition is not None
    assert manuals.repetition is not None
    assert novels.repetition < 0.05 < manuals.repetition
    assert law_for(preset, None) == novels
    # Far ends and near ones are the laws themselves.
    assert law_for(preset, 0.03) == novels
    assert law_for(preset, 0.95 * manuals.repetition) == manuals
    low, middle, high = (bits(law_for(preset, r), 1e6, 3e7) for r in (0.2, 0.08, 0.0))
    assert low < middle < high


def test_tables_too_lie_between_those_of_the_two_laws() -> None:
    first, second = (read_law(preset="fast", repeats=repeats) for repeats in (False, True))
    assert first.repetition is not None
    assert second.repetition is not None
    middle = between(first, second, (first.repetition + second.repetition) / 2)
    num_bytes = 3e6

    def alone(law: Law) -> float:
        assert law.table is not None
        return float(law.table.loss(num_bytes / law.bytes_per_token)) / law.nats_per_bit

    assert alone(middle) == pytest.approx(math.sqrt(alone(first) * alone(second)), rel=5e-3)
    assert min(first.sharpness, second.sharpness) <= middle.sharpness
