"""The contracts rooms meet through. A room is handed these; it never imports its sibling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from homespun.core.sampling import Completion, SamplingSettings
from homespun.core.types import ChatTokens, Message, Score

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@runtime_checkable
class Tokenizer(Protocol):
    """Text to ids and back. Special-token strings inside ordinary text are ordinary text."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def end_of_text_id(self) -> int:
        """Separates documents: stands before the first and after each."""
        ...

    @property
    def end_of_turn_id(self) -> int:
        """Ends a chat message; generation of an answer stops here."""
        ...

    @property
    def start_ids(self) -> tuple[int, ...]:
        """Stand before a text that is to be continued; nothing where a model knows no such mark."""
        ...

    def encode(self, text: str) -> NDArray[np.uint32]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]: ...
    def decode(self, ids: Sequence[int]) -> str:
        """Bytes that are not UTF-8 become U+FFFD; special tokens are left out."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes a token stands for; empty for special tokens."""
        ...

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens: ...


@runtime_checkable
class OptionTokenizer(Protocol):
    """A tokenizer whose chat template may ask for values of names of its own."""

    @property
    def chat_options(self) -> frozenset[str]: ...


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that gives a text a probability: xz, an n-gram table, a Transformer."""

    name: str

    def score(self, texts: Sequence[str]) -> Score:
        """Score whole documents, each from its own beginning to its end mark."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Anything that continues token ids."""

    def generate(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Completion: ...
    def stream(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Iterator[str]:
        """Yield text as it comes, never half a character, never past a stop string."""
        ...


class Tagged(NamedTuple):
    """Attributes:
    text: a word, or the name of something.
    kind: what it is: a part of speech, a kind of entity; "word" where that is all that is known.
    """

    text: str
    kind: str


@runtime_checkable
class Tagger(Protocol):
    """Anything that finds words or names in texts: rules, a CRF, an encoder."""

    def tagged(self, texts: Sequence[str]) -> list[list[Tagged]]:
        """What is in each text, in order. A text without anything has an empty list."""
        ...


class LossOutput(NamedTuple):
    """Attributes:
    loss_sum: summed nats over the targets of the batch, a scalar that carries gradients.
    num_targets: how many targets were summed; 0 where the batch holds none.
    metrics: further numbers for metrics.jsonl.
    """

    loss_sum: torch.Tensor
    num_targets: int
    metrics: dict[str, float]


class Objective(Protocol):
    """Turns a batch into a loss. Holds no state; the one training loop calls it."""

    name: str

    def loss(self, model: Any, batch: Any) -> LossOutput: ...


class StepHook(Protocol):
    """Called by the loop after each step, with the row it logged. May add to the row."""

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None: ...


class Task(Protocol):
    """A long action with a known or unknown length that wants to be watched."""

    def advance(self, amount: float = 1.0, note: str = "") -> None: ...
    def finish(self, note: str = "") -> None: ...


class Progress(Protocol):
    """Where stages say how far they are. The CLI draws it; elsewhere it is silent."""

    def task(self, name: str, total: float | None = None, unit: str = "") -> Task: ...
    def say(self, text: str) -> None:
        """One line that stays, for a person."""
        ...


class _SilentTask:
    def advance(self, amount: float = 1.0, note: str = "") -> None:
        pass

    def finish(self, note: str = "") -> None:
        pass


class Silent:
    """A Progress that shows nothing."""

    def task(self, name: str, total: float | None = None, unit: str = "") -> Task:
        return _SilentTask()

    def say(self, text: str) -> None:
        pass
