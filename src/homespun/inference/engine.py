"""The engine: runs a decoder one token at a time over a cache, for one request or several.

B rows, T new tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from homespun.core import CheckpointError, Completion, RequestError, SamplingSettings, Tokenizer
from homespun.inference.kv_cache import KVCache
from homespun.inference.request import Answer, check_prompt, check_settings
from homespun.inference.sampler import draw_noise, is_greedy, penalise_repeats, sample


class CachedDecoder(Protocol):
    """What the engine needs of a model: `models.Decoder` is one."""

    @property
    def context(self) -> int: ...
    def __call__(
        self, ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: Any = None
    ) -> Tensor: ...
    def head(self, hidden_BTD: Tensor) -> Tensor: ...
    def eval(self) -> Any: ...
    def set_compute_dtype(self, dtype: torch.dtype) -> Any: ...


class Engine:
    """Continues token ids with a decoder (`core.Generator`).

    An answer ends at a special token (end of text, end of turn, or any other: none of them occurs
    within a text), at a stop string, after `max_tokens`, or when the window is full; the window
    never slides.

    The same prompt, settings and seed give the same text: alone, in a batch, and whatever was asked
    before. The cache of the last request is kept, and a prompt that begins with the same tokens is
    read from where it differs.

    Args:
        model: a decoder; it is put into evaluation mode and set to compute in `compute_dtype`.
        tokenizer: the one the model was trained with.
        window: most tokens of prompt and answer together; the model's context unless less.
        compute_dtype: fp32 keeps answers independent of the batch they are computed in.
        device: where the model is. Tokens are chosen on the CPU, so a seed means the same anywhere.
        num_threads: threads torch may use while the engine computes; None leaves them alone. One
            is often best for models below 5 million parameters.
    """

    def __init__(
        self,
        model: CachedDecoder,
        tokenizer: Tokenizer,
        *,
        window: int | None = None,
        compute_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        num_threads: int | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.window = model.context if window is None else min(window, model.context)
        self._device = torch.device(device)
        self._num_threads = num_threads
        self._end_ids = frozenset(
            token for token in range(tokenizer.vocab_size) if not tokenizer.token_bytes(token)
        ) | {tokenizer.end_of_text_id, tokenizer.end_of_turn_id}
        # The cache kept from the last request, and the ids it holds. None while a request uses it.
        self._kept: tuple[KVCache, list[int]] | None = None
        model.eval()
        model.set_compute_dtype(compute_dtype)

    def generate(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> Completion:
        """Continue `prompt_ids`. Raises RequestError where that cannot be done as asked."""
        stream = self.stream(prompt_ids, settings)
        for _ in stream:
            pass
        return stream.completion

    def stream(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> TextStream:
        """Like `generate`, piece by piece.

        Raises RequestError at once, not with the first piece.
        """
        check_settings(settings)
        ids = self._check_prompt(prompt_ids)
        answer = self._answer(ids, settings, settings.seed)
        return TextStream(self._run(ids, settings, answer), answer)

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings
    ) -> list[Completion]:
        """Continue several prompts together; row i is sampled with seed `settings.seed + i`.

        So completion i is that of `generate` with that seed. All rows read position after position
        together: a row whose prompt is longer reads on while shorter ones already write, which
        needs neither padding nor masks. It is fastest where prompts are about equally long.
        """
        check_settings(settings)
        if not prompts:
            return []
        rows = [self._check_prompt(prompt) for prompt in prompts]
        answers = [self._answer(ids, settings, settings.seed + i) for i, ids in enumerate(rows)]
        self._run_batch(rows, settings, answers)
        return [answer.completion() for answer in answers]

    def _check_prompt(self, prompt_ids: Sequence[int]) -> list[int]:
        return check_prompt(prompt_ids, vocab_size=self.tokenizer.vocab_size, window=self.window)

    def _answer(self, ids: list[int], settings: SamplingSettings, seed: int) -> Answer:
        return Answer(
            self.tokenizer,
            settings,
            num_prompt_tokens=len(ids),
            window=self.window,
            end_ids=self._end_ids,
            seed=seed,
        )

    def _run(self, ids: list[int], settings: SamplingSettings, answer: Answer) -> Iterator[str]:
        """Read the prompt, then choose and read token after token."""
        cache, cached_ids = self._take_cache(ids)
        chooser = _Chooser([ids], settings, self.tokenizer.vocab_size)
        try:
            ids_BT = torch.tensor([ids[cache.length :]])
            cached_ids += ids[cache.length :]
            is_first = True
            while True:
                chosen_B1 = self._step(
                    ids_BT, cache, chooser, [answer.generator], is_first=is_first
                )
                is_first = False
                token = int(chosen_B1[0, 0])
                piece = answer.push(token)
                if piece:
                    yield piece
                if answer.finish_reason is not None:
                    return
                ids_BT = chosen_B1
                cached_ids.append(token)
        finally:
            if answer.finish_reason is None:
                answer.finish("cancelled")
            # After an error in the middle of a step, or a cancellation, fewer tokens were read.
            del cached_ids[cache.length :]
            self._kept = (cache, cached_ids)

    def _run_batch(
        self, rows: list[list[int]], settings: SamplingSettings, answers: list[Answer]
    ) -> None:
        alive = list(range(len(rows)))
        cache = KVCache(min(self.window, max(map(len, rows)) + settings.max_tokens))
        chooser = _Chooser(rows, settings, self.tokenizer.vocab_size)
        start = min(map(len, rows))
        ids_BT = torch.tensor([ids[:start] for ids in rows])
        is_first = True
        while True:
            position = cache.length + ids_BT.shape[1]
            writing = [len(rows[i]) <= position for i in alive]
            generators = [
                answers[i].generator if writes else None
                for i, writes in zip(alive, writing, strict=True)
            ]
            chosen_B1 = self._step(ids_BT, cache, chooser, generators, is_first=is_first)
            tokens = chosen_B1[:, 0].tolist()
            is_first = False
            for at, i in enumerate(alive):
                if writing[at]:
                    answers[i].push(tokens[at])
                else:
                    tokens[at] = rows[i][position]
            kept = [at for at, i in enumerate(alive) if answers[i].finish_reason is None]
            if not kept:
                return
            if len(kept) < len(alive):
                alive = [alive[at] for at in kept]
                cache.keep_rows(kept)
                chooser.keep_rows(kept)
            ids_BT = torch.tensor([[tokens[at]] for at in kept])

    @torch.inference_mode()
    def _step(
        self,
        ids_BT: Tensor,
        cache: KVCache,
        chooser: _Chooser,
        generators: Sequence[torch.Generator | None],
        *,
        is_first: bool,
    ) -> Tensor:
        """Read `ids_BT` and choose the token after them. Returns (B, 1).

        The outputs are checked at a request's first step: weights of a run that diverged show at
        once.
        Inference mode and threads are set for a step and not for a request, since a generator that
        waits for its reader would leave them set for all others.
        """
        threads = torch.get_num_threads()
        change = self._num_threads is not None and self._num_threads != threads
        if change and self._num_threads is not None:
            torch.set_num_threads(self._num_threads)
        try:
            hidden_BTD = self.model(ids_BT.to(self._device), cache=cache)
            logits_BV = self.model.head(hidden_BTD[:, -1:])[:, 0].float().cpu()
            if is_first and not bool(logits_BV.isfinite().all()):
                raise CheckpointError(
                    "the model's outputs are not finite numbers",
                    remedy="take an earlier checkpoint: this one comes from a run that diverged",
                )
            cache.advance(ids_BT.shape[1])
            chooser.see(ids_BT)
            return chooser.choose(logits_BV, generators)
        finally:
            if change:
                torch.set_num_threads(threads)

    def _take_cache(self, ids: list[int]) -> tuple[KVCache, list[int]]:
        """The kept cache cut to what `ids` has in common with it, or a new one.

        While a request has it, others that run meanwhile make their own.
        """
        kept, self._kept = self._kept, None
        if kept is None:
            return KVCache(self.window), []
        cache, cached_ids = kept
        # The last token is always read anew: its output is what the first choice is made from.
        most = min(len(cached_ids), len(ids) - 1)
        common = next((i for i in range(most) if cached_ids[i] != ids[i]), most)
        cache.truncate(common)
        return cache, cached_ids[:common]


class TextStream(Iterator[str]):
    """The pieces of an answer as they come. `close` cancels the rest.

    Attributes:
        completion: the answer as a whole, once it has ended.
    """

    def __init__(self, pieces: Iterator[str], answer: Answer) -> None:
        self._pieces = pieces
        self._answer = answer

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the answer here; nothing more is computed."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        if self._answer.finish_reason is None:
            # The generator had not started, so nothing ended the answer.
            self._answer.finish("cancelled")

    @property
    def completion(self) -> Completion:
        if self._answer.finish_reason is None:
            raise RequestError(
                "the answer has not ended yet", remedy="read the stream to its end, or close it"
            )
        return self._answer.completion()


class _Chooser:
    """Chooses tokens for the rows of a request; holds the tensors that this needs, once."""

    def __init__(self, rows: list[list[int]], settings: SamplingSettings, vocab_size: int) -> None:
        self._settings = settings
        self._vocab_size = vocab_size
        self._noise_BV = torch.empty(len(rows), vocab_size)
        self._seen_BV: Tensor | None = None
        if settings.repetition_penalty != 1.0:
            self._seen_BV = torch.zeros(len(rows), vocab_size, dtype=torch.bool)
            for seen_V, ids in zip(self._seen_BV, rows, strict=True):
                seen_V[torch.tensor(ids)] = True

    def see(self, ids_BT: Tensor) -> None:
        """Remember that these tokens occurred."""
        if self._seen_BV is not None:
            self._seen_BV.scatter_(1, ids_BT, True)

    def choose(self, logits_BV: Tensor, generators: Sequence[torch.Generator | None]) -> Tensor:
        """Ids (B, 1). Outputs beyond the tokenizer's vocabulary are padding and never chosen."""
        logits_BV = logits_BV[:, : self._vocab_size]
        if self._seen_BV is not None:
            logits_BV = penalise_repeats(
                logits_BV, self._seen_BV, self._settings.repetition_penalty
            )
        noise_BV = None
        if not is_greedy(self._settings):
            noise_BV = draw_noise(generators, self._noise_BV)
        return sample(logits_BV, self._settings, noise_BV)[:, None]

    def keep_rows(self, rows: list[int]) -> None:
        self._noise_BV = self._noise_BV[: len(rows)]
        if self._seen_BV is not None:
            self._seen_BV = self._seen_BV[rows]
