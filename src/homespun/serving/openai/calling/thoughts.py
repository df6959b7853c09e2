"""What a model thinks in words before it answers, told apart from the answer.

Models that were taught so write `<think>`, their thoughts, `</think>` and the answer; of some the
prompt ends with `<think>` already.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from homespun.core import Tokenizer
from homespun.serving.engine import ServedModel
from homespun.serving.openai.calling.calls import Call, CallReader, num_begun

THINK, ANSWER = "<think>", "</think>"
_LAST_IDS = 16
"""Of a prompt, in which `<think>` is looked for: it is a token, or its letters are."""


@runtime_checkable
class ThinkingTokenizer(Protocol):
    """A tokenizer whose chat template may speak of thoughts."""

    @property
    def knows_reasoning(self) -> bool:
        """It writes what an assistant thought, where it is told."""
        ...

    @property
    def thinks(self) -> bool:
        """Answers begin with thoughts."""
        ...


def knows_reasoning(tokenizer: Tokenizer) -> bool:
    return isinstance(tokenizer, ThinkingTokenizer) and tokenizer.knows_reasoning


def thinks(tokenizer: Tokenizer) -> bool:
    return isinstance(tokenizer, ThinkingTokenizer) and tokenizer.thinks


class Told(NamedTuple):
    """Parts of an answer."""

    reasoning: str
    text: str


class ThoughtReader:
    """Reads one answer, whole or as it comes. White space around thoughts is left out.

    Args:
        may_think: the answer may begin with `<think>`; else all of it is text.
        has_begun: the prompt ends with `<think>`.
    """

    def __init__(self, *, may_think: bool, has_begun: bool = False) -> None:
        self._held = ""
        self._where = "before" if may_think else "text"
        if has_begun and may_think:
            self._where = "thoughts"
        self._is_first = True

    @property
    def is_sure(self) -> bool:
        """What comes next is text of the answer."""
        return self._where in ("text", "after")

    def num_tokens(self, tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
        """How many of the answer's tokens, as far as it was read, are thoughts and their marks."""
        if self._where != "after":
            return 0 if self._where == "text" else len(token_ids)
        ends = range(len(token_ids) + 1)
        has_ended = lambda end: ANSWER in tokenizer.decode(token_ids[:end])  # noqa: E731
        return bisect.bisect_left(ends, True, key=has_ended, hi=len(token_ids))

    def push(self, text: str) -> Told:
        """Take more of the answer; give what is certain."""
        self._held += text
        if self._where == "before":
            begun = self._held.lstrip()
            if begun.startswith(THINK):
                self._where, self._held = "thoughts", begun.removeprefix(THINK)
            elif THINK.startswith(begun):
                return Told("", "")
            else:
                self._where = "text"
        reasoning = ""
        if self._where == "thoughts":
            thought, found, rest = self._held.partition(ANSWER)
            if found:
                reasoning = self._begun(thought.rstrip())
                self._where, self._held, self._is_first = "after", rest, True
            else:
                sure = thought[: len(thought) - num_begun(thought, ANSWER)].rstrip()
                self._held = thought[len(sure) :]
                return Told(self._begun(sure), "")
        said, self._held = self._held, ""
        return Told(reasoning, self._begun(said) if self._where == "after" else said)

    def finish(self) -> Told:
        """What was held back: the answer has ended."""
        held, self._held = self._held, ""
        if self._where == "before":
            self._where = "text"
        if self._where == "thoughts":  # cut off: none of it is the answer
            return Told(self._begun(held.rstrip()), "")
        return Told("", held)

    def read(self, text: str, *, is_last: bool = False) -> Told:
        """Take more of the answer; give what is certain, and all of the rest where it has ended."""
        told = self.push(text)
        if not is_last:
            return told
        rest = self.finish()
        return Told(told.reasoning + rest.reasoning, told.text + rest.text)

    def _begun(self, text: str) -> str:
        """Without the white space that stands before all of it."""
        if self._is_first:
            text = text.lstrip()
            self._is_first = not text
        return text


class Parts(NamedTuple):
    """What can be told of an answer: thoughts, text, and calls that are complete."""

    reasoning: str
    text: str
    calls: tuple[Call, ...]


class AnswerReader:
    """Reads one answer, whole or as it comes: what is thought is read for no calls."""

    def __init__(self, thoughts: ThoughtReader, calls: CallReader) -> None:
        self._thoughts = thoughts
        self._calls = calls

    @property
    def num_calls(self) -> int:
        return self._calls.num_calls

    def read(self, text: str, *, is_last: bool = False) -> Parts:
        """Take more of the answer; give what is certain, and all of the rest where it has ended."""
        told = self._thoughts.read(text, is_last=is_last)
        said = self._calls.push(told.text)
        if not is_last:
            return Parts(told.reasoning, said.text, said.calls)
        last = self._calls.finish()
        return Parts(told.reasoning, said.text + last.text, said.calls + last.calls)


def thought_reader(served: ServedModel, prompt: Sequence[int], *, is_bound: bool) -> ThoughtReader:
    """For an answer to `prompt`.

    Args:
        is_bound: its form is given, from its first token on: there is no place for thoughts.
    """
    tokenizer = served.tokenizer
    if is_bound or not thinks(tokenizer):
        return ThoughtReader(may_think=False)
    last = tokenizer.decode(prompt[-_LAST_IDS:]).rstrip()
    # Where the template has written no thoughts, the model is not to have any.
    return ThoughtReader(may_think=not last.endswith(ANSWER), has_begun=last.endswith(THINK))
