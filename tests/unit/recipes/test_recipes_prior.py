"""Tables for a decoder, counted whole and without each block of the stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homespun.classic import KneserNey
from homespun.recipes.prior import make_prior


def test_one_text_without_ends_is_counted_as_one_document():
    tokens = np.random.default_rng(0).integers(0, 9, 600)
    prior = make_prior(tokens, vocab_size=9, order=3, num_blocks=4)
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
    tokens = np.concatenate([[end], *([*random.integers(0, 5, 30), end] for _ in range(12))])
    prior = make_prior(tokens, vocab_size=6, order=3, num_blocks=3, end_of_text_id=end)
    cut = -(-len(tokens) // 3)
    rest = np.split(tokens[cut:], np.flatnonzero(tokens[cut:] == end))
    documents = [piece[piece != end] for piece in rest]
    table = KneserNey(order=3, vocab_size=6, end_of_text_id=end)
    table.fit([document for document in documents if len(document)])
    ids = torch.tensor([[end, 1, 2, 3]])
    got = prior.log_probs(ids, last=1, blocks_B=torch.tensor([0]))[0, 0].exp().numpy()
    assert got == pytest.approx(table.next_probabilities([1, 2, 3]), abs=1e-6)
