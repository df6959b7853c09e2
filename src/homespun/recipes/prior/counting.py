"""The n-gram table a decoder is given: counted on its training stream, whole and without blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from homespun.core import TextBlocks

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import NgramPrior

KEEP_ALL_TO = 3
"""Longer n-grams that occur once are not kept: at order 5 they are nine tenths of the table."""

COPY_TOKENS = 32_768
"""From which the odds of copies are measured."""


def make_prior(
    tokens: NDArray[Any],
    *,
    vocab_size: int,
    order: int,
    blocks: TextBlocks | None,
    end_of_text_id: int | None = None,
    copy_context: int | None = None,
) -> NgramPrior:
    """Count `tokens` once, for all blocks left out and for the whole.

    Nine million tokens at order 3 take some seconds, and a few hundred MB.

    Args:
        tokens: the training stream.
        vocab_size: ids of the model.
        order: longest n-gram.
        blocks: of `tokens`, the same that `TokenBatches` gets; 8 leave seven eighths to count.
        end_of_text_id: between documents; None where the stream is one text.
        copy_context: tokens of the rows that will be read, in which runs of tokens may come again;
            None for a table that does not look at its context.
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
    prior = NgramPrior(num_ids, [OrderTable.of(*own) for own in orders], num_words=vocab_size)
    if copy_context is None:
        return prior
    return prior.with_copies(copy_odds(prior, tokens, blocks, context=copy_context))


def copy_odds(
    prior: NgramPrior, tokens: NDArray[Any], blocks: TextBlocks | None, *, context: int
) -> Tensor:
    """How far what followed earlier in a context is to be believed, by rows spread over `tokens`,
    each asked of the table that has not counted it."""
    import numpy as np
    import torch

    from homespun.models.prior.copies import find_copies, fit_odds

    context = min(context, len(tokens) - 1)
    num = max(1, min(COPY_TOKENS, len(tokens) - 1) // context)
    starts = np.linspace(0, len(tokens) - 1 - context, num).astype(np.int64)
    places = starts[:, None] + np.arange(context + 1)
    rows = torch.from_numpy(np.asarray(tokens)[places].astype(np.int64))
    own = None if blocks is None else torch.from_numpy(blocks.at(places[:, 1:])).long()
    found, copies = [], []
    for part in range(0, num, 8):
        ids, targets = rows[part : part + 8, :-1], rows[part : part + 8, 1:]
        log_p = prior.log_probs(
            ids, last=context, blocks_BT=None if own is None else own[part : part + 8]
        )
        seen = targets.clamp(max=prior.num_words - 1)[..., None]
        found.append(log_p.gather(2, seen).flatten())
        copies.append(find_copies(ids, last=context).flatten(0, 1))
    return fit_odds(torch.cat(found), torch.cat(copies), rows[:, 1:].flatten())
