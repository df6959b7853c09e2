"""Beam search over rows of the cache.

V vocabulary.
"""

from __future__ import annotations

import time

import torch

from homespun.core import Completion, SamplingSettings, Tokenizer
from homespun.inference.blocks import BlockPool, Row
from homespun.inference.runners.work import Outcome
from homespun.inference.sampling import Adjustment, needs_adjustment
from homespun.inference.search.beams import Beam, BeamSearch
from homespun.inference.search.job import News
from homespun.inference.stream import decoded


class BeamJob:
    """All beams of a request: rows that share the blocks of what they have in common.

    Args:
        request_id: whose it is.
        row: holds the prompt.
        settings: with `beams`.
        tokenizer: gives the bytes of tokens.
        window: most tokens of prompt and answer.
        end_ids: tokens that end an answer.
    """

    wants_hidden = wants_every = is_private = False
    is_waiting = False

    def __init__(
        self,
        request_id: int,
        row: Row,
        settings: SamplingSettings,
        tokenizer: Tokenizer,
        *,
        window: int,
        end_ids: frozenset[int],
    ) -> None:
        self.request_id = request_id
        self.rows = [row]
        self.has_ended = False
        self._settings = settings
        self._tokenizer = tokenizer
        self._prompt = list(row.ids)
        own = frozenset() if settings.ignore_end else end_ids
        ends = own.union(settings.stop_tokens)
        self._search = BeamSearch(
            settings,
            most=min(settings.max_tokens, window - len(row.ids)),
            end_ids=ends,
            is_stopped=lambda ids: decoded(tokenizer, ids, settings.stop)[1],
        )
        self._adjustment = (
            Adjustment(settings, row.ids, tokenizer.vocab_size, ends)
            if needs_adjustment(settings)
            else None
        )
        self._num_cached = 0
        self._start = time.perf_counter()

    def note(self, row: Row, outcome: Outcome) -> None:
        pass

    def cancel(self) -> Completion:
        self.has_ended = True
        return self._completion(Beam((), 0.0, 0, "cancelled"))

    def advance(self, pool: BlockPool) -> list[News]:
        self._num_cached = self.rows[0].num_cached or 0
        log_probs = []
        for row in self.rows:
            assert row.outcome is not None
            logits_V = row.outcome.scores_NV[-1]
            row.outcome = None
            if self._adjustment is not None:
                logits_V = self._adjustment(logits_V, len(row.ids) - len(self._prompt))
            log_probs.append(torch.log_softmax(logits_V, -1))
        parents = self._search.advance(log_probs)
        rows: list[Row] = []
        unused = dict(enumerate(self.rows))
        for parent, beam in zip(parents, self._search.live, strict=True):
            # The last child takes the row itself, others share what it has read.
            is_last = parents.count(parent) == 1 + sum(
                row_parent == parent for row_parent in parents[: len(rows)]
            )
            row = unused.pop(parent) if is_last else pool.fork(self.rows[parent])
            row.ids = [*self._prompt, *beam.ids]
            rows.append(row)
        for row in unused.values():
            pool.drop(row)
        self.rows = rows
        if rows:
            return []
        self.has_ended = True
        # Where every token is banned there is nothing to go on with: the answer is empty.
        best = self._search.best(self._settings.num_answers) or [Beam((), 0.0, 0, "stop")]
        return [self._news(index, beam) for index, beam in enumerate(best)]

    def _news(self, index: int, beam: Beam) -> News:
        completion = self._completion(beam)
        return News(index, completion.text, beam.ids, (), completion)

    def _completion(self, beam: Beam) -> Completion:
        assert beam.finish_reason is not None
        return Completion(
            text=decoded(self._tokenizer, beam.ids, self._settings.stop)[0],
            token_ids=beam.ids,
            finish_reason=beam.finish_reason,
            num_prompt_tokens=len(self._prompt),
            seconds=time.perf_counter() - self._start,
            num_cached_tokens=self._num_cached,
            score=beam.score(self._settings.length_penalty),
        )
