"""Size and length for a budget of seconds: the least loss that the law foretells.

Speeds are measured at a few widths; in between, the logarithm of operations a second is a straight
line over the logarithm of operations a token. Tokens are counted in the law's tokenizer by way of
bytes, so that a law of one vocabulary can plan for another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from homespun.core import Config
from homespun.scaling.beside import OWN_EASE, USUAL_EASE, Place, foretell_beside
from homespun.scaling.grid import Size
from homespun.scaling.law import Law, Prediction, drawn_losses, losses, predict, spread_of
from homespun.scaling.loss import Array
from homespun.scaling.plan import most_readings, told_readings

# Without a measurement on the text at hand: texts of one language differ so much in bits per byte,
# and the same text, collected on another machine, so much.
UNKNOWN_TEXT, OWN_TEXT = 0.15, 0.02
WIDTHS = (
    16,
    32,
    48,
    64,
    96,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    640,
    768,
    1024,
    1536,
    2048,
)
# A pilot that is smaller or shorter than the runs behind the law is compared with a guess: what
# the law may be off by there, a share for each factor of e. The law of documentation is off by 31%
# of a pilot 1.8 factors below its runs, where copying has not come to be used.
OUTSIDE = 0.15
# By how much reading on with dropout, beyond what the law tells, may better what it tells.
READ_ON = 0.05
# Share of the longest text that a law's table counted.
AS_LONG = 0.5
# Two shapes this near in foretold loss are one to the law; the smaller is quicker to use.
AS_GOOD = 0.001


class Measured(NamedTuple):
    """How fast a shape trains here."""

    flops_per_token: float
    tokens_per_second: float

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_token * self.tokens_per_second


class Outcome(NamedTuple):
    """What a size would come to.

    Attributes:
        tokens: read, of the text's own tokenizer. seconds: that takes.
        loss: bits per byte by the law, before the text at hand is accounted for.
        told: tokens of which the law says that: the same, or fewer where a text shorter than the
            law's is read on with dropout (`plan.told_readings`).
    """

    size: Size
    tokens: int
    epochs: float
    seconds: float
    loss: float
    told: int


class Calibration(Config):
    """What a short training of the text at hand says about it.

    Attributes:
        parameters, tokens, unique_tokens: of the pilot, tokens as its own tokenizer counts.
        measured: its bits per byte on held-out text. foretold: the law's, for the law's own text.
        seconds: it took.
        outside: how far it lies below the runs of its own law, see `factors_outside`; None in plans
            of before.
        alone: bits per byte of the n-gram table it was trained beside, without it; None where
            there was none.
    """

    parameters: int
    tokens: int
    unique_tokens: int
    measured: float
    foretold: float
    seconds: float
    outside: float | None = None
    alone: float | None = None


def speed_at(measured: Sequence[Measured], flops_per_token: float) -> float:
    """Tokens a second of a shape that was not timed.

    Beyond the shapes that were timed, the operations a second of the nearest one are taken.
    """
    assert measured, "at least one shape must have been timed"
    known = sorted(measured)
    x = np.log([m.flops_per_token for m in known])
    y = np.log([m.flops_per_second for m in known])
    return float(np.exp(np.interp(math.log(flops_per_token), x, y)) / flops_per_token)


def is_of_texts_as(law: Law, unique_tokens: float) -> bool:
    """Whether the law's runs read texts of such a length, in its tokens; of shorter ones beside a
    table it says too little where they are read often."""
    return law.table is None or unique_tokens >= AS_LONG * law.table.points[-1][0]


def outcome(
    law: Law,
    size: Size,
    *,
    tokens: float,
    unique_tokens: int,
    bytes_per_token: float,
    tokens_per_second: float = math.inf,
) -> Outcome:
    """Reading `tokens`, or the text `most_readings` times where that is less."""
    beside = law.table is not None
    most = most_readings(size.parameters, unique_tokens, is_beside_table=beside)
    read = max(1.0, min(tokens, unique_tokens * most))
    longer = bytes_per_token / law.bytes_per_token
    said = told_readings(
        size.parameters,
        unique_tokens,
        is_beside_table=beside,
        is_as_long=is_of_texts_as(law, unique_tokens * longer),
    )
    told = max(1.0, min(read, unique_tokens * said))
    nats = losses(law, float(size.parameters), told * longer, unique_tokens * longer)[0]
    return Outcome(
        size,
        int(read),
        read / max(1, unique_tokens),
        read / tokens_per_second,
        float(nats) / law.nats_per_bit,
        int(told),
    )


def choose_shape(
    law: Law,
    sizes: Sequence[Size],
    tokens_for: Callable[[Size], float],
    *,
    unique_tokens: int,
    bytes_per_token: float,
) -> list[Outcome]:
    """What every size would come to, the one to take first.

    Args:
        law: fitted.
        sizes: to choose from.
        tokens_for: how many tokens a size reads in the time or the steps there are.
        unique_tokens: of the training text, by its own tokenizer.
        bytes_per_token: of that tokenizer.
    """
    found = [
        outcome(
            law,
            size,
            tokens=tokens_for(size),
            unique_tokens=unique_tokens,
            bytes_per_token=bytes_per_token,
        )
        for size in sizes
    ]
    least = min(item.loss for item in found)
    good = [item for item in found if item.loss <= least * (1 + AS_GOOD)]
    best = min(good, key=lambda item: item.size.parameters)
    others = sorted((item for item in found if item is not best), key=lambda item: item.loss)
    return [best, *others]


def foretell(
    law: Law,
    chosen: Outcome,
    *,
    unique_tokens: int,
    bytes_per_token: float,
    calibration: Calibration | None,
    is_own_text: bool,
) -> Prediction:
    """Bits per byte of the run to come, with a 95% interval.

    E, A and B belong to one text and one tokenizer. Of another text a pilot tells one number, its
    loss at a small size. Whether the rest differs by a factor (all terms larger alike) or by a
    sum (only the floor E) one pilot cannot tell: the prediction lies between the two readings and
    the interval holds both. What the law leaves open is read off its bootstrap for run and pilot
    together: a draw that has both too high is put right by the pilot. To that comes the noise of
    two runs, the pilot's and the one to come. A pilot far below the runs of the law is heard less,
    the less the more is known of the text; but a larger run comes to no more than it did. Beside a
    table the pilot tells more, see `scaling.beside`. Without a pilot, a text that is not the law's
    is foretold within `UNKNOWN_TEXT`.

    A short text that is read on with dropout comes to what the law tells or less, see
    `Outcome.told`.

    Args:
        is_own_text: the law is of this very text.
    """
    room = READ_ON if chosen.told < chosen.tokens else 0.0
    longer = bytes_per_token / law.bytes_per_token
    unit = 1 / law.nats_per_bit
    place = (
        float(chosen.size.parameters),
        chosen.told * longer,
        unique_tokens * longer,
    )
    if calibration is None:
        parameters, tokens, unique = place
        base = predict(law, parameters=parameters, tokens=tokens, unique_tokens=unique).scaled(unit)
        spread = OWN_TEXT if is_own_text else UNKNOWN_TEXT
        low, high = base.low * (1 - spread), base.high * (1 + spread)
        return Prediction(base.loss, low * (1 - room), high)
    pilot = (
        float(calibration.parameters),
        calibration.tokens * longer,
        calibration.unique_tokens * longer,
    )
    if calibration.alone is not None and law.table is not None:
        middle, low, high = foretell_beside(
            law,
            Place(*place),
            pilot=Place(*pilot),
            alone=calibration.alone * law.nats_per_bit,
            measured=calibration.measured * law.nats_per_bit,
            ease=OWN_EASE if is_own_text else USUAL_EASE,
        )
        return Prediction(middle * unit, low * (1 - room) * unit, high * unit)
    told = float(losses(law, *place)[0]) * unit
    drawn, drawn_small = (drawn_losses(law, *at) * unit for at in (place, pilot))
    # The pilot may have flown for the other preset: how far off its own law was is what counts.
    small = calibration.foretold
    drawn_small *= small / (float(losses(law, *pilot)[0]) * unit)
    outside = calibration.outside
    if outside is None:
        outside = factors_outside(law, calibration, bytes_per_token)
    known = (OWN_TEXT if is_own_text else UNKNOWN_TEXT) / 2  # one standard deviation
    heard = known**2 / (known**2 + law.noise**2 + (OUTSIDE * outside) ** 2)

    def readings(run: Array, pilot: Array, floor: Array) -> tuple[Array, Array]:
        """As a factor and as a sum, so far as the pilot is heard. Where the text is easier than a
        floor of nothing would make it, what lies above the floor is so by a factor."""
        factor = (calibration.measured / pilot) ** heard
        heard_of, above = pilot * factor, pilot - floor
        lower = (run - floor) * heard_of / np.maximum(above, 1e-9)
        return run * factor, np.where(heard_of < above, lower, run + heard_of - pilot)

    floor, floors = (
        np.exp(e) * unit for e in (law.constants.vector()[:1], np.array(law.draws).T[0])
    )
    middle = float(np.mean(readings(np.array([told]), np.array([small]), floor)))
    few, many = np.percentile(np.concatenate(readings(drawn, drawn_small, floors)), [2.5, 97.5])
    own = spread_of(law, place[0], place[1])
    noise = 2 * middle * math.hypot(own, heard * law.noise, known * math.sqrt(1 - heard))
    low = middle - math.hypot(max(0.0, middle - float(few)), noise)
    found = Prediction(
        middle,
        max(0.0, low) * (1 - room),
        middle + math.hypot(max(0.0, float(many) - middle), noise),
    )
    is_larger = told <= small and law.table is None and calibration.alone is None
    if is_larger and found.loss > calibration.measured:
        # So easy a text that its pilot, though it is hardly heard, is there already.
        found = found.scaled(calibration.measured / found.loss)
        return found._replace(low=min(found.low, told * calibration.measured / small))
    return found


def factors_outside(law: Law, pilot: Calibration, bytes_per_token: float) -> float:
    """How many factors of e a pilot lies below the runs of the law, in size, length and in
    tokens for each parameter together."""
    tokens = pilot.tokens * bytes_per_token / law.bytes_per_token
    (n_low, n_high), (d_low, _) = law.valid["parameters"], law.valid["tokens"]
    ratio = tokens / pilot.parameters / (d_low / n_high)
    short = [n_low / pilot.parameters, d_low / tokens, 1 / ratio]
    return sum(max(0.0, math.log(value)) for value in short)
