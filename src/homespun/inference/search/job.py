"""What the engine asks of every job, and the plainest one: an answer chosen token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from homespun.core import Completion, HomespunError, TokenLogprob
from homespun.inference.answer import Answer
from homespun.inference.blocks import BlockPool, Row
from homespun.inference.runners.work import BurstRow, Outcome
from homespun.inference.search.lookup import AcceptanceMeter, guess
from homespun.inference.search.prompt import PromptScores


@dataclass(frozen=True, slots=True)
class News:
    """What is new of an answer: see `Output`."""

    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    completion: Completion | None = None
    error: HomespunError | None = None
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


class SearchJob(Protocol):
    """A job of several rows that go on together, once all of them have been read.

    Attributes:
        request_id: whose it is.
        rows: of the cache.
        wants_hidden: outcomes are to have hidden states.
        wants_every: outcomes are wanted of every id that is read, and told by `note`.
        is_private: no other request can use what its rows have read.
    """

    request_id: int
    rows: list[Row]
    wants_hidden: bool
    wants_every: bool
    is_private: bool

    @property
    def is_waiting(self) -> bool: ...
    @property
    def has_ended(self) -> bool: ...
    def note(self, row: Row, outcome: Outcome) -> None:
        """Take what reading a part of the prompt gave; only where `wants_every`."""
        ...

    def advance(self, pool: BlockPool) -> list[News]:
        """Go on from the `outcome` of all rows."""
        ...

    def cancel(self) -> Completion:
        """End here; what there is so far."""
        ...


class SamplingJob:
    """An answer that is chosen token by token, greedily or at random.

    Args:
        request_id: whose it is.
        index: which of the request's answers.
        row: holds the prompt.
        answer: empty.
        leader: another answer to the same prompt, which reads it first, so that this one finds it
            in the cache.
        scores: takes those of the prompt where it is this answer that reads it and they are wanted:
            nothing of the row may come from the cache then.
    """

    wants_hidden = False

    def __init__(
        self,
        request_id: int,
        index: int,
        row: Row,
        answer: Answer,
        *,
        leader: SamplingJob | None = None,
        scores: PromptScores | None = None,
    ) -> None:
        self.request_id = request_id
        self.index = index
        self.row = row
        self.rows = [row]
        self.answer = answer
        self.has_begun = False
        self.meter = AcceptanceMeter()
        self._leader = leader
        self._scores: PromptScores | None = leader._scores if leader is not None else scores

    @property
    def wants_every(self) -> bool:
        return self._scores is not None and self._leader is None and not self.has_begun

    @property
    def is_private(self) -> bool:
        return self._scores is not None

    def note(self, row: Row, outcome: Outcome) -> None:
        """Take what reading a part of the prompt gave; only where `wants_every`."""
        assert self._scores is not None
        self._scores.note(row.num_read - len(outcome.scores_NV), outcome.scores_NV)

    @property
    def is_sound(self) -> bool:
        """Whether all noted was numbers."""
        return self._scores is None or self._scores.is_sound

    @property
    def is_waiting(self) -> bool:
        return self._leader is not None and not self._leader.has_begun

    @property
    def has_ended(self) -> bool:
        return self.answer.finish_reason is not None

    def draft(self) -> None:
        """Guess ahead, where that is asked for and has been of use."""
        most = min(self.answer.settings.lookup_tokens, self.answer.num_left - 1)
        self.row.draft = []
        if most < 1 or self.row.num_pending != 1 or not self.has_begun:
            return
        if not self.meter.is_on:
            self.meter.pause()
            return
        self.row.draft = guess(self.row.ids, most)

    def burst_row(self, look_back: int) -> BurstRow:
        """How the answer, which is plain, goes on for several tokens.

        Args:
            look_back: ids before the last that the model may look at.
        """
        row, answer = self.row, self.answer
        return BurstRow(
            row.ids[-1],
            row.ids[-1 - look_back : -1],
            row.num_read,
            row.blocks,
            answer.ask(),
            answer.num_left,
            (answer.settings.logprobs or 0) if answer.wants_logprobs else None,
        )

    def push_all(
        self, tokens: Sequence[int], logprobs: Sequence[TokenLogprob], pool: BlockPool
    ) -> tuple[News, int]:
        """Take several tokens, each of which was chosen after the one before was read, and their
        log probabilities where they are wanted. The answer is plain.

        Returns:
            what is new, and how many tokens were taken.
        """
        first = self._begin()
        text, kept, taken = self.answer.push_all(tokens, logprobs)
        self.row.ids += kept
        pool.advance(self.row, len(kept))  # the last of them is still to be read
        done = self.answer.completion() if self.has_ended else None
        told = () if self.answer.settings.logprobs is None else tuple(logprobs[: len(kept)])
        return News(self.index, text, tuple(kept), told, done, None, first), taken

    def push(self, token: int, logprob: TokenLogprob | None) -> News:
        """Take the token just chosen."""
        first = self._begin()
        text = self.answer.push(token, logprob)
        ended = self.has_ended
        told = () if token < 0 or token in self.answer.end_ids else (token,)
        if told and not ended:
            self.row.ids.append(token)
        wants = logprob is not None and self.answer.settings.logprobs is not None
        return News(
            self.index,
            text,
            told,
            (logprob,) if told and wants and logprob is not None else (),
            self.answer.completion() if ended and self.answer.error is None else None,
            self.answer.error,
            first,
        )

    def cancel(self) -> Completion:
        if not self.has_ended:
            self.answer.finish("cancelled")
        return self.answer.completion()

    def _begin(self) -> tuple[TokenLogprob, ...]:
        """What is to be told of the prompt, once."""
        if self.has_begun:
            return ()
        self.has_begun = True
        self.answer.num_cached = self.row.num_cached or 0
        if self._scores is not None:
            self.answer.prompt_logprobs = tuple(self._scores.found)
        return self.answer.prompt_logprobs or ()
