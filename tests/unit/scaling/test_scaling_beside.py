"""A pilot beside an n-gram table: how soon a text leaves its table behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from homespun.scaling.beside import OWN_EASE, Place, foretell_beside, losses_by_ease
from homespun.scaling.choose import Calibration, foretell, outcome
from homespun.scaling.grid import Size
from homespun.scaling.law import Law, losses, read_law

PILOT = Place(1.5e5, 2e6, 2.5e6)  # one that has left its table
RUN = Place(2e5, 8e6, 2.5e6)


@pytest.fixture(scope="module")
def law() -> Law:
    return read_law(preset="fast")


def nats(law: Law, place: Place, *, ease: float, scale: float) -> float:
    """As the module's docstring writes it, for one number."""
    assert law.table is not None
    c, p = law.constants, law.sharpness
    free = law.model_copy(update={"table": None, "sharpness": 1.0})
    above = float(losses(free, *place)[0]) - c.E
    room = float(law.table.loss(place.unique_tokens)) - c.E
    return scale * (c.E + ((ease * above) ** -p + room**-p) ** (-1 / p))


@pytest.mark.parametrize("place", [PILOT, RUN])
def test_losses_are_the_laws_own_where_nothing_is_eased(law: Law, place: Place) -> None:
    theta = np.stack([law.constants.vector()] * 2)
    found = losses_by_ease(law, place, theta, np.log([1.0, 0.4]))
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found[:, 0], losses(law, *place)[0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], nats(law, place, ease=0.4, scale=1.0), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.8, 1.15])
@pytest.mark.parametrize("ease", [0.4, 1.0, 1.6])
def test_a_pilot_tells_the_ease_of_a_text(law: Law, ease: float, scale: float) -> None:
    assert law.table is not None
    alone = scale * float(law.table.loss(PILOT.unique_tokens))
    measured = nats(law, PILOT, ease=ease, scale=scale)
    wanted = nats(law, RUN, ease=ease, scale=scale)
    middle, low, high = foretell_beside(law, RUN, pilot=PILOT, alone=alone, measured=measured)
    assert middle == pytest.approx(wanted, rel=0.012)
    assert low < wanted < high
    # Without the ease, by the factor alone, an easy text is foretold worse.
    if ease == 0.4:
        by_factor = float(losses(law, *RUN)[0]) * measured / float(losses(law, *PILOT)[0])
        assert abs(by_factor / wanted - 1) > 2 * abs(middle / wanted - 1)


def test_a_pilot_that_has_not_left_its_table_says_little(law: Law) -> None:
    assert law.table is not None
    alone = float(law.table.loss(PILOT.unique_tokens))

    def width(pilot: Place) -> float:
        measured = nats(law, pilot, ease=1.0, scale=1.0)
        middle, low, high = foretell_beside(law, RUN, pilot=pilot, alone=alone, measured=measured)
        assert low < nats(law, RUN, ease=1.0, scale=1.0) < high
        return (high - low) / middle

    assert width(Place(1e4, 2e4, 2.5e6)) > 1.5 * width(PILOT)


def test_a_plan_of_the_fast_preset_takes_what_its_pilot_says_of_the_table(law: Law) -> None:
    assert law.table is not None
    unit = law.nats_per_bit
    alone = 1.1 * float(law.table.loss(2.5e6)) / unit
    own: dict[str, Any] = {"unique_tokens": 2_500_000, "bytes_per_token": law.bytes_per_token}
    told = outcome(law, Size(48, 3, 150_000, 1.0), tokens=2e6, **own)
    pilot = Calibration(
        parameters=150_000,
        tokens=2_000_000,
        unique_tokens=2_500_000,
        measured=nats(law, PILOT, ease=0.5, scale=1.1) / unit,
        foretold=told.loss,
        seconds=1.0,
        alone=alone,
    )
    chosen = outcome(law, Size(96, 4, 200_000, 1.0), tokens=8e6, **own)
    found = foretell(law, chosen, calibration=pilot, is_own_text=False, **own)
    assert found.loss == pytest.approx(nats(law, RUN, ease=0.5, scale=1.1) / unit, rel=0.012)
    assert found.low < found.loss < found.high


def test_of_its_own_text_a_law_is_believed_where_the_pilot_says_little(law: Law) -> None:
    assert law.table is not None
    alone = float(law.table.loss(PILOT.unique_tokens))
    silent = Place(1e4, 2e4, 2.5e6)
    wanted = nats(law, RUN, ease=1.0, scale=1.0)
    flown: dict[str, Any] = {"pilot": silent, "alone": alone, "measured": 1.005 * alone}
    own = foretell_beside(law, RUN, **flown, ease=OWN_EASE)
    other = foretell_beside(law, RUN, **flown)
    assert own[0] == pytest.approx(wanted, rel=0.01)
    assert own[2] - own[1] < other[2] - other[1]
    # A silent pilot rules out a text that is easy; what is told stays near the law all the same.
    assert other[0] == pytest.approx(wanted, rel=0.06)


@pytest.mark.parametrize("share", [0.5, 1.3])
def test_a_pilot_that_no_ease_explains_still_leaves_a_prediction(law: Law, share: float) -> None:
    """A small text is known by heart before the pilot ends: held-out text is then worse than by
    the table alone. What explains it best is the ease at that end."""
    assert law.table is not None
    few = Place(1e4, 2.5e5, 1e4)
    alone = float(law.table.loss(few.unique_tokens))
    run = Place(1e5, 1.6e5, 1e4)
    middle, low, high = foretell_beside(law, run, pilot=few, alone=alone, measured=share * alone)
    assert low < middle < high
    extreme = nats(law, run, ease=float(np.exp(-3.0 if share < 1 else 3.0)), scale=1.0)
    assert middle == pytest.approx(extreme, rel=0.01)
