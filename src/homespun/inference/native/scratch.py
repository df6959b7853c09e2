"""Memory in which decode.c makes a step."""

from __future__ import annotations

import numpy as np

from homespun.inference.native.describe import Description
from homespun.inference.native.layout import Inputs, Scratch
from homespun.inference.native.memory import Memory
from homespun.inference.runners.work import BLOCK_TOKENS

TILE = 8
"""Tokens whose rounded inputs lie together, at most."""


def new_scratch(
    memory: Memory, description: Description, tokens: int, rows: int, num_threads: int
) -> Scratch:
    """Room for a step.

    Args:
        memory: which keeps it alive.
        description: of the model.
        tokens: most that are read in the step.
        rows: most that have scores.
        num_threads: most that compute it together.
    """
    m, layer = description.model, description.layers[0]
    zeros, stride, words = memory.zeros, int(m.stride), int(m.vocab_size)

    def inputs(x: int, width: int, num: int) -> Inputs:
        num = -(-num // TILE) * TILE
        return Inputs(
            x,
            width,
            zeros(num, width, dtype=np.int8),
            zeros(num, width // 32),
            zeros(num, width // 32, dtype=np.int32),
        )

    h, mixed, gathered = zeros(tokens, stride), zeros(tokens, stride), zeros(rows, stride)
    act = zeros(tokens, layer.down.cols)
    context = -(-int(m.context) // BLOCK_TOKENS) * BLOCK_TOKENS
    padded = -(-int(m.head_width) // 16) * 16
    own = max(6 * (int(m.head_width) + padded + context), stride)
    return Scratch(
        zeros(tokens, stride),
        zeros(tokens, stride),
        zeros(tokens, stride),
        h,
        zeros(tokens, layer.qkv.rows),
        mixed,
        zeros(tokens, layer.up.rows),
        zeros(rows, m.head.rows),
        gathered,
        layer.qkv.rows,
        layer.up.rows,
        context,
        m.head.rows,
        inputs(h, stride, tokens),
        inputs(mixed, stride, tokens),
        inputs(act, layer.down.cols, tokens),
        inputs(gathered, stride, rows),
        zeros(num_threads, own),
        own,
        zeros(tokens, dtype=np.int64),
        zeros(num_threads, words) if m.table else None,
    )
