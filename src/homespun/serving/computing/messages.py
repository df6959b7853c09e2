"""What goes between the event loop and whoever computes, in another thread or another process.

`wire` writes it for another process. Nothing of it knows torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from homespun.core import Completion, HomespunError, SamplingSettings, TokenLogprob


class Ask(NamedTuple):
    """A prompt to be answered. `number` is the event loop's own, as in all that follows.

    Attributes:
        is_whole: nobody wants to be told of pieces: of each answer its first tokens are told, by
            which waiting is measured, and then the whole.
    """

    number: int
    model: str
    prompt_ids: Sequence[int]
    settings: SamplingSettings
    salt: bytes
    is_whole: bool = False


class Embed(NamedTuple):
    """Texts whose vectors are wanted."""

    number: int
    model: str
    prompts: Sequence[Sequence[int]]


class Drop(NamedTuple):
    """Nobody wants more of a request."""

    number: int


Work = Ask | Embed | Drop


class Said(NamedTuple):
    """What is new of an answer; see `inference.Output`. `answer` says which of the request's."""

    answer: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    completion: Completion | None
    error: HomespunError | None
    is_last: bool
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


class Numbers(NamedTuple):
    """What an engine tells of itself; see `inference.EngineStats`."""

    num_running: int = 0
    num_waiting: int = 0
    num_blocks: int = 0
    num_free_blocks: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_tokens: int = 0
    num_preempted: int = 0


class Ended(NamedTuple):
    """A request that is over without having said so itself.

    Attributes:
        error: why there is no answer; None where vectors are complete.
        is_fault: it is our own; nothing is to be told of it.
        is_dropped: nobody wanted more.
    """

    number: int
    error: HomespunError | None = None
    is_fault: bool = False
    is_dropped: bool = False


@dataclass(slots=True)
class News:
    """What came of one round of computing, in the order in which it is to be taken in.

    Attributes:
        begun: requests that were taken.
        admitted: requests that got a place, and when, in seconds of `time.monotonic`, which all
            processes of a machine share.
        said: answers, or more of them.
        vectors: one more of a request for vectors.
        ended: see `Ended`.
        broken: models that take no more requests.
        numbers: of the engines something was done with.
        mended: models that take requests again; told by a desk, and by nobody who computes.
    """

    begun: list[int] = field(default_factory=list)
    admitted: list[tuple[int, float]] = field(default_factory=list)
    said: list[tuple[int, list[Said]]] = field(default_factory=list)
    vectors: list[tuple[int, list[float]]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        parts = (self.begun, self.admitted, self.said, self.vectors, self.ended, self.broken)
        return any(parts)
