"""The n-gram table a decoder is given: counted on its training stream, whole and without blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """Count `tokens` once, for all blocks left out and for the whole.

    Nine million tokens at order 3 take some seconds, and a few hundred MB.

    Args:
        tokens: the training stream; blocks are equal parts of it, as `TokenBatches` numbers them.
            A row that begins in one block and ends in the next has its end counted: with rows of
            hundreds of tokens and blocks of many thousands that is next to nothing.
        vocab_size: ids of the model.
        order: longest n-gram.
        num_blocks: tables without a block; 8 leave seven eighths of the text to count.
        end_of_text_id: between documents; None where the stream is one text.
    """
    from homespun.classic import count_left_out
    from homespun.models import NgramPrior, OrderTable

    # A text without ends has no id for them: one is added, and left out of what is returned.
    end = vocab_size if end_of_text_id is None else end_of_text_id
    num_ids = max(vocab_size, end + 1)
    orders = count_left_out(
        tokens, order=order, vocab_size=num_ids, end_of_text_id=end, num_blocks=num_blocks
    )
    return NgramPrior(num_ids, [OrderTable.of(*own) for own in orders], num_words=vocab_size)
