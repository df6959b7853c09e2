"""Families that count: nothing is descended, and minutes are more than they need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homespun.classic.hmm_lm import HmmTextModel
from homespun.classic.ngram import KneserNey
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.families.contenders import Judged
from homespun.recipes.families.sizes import hidden_states

_ORDER = 5


def judge_ngrams(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """An interpolated Kneser-Ney 5-gram; it takes seconds and looks back four tokens."""
    del seconds, seed, context
    end = 0 if text.end_of_text_id is None else text.end_of_text_id
    table = KneserNey(order=_ORDER, vocab_size=text.vocab_size, end_of_text_id=end)
    table.fit(_documents(text.train, end))
    documents = _documents(text.held_out, end)
    nats = table.score_ids(documents)
    predictions = sum(len(document) + 1 for document in documents)
    return Judged(
        nats, predictions, len(text.train), sum(table.num_ngrams), f"{_ORDER}-gram, Kneser-Ney"
    )


def judge_hmm(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """A hidden Markov model; each token is judged after those of its window."""
    model = HmmTextModel(hidden_states(seconds), text.vocab_size, seed=seed)
    model.fit(text.train, seconds=seconds)
    stream, half = text.held_out, max(1, context // 2)
    nats, predictions = 0.0, 0
    for start in range(0, len(stream) - 1, half):
        first = max(0, start - half)
        ids = stream[first : start + half + 1].astype(np.int64)
        counts = np.zeros(len(ids), dtype=bool)
        counts[start - first + 1 :] = True
        nats += model.nats(ids[None], counts[None])
        predictions += int(counts.sum())
    size = model.num_states * (model.num_states + model.vocab_size)
    return Judged(nats, predictions, model.tokens_read, size, f"{model.num_states} states")


def _documents(stream: NDArray[np.integer], end: int) -> list[NDArray[np.int64]]:
    """Between end marks. Of a stream that begins with one, each token and each later mark is
    predicted once."""
    marks = np.flatnonzero(stream == end)
    parts = np.split(stream.astype(np.int64), marks)
    return [part[1:] if len(part) and part[0] == end else part for part in parts if len(part) > 1]
