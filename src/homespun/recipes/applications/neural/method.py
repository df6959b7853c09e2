"""Methods that train something on an encoder: what is theirs, and the rest written once."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

from homespun.core import derive_seed
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural.bases import Base, base_of
from homespun.recipes.applications.neural.choosing import CHOSEN_BY, ONLY_WATCHED, looks_at
from homespun.recipes.applications.neural.fitting import (
    FitSettings,
    fit_with,
    train_config,
)
from homespun.recipes.applications.neural.scoring import dev_loss

if TYPE_CHECKING:
    from homespun.core import Objective
    from homespun.training import Evaluate, Example
    from homespun.training.data.tasks import TaskSource

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")


class Begun(NamedTuple):
    """A model that is ready to be trained.

    Attributes:
        learned: answers with it; `learned.model` is the model.
        objective: what is learned.
        source: batches of the training examples.
        evaluate: the loss over held-out examples.
        settings: how it is learned.
        dev: what is answered to choose weights by; None for the lesson's held-out examples.
    """

    learned: Any
    objective: Objective
    source: TaskSource
    evaluate: Evaluate
    settings: FitSettings
    dev: Sequence[Any] | None = None


class EncoderLearning(Method[ExampleT, AnswerT]):
    """A method whose model is a head on an encoder. It can be learned alone, or together with other
    tasks' heads on the same encoder.

    Attributes:
        fresh: usual shape of the encoder where none is given, see `fresh_base`.
        shape: the one that is taken.
    """

    takes_base = True
    takes_time = True
    held_out = CHOSEN_BY
    held_out_few = ONLY_WATCHED
    fresh: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self.shape: Mapping[str, int] = self.fresh

    def shaped(self, shape: Mapping[str, int]) -> Self:
        """The same, with a fresh encoder of that shape."""
        other = copy.copy(self)
        other.shape = dict(shape)
        return other

    @abstractmethod
    def texts(self, examples: Sequence[ExampleT]) -> list[str]:
        """All text of examples: what a tokenizer is learned from."""

    @abstractmethod
    def begin(self, lesson: Lesson[ExampleT], base: Base) -> Begun:
        """Put a head on `base`, and leave in the lesson's folder all that `load` needs but for
        weights."""

    def settle(self, learned: Any, lesson: Lesson[ExampleT]) -> None:
        """What is left to choose once weights are learned."""

    def base(self, lesson: Lesson[ExampleT]) -> Base:
        """The encoder to begin with."""
        return base_of(lesson, self.texts(lesson.train), **self.shape)

    def learn(self, lesson: Lesson[ExampleT]) -> Any:
        begun = self.begin(lesson, self.base(lesson))
        fit(begun, lesson)
        self.settle(begun.learned, lesson)
        return begun.learned


def fit(begun: Begun, lesson: Lesson[Any]) -> None:
    """`fit_with` the usual config of a head on an encoder, see `train_config`."""
    config = train_config(begun.source, lesson, begun.settings)
    model = begun.learned.model
    looks = looks_at(begun.learned, lesson, begun.evaluate, dev=begun.dev)
    fit_with(model, begun.objective, begun.source, lesson, config, looks)


def with_examples(
    learned: Any,
    objective: Objective,
    train: Sequence[Example],
    dev: Sequence[Example],
    lesson: Lesson[Any],
    settings: FitSettings,
    *,
    context: int,
    per_token: bool = False,
) -> Begun:
    """Batches of examples of like lengths, with the mean loss a target over `dev`.

    Args:
        context: tokens of an example at most.
        per_token: examples have a target for each token.
    """
    from homespun.training import ExampleBatches

    source = ExampleBatches(
        train,
        tokens=settings.batch_tokens,
        seed=derive_seed(lesson.seed, "order"),
        context=context,
        per_token=per_token,
    )
    evaluate = dev_loss(objective, dev, per_token=per_token)
    return Begun(learned, objective, source, evaluate, settings)
