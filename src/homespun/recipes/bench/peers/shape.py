"""The shape contenders are asked for, and the operations of what each makes of it."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """What all contenders have in common; the width of the MLP is each one's own.

    Attributes:
        num_layers, width, num_heads: of the Transformer; a head is width / num_heads wide.
        vocab_size: number of ids.
        context: tokens of a row.
    """

    num_layers: int
    width: int
    num_heads: int
    vocab_size: int
    context: int


def train_flops_per_token(
    *,
    matrix_parameters: int,
    head_parameters: int,
    num_layers: int,
    attention_width: int,
    length: int,
) -> int:
    """Operations to learn from one token, by the formula of `models.count`, for any decoder.

    3 · (2·(matrices + head) + 4·L·H·K·(length + 1)/2): norms, rotations, softmax and activation
    functions are left out. `tests/unit/recipes` checks it against `models.count`.

    Args:
        matrix_parameters: weights of all products in blocks.
        head_parameters: of the product that gives scores, tied or not.
        num_layers: blocks.
        attention_width: query heads times their width.
        length: tokens of a row, all of which are attended.
    """
    keys = (length + 1) / 2
    attention = 4 * num_layers * attention_width * keys
    return 3 * round(2 * (matrix_parameters + head_parameters) + attention)
