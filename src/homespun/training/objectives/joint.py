"""Several objectives in turn, each with its own part of one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homespun.core import LossOutput, Objective
from homespun.training.data.tasks import TaskBatch


class JointObjective:
    """Each batch is of one task, whose objective judges that task's head.

    Args:
        objectives: one a task, in the order of the batches' numbers.
    """

    name = "joint"

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = list(objectives)

    def loss(self, model: Any, batch: TaskBatch) -> LossOutput:
        """Args:
        model: with `model.heads`, one a task.
        batch: of one task.
        """
        return self._objectives[batch.task].loss(model.heads[batch.task], batch.inner)
