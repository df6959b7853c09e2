"""Settings that a search found, as a file that a plan reads."""

from __future__ import annotations

from typing import Literal

from homespun.core import Config


class TunedSettings(Config):
    """best.json: what `plan` and `pretrain` take with --settings. None keeps the plan's own.

    Attributes:
        preset: that the search tried; None in files of before there were two.
        size: width and layers, as "96x4"; a search leaves it to the plan, whose budget is larger.
        learning_rate, matrix_learning_rate: as they are.
        rate_factor, matrix_rate_factor: on the plan's own: rates of a short trial do not suit a
            long run, but how far off the rules were may.
        dropout: None where the model has none.
    """

    format: int = 1
    preset: Literal["portable", "fast"] | None = None
    size: str | None = None
    learning_rate: float | None = None
    matrix_learning_rate: float | None = None
    rate_factor: float | None = None
    matrix_rate_factor: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    dropout: float | None = None
