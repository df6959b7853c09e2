"""A conversation that stays within the model's window, and says so when it has to forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from homespun.core import Completion, Message, RequestError, SamplingSettings, Tokenizer
from homespun.inference.engine import Engine
from homespun.inference.request import check_settings
from homespun.inference.tickets import TextStream


class ChatSession:
    """Keeps the turns of a conversation and asks the engine for the next answer.

    The history, the new message and room for an answer must fit the window. When they do not, the
    oldest turns (a message and its answer) are left out for good, and `notice` tells so.

    Args:
        engine: answers; it keeps what it has read, so a new turn costs only its own tokens.
        tokenizer: owns the chat template.
        context: tokens that history, message and answer may take together.
        system: a message that stands before all others and is never dropped.

    Attributes:
        dropped_turns: turns dropped since the start or the last reset.
        notice: a sentence for the user about the last message, empty where nothing happened.
        last: the last answer as a whole; None before the first.
    """

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, *, context: int, system: str | None = None
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._context = min(context, engine.window)
        self._system = [] if system is None else [Message("system", system)]
        self._turns: list[tuple[Message, Message]] = []
        self.dropped_turns = 0
        self.notice = ""
        self.last: Completion | None = None

    @property
    def messages(self) -> list[Message]:
        """What the model is shown of the past, in order."""
        return [*self._system, *(message for turn in self._turns for message in turn)]

    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]:
        """Say `text` and return the answer, piece by piece.

        The turn enters the history when the iterator ends. One that is closed early keeps what was
        said so far, if anything was.

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
        return self._answer(question, stream)

    def undo(self) -> bool:
        """Forget the last turn. False where there is none."""
        if not self._turns:
            return False
        self._turns.pop()
        return True

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns.clear()
        self.dropped_turns, self.notice, self.last = 0, "", None

    def _fit(self, question: Message, settings: SamplingSettings) -> tuple[list[int], int]:
        """The prompt, and how many of the oldest turns it leaves out."""
        # The rest of the window is for the answer, but a long answer allowed must not cost the
        # model all its memory of the conversation: a quarter is kept free at most.
        reserve = max(1, min(settings.max_tokens, self._context // 4))
        for dropped in range(len(self._turns) + 1):
            history = [message for turn in self._turns[dropped:] for message in turn]
            ids = self._encode([*self._system, *history, question])
            if len(ids) + reserve <= self._context:
                return ids, dropped
        # The message stands alone now. It is answered as long as there is any room at all.
        if len(ids) >= self._context:
            raise RequestError(
                f"the message takes {len(ids)} tokens, and the model's window holds "
                f"{self._context} tokens of message and answer together",
                remedy="shorten the message",
            )
        return ids, dropped

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        return list(self._tokenizer.encode_chat(messages, add_generation_prompt=True).ids)

    def _answer(self, question: Message, stream: TextStream) -> Iterator[str]:
        said: list[str] = []
        try:
            for piece in stream:
                said.append(piece)
                yield piece
        finally:
            stream.close()
            self.last = stream.completion
            if said or self.last.finish_reason != "cancelled":
                self._turns.append((question, Message("assistant", "".join(said))))


def _notice(dropped: int, context: int) -> str:
    if dropped == 0:
        return ""
    turns = "the oldest turn" if dropped == 1 else f"the {dropped} oldest turns"
    return f"dropped {turns} to fit {context} tokens"
