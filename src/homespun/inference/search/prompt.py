"""How likely a model held each token of a prompt, told while the prompt is read.

N read tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from homespun.core import TokenLogprob
from homespun.inference.sampling import log_probabilities
from homespun.inference.sound import finite_rows

_AT_ONCE = 64
"""Rows whose log probabilities are held at a time: a row of a large vocabulary is 600 kB."""


class PromptScores:
    """Collects log probabilities of all tokens of a prompt but the first, which nothing foretells.

    Args:
        prompt_ids: the prompt.
        num_top: of the likeliest tokens that are told beside each.

    Attributes:
        found: of the second token and those behind it, as far as is known.
        is_sound: all scores were numbers.
    """

    def __init__(self, prompt_ids: Sequence[int], num_top: int) -> None:
        self._ids = list(prompt_ids)
        self._num_top = num_top
        self.found: list[TokenLogprob] = []
        self.is_sound = True

    def note(self, start: int, scores_NV: Tensor) -> None:
        """Take the scores that reading ids from place `start` on gave, of the token after each."""
        # A row that was sent back reads a part of its prompt twice.
        known = len(self.found)
        assert start <= known
        targets = self._ids[known + 1 : start + len(scores_NV) + 1]
        wanted_NV = scores_NV[known - start :][: len(targets)]
        self.is_sound = self.is_sound and all(finite_rows(wanted_NV))
        for at in range(0, len(targets), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            self.found += told(wanted_NV[part], targets[part], self._num_top)


def told(scores_NV: Tensor, tokens: Sequence[int], num_top: int) -> list[TokenLogprob]:
    """`log_probabilities` of a token a row, all rows together."""
    log_p_NV = torch.log_softmax(scores_NV, -1)
    own = log_p_NV.gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
    if num_top == 0:
        return [TokenLogprob(token, value) for token, value in zip(tokens, own, strict=True)]
    most = min(num_top + 1, log_p_NV.shape[1])  # one more: whether the last is like the next
    values_NK, ids_NK = log_p_NV.topk(most)
    has_equal = (values_NK[:, 1:] == values_NK[:, :-1]).any(1).tolist()
    found = []
    rows = zip(tokens, own, ids_NK.tolist(), values_NK.tolist(), has_equal, strict=True)
    for at, (token, value, ids, values, is_unsure) in enumerate(rows):
        if is_unsure:  # of equal ones the lower id comes first, which topk does not promise
            found.append(log_probabilities(scores_NV[at], token, num_top))
        else:
            top = tuple(zip(ids[:num_top], values[:num_top], strict=True))
            found.append(TokenLogprob(token, value, top))
    return found
