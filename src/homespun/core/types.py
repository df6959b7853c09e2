"""The nouns that travel between rooms. Plain frozen dataclasses, no behaviour beyond checking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MOST_NATS = 700.0
"""Of a token, that a perplexity is told of: e to the power of 710 is no float any more."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text, the unit that is cleaned, split and packed.

    Attributes:
        doc_id: stable name, unique in its corpus (a path, a path and row, or a dotted name).
        text: Unicode, NFC once cleaned.
        source: where it came from, for the data card.
        language: ISO 639-1 code, "und" while unknown, "code" for source code.
        metadata: whatever the reader knows, JSON values only.
    """

    doc_id: str
    text: str
    source: str = ""
    language: str = "und"
    metadata: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said.

    Attributes:
        reasoning: what an assistant thought before it said so, where it thinks in words.
    """

    role: Role
    content: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """An exchange, in order; a system message can only be the first.

    `category` groups conversations for evaluation ("identity", "python.args", …).
    """

    messages: tuple[Message, ...]
    source: str = ""
    category: str = ""


class Score(NamedTuple):
    """What a language model says of some text, in a form that compares across families.

    Attributes:
        nats: total surprise, minus the natural log of the probability of all documents.
        num_bytes: UTF-8 bytes of the documents.
        num_tokens: prediction steps taken (the model's own unit).
    """

    nats: float
    num_bytes: int
    num_tokens: int

    @property
    def bits_per_byte(self) -> float:
        return self.nats / 0.6931471805599453 / max(1, self.num_bytes)

    @property
    def perplexity(self) -> float:
        """Of a token, see `perplexity_of`."""
        return perplexity_of(self.nats / max(1, self.num_tokens))


def perplexity_of(nats_per_token: float) -> float:
    """e to the power of nats per token, and 1e304 at the most: of a model that knows nothing too it
    is a number that JSON holds and that means and intervals can be taken of. NaN stays NaN."""
    return math.exp(min(nats_per_token, MOST_NATS))


@dataclass(frozen=True, slots=True)
class ChatTokens:
    """A conversation as ids, with what the model is trained to say marked.

    Attributes:
        ids: token ids, markers included.
        is_target: same length; True where the id is the assistant's own (its stop token too).
    """

    ids: tuple[int, ...]
    is_target: tuple[bool, ...]
