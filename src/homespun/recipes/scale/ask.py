"""What a plan is asked for, and what a preset would come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.core import RunDirectory
from homespun.recipes.measure import ShapeSpeed
from homespun.recipes.scale.options import STEP_TOKENS_ROWS, Text, shapes_to_choose
from homespun.recipes.scale.room import Room
from homespun.recipes.scale.shapes import Preset
from homespun.recipes.scale.tuned import TunedSettings
from homespun.recipes.together import ALONE, Helpers
from homespun.scaling.between import law_for
from homespun.scaling.choose import Outcome
from homespun.scaling.law import Law
from homespun.scaling.rules import TableSettings, rows_for, table_for

if TYPE_CHECKING:
    from homespun.models import DecoderConfig
    from homespun.training import RampConfig

# That shapes are timed with which will have some: of a step of 96x4 to 192x6 it takes 5 to 7%.
TYPICAL_DROPOUT = 0.1


class Ask(NamedTuple):
    """What a plan is asked for.

    Attributes:
        run: with tokenizer and shards.
        text: its training text. kind: of its tokenizer, bpe, char or byte.
        vocab_size, context: of the models.
        size: asked for; None for the best.
        seconds: of pretraining; None where `steps` are given.
        steps: instead; nothing is measured then.
        margin: by what share the fast preset must be foretold lower to be taken.
        room: memory there is; None where it is not to be looked at.
        before: resident bytes before anything was measured.
        ramp: of rows and context; None for the same all the time.
        dropout: that shapes are timed with.
        overhead: as in `needed_memory`, before a shape has shown its own.
        helpers: who will train along.
        share: how many times as fast all train together as the leader alone.
        is_regularised: whether dropout and weight decay are to follow how often the text is read.
        tuned: settings of a search.
    """

    run: RunDirectory
    text: Text
    kind: str
    vocab_size: int
    context: int
    size: str | None
    seconds: float | None
    steps: int | None
    margin: float = 0.0
    room: Room | None = None
    before: int = 0
    ramp: RampConfig | None = None
    dropout: float = 0.0
    overhead: float = 1.0
    helpers: Helpers = ALONE
    share: float = 1.0
    is_regularised: bool = False
    tuned: TunedSettings = TunedSettings()

    def dropping(self, drops: bool) -> Ask:
        """The same for models with dropout or without. How much of it does not matter for speed and
        memory: its masks are drawn all the same."""
        return self._replace(dropout=TYPICAL_DROPOUT if drops else 0.0)

    def shapes(self, preset: Preset) -> list[DecoderConfig]:
        shapes = shapes_to_choose(
            self.size, vocab_size=self.vocab_size, context=self.context, preset=preset
        )
        if not self.dropout:
            return shapes
        return [shape.model_copy(update={"dropout": self.dropout}) for shape in shapes]

    def rows(self, tokens: float) -> int:
        """Of the context, in the largest step of a run that reads so many tokens; a number of steps
        says nothing of tokens unless the rows are fixed."""
        if self.ramp is not None:
            return self.ramp.rows
        return STEP_TOKENS_ROWS if self.steps else rows_for(tokens, context=self.context)

    def tokens_in_steps(self) -> int:
        assert self.steps is not None
        if self.ramp is not None:
            return self.ramp.tokens_in(self.steps)
        return self.steps * STEP_TOKENS_ROWS * self.context

    def law(self, preset: Preset) -> Law:
        return law_for(preset, self.text.repetition)

    def table(self, preset: Preset) -> TableSettings:
        return table_for(preset, self.kind)


class Proposal(NamedTuple):
    """Attributes:
    preset, law: by which it was chosen.
    chosen, model: size and length, and the shape.
    table: beside the model.
    speeds: measured, or guessed from another preset's; none where steps are given.
    parts: that a step's rows are cut into, so that it fits into memory.
    unlimited: name of the shape that it would be with more memory; None where it is the same.
    """

    preset: Preset
    law: Law
    chosen: Outcome
    model: DecoderConfig
    table: TableSettings
    speeds: Sequence[ShapeSpeed] = ()
    parts: int = 1
    unlimited: str | None = None

    def parts_of(self, shape: DecoderConfig) -> int:
        """Of the one shape that it is about."""
        assert shape == self.model
        return self.parts


def has_dropout(ask: Ask, proposal: Proposal) -> bool:
    """Whether a plan that takes it has dropout, by how often the text is read then."""
    from homespun.recipes.plan import Read, choose_regularisation

    chosen = choose_regularisation(
        proposal.chosen.size.parameters,
        Read(proposal.chosen.tokens, ask.text.tokens),
        is_asked=ask.is_regularised,
        is_beside_table=proposal.law.table is not None,
        tuned=ask.tuned,
    )
    return chosen.dropout > 0
