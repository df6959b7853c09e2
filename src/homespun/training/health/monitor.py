"""Watches a stage: cheap checks after each step, dearer ones now and then, each thing said once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydantic import Field
from torch import nn

from homespun.core import Config, Objective
from homespun.training.data import BatchSource, TokenArray
from homespun.training.health import trends
from homespun.training.health.findings import Finding
from homespun.training.health.probes import WeightSample, look_inside
from homespun.training.health.repeats import Repeats, find_repeats
from homespun.training.health.trends import Expected, Memory

LOOKED_AT = 4  # rows of a batch that are looked at inside of the model


class HealthConfig(Config):
    """What a stage looks at, and how often.

    Attributes:
        every: steps between looks at trends; every fourth also looks inside the model.
        max_dead_units: share of silent feed-forward units that is told.
        max_logit: largest attention score that is told: beyond it softmax is all but one-hot, and
            growth of scores is a known way for training to go wrong (Wortsman et al. 2023, arXiv
            2309.14322, section 3.1.1).
        max_update: change of a kind of weights in one step, as a share of them, that is told.
        max_repeated, max_leaked: share of the text that may occur twice, and of the validation
            text that may stand in training.
    """

    every: int = Field(default=25, gt=0)
    max_dead_units: float = Field(default=0.2, gt=0.0, le=1.0)
    max_logit: float = Field(default=100.0, gt=0.0)
    max_update: float = Field(default=0.3, gt=0.0)
    max_repeated: float = Field(default=0.1, gt=0.0, le=1.0)
    max_leaked: float = Field(default=0.02, gt=0.0, le=1.0)


class Watch(NamedTuple):
    """What a stage's caller knows and its loop cannot.

    Attributes:
        expected: what the loss should be; None where nobody predicted it.
        held_out: ids of the validation text, to look for in the training text.
        leaked: share of the held-out examples that stand among those of training, where they are
            no running text and the caller has counted them.
    """

    expected: Expected | None = None
    held_out: TokenArray | None = None
    leaked: float | None = None


class Seen(NamedTuple):
    """What the checks get of a step.

    Attributes:
        row: of the step. progress: share of the stage done.
        losses, grad_norms: of the newest steps taken.
        waited, took: seconds for its batches, and in all.
        next_batch: number of the source's batch that comes next.
    """

    row: dict[str, Any]
    progress: float
    losses: Sequence[float]
    grad_norms: Sequence[float]
    waited: float
    took: float
    next_batch: int


class Monitor:
    """The checks of one stage.

    Args:
        model, objective, source: of the stage; only looked at.
        config: how often, and from where on something is told.
        watch: see there.
        settle: called after each look, which passes through the model without a way back.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        source: BatchSource,
        *,
        config: HealthConfig,
        watch: Watch,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._settle = settle
        self._model, self._objective, self._source = model, objective, source
        self._config, self._watch = config, watch
        self._weights: WeightSample | None = None
        self._waits: deque[tuple[float, float]] = deque(maxlen=trends.FEW)
        self._speeds: deque[float] = deque(maxlen=trends.FEW)
        self._best_speed = 0.0

    def before(self) -> list[Finding]:
        """Checks of the text, once, before the first step."""
        found = find_repeats(self._source, self._watch.held_out)
        findings = []
        if found is not None and found.repeated > self._config.max_repeated:
            text = (
                f"{found.repeated:.0%} of the training text occurs more than once, which wastes "
                "time and invites learning by heart: look for copies in the corpus."
            )
            limit = self._config.max_repeated
            findings.append(Finding("repeated_text", 0, found.repeated, limit, text))
        if (leak := self._leak(found)) is not None:
            findings.append(leak)
        return findings

    def _leak(self, found: Repeats | None) -> Finding | None:
        """Whether text stands on both sides: as the caller counted it, or surely as it was seen."""
        limit, leaked = self._config.max_leaked, self._watch.leaked
        looked = ""
        if leaked is None:
            if found is None or found.leaked_surely <= limit:
                return None
            leaked = found.leaked
            if found.looked_at < 0.5:
                looked = f" (judged by {found.looked_at:.1%} of the training text)"
        if leaked <= limit:
            return None
        text = (
            f"{leaked:.1%} of the validation text stands in the training text too{looked}: the "
            "validation loss will look better than it is. Split the text by document again."
        )
        return Finding("leaked_text", 0, leaked, limit, text)

    def before_step(self, step: int) -> None:
        """Remember weights where the step after `step` completed ones will be looked at."""
        is_probed = (step + 1) % (4 * self._config.every) == 0
        self._weights = WeightSample(self._model) if is_probed else None

    def after_step(self, seen: Seen, memory: Memory) -> list[Finding]:
        """The findings of a step; `memory` is brought up to date."""
        step = int(seen.row["step"])
        self._waits.append((seen.waited, seen.took))
        self._speeds.append(float(seen.row["tokens_per_second"]))
        if step % self._config.every:
            return []
        found = self._clocked(step)
        is_warm = seen.progress >= trends.WARM_UP and len(seen.losses) >= 2 * trends.FEW
        if is_warm:
            found.append(trends.gradient_growth(step, seen.grad_norms, memory))
            if self._watch.expected is not None:
                band = self._watch.expected(int(seen.row["tokens"]), seen.progress)
                found.append(trends.against_curve(step, trends.median_loss(seen.losses), band))
        if self._weights is not None and not seen.row["skipped"]:
            values, self._weights = self._weights.ratios(), None
            if is_warm:
                found.extend(self._updates(step, values))
            found.extend(self._inside(step, seen.next_batch))
        return [finding for finding in found if finding is not None]

    def after_evaluation(
        self, step: int, values: dict[str, Any], losses: Sequence[float], memory: Memory
    ) -> list[Finding]:
        """The findings of an evaluation whose values hold a validation loss."""
        loss = values.get("loss")
        if not isinstance(loss, float) or not math.isfinite(loss):
            return []
        found = (
            trends.overfitting(step, loss, losses),
            trends.validation_rises(step, loss, memory),
        )
        return [finding for finding in found if finding is not None]

    def _clocked(self, step: int) -> list[Finding | None]:
        if len(self._speeds) < trends.FEW:
            return []
        speeds = sorted(self._speeds)
        self._best_speed = max(self._best_speed, speeds[len(speeds) // 2])
        waited, took = (sum(values) for values in zip(*self._waits, strict=True))
        return [
            trends.data_stall(step, waited, took),
            trends.slow(step, speeds, self._best_speed),
        ]

    def _updates(self, step: int, ratios: dict[str, float]) -> list[Finding]:
        limit = self._config.max_update
        return [
            Finding(
                "large_updates",
                step,
                ratio,
                limit,
                f"One step changes the weights of kind {kind} by {ratio:.0%} of their size: the "
                "learning rate is too high for them.",
            )
            for kind, ratio in ratios.items()
            if ratio > limit and kind in ("matrix", "embedding", "head")
        ]

    def _inside(self, step: int, next_batch: int) -> list[Finding]:
        batch = self._source.batch(next_batch)
        if not hasattr(batch, "split"):
            return []
        device = next(self._model.parameters()).device
        rows = [row.to(device) for row in batch.split(1 << 30)[:LOOKED_AT]]
        inside = look_inside(self._model, self._objective, *rows)
        self._settle()
        findings = []
        if (dead := inside.get("dead_units", 0.0)) > self._config.max_dead_units:
            text = (
                f"{dead:.0%} of the feed-forward units do nothing on the text looked at: part of "
                "the model is wasted; a smaller learning rate or less weight decay helps."
            )
            limit = self._config.max_dead_units
            findings.append(Finding("dead_units", step, dead, limit, text))
        if (score := inside.get("attention_logit", 0.0)) > self._config.max_logit:
            text = (
                f"Attention scores have grown to {score:.0f}, so that each token looks at one "
                "other only and learns slowly: use qk_norm, or a smaller learning rate."
            )
            findings.append(Finding("attention_growth", step, score, self._config.max_logit, text))
        return findings


class Along(Monitor):
    """Of a process that does not lead, where each holds a share of the weights: it passes through
    the model whenever the leader looks inside, and finds nothing."""

    def before(self) -> list[Finding]:
        return []

    def after_step(self, seen: Seen, memory: Memory) -> list[Finding]:
        super().after_step(seen, Memory())
        return []

    def after_evaluation(
        self, step: int, values: dict[str, Any], losses: Sequence[float], memory: Memory
    ) -> list[Finding]:
        return []
