"""What changes a row's scores before a token is chosen: penalties, biases, bans.

V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from homespun.core import SamplingSettings
from homespun.inference.sampling.filters import MINUS_INFINITY, penalise_repeats


def needs_adjustment(settings: SamplingSettings) -> bool:
    """Whether scores are not always left as they are."""
    return bool(
        settings.repetition_penalty != 1.0
        or settings.frequency_penalty
        or settings.presence_penalty
        or settings.logit_bias
        or settings.banned_tokens
        or settings.min_tokens
    )


class Adjustment:
    """The adjustments of one answer, with the counts they depend on.

    Args:
        settings: of the answer.
        prompt_ids: the repetition penalty counts them too.
        vocab_size: V.
        end_ids: tokens that would end the answer.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        prompt_ids: Sequence[int],
        vocab_size: int,
        end_ids: Iterable[int],
    ) -> None:
        self._settings = settings
        self._ends = torch.tensor(sorted(end_ids), dtype=torch.int64)
        self._seen_1V: Tensor | None = None
        if settings.repetition_penalty != 1.0:
            self._seen_1V = torch.zeros(1, vocab_size, dtype=torch.bool)
            self._seen_1V[0, torch.tensor(list(prompt_ids), dtype=torch.int64)] = True
        self._counts_V: Tensor | None = None
        if settings.frequency_penalty or settings.presence_penalty:
            self._counts_V = torch.zeros(vocab_size)
        self._bias_V: Tensor | None = None
        if settings.logit_bias or settings.banned_tokens:
            self._bias_V = torch.zeros(vocab_size)
            for token, bias in settings.logit_bias:
                self._bias_V[token] += bias
            self._bias_V[list(settings.banned_tokens)] = MINUS_INFINITY

    def see(self, token: int) -> None:
        """Count a token of the answer."""
        if self._seen_1V is not None:
            self._seen_1V[0, token] = True
        if self._counts_V is not None:
            self._counts_V[token] += 1

    def __call__(self, logits_V: Tensor, place: int) -> Tensor:
        """The adjusted scores of token `place` of the answer; `logits_V` itself is not changed.

        The repetition penalty comes first, since it depends on the sign of a score.
        """
        if self._seen_1V is not None:
            penalty = self._settings.repetition_penalty
            logits_V = penalise_repeats(logits_V[None], self._seen_1V, penalty)[0]
        if self._counts_V is not None:
            logits_V = (
                logits_V
                - self._settings.frequency_penalty * self._counts_V
                - self._settings.presence_penalty * (self._counts_V > 0)
            )
        if self._bias_V is not None:
            logits_V = logits_V + self._bias_V
        if place < self._settings.min_tokens:
            logits_V = logits_V.index_fill(0, self._ends, MINUS_INFINITY)
        return logits_V
