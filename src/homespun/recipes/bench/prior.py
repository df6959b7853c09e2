"""The n-gram table a decoder is given: counted on its training stream, whole and without blocks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from homespun.models import NgramPrior


def make_prior(
    tokens: NDArray[Any],
    *,
    vocab_size: int,
    order: int,
    num_blocks: int,
    end_of_text_id: int | None = None,
) -> NgramPrior:
    """Count `tokens` once for each block left out, and once whole.

    Args:
        tokens: the training stream; blocks are equal parts of it, as `TokenBatches` numbers them.
            A row that begins in one block and ends in the next has its end counted: with rows of
            hundreds of tokens and blocks of many thousands that is next to nothing.
        vocab_size: ids of the model.
        order: longest n-gram.
        num_blocks: tables without a block; 8 leave seven eighths of the text to count.
        end_of_text_id: between documents; None where the stream is one text.
    """
    from homespun.models import NgramPrior

    # A text without ends has no id for them: one is added, and left out of what is returned.
    end = vocab_size if end_of_text_id is None else end_of_text_id
    num_ids = max(vocab_size, end + 1)
    cuts = [-(-len(tokens) * block // num_blocks) for block in range(num_blocks + 1)]
    without = [
        _fit([tokens[:start], tokens[stop:]], order=order, num_ids=num_ids, end=end)
        for start, stop in itertools.pairwise(cuts)
    ]
    whole = _fit([tokens], order=order, num_ids=num_ids, end=end)
    return NgramPrior(num_ids, whole, without, num_words=vocab_size)


def _fit(parts: list[NDArray[Any]], *, order: int, num_ids: int, end: int) -> list[Any]:
    from homespun.classic import KneserNey
    from homespun.models import OrderTable

    pieces = [piece for part in parts for piece in np.split(part, np.flatnonzero(part == end))]
    # Each piece but a first one begins with the mark, which the table adds itself.
    documents = [piece[1:] if len(piece) and piece[0] == end else piece for piece in pieces]
    table = KneserNey(order=order, vocab_size=num_ids, end_of_text_id=end)
    table.fit([document for document in documents if len(document)])
    return [OrderTable.of(*arrays) for arrays in table.tables()]
