"""Conversations packed into rows, several to a row, none seeing another.

Shape letters: B rows of a batch, T tokens of a row (the context).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import ChatTokens, Config, DataError, permutation
from homespun.training.data.tokens import IGNORED, Batch, RowOrder, stack_rows


class Piece(NamedTuple):
    """A conversation, or a window of a long one, ready to be trained on.

    Attributes:
        ids: [n] inputs.
        targets: [n] what follows each input, `IGNORED` where it is not the assistant's.
    """

    ids: NDArray[np.int32]
    targets: NDArray[np.int32]


class PackingStats(Config):
    """What packing did, for the log and the report.

    Attributes:
        conversations: given.
        without_answer: of these, left out because nothing in them is the assistant's.
        split: of these, longer than a row and cut into windows.
        pieces, rows: packed, per epoch.
        targets: tokens trained on, per epoch; every assistant token exactly once.
        repeated: input tokens that stand in a second window to give it its context.
        filled: share of the rows' places that hold a token.
    """

    conversations: int
    without_answer: int
    split: int
    pieces: int
    rows: int
    targets: int
    repeated: int
    filled: float


class ChatBatches:
    """Rows of `context` tokens packed with whole conversations, repacked each epoch.

    A conversation longer than a row becomes several windows (see `cut_conversation`).

    Args:
        conversations: encoded by the tokenizer, with the assistant's tokens marked. One is needed
            at a time: as `ChatTokens` thousands of them take several times the memory of pieces.
        context: tokens of a row.
        rows: rows of a batch.
        seed: of the order.

    Raises:
        DataError: no conversation has an answer in it, or one begins with the assistant's token.
    """

    def __init__(
        self, conversations: Iterable[ChatTokens], *, context: int, rows: int, seed: int
    ) -> None:
        self._context = context
        self._rows = rows
        self._seed = seed
        self._pieces: list[Piece] = []
        num_given = num_split = num_empty = num_inputs = 0
        for chat in conversations:
            pieces = cut_conversation(chat, context)
            num_given += 1
            num_empty += not pieces
            num_split += len(pieces) > 1
            num_inputs += len(chat.ids) - 1 if pieces else 0
            self._pieces.extend(pieces)
        if not self._pieces:
            raise DataError(
                "no conversation holds an answer to learn from",
                got=f"{num_given} conversations",
                remedy="add conversations with assistant messages",
            )
        self._lengths = [len(piece.ids) for piece in self._pieces]
        self._packed: dict[int, list[list[int]]] = {}
        num_rows = len(self._bins(0))
        self._order = RowOrder(num_rows, rows, seed)
        num_packed = sum(self._lengths)
        self.stats = PackingStats(
            conversations=num_given,
            without_answer=num_empty,
            split=num_split,
            pieces=len(self._pieces),
            rows=num_rows,
            targets=sum(int((piece.targets != IGNORED).sum()) for piece in self._pieces),
            repeated=max(0, num_packed - num_inputs),
            filled=num_packed / (num_rows * context),
        )

    @property
    def tokens_per_batch(self) -> int:
        """Places of a batch, padding included."""
        return self._rows * self._context

    @property
    def rows_per_epoch(self) -> int:
        return self.stats.rows

    def epochs(self, num_batches: int) -> float:
        return self._order.epochs(num_batches)

    def batch(self, index: int) -> Batch:
        """Batch `index`: all four tensors [B, T], a function of (seed, index) alone."""
        return self._stacked(self._order.rows(index))

    def once(self) -> Iterator[Batch]:
        """The batches of the first epoch, each row once: the last one may hold fewer rows. For
        losses of held-out conversations, which rows that come twice would distort."""
        index, left = 0, self.rows_per_epoch
        while left > 0:
            yield self._stacked(self._order.rows(index)[:left])
            index, left = index + 1, left - self._rows

    def _stacked(self, dealt: Sequence[tuple[int, int]]) -> Batch:
        """A batch of these rows of these epochs."""
        rows = [self._row(self._bins(epoch)[row]) for epoch, row in dealt]
        ids_BT, targets_BT, positions_BT, segments_BT = (
            stack_rows([row[part] for row in rows]) for part in range(4)
        )
        num_tokens = int((segments_BT != 0).sum())
        return Batch(ids_BT, targets_BT, positions_BT, segments_BT, num_tokens)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "chat",
            "pieces": len(self._pieces),
            "targets": self.stats.targets,
            "context": self._context,
            "rows": self._rows,
            "seed": self._seed,
        }

    def _bins(self, epoch: int) -> list[list[int]]:
        """Pieces of each row. Their number is that of the lengths alone, hence the same always."""
        if epoch not in self._packed:
            self._packed = {
                known: bins for known, bins in self._packed.items() if known == epoch - 1
            }
            shuffled = permutation(self._seed, epoch, len(self._pieces)).tolist()
            lengths = [self._lengths[piece] for piece in shuffled]
            bins = best_fit_decreasing(lengths, self._context)
            self._packed[epoch] = [[shuffled[place] for place in row] for row in bins]
        return self._packed[epoch]

    def _row(self, pieces: list[int]) -> NDArray[np.int64]:
        """[4, T]: ids, targets, positions, segments."""
        row = np.zeros((4, self._context), dtype=np.int64)
        row[1] = IGNORED
        start = 0
        for segment, number in enumerate(pieces, start=1):
            piece = self._pieces[number]
            stop = start + len(piece.ids)
            row[0, start:stop] = piece.ids
            row[1, start:stop] = piece.targets
            row[2, start:stop] = np.arange(len(piece.ids))
            row[3, start:stop] = segment
            start = stop
        return row


def cut_conversation(chat: ChatTokens, context: int) -> list[Piece]:
    """The pieces a conversation is trained in; none where the assistant says nothing.

    A conversation of at most context + 1 tokens is one piece. A longer one is cut into windows so
    that each of the assistant's tokens is a target in exactly one of them:
    - an answer that does not fit behind what is already in the window opens the next one, which
      begins with that answer's question (the tokens between the previous answer and this one);
    - an answer too long for any window is continued in further windows, which begin with as much
      of the question and the answer so far as half a window holds.

    Raises:
        DataError: the very first token is the assistant's, which nothing can predict.
    """
    ids = np.asarray(chat.ids, dtype=np.int64)
    is_target = np.asarray(chat.is_target, dtype=bool)
    if not is_target.any():
        return []
    if is_target[0]:
        raise DataError(
            "a conversation begins with a token of the assistant",
            remedy="use a chat template that begins with a marker",
        )
    answers = _runs(is_target)
    questions = [0, *(stop for _, stop in answers[:-1])]
    window = context + 1
    pieces: list[Piece] = []
    todo, first_answer = answers[0][0], 0
    while first_answer < len(answers):
        start = _window_start(todo, questions[first_answer], answers[first_answer], window, pieces)
        stop = min(len(ids), start + window)
        # Leave an answer that would be cut to the next window, if it fits there whole.
        for number in range(first_answer + 1, len(answers)):
            begin, end = answers[number]
            if begin < stop < end and end - questions[number] <= window:
                stop = begin
        targets = np.where(is_target[start + 1 : stop], ids[start + 1 : stop], IGNORED)
        targets[: max(0, todo - start - 1)] = IGNORED
        # Inputs behind the last target teach nothing.
        used = int(np.flatnonzero(targets != IGNORED)[-1]) + 1
        pieces.append(
            Piece(ids[start : start + used].astype(np.int32), targets[:used].astype(np.int32))
        )
        while first_answer < len(answers) and answers[first_answer][1] <= stop:
            first_answer += 1
        if first_answer < len(answers):
            todo = max(stop, answers[first_answer][0])
    return pieces


def _window_start(
    todo: int, question: int, answer: tuple[int, int], window: int, pieces: list[Piece]
) -> int:
    """Where the window begins whose first new target is the token at `todo`."""
    if not pieces and answer[1] <= window:
        return 0
    if answer[1] - question <= window:
        return question
    if todo - question <= window // 2:
        return question
    return todo - window // 2


def _runs(is_target: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_target, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def best_fit_decreasing(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Put items into bins of `size`, longest first, each where it leaves the least room.

    At most 11/9 of the fewest bins possible, plus one (Johnson 1974); in practice nearly full.

    Args:
        lengths: of each item, 1 to `size`.
        size: of a bin.

    Returns:
        The item numbers of each bin. How many bins there are depends on the lengths alone, not on
        their order.
    """
    bins: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    rooms: list[int] = []  # the keys of by_room that have bins, ascending
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect.bisect_left(rooms, lengths[item])
        if place == len(rooms):
            number, room = len(bins), size
            bins.append([])
        else:
            room = rooms[place]
            number = by_room[room].pop()
            if not by_room[room]:
                del rooms[place]
        bins[number].append(item)
        left = room - lengths[item]
        if left:
            stack = by_room.setdefault(left, [])
            if not stack:
                bisect.insort(rooms, left)
            stack.append(number)
    return bins
