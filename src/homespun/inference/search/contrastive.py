"""Contrastive search (Su et al. 2022, arXiv 2202.06417, equation 5).

Of the k likeliest tokens the one is taken whose probability, less what its hidden state has in
common with those before, is greatest: fluent, and not repeating itself.

K candidates, S tokens so far, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.core import Completion
from homespun.inference.answer import Answer
from homespun.inference.blocks import BlockPool, Row
from homespun.inference.runners.work import Outcome
from homespun.inference.sampling.choose import NOTHING, adjusted_logits
from homespun.inference.sampling.filters import MINUS_INFINITY
from homespun.inference.search.job import News


def best_candidate(p_K: Tensor, hidden_KD: Tensor, before_SD: Tensor, alpha: float) -> int:
    """Which candidate to take; the likelier of equal ones.

    Args:
        p_K: their probabilities, likeliest first.
        hidden_KD: hidden state of each, were it taken.
        before_SD: hidden states of all tokens so far.
        alpha: weight of the penalty.
    """
    similar_KS = F.normalize(hidden_KD, dim=-1) @ F.normalize(before_SD, dim=-1).T
    return int(((1 - alpha) * p_K - alpha * similar_KS.amax(-1)).argmax())


class ContrastiveJob:
    """An answer by contrastive search: a row for each candidate.

    Args:
        request_id: whose it is.
        row: holds the prompt, with a salt of its own: hidden states of all its tokens are needed,
            so nothing of it may come from the cache.
        answer: empty.
    """

    wants_hidden = wants_every = is_private = True
    is_waiting = False

    def __init__(self, request_id: int, row: Row, answer: Answer) -> None:
        self.request_id = request_id
        self.rows = [row]
        self._answer = answer
        self._before: list[Tensor] = []
        self._candidates: Tensor | None = None
        self._p_K = torch.empty(0)

    @property
    def has_ended(self) -> bool:
        return self._answer.finish_reason is not None

    def note(self, row: Row, outcome: Outcome) -> None:
        """Keep the hidden states of a part of the prompt."""
        if self._candidates is None and outcome.hidden_ND is not None:
            start = row.num_read - len(outcome.hidden_ND)
            # A row that was sent back reads a part of its prompt twice.
            self._before = [*(h_ND[:start] for h_ND in self._before[:1]), outcome.hidden_ND]
            self._before = [torch.cat(self._before)]

    def cancel(self) -> Completion:
        if not self.has_ended:
            self._answer.finish("cancelled")
        return self._answer.completion()

    def advance(self, pool: BlockPool) -> list[News]:
        news = []
        if self._candidates is None:
            row = self.rows[0]
        else:
            hidden_KD = torch.cat([_last_hidden(row) for row in self.rows])
            best = best_candidate(
                self._p_K,
                hidden_KD,
                torch.cat(self._before),
                self._answer.settings.contrastive_alpha,
            )
            row = self.rows[best]
            for other in self.rows:
                if other is not row:
                    pool.drop(other)
            self.rows = [row]
            self._before.append(hidden_KD[best : best + 1])
            token = int(self._candidates[best])
            text = self._answer.push(token)
            told = () if token in self._answer.end_ids else (token,)
            if self.has_ended:
                return [self._ended(text, told)]
            news = [News(0, text, told)]
        assert row.outcome is not None
        logits_V = adjusted_logits(row.outcome.scores_NV[-1], self._answer.ask())
        p_V = logits_V.softmax(-1)
        num = min(self._answer.settings.top_k, int((logits_V > MINUS_INFINITY).sum()))
        if num == 0:
            text = self._answer.push(NOTHING)
            return [*news, self._ended(text, ())]
        # Tokens that may not come are no candidates, however unlike they are to all before.
        self._p_K, self._candidates = p_V.topk(num)
        twins = [pool.fork(row) for _ in range(len(self._candidates) - 1)]
        self.rows = [row, *twins]
        for candidate, twin in zip(self._candidates.tolist(), self.rows, strict=True):
            twin.ids = [*row.ids, candidate] if twin is not row else twin.ids
        row.ids = [*row.ids, int(self._candidates[0])]
        row.outcome = None
        return news

    def _ended(self, text: str, told: tuple[int, ...]) -> News:
        error = self._answer.error
        return News(0, text, told, (), None if error else self._answer.completion(), error)


def _last_hidden(row: Row) -> Tensor:
    """(1, D) of the last id that was read."""
    assert row.outcome is not None
    assert row.outcome.hidden_ND is not None
    return row.outcome.hidden_ND[-1:]
