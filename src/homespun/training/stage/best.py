"""The weights of the lowest held-out loss: which they are, when it has turned, which are kept.

A text that is read many times is learned by heart: its held-out loss falls, turns and rises. The
best weights are a checkpoint like any other, which stays until there are better ones.

Going back to them to let the learning rate fall from there gains nothing (LOG.md): while it falls
the text is learned by heart sooner than ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from homespun.core import CheckpointError
from homespun.training.config import KeptWeights, TrainConfig
from homespun.training.limits import Limit
from homespun.training.stage.evaluations import Evaluate
from homespun.training.stage.saves import Saves
from homespun.training.stage.state import State, finite

LEAST_LOOKS = 3


class Judge(NamedTuple):
    """A closer look at held-out text, by which the best weights and the last are compared.

    Attributes:
        evaluate: as `train` takes it; its "loss" counts.
        times: how many times as long as an evaluation on the way it takes.
        score: what "score" of `evaluate` is called, asked once there is one. More of it is better,
            it counts in place of the loss, and of equal scores the weights of the lower loss are
            kept. None for the loss.
    """

    evaluate: Evaluate
    times: float
    score: Callable[[], str] | None = None


class Best:
    """Follows the held-out loss. All processes of a stage see the leader's.

    Args:
        config: the stage's.
        saves: holds the best weights.
        judge: None where the evaluations on the way say all.
        measure: "loss" or "score" of the model as it is, by `judge.evaluate`.
    """

    def __init__(
        self,
        config: TrainConfig,
        saves: Saves,
        judge: Judge | None,
        measure: Callable[[Evaluate, int, str], float],
    ) -> None:
        self._best = config.best
        self.saves, self._judge, self._measure = saves, judge, measure

    def look(self, state: State, epochs: float) -> None:
        """After an evaluation: whether its loss is the lowest. `epochs` were read so far."""
        if self._best is None or epochs < self._best.after:
            return
        (loss,) = self.saves.world.from_leader([_loss(state.evaluation.get("loss"))])
        if math.isfinite(loss) and (state.best_loss is None or loss < state.best_loss):
            state.best_step, state.best_loss = state.step, loss
            state.best_progress, state.best_evaluation = state.progress, state.evaluation
            state.looks_since = 0
        else:
            state.looks_since += 1

    def reserve(self, state: State, limit: Limit) -> None:
        """Set time aside for choosing at the end, where there will be something to choose."""
        is_last = state.best_step in (-1, state.evaluated_step)
        times = 0.0 if is_last or self._judge is None else 2 * self._judge.times
        limit.choosing_seconds = times * limit.evaluation_seconds

    def has_turned(self, state: State) -> bool:
        """Whether the loss has not been lower for as long as the stage's patience."""
        if self._best is None or self._best.patience is None:
            return False
        if state.best_step < 0 or state.looks_since < LEAST_LOOKS:
            return False
        return state.progress - state.best_progress >= self._best.patience

    def choose(self, state: State) -> KeptWeights | None:
        """After the last step and its checkpoint: put the best weights in place of the last ones
        if they are better. None where none had a lower loss than the last on the way.

        Raises:
            CheckpointError: the last checkpoint was damaged meanwhile.
        """
        if self._best is None or state.best_step in (-1, state.step):
            return None
        assert state.best_loss is not None
        (last,) = self.saves.world.from_leader([_loss(state.evaluation.get("loss"))])
        if self._judge is None and not state.best_loss < last:
            return None
        at_last = self._closer(state.step, last)
        if not self.saves.load(state.best_step):
            return None
        at_best = self._closer(state.best_step, state.best_loss)
        if is_better := at_best < at_last:
            state.evaluation = state.best_evaluation
        elif not self.saves.load(state.step):
            raise CheckpointError(
                f"the checkpoint of step {state.step} is damaged or cannot be read",
                remedy="run again to continue",
            )
        named = None if self._judge is None else self._judge.score
        score = None if named is None else named()
        return KeptWeights(
            step=state.best_step if is_better else state.step,
            last_step=state.step,
            loss=at_best.loss,
            last_loss=finite(at_last.loss),
            is_complete=self._judge is not None,
            score=score,
            best_score=None if score is None else finite(-at_best.worse),
            last_score=None if score is None else finite(-at_last.worse),
            sentence=_sentence(state, at_best, at_last, score, is_better=is_better),
        )

    def _closer(self, step: int, loss: float) -> _Seen:
        """What the judge sees of the model as it is; `loss` was seen on the way."""
        if self._judge is None:
            return _Seen(0.0, loss)
        if self._judge.score is None:
            return _Seen(0.0, self._measure(self._judge.evaluate, step, "loss"))
        return _Seen(-self._measure(self._judge.evaluate, step, "score"), loss)


class _Seen(NamedTuple):
    """How weights are compared: the lower one is better.

    Attributes:
        worse: minus the score; 0 where only losses are compared.
        loss: nats a target.
    """

    worse: float
    loss: float


def _loss(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.inf


def _sentence(state: State, best: _Seen, last: _Seen, score: str | None, *, is_better: bool) -> str:
    if score is None:
        figures = f"{best.loss:.3f} nats there, {_figure(last.loss)} after {state.step:,}"
    else:
        figures = (
            f"{score} of held-out rows {_figure(-best.worse)} there, {_figure(-last.worse)} after "
            f"{state.step:,}"
        )
    if is_better:
        return (
            f"Held-out loss was lowest after {_steps(state.best_step)}; these weights are kept "
            f"({figures})."
        )
    if score is not None:
        return (
            f"Held-out loss was lowest after {_steps(state.best_step)}, but the last weights "
            f"answer no worse; the last are kept ({figures})."
        )
    return (
        f"Held-out loss seemed lowest after {_steps(state.best_step)}, but on more of the text the "
        f"last weights are as good; the last are kept ({figures})."
    )


def _steps(num: int) -> str:
    return f"{num:,} step" if num == 1 else f"{num:,} steps"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "no number"
