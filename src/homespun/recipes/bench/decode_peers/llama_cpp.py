"""llama.cpp, by its C functions."""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core.machine import num_threads
from homespun.recipes.bench.decode_peers.contestant import (
    CONTEXT,
    LONG_PROMPT,
    MOST_ROWS,
    PROMPT,
    Contestant,
    fastest_threads,
    installed,
)

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig, Quantization


def by_llama_cpp(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    """llama.cpp with the same weights, in a GGUF file of each kind."""
    library = installed("llama_cpp", "llama-cpp-python")
    kinds: tuple[Quantization, ...] = ("f16", "q8_0", "q4_0")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write_random_gguf(model, config, path, kind)
            llama = _LlamaCpp(library, path, threads)
            yield (
                f"llama.cpp {kind}",
                Contestant(llama.write, llama.read, path.stat().st_size, llama.threads),
            )
            llama.close()


def write_random_gguf(
    model: Decoder, config: DecoderConfig, path: Path, kind: Quantization
) -> None:
    """A model as llama.cpp reads it, with a vocabulary that stands for nothing."""
    from homespun.models import GgufFacts, export_gguf
    from homespun.tokenizer import GgufVocabulary

    vocab_size = model.head_weight.shape[0]
    vocabulary = GgufVocabulary(
        model="llama",
        pre="default",
        tokens=[f"<{number}>" for number in range(vocab_size)],
        kinds=[1] * vocab_size,
        scores=[0.0] * vocab_size,
        merges=[],
        adds_prefix=False,
    )
    facts = GgufFacts("random", vocabulary, (), vocab_size - 1)
    export_gguf(model, config, path, facts=facts, quantization=kind)


class _LlamaCpp:
    """llama.cpp by its C functions, greedily: a batch of rows is one `llama_decode` a token.

    Args:
        threads: None takes one or all cores for a row, whichever is faster, else all.
    """

    def __init__(self, library: Any, path: Path, threads: int | None) -> None:
        self._library = library
        self._quiet = library.llama_log_callback(lambda *_: None)
        library.llama_log_set(self._quiet, ctypes.c_void_p(0))
        self._model = library.llama_model_load_from_file(
            str(path).encode(), library.llama_model_default_params()
        )
        self._sampler = library.llama_sampler_init_greedy()
        self._batch = library.llama_batch_init(max(LONG_PROMPT, MOST_ROWS * PROMPT), 0, 1)
        self._context, self._rows = None, 0
        self._most = threads or num_threads()
        self.threads = threads or fastest_threads(self._short_answer)
        self._open(1)

    def _short_answer(self, threads: int) -> float:
        self.threads = threads
        self._open(1)
        self.write(1, 16)
        return self.write(1, 64)

    def close(self) -> None:
        self._library.llama_batch_free(self._batch)
        self._library.llama_sampler_free(self._sampler)
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)

    def write(self, rows: int, tokens: int) -> float:
        if rows != self._rows:
            self._open(rows)
        self._clear()
        for row in range(rows):
            for place in range(PROMPT):
                self._put((row * 31 + place) % 1000, place, row, place == PROMPT - 1)
        self._decode()
        chosen = self._choose(range(PROMPT - 1, rows * PROMPT, PROMPT))
        begun = time.perf_counter()
        for place in range(PROMPT, PROMPT + tokens):
            for row in range(rows):
                self._put(chosen[row], place, row, True)
            self._decode()
            chosen = self._choose(range(rows))
        return time.perf_counter() - begun

    def read(self, tokens: int) -> float:
        if self._rows != 1:
            self._open(1)
        self._clear()
        begun = time.perf_counter()
        for place in range(tokens):
            self._put(place % 1000, place, 0, place == tokens - 1)
        self._decode()
        self._choose([tokens - 1])
        return time.perf_counter() - begun

    def _open(self, rows: int) -> None:
        if self._context is not None:
            self._library.llama_free(self._context)
        wish = self._library.llama_context_default_params()
        wish.n_ctx = CONTEXT if rows == 1 else rows * CONTEXT // 2
        wish.n_seq_max = rows
        wish.n_batch = wish.n_ubatch = max(LONG_PROMPT, rows * PROMPT)
        # The second is for prompts, and for several rows.
        wish.n_threads = self.threads
        wish.n_threads_batch = self._most
        self._context = self._library.llama_init_from_model(self._model, wish)
        self._rows = rows

    def _clear(self) -> None:
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), False)
        self._batch.n_tokens = 0

    def _put(self, token: int, place: int, row: int, wants_scores: bool) -> None:
        batch, at = self._batch, self._batch.n_tokens
        batch.token[at], batch.pos[at] = token, place
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, row
        batch.logits[at] = wants_scores
        batch.n_tokens += 1

    def _decode(self) -> None:
        status = self._library.llama_decode(self._context, self._batch)
        assert status == 0, f"llama_decode answered {status}"
        self._batch.n_tokens = 0

    def _choose(self, places: Any) -> list[int]:
        sample, sampler, context = (
            self._library.llama_sampler_sample,
            self._sampler,
            self._context,
        )
        return [sample(sampler, context, place) for place in places]
