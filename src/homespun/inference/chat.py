"""A conversation that stays within the model's window, and says so when it has to forget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from homespun.core import (
    Completion,
    Message,
    RequestError,
    SamplingSettings,
    Tokenizer,
    TokenLogprob,
)
from homespun.inference.engine import Engine
from homespun.inference.request import MOST_LISTED, check_settings
from homespun.inference.tickets import TextStream


class ChatSession:
    """Keeps the turns of a conversation and asks the engine for the next answer.

    The history, the new message and room for an answer must fit the window. When they do not, the
    oldest turns (a message and its answer) are left out for good, and `notice` tells so.

    Args:
        engine: answers; it keeps what it has read, so a new turn costs only its own tokens.
        tokenizer: owns the chat template.
        context: tokens that history, message and answer may take together.
        system: a message that stands before all others and is never dropped; None for none. It may
            be changed at any time.
        options: values of names that the tokenizer's chat template asks for.

    Attributes:
        dropped_turns: turns dropped since the start or the last reset.
        notice: a sentence for the user about the last message, empty where nothing happened.
        last: the last answer as a whole; None before the first.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        *,
        context: int,
        system: str | None = None,
        options: Mapping[str, bool | str] | None = None,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._context = min(context, engine.window)
        # Not every tokenizer's template can ask for any.
        self._more: dict[str, Any] = {"options": options} if options else {}
        self.system = system
        self._turns: list[tuple[Message, Message]] = []
        self.dropped_turns = 0
        self.notice = ""
        self.last: Completion | None = None
        self._last_prompt: list[int] = []

    @property
    def messages(self) -> list[Message]:
        """What the model is shown of the past, in order."""
        return [*self._first, *(message for turn in self._turns for message in turn)]

    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]:
        """Say `text` and return the answer, piece by piece.

        The turn enters the history when the iterator ends. One that is closed early keeps what was
        said so far, if anything was. One that fails leaves the history as it was.

        Raises:
            RequestError: at once, where the message alone fills the window or settings are wrong.
        """
        check_settings(settings)
        question = Message("user", text)
        prompt_ids, dropped = self._fit(question, settings)
        settings = replace(
            settings, max_tokens=min(settings.max_tokens, self._context - len(prompt_ids))
        )
        stream = self._engine.stream(prompt_ids, settings)
        # Nothing is changed before the request is known to be good.
        del self._turns[:dropped]
        self.dropped_turns += dropped
        self.notice = _notice(dropped, self._context)
        self._last_prompt = prompt_ids
        return self._answer(question, stream)

    def undo(self) -> bool:
        """Forget the last turn. False where there is none."""
        if not self._turns:
            return False
        self._turns.pop()
        return True

    def restore(self, messages: Sequence[Message]) -> None:
        """Go on from a conversation of earlier, in the form of `messages`.

        Raises:
            RequestError: they are not a system message or none, then questions and answers in turn.
        """
        rest = list(messages)
        system = rest.pop(0).content if rest and rest[0].role == "system" else None
        roles = [message.role for message in rest]
        if roles != ["user", "assistant"] * (len(rest) // 2):
            raise RequestError(
                "a conversation is questions and answers in turn",
                got=", ".join(roles) or "nothing",
                remedy="keep at most one system message, before all others",
            )
        self.reset()
        self.system = system
        self._turns = list(zip(rest[::2], rest[1::2], strict=True))

    def explain(self, num_top: int) -> list[TokenLogprob]:
        """The tokens of the last answer, each with the likeliest ones at its place.

        They are read once more, so that answers need not wait for what nobody asks for.

        Raises:
            RequestError: there is no answer yet, or `num_top` is too large.
        """
        if self.last is None or not self.last.token_ids:
            raise RequestError("there is no answer to explain yet", remedy="ask something first")
        ids = self.last.token_ids[:MOST_LISTED]
        settings = SamplingSettings(
            max_tokens=len(ids),
            temperature=0.0,
            forced_tokens=ids,
            ignore_end=True,
            logprobs=num_top,
        )
        done = self._engine.generate(self._last_prompt, settings)
        return list(done.logprobs or ())

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()
        self.dropped_turns, self.notice, self.last = 0, "", None

    @property
    def _first(self) -> list[Message]:
        return [] if self.system is None else [Message("system", self.system)]

    def _fit(self, question: Message, settings: SamplingSettings) -> tuple[list[int], int]:
        """The prompt, and how many of the oldest turns it leaves out."""
        # The rest of the window is for the answer, but a long answer allowed must not cost the
        # model all its memory of the conversation: a quarter is kept free at most.
        reserve = max(1, min(settings.max_tokens, self._context // 4))
        for dropped in range(len(self._turns) + 1):
            history = [message for turn in self._turns[dropped:] for message in turn]
            ids = self._encode([*self._first, *history, question])
            if len(ids) + reserve <= self._context:
                return ids, dropped
        # The message stands alone now. It is answered as long as there is any room at all.
        if len(ids) >= self._context:
            what, take = "message", "takes"
            if self.system is not None:
                what, take = "system prompt and the message", "take"
            raise RequestError(
                f"the {what} {take} {len(ids)} tokens, and the model's window holds "
                f"{self._context} tokens, the answer included",
                remedy=f"shorten the {what}",
            )
        return ids, dropped

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        encoded = self._tokenizer.encode_chat(messages, add_generation_prompt=True, **self._more)
        return list(encoded.ids)

    def _answer(self, question: Message, stream: TextStream) -> Iterator[str]:
        said: list[str] = []
        try:
            for piece in stream:
                said.append(piece)
                yield piece
        finally:
            stream.close()
            self.last = stream.completion
            ended = self.last.finish_reason in ("stop", "length")
            if ended or (said and self.last.finish_reason == "cancelled"):
                self._turns.append((question, Message("assistant", "".join(said))))


def _notice(dropped: int, context: int) -> str:
    if dropped == 0:
        return ""
    turns = "the oldest turn" if dropped == 1 else f"the {dropped} oldest turns"
    return f"dropped {turns} to fit {context} tokens"
