"""What a run's loss should be on the way, from its plan's law and pilot: `Watch.expected`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from homespun.core import RunDirectory
from homespun.core.files import read_json
from homespun.recipes.plan import RunPlan
from homespun.recipes.scale.options import bytes_per_token
from homespun.scaling.between import law_for
from homespun.scaling.choose import UNKNOWN_TEXT, is_of_texts_as
from homespun.scaling.curve import band_at
from homespun.scaling.law import Law, losses
from homespun.scaling.plan import told_readings

if TYPE_CHECKING:
    from homespun.training.health.trends import Expected


def expected_curve(run: RunDirectory, plan: RunPlan, *, law: Law | None = None) -> Expected | None:
    """From tokens read and the share of the stage done to (low, high) nats per token.

    The law's loss at the tokens read so far, times what runs of its sweep had of it at that share
    of their length, shifted by the pilot, and as wide again as the plan's own interval. Text that
    is read again may be known by heart, so from the second reading on nothing is too low. Dropout,
    which the law's runs were trained without, may raise it by its own share. While too few tokens
    are read for the law to hold, everything is expected.

    Args:
        law: in place of the one of the plan's preset.

    Returns:
        None where nothing can be compared: the plan foretold nothing, or the law knows of no run
        on the way.
    """
    from homespun.models import DecoderConfig
    from homespun.recipes.scale.shapes import multiplied_parameters

    told = plan.prediction
    if told is None:
        return None
    law = law or law_for(plan.preset, told.repetition)
    if not law.curve:
        return None
    parameters = float(multiplied_parameters(DecoderConfig(**plan.model)))
    unique = int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    own = bytes_per_token(run)
    longer = own / law.bytes_per_token
    # From the law's nats a token to this tokenizer's, and from its text to this one: by what the
    # plan foretold of the end, in which its pilot has been heard.
    said = unique * told_readings(
        parameters,
        unique,
        is_beside_table=law.table is not None,
        is_as_long=is_of_texts_as(law, unique * longer),
    )
    last = min(plan.expected_tokens, said)
    end = float(losses(law, parameters, last * longer, unique * longer)[0])
    factor = math.log(2) * own * told.bits_per_byte / end
    lower, higher = told.low / told.bits_per_byte, told.high / told.bits_per_byte
    higher *= 1 + float(plan.model.get("dropout", 0.0))
    if told.calibration is None:
        lower, higher = min(lower, 1 - UNKNOWN_TEXT), max(higher, 1 + UNKNOWN_TEXT)

    def expected(tokens: int, share: float) -> tuple[float, float]:
        band = band_at(law, share)
        if band is None or tokens * longer < law.least_tokens:
            return 0.0, math.inf
        read = min(tokens, said) * longer
        middle = factor * float(losses(law, parameters, read, unique * longer)[0])
        low = 0.0 if tokens > unique else middle * band[0] * lower
        return low, middle * band[1] * higher

    return expected
