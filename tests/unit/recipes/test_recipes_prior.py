"""Tables for a decoder, counted whole and without each block of the stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homespun.classic import KneserNey
from homespun.core import TextBlocks
from homespun.recipes.prior import make_prior


def test_one_text_without_ends_is_counted_as_one_document():
    tokens = np.random.default_rng(0).integers(0, 9, 600)
    blocks = TextBlocks(tokens, end_of_text_id=None, num_blocks=4)
    prior = make_prior(tokens, vocab_size=9, order=3, blocks=blocks)
    assert (prior.order, prior.num_blocks, prior.num_words) == (3, 4, 9)
    table = KneserNey(order=3, vocab_size=10, end_of_text_id=9).fit([tokens])
    ids = torch.tensor([[1, 2, 3, 4]])
    got = prior.log_probs(ids, last=1)[0, 0].exp().numpy()
    # The table is asked in the middle of a text, where the history is not its beginning; it has
    # counted that the text ends, which a stream does not say.
    assert got == pytest.approx(table.next_probabilities([0, 0, 1, 2, 3, 4])[:9], abs=3e-4)


def test_each_block_is_left_out_of_its_own_table_and_ends_are_kept_apart():
    random = np.random.default_rng(1)
    end = 5
    documents = [random.integers(0, 5, 30) for _ in range(12)]
    tokens = np.concatenate([[end], *([*document, end] for document in documents)])
    blocks = TextBlocks(tokens, end_of_text_id=end, num_blocks=3)
    prior = make_prior(tokens, vocab_size=6, order=3, blocks=blocks, end_of_text_id=end)
    rest = [document for n, document in enumerate(documents) if n % 3 != 0]
    table = KneserNey(order=3, vocab_size=6, end_of_text_id=end).fit(rest)
    ids = torch.tensor([[end, 1, 2, 3]])
    blocks_BT = torch.zeros_like(ids)
    got = prior.log_probs(ids, last=1, blocks_BT=blocks_BT)[0, 0].exp().numpy()
    assert got == pytest.approx(table.next_probabilities([1, 2, 3]), abs=1e-6)
