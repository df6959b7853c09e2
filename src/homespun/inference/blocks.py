"""Rows of the cache, which tokens of them lie in which blocks, and which blocks rows share."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

from homespun.inference.runners.work import BLOCK_TOKENS, Outcome


class Row:
    """Ids that are or will be in the cache.

    Args:
        ids: those to begin with.
        salt: rows share blocks with rows of the same salt only.

    Attributes:
        ids: all of them; what has been chosen is appended.
        num_read: how many of them, from the first, the cache holds.
        blocks: of the cache, in order.
        keys: of the full ones, see `BlockPool`.
        draft: ids to read behind `ids` in this step on trial.
        num_cached: ids that were found in the cache when the row was first admitted; None before.
        outcome: what reading its last id gave, until its job has gone on from there.
    """

    def __init__(self, ids: Sequence[int], salt: bytes) -> None:
        self.ids = list(ids)
        self.salt = salt if len(salt) == 32 else hashlib.sha256(b"salt" + salt).digest()
        self.num_read = 0
        self.blocks: list[int] = []
        self.keys: list[bytes] = []
        self.draft: list[int] = []
        self.num_cached: int | None = None
        self.outcome: Outcome | None = None

    @property
    def num_pending(self) -> int:
        """Ids that are not in the cache yet, the draft left out."""
        return len(self.ids) - self.num_read


class BlockPool:
    """Hands out blocks, takes them back, and finds blocks that hold what a row is going to read.

    A full block is known by a key, SHA-256 of the key before it and its ids, so that equal keys
    mean equal texts up to there. The first key is the row's salt: rows of other salts never share.
    Blocks that no row uses stay known until their place is wanted, the one that was let go first
    before others.

    Args:
        num_blocks: of the cache.
        copy: copies a block's contents, (from, to), when a row that is not at the end of a block
            is forked.
    """

    def __init__(self, num_blocks: int, copy: Callable[[int, int], None]) -> None:
        self.num_blocks = num_blocks
        self._copy = copy
        self._unused = list(range(num_blocks - 1, -1, -1))
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._users = [0] * num_blocks
        self._known: dict[bytes, int] = {}
        self._contents: dict[int, tuple[bytes, tuple[int, ...]]] = {}

    @property
    def num_free(self) -> int:
        """Blocks that no row uses."""
        return len(self._unused) + len(self._idle)

    def adopt(self, row: Row) -> None:
        """Let an empty row begin with the blocks that hold its first ids already.

        Its last id is always left to read: the next token is chosen from what comes out there.
        """
        assert not row.blocks
        for at in range(0, (len(row.ids) - 1) // BLOCK_TOKENS * BLOCK_TOKENS, BLOCK_TOKENS):
            ids = tuple(row.ids[at : at + BLOCK_TOKENS])
            key = _key(row.keys[-1] if row.keys else row.salt, ids)
            block = self._known.get(key)
            # The comparison costs nothing and makes a collision harmless.
            if block is None or self._contents[block] != (key, ids):
                return
            self._use(block)
            row.blocks.append(block)
            row.keys.append(key)
            row.num_read += BLOCK_TOKENS

    def num_wanted(self, row: Row, num_tokens: int) -> int:
        """Blocks that `row` lacks for `num_tokens` more than are read."""
        return max(0, -(-(row.num_read + num_tokens) // BLOCK_TOKENS) - len(row.blocks))

    def grow(self, row: Row, num_tokens: int) -> bool:
        """Give `row` place for `num_tokens` more than are read. False, and nothing, if there is
        none."""
        wanted = self.num_wanted(row, num_tokens)
        if wanted > self.num_free:
            return False
        for _ in range(wanted):
            row.blocks.append(self._take())
        return True

    def advance(self, row: Row, num_tokens: int) -> None:
        """Count `num_tokens` more of the row's ids as read; blocks that became full get a key."""
        row.num_read += num_tokens
        assert row.num_read <= len(row.ids)
        while (len(row.keys) + 1) * BLOCK_TOKENS <= row.num_read:
            at = len(row.keys) * BLOCK_TOKENS
            ids = tuple(row.ids[at : at + BLOCK_TOKENS])
            key = _key(row.keys[-1] if row.keys else row.salt, ids)
            row.keys.append(key)
            block = row.blocks[len(row.keys) - 1]
            if key not in self._known:  # else another row was quicker, and this block stays private
                self._known[key] = block
                self._contents[block] = (key, ids)

    def fork(self, row: Row) -> Row:
        """A second row with the same ids, which shares all full blocks. Of the last one it gets a
        copy; where there is no place for it, those ids are left to read."""
        twin = Row(row.ids, row.salt)
        twin.num_cached = row.num_cached
        num_full = row.num_read // BLOCK_TOKENS
        twin.num_read = num_full * BLOCK_TOKENS
        twin.blocks = row.blocks[:num_full]
        twin.keys = list(row.keys)
        for block in twin.blocks:
            self._use(block)
        if twin.num_read < row.num_read and self.num_free > 0:
            block = self._take()
            self._copy(row.blocks[num_full], block)
            twin.blocks.append(block)
            twin.num_read = row.num_read
        return twin

    def drop(self, row: Row) -> None:
        """Take all blocks of `row` back; it has read nothing then."""
        # The last first: beginnings of texts are what others share.
        for block in reversed(row.blocks):
            self._users[block] -= 1
            assert self._users[block] >= 0
            if self._users[block] == 0:
                if block in self._contents:
                    self._idle[block] = None
                else:
                    self._unused.append(block)
        row.blocks, row.keys, row.num_read = [], [], 0
        row.draft, row.outcome = [], None

    def disown(self, row: Row) -> None:
        """Nobody is to begin with what `row` has read: it came out wrong."""
        for block in row.blocks:
            if (found := self._contents.pop(block, None)) is not None:
                del self._known[found[0]]

    def forget(self) -> None:
        """Forget what idle blocks hold."""
        while self._idle:
            self._unused.append(self._evict())

    def _use(self, block: int) -> None:
        self._users[block] += 1
        self._idle.pop(block, None)

    def _take(self) -> int:
        block = self._unused.pop() if self._unused else self._evict()
        self._users[block] = 1
        return block

    def _evict(self) -> int:
        block, _ = self._idle.popitem(last=False)
        del self._known[self._contents.pop(block)[0]]
        return block


def _key(before: bytes, ids: Sequence[int]) -> bytes:
    # Salts are hashed first, see `Row`, so all that is hashed here has one form and length.
    return hashlib.sha256(before + array("q", ids).tobytes()).digest()
