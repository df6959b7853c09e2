"""A stream in blocks that are left out one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from homespun.core import ConfigError, TextBlocks

END = 9


def test_documents_are_dealt_whole_and_in_turn():
    tokens = np.array([END, 1, 2, END, 3, END, 4, 5, 6, END, 7, END])
    blocks = TextBlocks(tokens, end_of_text_id=END, num_blocks=2)
    assert blocks.at(np.arange(12)).tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]


def test_one_text_is_cut_into_equal_parts_and_places_keep_their_shape():
    blocks = TextBlocks(np.zeros(10), end_of_text_id=None, num_blocks=3)
    assert blocks.at(np.arange(10)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert blocks.at(np.array([[0, 9], [3, 4]])).tolist() == [[0, 2], [1, 1]]


def test_a_document_longer_than_a_block_is_cut():
    tokens = np.array([END, 1, END, *[2] * 7, END])
    block_at = TextBlocks(tokens, end_of_text_id=END, num_blocks=3).at(np.arange(len(tokens)))
    assert len(set(block_at[3:].tolist())) == 2


def test_a_part_of_the_stream_keeps_the_blocks_of_the_whole():
    tokens = np.array([END, *[1] * 9, END, *[2] * 4, END, *[3] * 6, END])
    blocks = TextBlocks(tokens, end_of_text_id=END, num_blocks=3)
    whole = blocks.at(np.arange(len(tokens)))
    part = blocks.part(11)
    assert part.num_blocks == 3
    assert part.at(np.arange(len(tokens) - 11)).tolist() == whole[11:].tolist()
    assert blocks.at(np.arange(len(tokens))).tolist() == whole.tolist()


@pytest.mark.parametrize("num_blocks", [0, 1, 256])
def test_a_number_of_blocks_that_does_not_go(num_blocks):
    with pytest.raises(ConfigError, match="2 to 255 blocks"):
        TextBlocks(np.zeros(10), end_of_text_id=None, num_blocks=num_blocks)
