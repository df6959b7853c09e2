"""The families, in the order in which the field had them.

A row of a year has the shape of its paper: cells, norms, positions, activations, what is learned,
and an optimiser of that kind. What is today's in all rows: the tokenizer, one schedule of rates,
bfloat16 where the machine has it, gradients that are clipped, and for the recurrent ones AdamW,
tied tables and dropout, in place of the plain descent of their years (which the LSTM of
pytorch/examples beside them has). The rows `modern-…` have today's parts and Muon.
"""

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
    is_planned: the function also takes the `run` that a plan can be made for.
    """

    name: str
    year: int
    place: tuple[str, str]
    arguments: dict[str, Any]
    is_planned: bool = False


_COUNTED, _NEURAL = "homespun.recipes.families.counted", "homespun.recipes.families.neural"
FAMILIES: tuple[Family, ...] = (
    Family("hmm", 1966, (_COUNTED, "judge_hmm"), {}),
    Family("n-gram", 1995, (_COUNTED, "judge_ngrams"), {}),
    Family("rnn", 2010, (_NEURAL, "judge_recurrent"), {"cell": "rnn"}),
    Family("lstm", 2012, (_NEURAL, "judge_recurrent"), {"cell": "lstm"}),
    Family("gru", 2014, (_NEURAL, "judge_recurrent"), {"cell": "gru"}),
    Family("encoder-decoder", 2017, (_NEURAL, "judge_encoder_decoder"), {"is_modern": False}),
    Family("encoder", 2018, (_NEURAL, "judge_encoder"), {"is_modern": False}),
    Family("gpt-2", 2019, (_NEURAL, "judge_gpt2"), {}),
    Family("modern-encoder-decoder", 2025, (_NEURAL, "judge_encoder_decoder"), {"is_modern": True}),
    Family("modern-encoder", 2025, (_NEURAL, "judge_encoder"), {"is_modern": True}),
    Family("portable", 2025, (_NEURAL, "judge_portable"), {}, is_planned=True),
)
