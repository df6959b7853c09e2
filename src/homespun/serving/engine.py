"""What the server needs of an engine and of a model. The engine's own room knows torch; this one
does not, so they meet through these protocols and are wired in `recipes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from homespun.core import (
    Completion,
    HomespunError,
    SamplingSettings,
    Tokenizer,
    TokenLogprob,
)


class EngineOutput(Protocol):
    """What is new of an answer; see `inference.Output`."""

    @property
    def request_id(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def token_ids(self) -> tuple[int, ...]: ...
    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]: ...
    @property
    def completion(self) -> Completion | None: ...
    @property
    def prompt_logprobs(self) -> tuple[TokenLogprob, ...]: ...
    @property
    def error(self) -> HomespunError | None: ...
    @property
    def is_last(self) -> bool: ...


class EngineNumbers(Protocol):
    """What an engine tells of itself; see `inference.EngineStats`."""

    @property
    def num_running(self) -> int: ...
    @property
    def num_waiting(self) -> int: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def num_free_blocks(self) -> int: ...
    @property
    def num_prompt_tokens(self) -> int: ...
    @property
    def num_cached_tokens(self) -> int: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def num_preempted(self) -> int: ...


class EngineFacts(Protocol):
    """What is to be known of an engine where requests are taken."""

    @property
    def window(self) -> int:
        """Most tokens of prompt and answer together."""
        ...

    @property
    def kv_capacity(self) -> int:
        """Tokens the cache holds."""
        ...

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        ...

    @property
    def notice(self) -> str:
        """Why answers come slower than they could; "" where they do not."""
        ...


class ServedEngine(Protocol):
    """Answers requests, token by token. One thread calls all but `check`, which only looks."""

    @property
    def has_work(self) -> bool: ...
    @property
    def stats(self) -> EngineNumbers: ...
    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        """Raises RequestError where this cannot be answered."""
        ...

    def submit(
        self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes
    ) -> int: ...
    def step(self) -> Sequence[EngineOutput]: ...
    def admitted(self) -> Sequence[int]:
        """Requests that got a place in the last step; one of several answers may come again."""
        ...

    def cancel(self, request_id: int) -> bool: ...
    @property
    def most_embedded(self) -> int:
        """Tokens of texts that are embedded together; 0 where together they take no less."""
        ...

    def embed(self, prompts: Sequence[Sequence[int]]) -> Sequence[Sequence[float]]:
        """Of each text the mean of the model's last states, of length 1."""
        ...


class Rewriting(NamedTuple):
    """How a model that writes one text from another searches where nobody says how: see
    `core.SamplingSettings`."""

    beams: int
    length_penalty: float


@dataclass(frozen=True)
class ServedModel:
    """A model under the name that requests call it by.

    Attributes:
        name: as in `/v1/models`.
        engine: what is to be known of the engine that answers.
        tokenizer: the model's.
        can_chat: it was taught to, or has a chat template.
        created: when it was made, in seconds since 1970.
        can_write: it continues texts; an encoder makes vectors of them and no more.
        control_names: what to call tokens that stand for no text, by their ids.
        blank_mark: for a model that fills blanks, the token that stands for one: a prompt is the
            text before it, the mark, the text behind it, and the mark again; None for others.
        rewrites: for a model that reads one text and writes another, a translation or a summary,
            how it does; None for those that go on with what they read. Its window is of what is
            read alone, and its tokenizer gives ids of a text as it is read, marks included.
    """

    name: str
    engine: EngineFacts
    tokenizer: Tokenizer
    can_chat: bool
    created: int
    can_write: bool = True
    control_names: Mapping[int, str] = field(default_factory=dict)
    blank_mark: int | None = None
    rewrites: Rewriting | None = None

    @cached_property
    def longest_token(self) -> int:
        """Bytes of the longest token."""
        size = self.tokenizer.vocab_size
        return max(1, *(len(self.tokenizer.token_bytes(token)) for token in range(size)))
