"""What a task, a method and a learned model are; every application of language models is a task.

A task (classify, tag, translate …) says what it wants of a row, what an answer looks like and how
good answers are. A method (counting words, a CRF, an encoder …) learns to answer. Tasks know
nothing of training, methods nothing of files and measures, and everything else is written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import numpy as np

from homespun.classic.units import one_line
from homespun.recipes.applications.rows import Column, Row

if TYPE_CHECKING:
    from homespun.core import Progress, WorkClock
    from homespun.evaluation.metrics import ClassRow, Statistics

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")
TextT = TypeVar("TextT", contravariant=True)
SaidT = TypeVar("SaidT")


ROW = "row number"
"""Under which examples are told which row of a file they are of."""
NOT_NEEDED = "that it has no use for"
"""What methods do with `Lesson.dev` that learn nothing."""


class Scored(NamedTuple):
    """How good answers are, in one number.

    Attributes:
        name: of the measure that methods are compared by.
        value: more is better.
    """

    name: str
    value: float


@dataclass(frozen=True)
class Lesson(Generic[ExampleT]):
    """What a method learns from.

    Attributes:
        train: examples with what is right.
        dev: further ones, for what there is to choose; never those it is judged on. What a method
            does with them its `held_out` says.
        folder: exists and is the method's own; what `load` reads back must be written there.
        seed: of every draw.
        seconds: how long learning may take; None for as long as the method thinks right.
        base: folder of a pretrained model to begin with; None to begin from nothing.
        options: what the user asked of this method by name (`--set NAME=VALUE`).
        clock, progress: the working clock, and where to say how far it is.
        score: how good answers to examples are; None where nothing is to be chosen by that.
    """

    train: Sequence[ExampleT]
    dev: Sequence[ExampleT]
    folder: Path
    seed: int
    seconds: float | None
    base: Path | None
    options: Mapping[str, str]
    clock: WorkClock
    progress: Progress
    score: Callable[[Sequence[ExampleT], Sequence[Any]], Scored] | None = None


class Learned(Protocol[TextT, SaidT]):
    """What has been learned, ready to answer."""

    def answer(self, examples: Sequence[TextT]) -> list[SaidT]:
        """One answer an example, in order; what examples say of the right one is not looked at."""
        ...


@runtime_checkable
class ReadsBeginnings(Protocol[TextT]):
    """What has been learned, and reads so much of an example and no more.

    Attributes:
        most: how much that is, as people read it: "256 tokens of a text".
    """

    @property
    def most(self) -> str: ...

    def are_cut(self, examples: Sequence[TextT]) -> list[bool]:
        """Whether an example is longer than that, of each."""
        ...


@runtime_checkable
class HasNotes(Protocol):
    """What has been learned, and has more to say of how.

    Attributes:
        notes: sentences a person should read beside the numbers.
    """

    @property
    def notes(self) -> Sequence[str]: ...


class Method(ABC, Generic[ExampleT, AnswerT]):
    """A way to learn a task.

    Attributes:
        name: as the user writes it.
        summary: one line of help.
        needs_base: begins with a pretrained model that is given. takes_base: may begin with one.
        base_kind: what that is, as people call it. base_file: that its folder must have.
        takes_time: learning ends when its time is over; others take as long as they take.
        held_out: what it does with `Lesson.dev`, to be read behind "100 more rows".
        held_out_few: the same where they are too few to choose weights by; "" of a method that
            chooses none.
        options: names it understands, with their defaults as text; "" leaves it to the method.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_base: ClassVar[bool] = False
    takes_base: ClassVar[bool] = False
    base_kind: ClassVar[str] = "encoder"
    base_file: ClassVar[str] = "config.json"
    takes_time: ClassVar[bool] = False
    held_out: ClassVar[str] = "that were learned from as well"
    held_out_few: ClassVar[str] = ""
    options: ClassVar[Mapping[str, str]] = {}

    def preprocess(
        self, examples: Sequence[ExampleT], options: Mapping[str, str]
    ) -> list[ExampleT]:
        """Examples as they are learned from, divided and judged, by this method and by all it is
        held against. Most take them as they come.

        Args:
            examples: of all files, with what is right.
            options: as in `Lesson`.
        """
        return list(examples)

    @abstractmethod
    def learn(self, lesson: Lesson[ExampleT]) -> Learned[ExampleT, AnswerT]:
        """Learn, and leave in `lesson.folder` all that `load` needs. Killed and called again with
        the same lesson, it goes on or begins anew, and comes to the same."""

    @abstractmethod
    def load(self, folder: Path) -> Learned[ExampleT, AnswerT]:
        """What `learn` left there. Raises CheckpointError or DataError where it is damaged."""


@dataclass(frozen=True)
class Measured:
    """How good answers are.

    Attributes:
        statistics: every measure, the one that methods are compared by first.
        classes: how each class fares, where there are classes.
        confusion: names, and counts of gold down and predicted across.
        notes: sentences a person should read beside the numbers.
        extra: further numbers, by name.
        per_row: how good each row's answer is, 0 … 1, to show the worst; None takes the first
            measure of each row alone.
        of_rows: numbers of the rows that measures of fewer items than all are of.
        less_is_better: of the first measure; of most more is.
    """

    statistics: Sequence[Statistics]
    classes: Sequence[ClassRow] = ()
    confusion: tuple[list[str], list[list[int]]] | None = None
    notes: Sequence[str] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    per_row: Sequence[float] | None = None
    of_rows: Sequence[int] = ()
    less_is_better: bool = False


class Application(ABC, Generic[ExampleT, AnswerT]):
    """A task of the `finetune` and `apply` commands.

    Attributes:
        name: of the task.
        summary: one line of help.
        inputs, gold: columns it wants of a row, to answer and to learn.
        optional: further columns it takes where they are there.
        baselines: methods the learned one is held against, weakest first.
        answers_together: an answer hangs on the other rows of the file.
        alike: settings of methods that baselines share, else nothing could be compared.
        takes_several: of what is right there may be several a row.
        redrawn_as: what intervals redraw, in the plural; see `redrawn_with`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    inputs: ClassVar[tuple[Column, ...]]
    gold: ClassVar[tuple[Column, ...]]
    optional: ClassVar[tuple[Column, ...]] = ()
    baselines: ClassVar[tuple[str, ...]] = ()
    answers_together: ClassVar[bool] = False
    alike: ClassVar[tuple[str, ...]] = ()
    takes_several: ClassVar[bool] = False
    redrawn_as: ClassVar[str] = "different inputs"

    @property
    @abstractmethod
    def methods(self) -> Mapping[str, Callable[[], Method[ExampleT, AnswerT]]]:
        """What makes each method, by its name; heavy imports happen inside."""

    @abstractmethod
    def default_method(self, *, has_base: bool) -> str:
        """The method that is taken where the user names none."""

    def completed(self, row: Row) -> Row:
        """A row of a file, with what the task can make of columns that it has no use for itself."""
        return row

    @abstractmethod
    def example(self, values: Mapping[str, Any]) -> ExampleT:
        """Make one of a row.

        Args:
            values: by the names of `inputs`, and of `gold` and `optional` where they are there; of
                rows that are answered also `ROW`, their number in the file, from 1.

        Raises:
            DataError: a value is not what it should be.
        """

    def as_learned(self, learned: Learned[ExampleT, AnswerT]) -> Application[ExampleT, AnswerT]:
        """The task, which makes examples of rows as those were that `learned` has seen. Most tasks
        know one way only."""
        return self

    def settle(self, examples: list[ExampleT]) -> list[ExampleT]:
        """Decide what only all examples together tell, those to judge on included: whether labels
        are several, relations numbers, tags spans.

        Raises:
            DataError: they contradict one another.
        """
        return examples

    @abstractmethod
    def key(self, example: ExampleT) -> str:
        """What makes two examples the same to read: they never lie on both sides of a split."""

    def asked_whole(self, example: ExampleT) -> str:
        """What makes two examples one, where their keys alone do not: a passage is kept on one side
        of a split with all its questions, and who knows one of these does not know the others."""
        return self.key(example)

    def texts_right(self, example: ExampleT) -> Sequence[str]:
        """Right answers that are texts of a person's own, which may stand beside other inputs too;
        none where answers are classes, tags or parts of the input."""
        return ()

    def texts_read(self, example: ExampleT) -> Sequence[str]:
        """Of inputs of several texts these, the one first that matters most: each may stand beside
        others too, and who has learned from one knows a part of all inputs that have it. None where
        an input is one text."""
        return ()

    def classes(self, example: ExampleT) -> Collection[str]:
        """Classes that are right: one that was never learned cannot be answered. None where answers
        are no classes."""
        return ()

    def class_alone(self, example: ExampleT) -> str | None:
        """The one class that is right, of which each part of the rows is to have its share; None
        where there may be several, or answers are no classes."""
        return None

    def redrawn_with(self, example: ExampleT) -> str:
        """What two examples have in common that say hardly more than one of them, so that intervals
        redraw them together: who errs on a text errs on its copies."""
        return self.key(example)

    def asked(self, example: ExampleT) -> str:
        """What was asked, for people who look at answers."""
        return self.key(example)

    @abstractmethod
    def measure(
        self, examples: Sequence[ExampleT], answers: Sequence[AnswerT], draw: np.random.Generator
    ) -> Measured:
        """How good answers are; `examples` say what is right."""

    def score(self, examples: Sequence[ExampleT], answers: Sequence[AnswerT]) -> Scored:
        """The measure that methods are compared by, alone."""
        draw = np.random.Generator(np.random.PCG64(0))
        main = self.measure(examples, answers, draw).statistics[0]
        return Scored(main.name, main.value)

    @abstractmethod
    def shown(self, example: ExampleT, answer: AnswerT) -> dict[str, Any]:
        """An answer as JSON, for the file `apply` writes."""

    @abstractmethod
    def right(self, example: ExampleT) -> dict[str, Any]:
        """The right answer as JSON, by the names of `gold`."""

    def plain(self, example: ExampleT, answer: AnswerT) -> str:
        """An answer as one line of text, for a terminal."""
        return "\t".join(one_line(str(value)) for value in self.shown(example, answer).values())

    def to_learn(self) -> tuple[Column, ...]:
        """Columns without which nothing can be learned."""
        return (*self.inputs, *self.gold)

    def columns(self) -> tuple[Column, ...]:
        return (*self.inputs, *self.gold, *self.optional)
