"""The n-gram table a decoder is given: counted on its training stream, whole and without blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from homespun.core import TextBlocks

if TYPE_CHECKING:
    from homespun.models import NgramPrior

KEEP_ALL_TO = 3
"""Longer n-grams that occur once are not kept: at order 5 they are nine tenths of the table."""


def make_prior(
    tokens: NDArray[Any],
    *,
    vocab_size: int,
    order: int,
    blocks: TextBlocks | None,
    end_of_text_id: int | None = None,
) -> NgramPrior:
    """Count `tokens` once, for all blocks left out and for the whole.

    Nine million tokens at order 3 take some seconds, and a few hundred MB.

    Args:
        tokens: the training stream.
        vocab_size: ids of the model.
        order: longest n-gram.
        blocks: of `tokens`, the same that `TokenBatches` gets; 8 leave seven eighths to count.
        end_of_text_id: between documents; None where the stream is one text.
    """
    from homespun.classic import count_left_out
    from homespun.models import NgramPrior, OrderTable

    # A text without ends has no id for them: one is added, and left out of what is returned.
    end = vocab_size if end_of_text_id is None else end_of_text_id
    num_ids = max(vocab_size, end + 1)
    orders = count_left_out(
        tokens,
        order=order,
        vocab_size=num_ids,
        end_of_text_id=end,
        blocks=blocks,
        keep_all_to=KEEP_ALL_TO,
    )
    return NgramPrior(num_ids, [OrderTable.of(*own) for own in orders], num_words=vocab_size)
