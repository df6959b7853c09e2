"""The slow, obvious versions: no cache, no filters on tensors, one token chosen in plain Python.

Tests hold the engine and the sampler against these, token for token.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import Completion, SamplingSettings, Tokenizer
from homespun.inference.engine import CachedDecoder
from homespun.inference.sampler import LOWEST_TEMPERATURE, MINUS_INFINITY, SMALLEST_NOISE


@torch.inference_mode()
def reference_generate(
    model: CachedDecoder,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    window: int,
) -> Completion:
    """Continue a prompt by computing everything anew for every token."""
    vocab_size = tokenizer.vocab_size
    generator = torch.Generator().manual_seed(settings.seed)
    noise_1V = torch.empty(1, vocab_size)
    ids = list(prompt_ids)
    text, finish = "", "length"
    while len(ids) < window and len(ids) - len(prompt_ids) < settings.max_tokens:
        logits_1TV = model.head(model(torch.tensor([ids])))
        logits_V = logits_1TV[0, -1, :vocab_size].double().numpy()
        if settings.temperature >= LOWEST_TEMPERATURE:
            noise_1V.uniform_(generator=generator)
        token = reference_sample(logits_V, settings, ids, noise_1V[0].double().numpy())
        if not tokenizer.token_bytes(token):
            finish = "stop"
            break
        ids.append(token)
        text, stopped = reference_text(tokenizer, ids[len(prompt_ids) :], settings.stop)
        if stopped:
            finish = "stop"
            break
    return Completion(
        text=text,
        token_ids=tuple(ids[len(prompt_ids) :]),
        finish_reason="stop" if finish == "stop" else "length",
        num_prompt_tokens=len(prompt_ids),
        seconds=0.0,
    )


def reference_text(
    tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str]
) -> tuple[str, bool]:
    """The text of `ids` cut at the first stop string to be completed, and whether there was one."""
    data = b"".join(tokenizer.token_bytes(token) for token in ids)
    # Not final: a character that is not finished is left out.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    for end in range(1, len(text) + 1):
        for word in sorted(stop, key=len, reverse=True):
            if text[:end].endswith(word):
                return text[: end - len(word)], True
    return text, False


def reference_sample(
    logits_V: NDArray[np.float64],
    settings: SamplingSettings,
    seen: Sequence[int],
    noise_V: NDArray[np.float64],
) -> int:
    """The slow, obvious version of `penalise_repeats` and `sample` for one row."""
    values = [float(value) for value in logits_V]
    for token in set(seen):
        penalty = settings.repetition_penalty
        values[token] = values[token] / penalty if values[token] > 0 else values[token] * penalty
    if settings.temperature < LOWEST_TEMPERATURE:
        return values.index(max(values))
    values = [value / settings.temperature for value in values]
    if 0 < settings.top_k < len(values):
        least = sorted(values, reverse=True)[settings.top_k - 1]
        values = [value if value >= least else MINUS_INFINITY for value in values]
    if settings.top_p < 1.0:
        highest = max(values)
        total = sum(math.exp(value - highest) for value in values)
        mass, least = 0.0, MINUS_INFINITY
        for value in sorted(values, reverse=True):
            least = value
            mass += math.exp(value - highest) / total
            if mass >= settings.top_p:
                break
        values = [value if value >= least else MINUS_INFINITY for value in values]
    if settings.min_p > 0.0:
        least = max(values) + math.log(settings.min_p)
        values = [value if value >= least else MINUS_INFINITY for value in values]
    scores = [
        value - math.log(-math.log(max(noise, SMALLEST_NOISE)))
        for value, noise in zip(values, noise_V, strict=True)
    ]
    return scores.index(max(scores))
