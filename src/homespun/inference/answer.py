"""The growing answer to a request: its tokens, its text, and whether it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from homespun.core import (
    Completion,
    FinishReason,
    HomespunError,
    SamplingSettings,
    Tokenizer,
    TokenLogprob,
)
from homespun.inference.sampling import (
    Adjustment,
    Ask,
    ConstraintState,
    Filters,
    needs_adjustment,
)
from homespun.inference.stream import Utf8Streamer


class Answer:
    """One answer.

    Args:
        tokenizer: gives the bytes of tokens.
        settings: of the request.
        prompt_ids: what was read before it.
        window: most tokens of prompt and answer together.
        end_ids: tokens that end an answer.
        seed: of this answer.
        constraint: what its text must look like; None for anything.

    Attributes:
        finish_reason: None while it grows. "stop": the model ended it, or a stop string did;
            "length": `max_tokens` or the window is used up; "cancelled": nobody wanted the rest;
            "error": its constraint could not be kept.
        error: then, why.
        token_ids: tokens chosen so far, the one that ended it left out.
        logprobs: one a token, where they are asked for.
        score: mean log probability a token, the one that ended it included; 0 where not measured.
        num_cached: tokens of the prompt that were known before.
        prompt_logprobs: of the prompt's tokens but the first; None where nobody asked.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: SamplingSettings,
        prompt_ids: Sequence[int],
        *,
        window: int,
        end_ids: frozenset[int],
        seed: int,
        constraint: ConstraintState | None = None,
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.error: HomespunError | None = None
        self.settings = settings
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self._total_logprob = 0.0
        self._num_scored = 0
        self.num_cached = 0
        self.prompt_logprobs: tuple[TokenLogprob, ...] | None = None
        self.constraint = constraint
        self._num_prompt = len(prompt_ids)
        self._most = min(settings.max_tokens, window - len(prompt_ids))
        own = frozenset() if settings.ignore_end else end_ids
        self._end_ids = own.union(settings.stop_tokens)
        self._adjustment: Adjustment | None = None
        if needs_adjustment(settings):
            self._adjustment = Adjustment(settings, prompt_ids, tokenizer.vocab_size, self._end_ids)
        self._filters = Filters.of(settings)
        self._seed = seed
        self._streamer = Utf8Streamer(tokenizer, settings.stop)
        self._pieces: list[str] = []
        self._start = time.perf_counter()
        self._seconds = 0.0

    @property
    def num_left(self) -> int:
        """Tokens it may still grow by."""
        return self._most - len(self.token_ids)

    @property
    def wants_logprobs(self) -> bool:
        return self.settings.logprobs is not None or self.settings.best_of > 0

    @property
    def is_plain(self) -> bool:
        """Whether its tokens are chosen by seed and filters alone, and by those that compiled code
        knows."""
        return (
            self._adjustment is None
            and self.constraint is None
            and not self.settings.forced_tokens
            and not self.settings.stop_tokens
            and self._filters.typical_p >= 1.0
        )

    @property
    def end_ids(self) -> frozenset[int]:
        return self._end_ids

    def ask(self) -> Ask:
        """How its next token is to be chosen."""
        place = len(self.token_ids)
        forced = self.settings.forced_tokens
        return Ask(
            self._filters,
            self._seed,
            place,
            self._adjustment,
            self.constraint,
            forced[place] if place < len(forced) else None,
        )

    def push(self, token_id: int, logprob: TokenLogprob | None = None) -> str:
        """Take the token just chosen; return the text it releases."""
        if logprob is not None:
            self._total_logprob += logprob.logprob
            self._num_scored += 1
        if token_id < 0 or token_id in self._end_ids:
            if self._has_failed(is_stuck=token_id < 0):
                return self.finish("error")
            return self.finish("stop")
        self.token_ids.append(token_id)
        if logprob is not None:
            self.logprobs.append(logprob)
        if self._adjustment is not None:
            self._adjustment.see(token_id)
        if self.constraint is not None:
            self.constraint.take(token_id)
        piece = self._streamer.push(token_id)
        if piece:
            self._pieces.append(piece)
        if self._streamer.stopped or (self.constraint is not None and self.constraint.is_complete):
            return piece + self.finish("stop")
        if len(self.token_ids) == self._most:
            return piece + self.finish("length")
        if self._has_failed(is_stuck=False):
            return piece + self.finish("error")
        return piece

    def push_all(
        self, tokens: Sequence[int], logprobs: Sequence[TokenLogprob] = ()
    ) -> tuple[str, Sequence[int], int]:
        """Take tokens of an answer that is plain, one after another until it ends.

        Args:
            logprobs: one a token, where they are wanted.

        Returns:
            the text they release, those that became part of the answer, and how many were taken,
            the one that ended it included.
        """
        first = len(self.token_ids)
        if self.settings.stop:
            pieces: list[str] = []
            for at, token in enumerate(tokens):
                pieces.append(self.push(token, logprobs[at] if logprobs else None))
                if self.finish_reason is not None:
                    break
            return "".join(pieces), self.token_ids[first:], len(pieces)
        assert self.is_plain
        ends = self._end_ids
        at_end = next((at for at, token in enumerate(tokens) if token in ends), len(tokens))
        kept = tokens[: min(at_end, self.num_left)]
        is_full = len(kept) == self.num_left
        taken = len(kept) + (at_end < len(tokens) and not is_full)
        self.token_ids += kept
        self.logprobs += logprobs[: len(kept)]
        for one in logprobs[:taken]:
            self._total_logprob += one.logprob
            self._num_scored += 1
        piece = self._streamer.push_all(kept)
        self._pieces.append(piece)
        if is_full:
            piece += self.finish("length")
        elif taken > len(kept):
            piece += self.finish("stop")
        return piece, kept, taken

    def _has_failed(self, *, is_stuck: bool) -> bool:
        if self.constraint is not None:
            self.error = self.constraint.failure(is_stuck=is_stuck)
        return self.error is not None

    def finish(self, reason: FinishReason) -> str:
        """End the answer; return the text still held."""
        rest = self._streamer.flush()
        self._pieces.append(rest)
        self.finish_reason = reason
        self._seconds = time.perf_counter() - self._start
        return rest

    @property
    def score(self) -> float:
        return self._total_logprob / max(1, self._num_scored)

    def completion(self, *, score: float | None = None) -> Completion:
        assert self.finish_reason is not None
        if score is None and self.wants_logprobs:
            score = self.score
        return Completion(
            text="".join(self._pieces),
            token_ids=tuple(self.token_ids),
            finish_reason=self.finish_reason,
            num_prompt_tokens=self._num_prompt,
            seconds=self._seconds,
            logprobs=None if self.settings.logprobs is None else tuple(self.logprobs),
            num_cached_tokens=self.num_cached,
            score=score,
            prompt_logprobs=self.prompt_logprobs,
        )
