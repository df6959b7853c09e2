"""One request: what may be asked, and how far its answer is."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch

from homespun.core import Completion, FinishReason, RequestError, SamplingSettings, Tokenizer
from homespun.inference.stream import Utf8Streamer


def check_settings(settings: SamplingSettings) -> None:
    """Raises RequestError, naming the first setting that cannot be."""
    positive = math.inf
    _in_range(
        "temperature",
        settings.temperature,
        0.0,
        100.0,
        "0 is greedy, as is all below 0.0001; 0.8 a good start",
    )
    _in_range("top_p", settings.top_p, 0.0, 1.0, "1 turns it off", low_open=True)
    _in_range("min_p", settings.min_p, 0.0, 1.0, "0 turns it off, 0.05 is usual", high_open=True)
    _in_range(
        "repetition_penalty",
        settings.repetition_penalty,
        0.0,
        100.0,
        "1 turns it off, 1.1 is usual",
        low_open=True,
    )
    _in_range("top_k", settings.top_k, 0, positive, "0 turns it off", whole=True)
    _in_range("max_tokens", settings.max_tokens, 1, positive, "ask for one at least", whole=True)
    _in_range("seed", settings.seed, 0, 2**63 - 1, "choose any whole number", whole=True)
    if isinstance(settings.stop, str):
        raise RequestError(
            "stop must be several strings, not one", got=settings.stop, remedy="put it in a tuple"
        )
    if not all(isinstance(stop, str) and stop for stop in settings.stop):
        raise RequestError(
            "a stop string must be text that is not empty",
            got=settings.stop,
            remedy="leave it out to have none",
        )


def _in_range(
    name: str,
    value: float,
    low: float,
    high: float,
    hint: str,
    *,
    low_open: bool = False,
    high_open: bool = False,
    whole: bool = False,
) -> None:
    kinds: tuple[type, ...] = (int, np.integer) if whole else (int, float, np.number)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    # Written so that NaN, which compares false to everything, is refused.
    above = number and (value > low if low_open else value >= low)
    below = number and (value < high if high_open else value <= high)
    if above and below:
        return
    if high == math.inf:
        bounds = f"{low} or more"
    else:
        bounds = (
            f"{'above' if low_open else 'from'} {low} {'to below' if high_open else 'to'} {high}"
        )
    kind = "a whole number" if whole else "a number"
    raise RequestError(f"{name} must be {kind}, {bounds}", got=value, remedy=hint)


def check_prompt(prompt_ids: Sequence[int], *, vocab_size: int, window: int) -> list[int]:
    """The prompt as a list of ints.

    Raises RequestError where it is empty, has ids that the vocabulary has not, or leaves no room
    for a single token of answer.
    """
    ids = [int(token) for token in prompt_ids]
    if not ids:
        raise RequestError(
            "the prompt has no tokens", remedy="start a new document with the end-of-text id"
        )
    if len(ids) >= window:
        raise RequestError(
            f"the prompt has {len(ids)} tokens, and the model's window holds {window} tokens "
            "of prompt and answer together",
            remedy="shorten the prompt",
        )
    if min(ids) < 0 or max(ids) >= vocab_size:
        wrong = next(token for token in ids if not 0 <= token < vocab_size)
        raise RequestError(
            f"token ids run from 0 to {vocab_size - 1}",
            got=wrong,
            remedy="encode the prompt with the tokenizer the model was trained with",
        )
    return ids


class Answer:
    """The growing answer to one request: its tokens, its text, and whether it has ended.

    Attributes:
        finish_reason: None while it grows. "stop": the model ended it, or a stop string did;
            "length": `max_tokens` or the window is used up; "cancelled": nobody wanted the rest.
        token_ids: tokens chosen so far, the one that ended it left out.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: SamplingSettings,
        *,
        num_prompt_tokens: int,
        window: int,
        end_ids: frozenset[int],
        seed: int,
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.token_ids: list[int] = []
        self.num_prompt_tokens = num_prompt_tokens
        self.generator = torch.Generator().manual_seed(seed)
        self._most = min(settings.max_tokens, window - num_prompt_tokens)
        self._end_ids = end_ids
        self._streamer = Utf8Streamer(tokenizer, settings.stop)
        self._pieces: list[str] = []
        self._start = time.perf_counter()
        self._seconds = 0.0

    def push(self, token_id: int) -> str:
        """Take the token just chosen; return the text it releases."""
        if token_id in self._end_ids:
            return self.finish("stop")
        self.token_ids.append(token_id)
        piece = self._streamer.push(token_id)
        if piece:
            self._pieces.append(piece)
        if self._streamer.stopped:
            return piece + self.finish("stop")
        if len(self.token_ids) == self._most:
            return piece + self.finish("length")
        return piece

    def finish(self, reason: FinishReason) -> str:
        """End the answer; return the text still held."""
        rest = self._streamer.flush()
        self._pieces.append(rest)
        # Text held to the very end may complete a stop string.
        self.finish_reason = "stop" if self._streamer.stopped else reason
        self._seconds = time.perf_counter() - self._start
        return rest

    def completion(self) -> Completion:
        assert self.finish_reason is not None
        return Completion(
            text="".join(self._pieces),
            token_ids=tuple(self.token_ids),
            finish_reason=self.finish_reason,
            num_prompt_tokens=self.num_prompt_tokens,
            seconds=self._seconds,
        )
