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
from homespun.inference.search.writing import GrowingCache

_NEVER = ("beams", "best_of", "contrastive_alpha", "lookup_tokens", "prompt_logprobs")


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
        RequestError: the prompt fills the context, or settings ask for more than one sampled or
            greedy answer.
    """
    from homespun.inference.reference import reference_generate

    asked = [name for name in _NEVER if getattr(settings, name)]
    if settings.num_answers > 1 or settings.logprobs is not None or asked:
        raise RequestError(
            "a model that reads its prompt both ways gives one sampled or greedy answer",
            got=", ".join(asked) or "several answers or log probabilities",
            remedy="leave the other ways of searching out",
        )
    if len(prompt_ids) >= model.context:
        raise RequestError(
            f"the model's context is {model.context} tokens",
            got=len(prompt_ids),
            remedy="shorten the text",
        )
    reader = PrefixReader(model, prefix)
    return reference_generate(reader, tokenizer, prompt_ids, settings, window=model.context)
