"""The families, in the order in which the field had them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from homespun.recipes.bench.ours import TokenText


class Judged(NamedTuple):
    """Attributes:
    nats: summed over predictions.
    predictions: how many.
    tokens_read: while learning.
    parameters: numbers that were learned.
    shape: of the model, for people.
    note: what must be known to read the number; "" for nothing.
    """

    nats: float
    predictions: int
    tokens_read: int
    parameters: int
    shape: str
    note: str = ""


class Contender(Protocol):
    """A family.

    Args:
        text: what is learned and what is judged on.
        seconds: to learn in.
        seed: of every draw.
        context: tokens a prediction may look back on.
    """

    def __call__(self, text: TokenText, *, seconds: float, seed: int, context: int) -> Judged: ...


class Family(NamedTuple):
    """Attributes:
    name: as asked for.
    year: of the paper that brought it to language.
    place: module and function that learns and judges it.
    arguments: of that function.
    """

    name: str
    year: int
    place: tuple[str, str]
    arguments: dict[str, Any]


_COUNTED, _NEURAL = "homespun.recipes.families.counted", "homespun.recipes.families.neural"
FAMILIES: tuple[Family, ...] = (
    Family("hmm", 1966, (_COUNTED, "judge_hmm"), {}),
    Family("n-gram", 1995, (_COUNTED, "judge_ngrams"), {}),
    Family("rnn", 2010, (_NEURAL, "judge_recurrent"), {"cell": "rnn"}),
    Family("lstm", 2012, (_NEURAL, "judge_recurrent"), {"cell": "lstm"}),
    Family("gru", 2014, (_NEURAL, "judge_recurrent"), {"cell": "gru"}),
    Family("encoder-decoder", 2017, (_NEURAL, "judge_encoder_decoder"), {}),
    Family("gpt-2", 2019, (_NEURAL, "judge_gpt2"), {}),
    Family("encoder", 2019, (_NEURAL, "judge_encoder"), {}),
    Family("portable", 2025, (_NEURAL, "judge_portable"), {}),
)
