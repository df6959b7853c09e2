"""What a runner is asked and what it answers.

R rows of scores, N of them of one row, D width, V vocabulary, B batch, T new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from homespun.core import TokenLogprob
from homespun.inference.sampling.choose import Ask


class CachedDecoder(Protocol):
    """What the engine needs of a model: `models.Decoder` is one.

    With a cache it writes keys and values by `append` and ids by `append_ids`, and hides from each
    query what `hidden_keys` tells.
    """

    @property
    def context(self) -> int: ...
    def __call__(
        self, ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: Any = None
    ) -> Tensor: ...
    def head(self, hidden_BTD: Tensor) -> Tensor: ...
    def eval(self) -> Any: ...
    def set_compute_dtype(self, dtype: torch.dtype) -> Any: ...


def network_states(model: CachedDecoder, hidden_BTD: Tensor) -> Tensor:
    """Hidden states alone: behind those of a model beside a table stand places in the table."""
    states = getattr(model, "states", None)
    alone_BTD: Tensor = hidden_BTD if states is None else states(hidden_BTD)
    return alone_BTD


class Work(NamedTuple):
    """One row's share of a step.

    Attributes:
        ids: to read now.
        start: tokens of the row that the cache holds already.
        blocks: of the row, at least as many as `start + len(ids)` tokens need.
        num_scores: how many of the last ids want scores of the token after them.
        before: the ids before `ids`, as many of the last as models look back at.
    """

    ids: Sequence[int]
    start: int
    blocks: Sequence[int]
    num_scores: int
    before: Sequence[int]


class Results(NamedTuple):
    """Attributes:
    scores_RV: float32 on the processor, the rows of each work behind those of the one before.
    hidden_RD: of the network, before the head, where asked for.
    """

    scores_RV: Tensor
    hidden_RD: Tensor | None


class Outcome(NamedTuple):
    """A row's share of the results.

    Attributes:
        scores_NV: of the token after each of the last N ids; float32.
        hidden_ND: of the network there, before the head; None unless asked for.
    """

    scores_NV: Tensor
    hidden_ND: Tensor | None


class BurstRow(NamedTuple):
    """A row that is to write several tokens in one call.

    Attributes:
        token: the last id, which is not read yet.
        before: the ids before it, as many of the last as models look back at.
        start: tokens that are read.
        blocks: with room for all that may be chosen.
        ask: how the first token is chosen; neither adjusted nor constrained.
        limit: most tokens.
        num_top: of the likeliest that are told beside each token; None where nothing is told.
    """

    token: int
    before: Sequence[int]
    start: int
    blocks: Sequence[int]
    ask: Ask
    limit: int
    num_top: int | None = None


class Written(NamedTuple):
    """What a burst wrote of a row.

    Attributes:
        tokens: the one that ends it included; -1 where scores are no numbers.
        logprobs: of each token, before filters; empty unless asked for.
    """

    tokens: list[int]
    logprobs: list[TokenLogprob]


class Runner(Protocol):
    """Reads ids and keeps their keys and values in blocks."""

    @property
    def notice(self) -> str: ...
    @property
    def num_weight_bytes(self) -> int: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def can_burst(self) -> bool:
        """Whether `burst` may be called."""
        ...

    def burst(self, rows: Sequence[BurstRow], most: int) -> list[Written]:
        """Up to `most` tokens of each row."""
        ...

    def run(self, works: Sequence[Work], *, with_hidden: bool = False) -> Results: ...
    def copy_block(self, source: int, target: int) -> None: ...


BLOCK_TOKENS = 16
"""Tokens of a block: small enough that a half-empty last block wastes little and that prompts share
nearly all they have in common, large enough that a row has few of them."""

_LOOK_BACK = 16


def look_back(model: Any) -> int:
    """Ids before the new ones that a model may look at: one for bigrams and smear, order - 1 for a
    table of n-grams, all for a table that also looks at what its context says of itself."""
    prior = getattr(model, "prior", None)
    copies = prior is not None and prior.copy_odds is not None
    return int(model.context) if copies else _LOOK_BACK
