"""An engine for models that write one text from another: requests that come and go, by beams, or
token by token as they are drawn.

Requests that wait at the same moment are read together and written together (`writing.Writing`), a
token of all of them in a step; those that come later make a group of their own.

Shape letters: R rows (answers of one text), V vocabulary.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from homespun.core import Completion, RequestError, SamplingSettings, Tokenizer, TokenLogprob
from homespun.inference.answer import Answer
from homespun.inference.request import (
    Output,
    Request,
    check_ids,
    check_settings,
    plain_settings,
)
from homespun.inference.sampling import choose, log_probabilities
from homespun.inference.search.beams import Beam, BeamSearch
from homespun.inference.search.job import News
from homespun.inference.search.ledger import Ledger
from homespun.inference.search.writing import Ranking, Weights, Writing, longest_written, ranked
from homespun.inference.sound import not_finite
from homespun.inference.stats import EngineStats
from homespun.inference.stream import decoded
from homespun.models import Rewriter

_TAKEN = (
    *("max_tokens", "temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "stop"),
    *("logprobs", "num_answers", "beams", "beam_groups", "diversity_penalty", "length_penalty"),
)
"""Settings that say something to it; all others are refused where they do."""
_USUAL = SamplingSettings()
_MOST_GROUPS = 4
"""Written at once. Where all are at work, those that come wait and make one group together."""
_READ_AT_ONCE = 2048
"""Tokens, filled up to the longest text, that are read in one step: who is written waits for it."""


class Marks(NamedTuple):
    """Attributes:
    start_id, end_id: what writing begins with, and what ends a text.
    never: tokens that are not written.
    """

    start_id: int
    end_id: int
    never: Sequence[int] = ()


class RewritingEngine:
    """Writes texts from texts. By beams they are those of `write_texts`, and come whole at the end;
    drawn ones, and the likeliest token by token, come as they are written. No answer is longer than
    `longest_written`. Blanks at the ends of a text are left out.

    Args:
        model: in evaluation mode.
        tokenizer: gives the bytes of what is written.
        marks: of both.
        weights: see `write_texts`.
        times: see `longest_written`.
        max_rows: answers that are written together; a search with all its beams is one.
    """

    notice = ""

    def __init__(
        self,
        model: Rewriter,
        tokenizer: Tokenizer,
        marks: Marks,
        *,
        weights: Weights | None = None,
        times: float = 0.0,
        max_rows: int = 32,
    ) -> None:
        self._times = times
        self._model, self._tokenizer, self._marks = model, tokenizer, marks
        self._by = Ranking(marks.start_id, marks.end_id, weights or Weights())
        self._books = Ledger(max_rows)
        self._waiting: deque[_Job] = deque()
        self._groups: list[_Group] = []

    @property
    def window(self) -> int:
        """Tokens that are read of a text at most, the mark at its end included."""
        return self._model.context

    @property
    def kv_capacity(self) -> int:
        return self._books.max_rows * self.window

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._groups)

    @property
    def stats(self) -> EngineStats:
        return self._books.stats(self._num_running, len(self._waiting))

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        """What is read, as a list. Raises RequestError where it cannot be answered as asked."""
        size = self._tokenizer.vocab_size
        check_settings(settings, vocab_size=size)
        other = [
            name
            for name in settings.__dataclass_fields__
            if name not in _TAKEN and getattr(settings, name) != getattr(_USUAL, name)
        ]
        if other:
            raise RequestError(
                f"{other[0]} is not for a model that writes one text from another",
                remedy="leave it out",
            )
        ids = check_ids(prompt_ids, vocab_size=size)
        if not ids:
            raise RequestError("there is nothing to read", remedy="give a text")
        if len(ids) > self.window:
            raise RequestError(
                f"the text has {len(ids)} tokens, and the model reads {self.window}",
                remedy="cut it into several",
            )
        return ids

    def add_request(self, request: Request) -> int:
        """Take a request; its outputs come from `step`. Returns its number. Raises as `check`."""
        settings = plain_settings(request.settings)
        source = self.check(request.prompt_ids, settings)
        most = min(settings.max_tokens, longest_written(len(source), self.window, self._times))
        number = self._books.number()
        way: _BeamWay | _DrawnWay
        if settings.beams == 1:  # as `write_texts` has it
            settings = replace(settings, beams=0, temperature=0.0)
        if settings.beams:
            search = BeamSearch(
                settings,
                most=most,
                end_ids=frozenset([self._marks.end_id]),
                is_stopped=lambda ids: self._is_stopped(ids, settings.stop),
            )
            way = _BeamWay(search, self._tokenizer, source, settings, self._ranked)
        else:
            way = _DrawnWay(self._tokenizer, self._marks.end_id, source, settings, most)
        self._waiting.append(_Job(number, source, way))
        return number

    @torch.inference_mode()
    def step(self) -> list[Output]:
        """A token more of everything that is written, after what waits has been read."""
        self._books.begin_step()
        self._admit()
        outputs = [output for group in self._groups for output in self._advanced(group)]
        self._groups = [group for group in self._groups if group.jobs]
        return outputs

    def admitted(self) -> list[int]:
        """Requests that got a place in the last step."""
        return self._books.admitted

    def cancel(self, request_id: int) -> bool:
        """End a request here. False if it had ended already."""
        for job in self._waiting:
            if job.number == request_id:
                self._waiting.remove(job)
                return True
        for group in self._groups:
            for text, job in group.jobs.items():
                if job.number == request_id:
                    group.writing.drop(text)
                    del group.jobs[text]
                    self._groups = [one for one in self._groups if one.jobs]
                    return True
        return False

    def _is_stopped(self, ids: tuple[int, ...], stop: tuple[str, ...]) -> bool:
        return bool(stop) and decoded(self._tokenizer, ids, stop)[1]

    def _ranked(self, search: BeamSearch, source: list[int], num: int) -> list[Beam]:
        return ranked(self._model, search, source, num, self._by)

    @property
    def _num_running(self) -> int:
        return sum(job.way.num_answers for group in self._groups for job in group.jobs.values())

    def _admit(self) -> None:
        """Those who wait make a group, in their order, as far as there is room."""
        if len(self._groups) >= _MOST_GROUPS:
            return
        room = self._books.max_rows - self._num_running
        taken: list[_Job] = []
        longest = 0
        while self._waiting:
            job = self._waiting[0]
            longest = max(longest, len(job.source))
            is_alone = not taken and not self._groups
            if job.way.num_answers > room and not is_alone:
                break
            if taken and longest * (len(taken) + 1) > _READ_AT_ONCE:
                break
            taken.append(self._waiting.popleft())
            room -= job.way.num_answers
        if not taken:
            return
        for job in taken:
            self._books.admit(job.number, len(job.source))
        writing = Writing(
            self._model,
            [job.source for job in taken],
            [job.way for job in taken],
            start_id=self._marks.start_id,
            never=self._marks.never,
        )
        self._groups.append(_Group(writing, dict(enumerate(taken))))

    def _advanced(self, group: _Group) -> list[Output]:
        outputs: list[Output] = []
        failed = group.writing.step()
        still = set(group.writing.rows)
        for text, job in list(group.jobs.items()):
            if text in failed:
                outputs.append(Output(job.number, 0, error=not_finite(), is_last=True))
                del group.jobs[text]
                continue
            news = job.way.news()
            is_over = text not in still
            for at, one in enumerate(news, 1):
                outputs.append(_output(job.number, one, is_last=is_over and at == len(news)))
                self._books.num_chosen += len(one.token_ids)
            if is_over:
                del group.jobs[text]
        return outputs


class _Answering(Protocol):
    """A `Way` that tells what came of it."""

    @property
    def num_answers(self) -> int:
        """Places it takes."""
        ...

    @property
    def last_ids(self) -> list[int]: ...
    def advance(self, log_probs: Sequence[Tensor]) -> list[int]: ...
    def news(self) -> list[News]:
        """What is new since it was asked before."""
        ...


class _Job(NamedTuple):
    """A request. `source` is what is read."""

    number: int
    source: list[int]
    way: _Answering


class _Group(NamedTuple):
    """Requests that are written together, by the numbers of their texts."""

    writing: Writing
    jobs: dict[int, _Job]


class _BeamWay:
    """The best texts of a search.

    Args:
        search: for one source.
        source: what is read.
        rank: the best texts of a search that is over: `ranked`.
    """

    num_answers = 1

    def __init__(
        self,
        search: BeamSearch,
        tokenizer: Tokenizer,
        source: list[int],
        settings: SamplingSettings,
        rank: Callable[[BeamSearch, list[int], int], list[Beam]],
    ) -> None:
        self._search, self._tokenizer = search, tokenizer
        self._source, self._settings, self._rank = source, settings, rank
        self._start = time.perf_counter()

    @property
    def last_ids(self) -> list[int]:
        return self._search.last_ids

    def advance(self, log_probs: Sequence[Tensor]) -> list[int]:
        return self._search.advance(log_probs)

    def news(self) -> list[News]:
        if self._search.live:
            return []
        best = self._rank(self._search, self._source, self._settings.num_answers)
        # Where nothing may come there is nothing to go on with: the answer is empty.
        whole = [self._completion(beam) for beam in best or [Beam((), 0.0, 0, "stop")]]
        return [
            News(index, done.text, done.token_ids, (), done) for index, done in enumerate(whole)
        ]

    def _completion(self, beam: Beam) -> Completion:
        assert beam.finish_reason is not None
        return Completion(
            text=decoded(self._tokenizer, beam.ids, self._settings.stop)[0].strip(),
            token_ids=beam.ids,
            finish_reason=beam.finish_reason,
            num_prompt_tokens=len(self._source),
            seconds=time.perf_counter() - self._start,
            score=beam.score(self._settings.length_penalty),
        )


class _DrawnWay:
    """Answers to one text that are chosen token by token, each going its way.

    Args:
        end_id: ends an answer.
        source: what is read.
        most: tokens of an answer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        end_id: int,
        source: list[int],
        settings: SamplingSettings,
        most: int,
    ) -> None:
        self._size = tokenizer.vocab_size
        self._answers = [
            Answer(
                tokenizer,
                settings,
                source,
                window=len(source) + most,  # what is read takes no room of what is written
                end_ids=frozenset([end_id]),
                seed=(settings.seed + index) % 2**63,
            )
            for index in range(settings.num_answers)
        ]
        self._trimmed = [_Trimmed() for _ in self._answers]
        self._live = list(range(len(self._answers)))
        self._has_begun = False
        self._news: list[News] = []

    @property
    def num_answers(self) -> int:
        return len(self._answers)

    @property
    def last_ids(self) -> list[int]:
        return [self._answers[index].token_ids[-1] for index in self._live]

    def advance(self, log_probs: Sequence[Tensor]) -> list[int]:
        rows = list(range(len(log_probs))) if self._has_begun else [0] * len(self._live)
        self._has_begun = True
        scores_RV = torch.stack([log_probs[row][: self._size] for row in rows])
        tokens = choose(scores_RV, [self._answers[index].ask() for index in self._live])
        parents: list[int] = []
        live: list[int] = []
        for at, (index, token) in enumerate(zip(self._live, tokens, strict=True)):
            answer, logprob = self._answers[index], None
            if answer.wants_logprobs:
                logprob = log_probabilities(scores_RV[at], token, answer.settings.logprobs or 0)
            self._news.append(self._pushed(index, token, logprob))
            if answer.finish_reason is None:
                live.append(index)
                parents.append(rows[at])
        self._live = live
        return parents

    def news(self) -> list[News]:
        found, self._news = self._news, []
        return found

    def _pushed(self, index: int, token: int, logprob: TokenLogprob | None) -> News:
        answer = self._answers[index]
        text = self._trimmed[index].push(answer.push(token, logprob))
        told = () if token in answer.end_ids else (token,)
        done = None
        if answer.finish_reason is not None:
            done = answer.completion()
            done = replace(done, text=done.text.strip())
        logprobs = (logprob,) if told and logprob is not None else ()
        return News(index, text, told, logprobs, done)


class _Trimmed:
    """A text as it comes, without blanks at either end: those that may stand at its end are held
    back."""

    def __init__(self) -> None:
        self._held = ""
        self._has_begun = False

    def push(self, piece: str) -> str:
        text = self._held + piece
        if not self._has_begun:
            text = text.lstrip()
        kept = text.rstrip()
        self._held = text[len(kept) :]
        self._has_begun = self._has_begun or bool(kept)
        return kept


def _output(number: int, news: News, *, is_last: bool) -> Output:
    return Output(
        number,
        news.index,
        news.text,
        news.token_ids,
        news.logprobs,
        news.completion,
        news.error,
        is_last=is_last,
    )
