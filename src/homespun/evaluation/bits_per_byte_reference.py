"""Bits per byte, slow and obvious: one document, one token at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from homespun.core import Score, Tokenizer
from homespun.evaluation.bits_per_byte import ScoredDecoder


def score_model_obvious(model: ScoredDecoder, tokenizer: Tokenizer, texts: Sequence[str]) -> Score:
    """What `score_model` says with a stride of 1: each token after the longest history there is."""
    nats = 0.0
    num_tokens = num_bytes = 0
    for text in texts:
        end = tokenizer.end_of_text_id
        start = (tokenizer.start_ids or (end,))[-1]
        ids = [start, *map(int, tokenizer.encode(text)), end]
        for place in range(1, len(ids)):
            history = ids[max(0, place - model.context) : place]
            with torch.no_grad():
                logits_V = model.head(model(torch.tensor([history])))[0, -1]
            probability = float(torch.softmax(logits_V.double(), -1)[ids[place]])
            nats -= math.log(probability)
            num_tokens += 1
        num_bytes += len(text.encode("utf-8"))
    return Score(nats, num_bytes, num_tokens)
