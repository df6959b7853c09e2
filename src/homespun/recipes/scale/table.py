"""The n-gram table beside a fast model, of its text or a part of it, and how good it is alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from homespun.core import TextBlocks
from homespun.recipes.measure import loaded_kernels
from homespun.recipes.prior import make_prior
from homespun.recipes.scale.room import check_counting
from homespun.recipes.scale.shapes import decoder_shape
from homespun.scaling.rules import TableSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.models import NgramPrior

_REMEDY = "sweep with --preset portable, whose models need no table, or give a shorter text"
PARTS = (64, 16, 4)
"""One in so many tokens of the training text is counted, to see what more text gives a table."""


class TableText(NamedTuple):
    """What a table is counted on and asked about.

    Attributes:
        train: ids to count. held_out: ids to foretell.
        vocab_size: of both. end_of_text_id: between documents.
        context: as models read the text.
        max_tokens: of the held-out ids that are foretold.
    """

    train: NDArray[Any]
    held_out: NDArray[Any]
    vocab_size: int
    end_of_text_id: int | None
    context: int
    max_tokens: int


class Table(NamedTuple):
    """Attributes:
    prior: the counts. blocks: of the text, each of which has counts of its own.
    loss: nats per token of the held-out text by them alone.
    """

    prior: NgramPrior
    blocks: TextBlocks
    loss: float


class Tables:
    """Counts tables, and keeps the newest: cells that read the same text share one."""

    def __init__(self) -> None:
        self._key: object = None
        self._table: Table | None = None

    def of(self, key: object, text: TableText, settings: TableSettings) -> Table:
        """The table of `text`, which `key` names.

        Raises:
            BudgetError: counting it takes more memory than there is.
        """
        if self._table is None or self._key != (key, settings):
            self._table = None  # the memory of the old one is free before the new one is counted
            check_counting(settings.order, len(text.train), remedy=_REMEDY)
            self._table, self._key = count_table(text, settings), (key, settings)
        return self._table


def count_table(text: TableText, settings: TableSettings) -> Table:
    """Count the training ids, and foretell the held-out ones."""
    blocks = TextBlocks(text.train, end_of_text_id=text.end_of_text_id, num_blocks=settings.blocks)
    prior = make_prior(
        text.train,
        vocab_size=text.vocab_size,
        order=settings.order,
        blocks=blocks,
        end_of_text_id=text.end_of_text_id,
        copy_context=text.context if settings.copies else None,
    )
    return Table(prior, blocks, table_loss(prior, text))


def table_loss(prior: NgramPrior, text: TableText) -> float:
    """Nats per token of the held-out ids by the table alone, as models are judged: a fast model
    that has learnt nothing yet is its table."""
    import torch

    from homespun.evaluation import quick_validation
    from homespun.models.native import use_kernels

    shape = decoder_shape(
        width=16, num_layers=1, vocab_size=text.vocab_size, context=text.context, preset="fast"
    )
    model = shape.build(torch.Generator().manual_seed(0))
    model.attach_prior(prior)
    with use_kernels(loaded_kernels()):
        return quick_validation(
            model, text.held_out, context=text.context, max_tokens=text.max_tokens
        )


def table_curve(
    text: TableText, settings: TableSettings, part: Callable[[int], NDArray[Any]]
) -> list[tuple[int, float]]:
    """(tokens counted, loss alone) of tables of ever larger parts of the training text.

    Args:
        part: so many tokens that are like the whole.
    """
    sizes = [len(text.train) // share for share in PARTS]
    return [
        (size, count_table(text._replace(train=part(size)), settings).loss)
        for size in sizes
        if size >= text.context
    ]


def spread(tokens: Any, num: int, *, block: int = 1024) -> NDArray[Any]:
    """`num` tokens in blocks that are spread evenly over all of `tokens`.

    The beginning of a corpus is one book or one site; a part must be like the whole, or its loss
    tells how strange it is rather than what reading it again is worth.
    """
    block = min(block, num)
    blocks = -(-num // block)
    starts = np.linspace(0, len(tokens) - block, blocks).astype(np.int64)
    return np.concatenate([np.asarray(tokens[s : s + block]) for s in starts])[:num]
