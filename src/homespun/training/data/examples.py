"""Texts with what is to be said of them: a class, a tag of each token, a place, a number.

Shape letters: B rows of a batch, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import DataError
from homespun.training.data.lengths import LengthGroups
from homespun.training.data.tokens import IGNORED, row_parts


class Example(NamedTuple):
    """Attributes:
    ids: of the text, with the marks the model was taught.
    target: what is to be said: a whole number (class), a number (score), a row of numbers (one a
        class, or first and last token of a place), or with `per_token` one whole number a token.
    types: 0 for tokens of the first text of a pair, 1 for the second; None is 0 everywhere.
    """

    ids: Sequence[int]
    target: Any
    types: Sequence[int] | None = None


class ExampleBatch(NamedTuple):
    """Attributes:
    ids_BT: int64, filled up with zeros.
    is_token_BT: bool, False where a row is filled up.
    types_BT: int64.
    targets: of each row: (B,), (B, K), or (B, T) filled up with `IGNORED`; int64 or float32.
    num_tokens: without what fills up.
    """

    ids_BT: Tensor
    is_token_BT: Tensor
    types_BT: Tensor
    targets: Tensor
    num_tokens: int

    @property
    def num_rows(self) -> int:
        return len(self.ids_BT)

    def rows(self, start: int, stop: int) -> ExampleBatch:
        """The rows start .. stop-1 alone."""
        part = slice(start, stop)
        is_token_BT = self.is_token_BT[part]
        return ExampleBatch(
            self.ids_BT[part],
            is_token_BT,
            self.types_BT[part],
            self.targets[part],
            int(is_token_BT.sum()),
        )

    def split(self, num_parts: int) -> list[ExampleBatch]:
        """The same rows in `num_parts` batches of nearly equal size; in fewer where there are
        fewer rows."""
        return [self.rows(*part) for part in row_parts(self.num_rows, num_parts)]

    def to(self, device: torch.device) -> ExampleBatch:
        return ExampleBatch(
            self.ids_BT.to(device, non_blocking=True),
            self.is_token_BT.to(device, non_blocking=True),
            self.types_BT.to(device, non_blocking=True),
            self.targets.to(device, non_blocking=True),
            self.num_tokens,
        )


class ExampleBatches:
    """Batches of about `tokens` tokens, of examples of like lengths, each once an epoch; see
    `LengthGroups`.

    Args:
        examples: of one kind of target.
        tokens: of a batch, places that are filled up included.
        seed: of the order.
        context: longest text, marks included.
        per_token: targets are one a token.

    Raises:
        DataError: there is no example, one is empty or longer than the context, or has not as many
            targets as tokens.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        tokens: int,
        seed: int,
        context: int,
        per_token: bool = False,
    ) -> None:
        if not examples:
            raise DataError("there are no examples to learn from", remedy="give a file with some")
        for number, example in enumerate(examples):
            if not 0 < len(example.ids) <= context:
                raise DataError(
                    f"example {number} does not fit into the context of {context} tokens",
                    got=f"{len(example.ids)} tokens",
                    remedy="cut it, leave it out, or choose a larger context",
                )
            if per_token and len(example.target) != len(example.ids):
                raise DataError(
                    f"example {number} has not one target a token",
                    got=f"{len(example.target)} of {len(example.ids)}",
                )
        self._examples = examples
        self._tokens, self._context, self._seed = tokens, context, seed
        self._per_token = per_token
        self._groups = LengthGroups([len(e.ids) for e in examples], tokens=tokens, seed=seed)

    @property
    def batches_per_epoch(self) -> int:
        return self._groups.num_batches

    def epochs(self, num_batches: int) -> float:
        return num_batches / self._groups.num_batches

    def batch(self, index: int) -> ExampleBatch:
        """Batch `index`, a function of (seed, index) alone."""
        chosen = [self._examples[number] for number in self._groups.items(index)]
        return example_batch(chosen, per_token=self._per_token)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "examples",
            "examples": len(self._examples),
            "ids": sum(len(example.ids) for example in self._examples),
            "tokens": self._tokens,
            "context": self._context,
            "seed": self._seed,
        }


def example_batch(examples: Sequence[Example], *, per_token: bool = False) -> ExampleBatch:
    """One batch of these, in this order; targets that are None are 0."""
    B, T = len(examples), max(len(example.ids) for example in examples)
    ids_BT = np.zeros((B, T), dtype=np.int64)
    types_BT = np.zeros((B, T), dtype=np.int64)
    is_token_BT = np.zeros((B, T), dtype=bool)
    for row, example in enumerate(examples):
        length = len(example.ids)
        ids_BT[row, :length] = example.ids
        is_token_BT[row, :length] = True
        if example.types is not None:
            types_BT[row, :length] = example.types
    return ExampleBatch(
        torch.from_numpy(ids_BT),
        torch.from_numpy(is_token_BT),
        torch.from_numpy(types_BT),
        torch.from_numpy(_targets(examples, T, per_token)),
        int(is_token_BT.sum()),
    )


def _targets(examples: Sequence[Example], length: int, per_token: bool) -> NDArray[Any]:
    if per_token:
        targets_BT = np.full((len(examples), length), IGNORED, dtype=np.int64)
        for row, example in enumerate(examples):
            targets_BT[row, : len(example.target)] = example.target
        return targets_BT
    values = np.array([0 if e.target is None else e.target for e in examples])
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)
