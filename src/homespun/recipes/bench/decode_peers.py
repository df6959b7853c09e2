"""Others that write answers, with the same shapes as ours, for `homespun bench decode`."""

from __future__ import annotations

import ctypes
import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig, Quantization

PROMPT = 16  # tokens before what is timed
LONG_PROMPT = 512
CONTEXT = 1024


class Contestant(NamedTuple):
    """Attributes:
    write: seconds that a batch of rows takes to write a number of tokens each.
    read: seconds to the first token after a prompt.
    num_bytes: of weights that one token reads; 0 where it is not known.
    """

    write: Callable[[int, int], float]
    read: Callable[[int], float]
    num_bytes: int
    threads: int | None


def _transformers(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            "transformers is not installed", remedy="`pip install transformers`, or leave it out"
        ) from error
    import torch

    shape = transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    theirs: Any = transformers.LlamaForCausalLM(shape)
    theirs.eval()
    if threads is not None:
        torch.set_num_threads(threads)

    def generate(rows: int, prompt: int, tokens: int) -> float:
        ids = torch.randint(0, 1000, (rows, prompt))
        begun = time.perf_counter()
        with torch.inference_mode():
            theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return time.perf_counter() - begun

    def write(rows: int, tokens: int) -> float:
        return generate(rows, PROMPT, tokens + 1) - generate(rows, PROMPT, 1)

    num_bytes = sum(p.numel() for p in theirs.parameters()) * 4
    yield (
        "transformers float32",
        Contestant(write, lambda tokens: generate(1, tokens, 1), num_bytes, threads),
    )


def _llama_cpp(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    """llama.cpp with the same weights, in a GGUF file of each kind."""
    try:
        library: Any = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise ConfigError(
            "llama-cpp-python is not installed",
            remedy="`pip install llama-cpp-python`, or leave it out",
        ) from error
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
        threads: None takes one or all cores, whichever is faster for a row.
    """

    def __init__(self, library: Any, path: Path, threads: int | None) -> None:
        self._library = library
        self._quiet = library.llama_log_callback(lambda *_: None)
        library.llama_log_set(self._quiet, ctypes.c_void_p(0))
        self._model = library.llama_model_load_from_file(
            str(path).encode(), library.llama_model_default_params()
        )
        self._sampler = library.llama_sampler_init_greedy()
        self._batch = library.llama_batch_init(max(LONG_PROMPT, 64 * PROMPT), 0, 1)
        self._context, self._rows = None, 0
        self.threads = threads or 1
        if threads is None:
            times = {}
            for self.threads in {1, len(os.sched_getaffinity(0))}:
                self._open(1)
                self.write(1, 16)
                times[self.threads] = self.write(1, 64)
            self.threads = min(times, key=lambda number: times[number])
        self._open(1)

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
        # Prompts are read by all cores: they are worth it at any size.
        wish.n_threads = self.threads
        wish.n_threads_batch = len(os.sched_getaffinity(0))
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


DecodePeer = Callable[["Decoder", "DecoderConfig", int | None], Iterator[tuple[str, Contestant]]]
DECODE_PEERS: dict[str, DecodePeer] = {
    "transformers": _transformers,
    "llama.cpp": _llama_cpp,
}
