"""Texts that belong together, two and two, to be told from all others of their batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from homespun.core import DataError
from homespun.training.data.examples import Example, ExampleBatch, example_batch
from homespun.training.data.lengths import LengthGroups


class TwinBatch(NamedTuple):
    """Attributes:
    first, second: as many rows each; row n of the one belongs to row n of the other.
    same_BB: bool, whether two pairs share a text: then the one's partner is right for the other
        as well, and is not to be told from it. False along the diagonal.
    """

    first: ExampleBatch
    second: ExampleBatch
    same_BB: Tensor

    @property
    def num_rows(self) -> int:
        return self.first.num_rows

    @property
    def num_tokens(self) -> int:
        return self.first.num_tokens + self.second.num_tokens

    def to(self, device: torch.device) -> TwinBatch:
        return TwinBatch(self.first.to(device), self.second.to(device), self.same_BB.to(device))


class TwinBatches:
    """Batches of pairs of like lengths, each pair once an epoch; see `LengthGroups`.

    A batch cannot be cut into smaller ones: what a pair is told from would change.

    Args:
        pairs: ids of both texts, with the marks the model was taught.
        tokens: of a batch and side, places that are filled up included.
        seed: of the order.
        context: longest text of either side.

    Raises:
        DataError: there are fewer than two pairs, or a text is empty or too long.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        *,
        tokens: int,
        seed: int,
        context: int,
    ) -> None:
        if len(pairs) < 2:
            raise DataError("there must be two pairs at least", got=len(pairs))
        for number, pair in enumerate(pairs):
            if not all(0 < len(side) <= context for side in pair):
                raise DataError(
                    f"pair {number} does not fit into the context of {context} tokens",
                    got=[len(side) for side in pair],
                    remedy="cut it, or leave it out",
                )
        self._pairs = pairs
        self._tokens, self._seed, self._context = tokens, seed, context
        lengths = [max(len(first), len(second)) for first, second in pairs]
        self._groups = LengthGroups(lengths, tokens=tokens, seed=seed)

    @property
    def batches_per_epoch(self) -> int:
        return self._groups.num_batches

    def epochs(self, num_batches: int) -> float:
        return num_batches / self._groups.num_batches

    def batch(self, index: int) -> TwinBatch:
        """Batch `index`, a function of (seed, index) alone."""
        chosen = [self._pairs[number] for number in self._groups.items(index)]
        return twin_batch(chosen)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "twins",
            "pairs": len(self._pairs),
            "ids": sum(len(first) + len(second) for first, second in self._pairs),
            "tokens": self._tokens,
            "context": self._context,
            "seed": self._seed,
        }


def twin_batch(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> TwinBatch:
    """One batch of these, in this order."""
    first, second = ([Example(pair[side], 0) for pair in pairs] for side in (0, 1))
    return TwinBatch(example_batch(first), example_batch(second), share_texts(pairs))


def share_texts(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Tensor:
    """(B, B) bool, see `TwinBatch.same_BB`."""
    same_BB = torch.zeros(len(pairs), len(pairs), dtype=torch.bool)
    for side in (0, 1):
        numbers: dict[tuple[int, ...], int] = {}
        texts = [numbers.setdefault(tuple(pair[side]), len(numbers)) for pair in pairs]
        text_B = torch.tensor(texts)
        same_BB |= text_B[:, None] == text_B
    return same_BB.fill_diagonal_(False)
