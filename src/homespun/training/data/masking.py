"""Texts in which words are hidden, for encoders that learn to say them.

Shape letters: B rows of a batch, T tokens of a row, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import ConfigError, derive_seed
from homespun.training.data.tokens import IGNORED, Batch, RowSource

SHARE = 0.15
HIDDEN, OTHER = 0.8, 0.1
"""Of the chosen tokens: behind the mask, and replaced by any; the rest is left as it is, so that a
token's vector must also say the token itself (Devlin et al. 2019, arXiv 1810.04805, A.1)."""


class Words(NamedTuple):
    """Attributes:
    mask_id: stands where a token is hidden.
    never_V: bool, of each id: neither chosen nor put in another's place, as marks are not.
    begins_V: bool, of each id: a word begins with it. None: every token is a word.
    """

    mask_id: int
    never_V: NDArray[np.bool_]
    begins_V: NDArray[np.bool_] | None = None


class MaskedBatches:
    """Batches of `source` with words chosen, hidden and asked for.

    Words are chosen as wholes (BERT's "whole word masking"; Cui et al. 2021, arXiv 1906.08101, for
    Chinese), tokens of a chosen word each hidden, replaced or left by a draw of their own. What is
    chosen is a function of the seed and the batch's number alone, and another one in each epoch.

    Args:
        source: rows of text; their targets are not used.
        words: of the tokenizer.
        seed: of the choice.
        share: of the words that are chosen, above 0 and below 1.
        begins: rows in the same order that are 1 where a word begins and 0 elsewhere, for words
            that no single id tells of, such as Chinese ones. None: `words` tells.

    Raises:
        ConfigError: the share is out of range.
    """

    def __init__(
        self,
        source: RowSource,
        words: Words,
        *,
        seed: int,
        share: float = SHARE,
        begins: RowSource | None = None,
    ) -> None:
        if not 0.0 < share < 1.0:
            raise ConfigError(
                "the share of masked words must be between 0 and 1", got=share, remedy="take 0.15"
            )
        self._source, self._words, self._seed, self._share = source, words, seed, share
        self._begins = begins
        self._others = np.flatnonzero(~words.never_V)

    def epochs(self, num_batches: int) -> float:
        return self._source.epochs(num_batches)

    def batch(self, index: int) -> Batch:
        """Inputs with masks, and as targets the hidden tokens themselves, `IGNORED` elsewhere."""
        plain = self._source.batch(index)
        ids_BT = plain.ids_BT.numpy()
        draw = np.random.Generator(np.random.PCG64(derive_seed(self._seed, "masks", index)))
        begins_BT = None if self._begins is None else self._begins.batch(index).ids_BT.numpy() > 0
        chosen_BT = chosen_words(ids_BT, self._words, draw, self._share, begins_BT)
        what_BT = draw.random(ids_BT.shape)
        others_BT = draw.choice(self._others, ids_BT.shape)
        seen_BT = np.where(chosen_BT & (what_BT < HIDDEN), self._words.mask_id, ids_BT)
        is_other_BT = chosen_BT & (what_BT >= HIDDEN) & (what_BT < HIDDEN + OTHER)
        seen_BT = np.where(is_other_BT, others_BT, seen_BT)
        targets_BT = np.where(chosen_BT, ids_BT, IGNORED)
        return plain._replace(
            ids_BT=torch.from_numpy(seen_BT.astype(np.int64)),
            targets_BT=torch.from_numpy(targets_BT.astype(np.int64)),
        )

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "masked",
            "of": self._source.describe(),
            "share": self._share,
            "whole_words": self._begins is not None or self._words.begins_V is not None,
            "mask_id": self._words.mask_id,
            "seed": self._seed,
        }


def chosen_words(
    ids_BT: NDArray[np.int64],
    words: Words,
    draw: np.random.Generator,
    share: float,
    begins_BT: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Which tokens are chosen, (B, T): each word with probability `share`, all of its tokens; one
    word of a row at least where there is any. Words begin where `begins_BT` says, else `words`."""
    may_BT = ~words.never_V[ids_BT]
    if begins_BT is None:
        begins_BT = np.ones_like(may_BT) if words.begins_V is None else words.begins_V[ids_BT]
    begins_BT = begins_BT | ~may_BT  # a mark ends the word before it
    begins_BT[:, 0] = True
    after_BT = np.zeros_like(begins_BT)
    after_BT[:, 1:] = ~may_BT[:, :-1]
    word_BT = np.cumsum(begins_BT | after_BT, axis=1) - 1
    luck_BT = draw.random(ids_BT.shape)  # of the row's words: there are at most T
    luck_of_BT = np.take_along_axis(luck_BT, word_BT, axis=1)
    luck_of_BT = np.where(may_BT, luck_of_BT, 2.0)
    least_B1 = luck_of_BT.min(axis=1, keepdims=True)
    chosen: NDArray[np.bool_] = may_BT & ((luck_of_BT < share) | (luck_of_BT == least_B1))
    return chosen
