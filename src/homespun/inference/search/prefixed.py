"""Text behind a prompt that is read both ways, as prefix language models and fillers of blanks do.

The engine's cache shares what prompts have in common and reads them in pieces, and so knows the
past alone; here each prompt is read at once, by itself.

Shape letters: B = 1 row, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from homespun.core import Completion, RequestError, SamplingSettings, Tokenizer
from homespun.inference.request import check_prompt, check_settings, plain_settings
from homespun.inference.search.writing import GrowingCache

_NEVER = ("beams", "best_of", "contrastive_alpha", "lookup_tokens", "prompt_logprobs")
_ALONE = (*_NEVER, "num_answers", "logprobs")
_USUAL = SamplingSettings()


class PrefixReader:
    """A decoder as `reference_generate` asks it: given all ids so far, it reads those that are new.
    The slow version reads all of them anew, with the same prefix.

    Args:
        model: a `Decoder` without parts that look at ids.
        prefix: tokens at the beginning that see each other both ways.
    """

    def __init__(self, model: Any, prefix: int) -> None:
        self._model, self._prefix = model, prefix
        self._cache = GrowingCache()

    @property
    def context(self) -> int:
        return int(self._model.context)

    def __call__(
        self, ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """Hidden states of the ids it has not read yet, (1, T, D); the last one's are the last."""
        if self._cache.length == 0:
            prefix_B = torch.tensor([self._prefix])
            first_BT = ids_BT[:, : self._prefix]
            hidden_BTD: Tensor = self._model(first_BT, prefix_B=prefix_B, cache=self._cache)
            self._cache.length = self._prefix
        if ids_BT.shape[1] > self._cache.length:
            hidden_BTD = self._model(ids_BT[:, self._cache.length :], cache=self._cache)
            self._cache.length = ids_BT.shape[1]
        return hidden_BTD

    def head(self, hidden_BTD: Tensor) -> Tensor:
        scores_BTV: Tensor = self._model.head(hidden_BTD)
        return scores_BTV

    def eval(self) -> Any:
        return self._model.eval()

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        self._model.set_compute_dtype(dtype)


def check_behind(
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    vocab_size: int,
    window: int,
    num_behind: int,
    never: Sequence[str] = _NEVER,
) -> list[int]:
    """The prompt as a list, where it can be answered.

    Args:
        num_behind: tokens at its end that are behind what is read both ways.
        never: settings that must be as they usually are.

    Raises:
        RequestError: it cannot; the message says why.
    """
    check_settings(settings, vocab_size=vocab_size)
    asked = [name for name in never if getattr(settings, name) != getattr(_USUAL, name)]
    if asked:
        raise RequestError(
            f"{asked[0]} is not for a model that reads its prompt both ways",
            remedy="leave it out: answers are sampled or greedy, and prompts are not scored",
        )
    ids = check_prompt(prompt_ids, vocab_size=vocab_size, window=window)
    if len(ids) <= num_behind:
        raise RequestError(
            "the prompt has no tokens before the blank's mark",
            remedy="begin with the end-of-text id",
        )
    return ids


def write_behind(
    model: Any,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    settings: SamplingSettings,
    *,
    prefix: int,
) -> Completion:
    """What follows `prompt_ids`, the first `prefix` of which see each other both ways. It ends at
    any control token.

    Raises:
        RequestError: prompt or settings cannot be, or more is asked for than one sampled or greedy
            answer. CheckpointError: the model's outputs are no finite numbers.
    """
    from homespun.inference.reference import reference_generate

    settings = plain_settings(settings)
    ids = check_behind(
        prompt_ids,
        settings,
        vocab_size=tokenizer.vocab_size,
        window=model.context,
        num_behind=len(prompt_ids) - prefix,
        never=_ALONE,
    )
    reader = PrefixReader(model, prefix)
    return reference_generate(reader, tokenizer, ids, settings, window=model.context)
