"""Settings that a search found, as a file that a plan reads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from homespun.core import Config
from homespun.scaling.rules import DECAY_SHARE


class TunedSettings(Config):
    """best.json: what `plan` and `pretrain` take with --settings. None keeps the plan's own.

    Attributes:
        preset: that the search tried; None in files of before there were two.
        size: width and layers, as "96x4"; a search leaves it to the plan, whose budget is larger.
        learning_rate, matrix_learning_rate: as they are.
        rate_factor, matrix_rate_factor: on the plan's own: rates of a short trial do not suit a
            long run, but how far off the rules were may.
        warmup: share of a run; what follows it and comes before the decay may be nothing.
        dropout: None where the model has none.
    """

    format: Literal[1] = 1
    preset: Literal["portable", "fast"] | None = None
    size: str | None = None
    learning_rate: PositiveFloat | None = None
    matrix_learning_rate: PositiveFloat | None = None
    rate_factor: PositiveFloat | None = None
    matrix_rate_factor: PositiveFloat | None = None
    weight_decay: float | None = Field(default=None, ge=0.0)
    warmup: float | None = Field(default=None, ge=0.0, le=1 - DECAY_SHARE)
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
