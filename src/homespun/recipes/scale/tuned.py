"""Settings that a search found, as a file that a plan reads."""

from __future__ import annotations

from homespun.core import Config


class TunedSettings(Config):
    """best.json: what `plan` and `pretrain` take with --settings. None keeps the plan's own.

    Attributes:
        size: width and layers, as "96x4".
        dropout: None where the model has none.
    """

    format: int = 1
    size: str | None = None
    learning_rate: float | None = None
    matrix_learning_rate: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    dropout: float | None = None
