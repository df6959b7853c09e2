import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import ChatTokens, DataError
from homespun.training import IGNORED, ChatBatches
from homespun.training.data.packing import best_fit_decreasing, cut_conversation


def conversation(*turns: tuple[int, int], first: int = 0) -> ChatTokens:
    """Turns of (question tokens, answer tokens); every id is its own place plus `first`."""
    marks = [mark for asked, said in turns for mark in [False] * asked + [True] * said]
    return ChatTokens(tuple(range(first, first + len(marks))), tuple(marks))


turns = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40)), min_size=1, max_size=8)


def test_a_short_conversation_is_one_piece_with_only_answers_as_targets():
    (piece,) = cut_conversation(conversation((3, 2), (2, 2)), context=16)
    assert piece.ids.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert piece.targets.tolist() == [-100, -100, 3, 4, -100, -100, 7, 8]


@settings(max_examples=200, deadline=None)
@given(turns=turns, context=st.integers(4, 40))
def test_every_answer_token_is_a_target_exactly_once_however_long_the_conversation(turns, context):
    chat = conversation(*turns)
    pieces = cut_conversation(chat, context)
    targets = [t for piece in pieces for t in piece.targets.tolist() if t != IGNORED]
    assert targets == [i for i, marked in zip(chat.ids, chat.is_target, strict=True) if marked]
    for piece in pieces:
        assert 1 <= len(piece.ids) <= context
        assert np.all(np.diff(piece.ids) == 1), "a piece is a stretch of the conversation"
        known = piece.targets != IGNORED
        assert np.array_equal(piece.targets[known], piece.ids[known] + 1)


def test_a_later_answer_that_does_not_fit_opens_a_window_at_its_question():
    first, second = cut_conversation(conversation((3, 4), (5, 6)), context=12)
    assert first.ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert second.ids.tolist() == list(range(7, 17)), "from its question on, nothing before"
    assert second.targets.tolist()[4:] == [12, 13, 14, 15, 16, 17]


def test_an_answer_too_long_for_a_row_goes_on_with_half_a_row_of_what_was_said():
    pieces = cut_conversation(conversation((4, 30)), context=16)
    assert pieces[0].ids[0] == 0
    for before, after in itertools.pairwise(pieces):
        overlap = int(before.ids[-1]) + 1 - int(after.ids[0])
        assert overlap == 16 // 2 - 1 or after.ids[0] == 0
        assert len(after.ids) - overlap > 0


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), max_size=80))
def test_packing_puts_every_item_in_one_bin_and_none_overflows(lengths):
    bins = best_fit_decreasing(lengths, 50)
    assert sorted(item for row in bins for item in row) == list(range(len(lengths)))
    assert all(sum(lengths[item] for item in row) <= 50 for row in bins)
    if lengths:
        fewest = -(-sum(lengths) // 50)
        assert len(bins) <= 11 / 9 * max(fewest, _needed(lengths, 50)) + 1
    assert len(best_fit_decreasing(lengths[::-1], 50)) == len(bins)


def _needed(lengths: list[int], size: int) -> int:
    """A lower bound: items longer than half a bin need one each."""
    return sum(length > size / 2 for length in lengths)


def chats() -> list[ChatTokens]:
    draw = np.random.default_rng(0)
    return [
        conversation(
            *((int(draw.integers(1, 9)), int(draw.integers(1, 12))) for _ in range(2)),
            first=100 * number,
        )
        for number in range(23)
    ]


def test_an_epoch_trains_every_answer_token_once_and_segments_hold_one_conversation():
    source = ChatBatches(chats(), context=48, rows=1, seed=0)
    for epoch in (0, 1):
        trained: list[int] = []
        for number in range(source.rows_per_epoch):
            batch = source.batch(epoch * source.rows_per_epoch + number)
            ids, targets = batch.ids_BT[0], batch.targets_BT[0]
            segments, positions = batch.segments_BT[0], batch.positions_BT[0]
            trained += targets[targets != IGNORED].tolist()
            assert batch.num_tokens == int((segments != 0).sum())
            assert bool((targets[segments == 0] == IGNORED).all())
            for segment in range(1, int(segments.max()) + 1):
                mine = segments == segment
                assert len({int(token) // 100 for token in ids[mine]}) == 1
                assert positions[mine].tolist() == list(range(int(mine.sum())))
                wanted = targets[mine]
                known = wanted != IGNORED
                assert (wanted[known] == ids[mine][known] + 1).all()
        expected = [
            i for c in chats() for i, marked in zip(c.ids, c.is_target, strict=True) if marked
        ]
        assert sorted(trained) == sorted(expected)


def test_conversations_are_cut_one_by_one_and_not_kept():
    """As tuples of Python's numbers they take several times the memory of what is cut from them."""

    class Watched(ChatTokens):
        """One that can be watched: it has no slots."""

    alive: list[weakref.ref[ChatTokens]] = []

    def given() -> Iterator[ChatTokens]:
        for chat in chats():
            assert sum(ref() is not None for ref in alive) <= 1
            watched = Watched(chat.ids, chat.is_target)
            alive.append(weakref.ref(watched))
            yield watched
            del watched

    source = ChatBatches(given(), context=48, rows=3, seed=0)
    assert source.stats == ChatBatches(chats(), context=48, rows=3, seed=0).stats
    assert source.stats.conversations == len(alive) == 23
    assert all(
        batch.ids_BT.dtype == batch.targets_BT.dtype == torch.int64 for batch in source.once()
    )


@pytest.mark.parametrize("rows", [1, 3, 4, 50])
def test_held_out_rows_are_read_once_whatever_the_rows_of_a_batch(rows):
    source = ChatBatches(chats(), context=48, rows=rows, seed=0)
    batches = list(source.once())
    sizes = [len(batch.ids_BT) for batch in batches]
    assert sum(sizes) == source.rows_per_epoch
    assert all(size == rows for size in sizes[:-1])
    assert 1 <= sizes[-1] <= rows
    found = [t for batch in batches for t in batch.targets_BT[batch.targets_BT != IGNORED].tolist()]
    whole = ChatBatches(chats(), context=48, rows=source.rows_per_epoch, seed=0).batch(0)
    assert sorted(found) == sorted(whole.targets_BT[whole.targets_BT != IGNORED].tolist())
    assert len(found) == source.stats.targets
    assert batches[0].ids_BT[:rows].tolist() == source.batch(0).ids_BT[: sizes[0]].tolist()


def test_chat_batches_depend_on_seed_and_index_alone():
    source = ChatBatches(chats(), context=48, rows=3, seed=0)
    wanted = [source.batch(index).ids_BT.tolist() for index in range(9)]
    again = ChatBatches(chats(), context=48, rows=3, seed=0)
    assert [again.batch(index).ids_BT.tolist() for index in (8, 2, 5)] == [
        wanted[8],
        wanted[2],
        wanted[5],
    ]
    other = ChatBatches(chats(), context=48, rows=3, seed=1)
    assert other.batch(0).ids_BT.tolist() != wanted[0]


def test_statistics_count_what_was_split_repeated_and_left_out():
    given_chats = [
        conversation((3, 4)),
        conversation((5, 0)),
        conversation((3, 4), (5, 6), first=100),
    ]
    stats = ChatBatches(given_chats, context=12, rows=1, seed=0).stats
    assert (stats.conversations, stats.without_answer, stats.split, stats.pieces) == (3, 1, 1, 3)
    assert stats.targets == 14
    assert 0.0 < stats.filled <= 1.0
    long = ChatBatches([conversation((4, 30))], context=16, rows=1, seed=0).stats
    assert long.repeated > 0


def test_conversations_without_answers_are_refused():
    with pytest.raises(DataError, match="no conversation holds an answer"):
        ChatBatches([conversation((5, 0))], context=8, rows=1, seed=0)


def test_a_conversation_that_begins_with_the_assistant_is_refused():
    with pytest.raises(DataError, match="begins with a token of the assistant"):
        cut_conversation(ChatTokens((1, 2), (True, True)), 8)
