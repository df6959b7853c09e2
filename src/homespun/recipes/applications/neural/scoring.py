"""What a model says of examples, in batches of like lengths.

Shape letters: B batch, T time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from homespun.training import Example

ItemT = TypeVar("ItemT")


def in_batches(
    items: Sequence[ItemT], length: Callable[[ItemT], int], *, tokens: int = 4096
) -> Iterator[list[int]]:
    """Numbers of items in batches of like lengths and about so many tokens, the shortest first:
    all of them, each once."""
    order = sorted(range(len(items)), key=lambda number: (length(items[number]), number))
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * max(1, length(items[number])) > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def dev_loss(objective: Any, examples: Sequence[Example], *, per_token: bool = False) -> Any:
    """What `train` calls: mean loss a target over held-out examples."""
    from homespun.training import example_batch, held_out_loss

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        batches = (
            example_batch([examples[number] for number in numbers], per_token=per_token)
            for numbers in in_batches(examples, lambda example: len(example.ids))
        )
        return held_out_loss(model, objective, batches)

    return evaluate


def scored(model: Any, examples: Sequence[Example]) -> list[list[float]]:
    """What `model(ids_BT, is_token_BT, types_BT)` says of each example, one row each."""
    import torch

    from homespun.models import device_of
    from homespun.training import example_batch

    device = device_of(model)
    found: list[list[float]] = [[] for _ in examples]
    with torch.inference_mode():
        for numbers in in_batches(examples, lambda example: len(example.ids)):
            batch = example_batch([examples[number] for number in numbers]).to(device)
            scores_BC = model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
            for number, row in zip(numbers, scores_BC.float().tolist(), strict=True):
                found[number] = row
    return found


def likely_classes(
    scores: Sequence[Sequence[float]], *, is_multi: bool
) -> list[list[tuple[int, float]]]:
    """Numbers of classes and how likely they are, the likeliest first: the one of the highest
    score, or of several labels those from a half on.

    Args:
        scores: of each class before the softmax, or of several labels the sigmoid.
        is_multi: any number of classes may be right.
    """
    found = []
    for row in scores:
        likely = _sigmoids(row) if is_multi else _softmax(row)
        order = sorted(range(len(row)), key=lambda code: (-likely[code], code))
        kept = [code for code in order if likely[code] >= 0.5] if is_multi else order[:1]
        found.append([(code, likely[code]) for code in kept])
    return found


def _softmax(row: Sequence[float]) -> list[float]:
    top = max(row)
    parts = [math.exp(value - top) for value in row]
    total = sum(parts)
    return [part / total for part in parts]


def _sigmoids(row: Sequence[float]) -> list[float]:
    return [1 / (1 + math.exp(-min(500.0, max(-500.0, value)))) for value in row]
