"""Steps that must not be taken: a loss or gradient far outside of what the run has shown.

A bad batch (garbage, a broken document, one that overflows) is told from ordinary noise by the
median and the median absolute deviation (MAD) of a trailing window, in log space: both are blind to
the outliers themselves, and a factor means the same early and late in a run. A value must stand out
twice, by deviations and by a plain factor, because clean runs have quiet stretches in which a
harmless step is many deviations away (gradient norms of clean runs here: up to 4.2 times the median
and 22 deviations; losses 1.25 times and 7, see LOG.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pydantic import Field, model_validator

from homespun.core import Config, ConfigError

_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_NO_SPREAD = 1e-3  # a window of equal values has no MAD; a thousandth is not yet news


class SpikeConfig(Config):
    """When a step is skipped, and when the run goes back.

    Attributes:
        window: accepted steps looked back on; where several tasks are learned in turn, those of the
            step's own task, as far as they are among the newest sixteen times as many.
        min_steps: of them needed before a finite value is judged at all.
        loss_factor: an outlying loss is at least so many times the median,
        loss_nats: and at least so many nats per target above it.
        grad_factor: an outlying gradient norm is at least so many times the median.
        deviations: and both are at least so many robust standard deviations away.
        in_a_row: skipped steps after which the run goes back to the last good checkpoint and
            leaves out the data read since. Where other data then has gradients as large, and losses
            as before, it is no bad batch: they are taken from there on, clipped as all are.
        max_rewinds: how often it does so at one place before the stage ends with an error.
        rewind_steps: a checkpoint to go back to is made every so many steps; None for a twentieth
            of `num_steps`, between 50 and 500. With a limit of seconds every checkpoint serves.
    """

    window: int = Field(default=64, ge=8)
    min_steps: int = Field(default=32, ge=4)
    loss_factor: float = Field(default=1.5, gt=1.0)
    loss_nats: float = Field(default=0.3, ge=0.0)
    grad_factor: float = Field(default=10.0, gt=1.0)
    deviations: float = Field(default=8.0, gt=0.0)
    in_a_row: int = Field(default=5, gt=0)
    max_rewinds: int = Field(default=3, ge=0)
    rewind_steps: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _is_ever_judged(self) -> SpikeConfig:
        if self.min_steps > self.window:
            raise ConfigError(
                f"no step would be judged: min_steps {self.min_steps} are needed, and the window "
                "looked back on is shorter",
                got=self.window,
                remedy="let min_steps be at most the window",
            )
        return self


def is_outlier(value: float, window: Sequence[float], *, factor: float, deviations: float) -> bool:
    """Whether `value` lies above the positive values of `window` by both measures."""
    if value <= 0.0:
        return False
    logs = [math.log(max(other, 1e-30)) for other in window]
    median = statistics.median(logs)
    spread = _MAD_TO_SIGMA * statistics.median(abs(log - median) for log in logs)
    above = math.log(value) - median
    return above >= math.log(factor) and above >= deviations * max(spread, _NO_SPREAD)


def why_skip(
    loss: float,
    grad_norm: float,
    losses: Sequence[float],
    grad_norms: Sequence[float],
    config: SpikeConfig,
) -> str:
    """Why a step with this loss and gradient norm is not to be taken; "" where it is.

    Args:
        loss: nats per target. grad_norm: before clipping.
        losses, grad_norms: of the accepted steps before, oldest first, at most `config.window`.
        config: what counts as an outlier.

    Returns:
        "not finite", "loss", "gradient" or "".
    """
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return "not finite"
    if len(losses) < config.min_steps:
        return ""
    deviations = config.deviations
    if loss - statistics.median(losses) >= config.loss_nats and is_outlier(
        loss, losses, factor=config.loss_factor, deviations=deviations
    ):
        return "loss"
    if len(grad_norms) < config.min_steps:
        return ""
    if is_outlier(grad_norm, grad_norms, factor=config.grad_factor, deviations=deviations):
        return "gradient"
    return ""


def of_kind(values: Sequence[float], kinds: Sequence[int], kind: int | None) -> Sequence[float]:
    """Those of `values` that are of steps of one kind: what one task's losses are says nothing of
    another's, and all steps of a rare one would stand out among those of a frequent one.

    Args:
        values: of accepted steps, the newest last.
        kinds: of the same steps, the newest last; of fewer where older ones are not known.
        kind: wanted; None where there is only one.
    """
    if kind is None:
        return values
    num = min(len(values), len(kinds))
    newest = zip(values[len(values) - num :], kinds[len(kinds) - num :], strict=True)
    return [value for value, other in newest if other == kind]


def rewind_interval(config: SpikeConfig, num_steps: int | None) -> int | None:
    """Steps between the checkpoints a run may go back to; None where every checkpoint serves.

    They stand at fixed steps where the number of steps is fixed, so that a run that was killed goes
    back to the same one as a run that was not.
    """
    if config.rewind_steps is not None or num_steps is None:
        return config.rewind_steps
    return min(500, max(50, num_steps // 20))
