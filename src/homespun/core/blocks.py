"""Parts of a token stream that are left out one at a time."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from homespun.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TextBlocks:
    """A stream's tokens in blocks 0 … K-1, each of which is like text that was held out.

    Whole documents, dealt to the blocks in turn, since whole documents are what a split holds out;
    a document longer than a block is cut. The mark that ends a document belongs to it.

    Args:
        tokens: a stream with `end_of_text_id` between its documents; one before the first is no
            part of any. None where the stream is one text.
        num_blocks: K, 2 to 255.

    Raises:
        ConfigError: `num_blocks` is out of range.
    """

    def __init__(
        self, tokens: NDArray[Any], *, end_of_text_id: int | None, num_blocks: int
    ) -> None:
        import numpy as np

        if not 2 <= num_blocks <= 255:
            raise ConfigError("text is cut into 2 to 255 blocks", got=num_blocks)
        num_tokens = len(tokens)
        self.num_blocks = num_blocks
        ends = np.flatnonzero(np.asarray(tokens) == end_of_text_id) + 1
        inner = ends[(ends > 1) & (ends < num_tokens)]
        documents = [0, *inner.tolist(), num_tokens]
        most = max(1, -(-num_tokens // num_blocks))
        starts: list[int] = []
        for start, stop in itertools.pairwise(documents):
            parts = -(-(stop - start) // most)
            starts += [start + (stop - start) * part // max(1, parts) for part in range(parts)]
        self._starts = np.array(starts, dtype=np.int64)

    def part(self, start: int) -> TextBlocks:
        """The same blocks for those who count places from `start` on."""
        part = copy.copy(self)
        part._starts = self._starts - start
        return part

    def at(self, places: NDArray[Any]) -> NDArray[np.uint8]:
        """The block of the token at each place, in the shape of `places`."""
        import numpy as np

        piece = np.searchsorted(self._starts, places, side="right") - 1
        return (piece % self.num_blocks).astype(np.uint8)
