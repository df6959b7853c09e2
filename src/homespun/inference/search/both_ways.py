"""An engine for models that read their prompt both ways: prefix language models, fillers of blanks.

Such a prompt shares nothing with others and is read at once (`prefixed`), so each answer has a
cache of its own and goes on by itself, all of them by a token a step.

Shape letters: T tokens, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from homespun.core import SamplingSettings, Tokenizer
from homespun.inference.answer import Answer
from homespun.inference.request import Output, Request, plain_settings
from homespun.inference.sampling import ConstraintCompiler, choose, log_probabilities
from homespun.inference.search.job import News
from homespun.inference.search.ledger import Ledger
from homespun.inference.search.prefixed import PrefixReader, check_behind
from homespun.inference.sound import finite_rows, not_finite
from homespun.inference.stats import EngineStats


class BothWaysEngine:
    """Continues prompts of which all tokens but the last few see each other both ways. Answers have
    the tokens that `write_behind` gives them.

    Args:
        model: a `Decoder` without parts that look at ids, in evaluation mode.
        tokenizer: the one it was trained with.
        num_behind: tokens at the end of a prompt that are behind what is read both ways: 1 for
            fillers of blanks, the mark of the blank; 0 for prefix language models.
        max_rows: answers that are written together.
    """

    notice = ""

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, num_behind: int, max_rows: int = 8
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._num_behind = num_behind
        self._books = Ledger(max_rows)
        size = tokenizer.vocab_size
        self._end_ids = frozenset(t for t in range(size) if not tokenizer.token_bytes(t))
        self._constraints = ConstraintCompiler(tokenizer, self._end_ids)
        self._rows: deque[_Row] = deque()

    @property
    def window(self) -> int:
        return int(self._model.context)

    @property
    def kv_capacity(self) -> int:
        return self._books.max_rows * self.window

    @property
    def has_work(self) -> bool:
        return bool(self._rows)

    @property
    def stats(self) -> EngineStats:
        running = min(len(self._rows), self._books.max_rows)
        return self._books.stats(running, len(self._rows) - running)

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        """The prompt as a list. Raises RequestError where it cannot be answered as asked."""
        ids = check_behind(
            prompt_ids,
            settings,
            vocab_size=self._tokenizer.vocab_size,
            window=self.window,
            num_behind=self._num_behind,
        )
        if settings.constraint is not None:
            self._constraints.compile(settings.constraint)
        return ids

    def add_request(self, request: Request) -> int:
        """Take a request; its outputs come from `step`. Returns its number. Raises as `check`."""
        settings = plain_settings(request.settings)
        ids = self.check(request.prompt_ids, settings)
        number = self._books.number()
        for index in range(settings.num_answers):
            constraint = settings.constraint
            answer = Answer(
                self._tokenizer,
                settings,
                ids,
                window=self.window,
                end_ids=self._end_ids,
                seed=(settings.seed + index) % 2**63,
                constraint=None if constraint is None else self._constraints.compile(constraint),
            )
            reader = PrefixReader(self._model, len(ids) - self._num_behind)
            self._rows.append(_Row(number, index, ids, answer, reader))
        return number

    @torch.inference_mode()
    def step(self) -> list[Output]:
        """A token more of each answer that is written."""
        outputs: list[Output] = []
        self._books.begin_step()
        for row in list(self._rows)[: self._books.max_rows]:
            if row not in self._rows:
                continue  # another answer to the same request has failed
            if not row.answer.token_ids:
                self._books.admit(row.request_id, len(row.ids))
            outputs.append(self._said(row, self._advanced(row)))
        return outputs

    def admitted(self) -> list[int]:
        """Requests that got a place in the last step; one of several answers may come again."""
        return self._books.admitted

    def cancel(self, request_id: int) -> bool:
        """End a request here. False if it had ended already."""
        before = len(self._rows)
        self._rows = deque(row for row in self._rows if row.request_id != request_id)
        return len(self._rows) < before

    def _advanced(self, row: _Row) -> News:
        answer = row.answer
        ids_BT = torch.tensor([[*row.ids, *answer.token_ids]])
        logits_TV = self._model.head(row.reader(ids_BT)[:, -1:])[0, :, : self._tokenizer.vocab_size]
        logits_TV = logits_TV.float()
        if not all(finite_rows(logits_TV)):
            return News(row.index, error=not_finite())
        (token,) = choose(logits_TV, [answer.ask()])
        self._books.num_chosen += 1
        logprob = None
        if answer.wants_logprobs and token >= 0:
            logprob = log_probabilities(logits_TV[0], token, answer.settings.logprobs or 0)
        text = answer.push(token, logprob)
        told = () if token < 0 or token in answer.end_ids else (token,)
        has_ended = answer.finish_reason is not None
        return News(
            row.index,
            text,
            told,
            (logprob,) if told and logprob is not None else (),
            answer.completion() if has_ended and answer.error is None else None,
            answer.error,
        )

    def _said(self, row: _Row, news: News) -> Output:
        if news.error is not None:
            self.cancel(row.request_id)
            return Output(row.request_id, row.index, error=news.error, is_last=True)
        if news.completion is not None:
            self._rows.remove(row)
        is_last = all(other.request_id != row.request_id for other in self._rows)
        return Output(
            row.request_id,
            row.index,
            news.text,
            news.token_ids,
            news.logprobs,
            news.completion,
            is_last=is_last,
        )


class _Row:
    """An answer that is written, and what has been read for it."""

    def __init__(
        self, request_id: int, index: int, ids: list[int], answer: Answer, reader: PrefixReader
    ) -> None:
        self.request_id, self.index, self.ids = request_id, index, ids
        self.answer, self.reader = answer, reader
