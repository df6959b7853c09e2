"""The learning rate over a run: pure functions of how far the run is, from 0 to 1.

A schedule never asks for the step number, so the same one serves a run of so many steps and a run
of so many minutes; in the second case the decay still ends on time.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from homespun.core import Config, ConfigError


class ScheduleConfig(Config):
    """The shape of the learning rate.

    Attributes:
        kind: "wsd" warms up, stays, and decays at the end; "cosine" and "linear" decay from the
            end of the warm-up on; "constant" stays.
        warmup: share of the run over which the rate rises linearly from 0.
        decay: share of the run over which "wsd" falls. Half of the run is what tuned small
            speedruns use; Hägele et al. (2024, arXiv 2405.18392, section 4) match cosine with 0.2.
        floor: what is left at the end, as a share of the peak.
        decay_shape: "linear", or "sqrt" for 1 - sqrt(x) (ibid., figure 5), which falls faster at
            first and stays low for longer.
    """

    kind: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    warmup: float = Field(default=0.02, ge=0.0, lt=1.0)
    decay: float = Field(default=0.5, ge=0.0, le=1.0)
    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    decay_shape: Literal["linear", "sqrt"] = "linear"

    @model_validator(mode="after")
    def _shares_fit(self) -> ScheduleConfig:
        if self.kind == "wsd" and self.warmup + self.decay > 1.0:
            raise ConfigError(
                "warmup and decay are shares of one run and cannot exceed 1 together",
                got=f"warmup {self.warmup:g}, decay {self.decay:g}",
                remedy="make one of them shorter",
            )
        return self

    def scale(self, progress: float) -> float:
        """The factor on the peak learning rate, in [0, 1], when `progress` of the run is done."""
        progress = min(1.0, max(0.0, progress))
        if progress < self.warmup:
            return progress / self.warmup
        if self.kind == "constant":
            return 1.0
        if self.kind == "wsd":
            left = stable_then_decay(progress, self.decay, self.decay_shape)
        else:
            done = (progress - self.warmup) / (1.0 - self.warmup)
            left = cosine(done) if self.kind == "cosine" else 1.0 - done
        return self.floor + (1.0 - self.floor) * left


def stable_then_decay(
    progress: float, decay: float, shape: Literal["linear", "sqrt"] = "linear"
) -> float:
    """1 until the last `decay` of the run, then down to 0 at its end."""
    if decay == 0.0 or progress <= 1.0 - decay:
        return 1.0
    done = min(1.0, (progress - (1.0 - decay)) / decay)
    return 1.0 - (math.sqrt(done) if shape == "sqrt" else done)


def cosine(done: float) -> float:
    """Half a cosine wave from 1 at `done` = 0 to 0 at `done` = 1 (arXiv 1608.03983, eq. 5)."""
    return 0.5 * (1.0 + math.cos(math.pi * done))
