"""The dropout and weight decay of a plan, by how well its model could know the text by heart."""

from __future__ import annotations

from typing import NamedTuple

from homespun.recipes.scale.tuned import TunedSettings
from homespun.scaling.plan import rereading, suited_dropout
from homespun.scaling.rules import WEIGHT_DECAY


class Read(NamedTuple):
    """Of a text that a model is trained on: how many tokens it reads, and how many there are."""

    tokens: float
    unique: float


class Chosen(NamedTuple):
    """Attributes:
    dropout: of the model.
    weight_decay: None leaves it to `learn`.
    is_ruled: whether how often the text is read has decided any of it.
    """

    dropout: float
    weight_decay: float | None
    is_ruled: bool


def choose_regularisation(
    parameters: float,
    text: Read,
    *,
    is_asked: bool,
    is_beside_table: bool,
    tuned: TunedSettings,
) -> Chosen:
    """What a plan takes: beside a table what is counted on (`scaling.plan.suited_dropout`); what
    suits a text that is read often (`training.regularisation`), where that is asked for.

    Args:
        parameters: that every token is multiplied by.
        text: of several that are read in turn, the one that could be known by heart best.
        is_asked: as by `--regularise`.
        tuned: what a search found, which goes before what is asked for.
    """
    from homespun.training import regularisation

    suits = None
    if is_asked:
        suits = regularisation(rereading(parameters, *text), weight_decay=WEIGHT_DECAY)
    asked = 0.0 if suits is None else round(suits.dropout, 4)
    if tuned.dropout is not None:
        asked = tuned.dropout
    # What is foretold of a text that is read on beside a table counts on that much, which neither a
    # search, whose trials read it less often, nor what is asked for may fall below.
    least = suited_dropout(parameters, *text, is_beside_table=is_beside_table)
    dropout = max(asked, least)
    is_found = tuned.weight_decay is not None and dropout == tuned.dropout
    decay = tuned.weight_decay
    if suits is not None and decay is None:
        decay = round(suits.weight_decay, 4)
    return Chosen(dropout, decay, (suits is not None or least > 0) and not is_found)
