"""CTranslate2, in float32 and in int8."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core.machine import num_threads
from homespun.recipes.bench.decode_peers.contestant import (
    PROMPT,
    Contestant,
    fastest_threads,
    installed,
    without_prompt,
)

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig
    from homespun.models.linear import Linear
    from homespun.models.norm import LayerNorm, RMSNorm

KINDS = ("float32", "int8")
"""int8: weights are rounded output by output, and so are inputs, token by token."""


def by_ctranslate2(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    """The same weights, without a tokenizer."""
    library = installed("ctranslate2", "ctranslate2")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            write_ct2(library, model, config, Path(folder), kind)
            num_bytes = (Path(folder) / "model.bin").stat().st_size
            theirs = _CTranslate2(library, folder, kind, config.vocab_size, threads)
            write = without_prompt(theirs.whole)
            yield f"ctranslate2 {kind}", Contestant(write, theirs.read, num_bytes, theirs.threads)


def write_ct2(library: Any, model: Decoder, config: DecoderConfig, folder: Path, kind: str) -> None:
    """A model as CTranslate2 reads it, described by its own specification of decoders, with a
    vocabulary that stands for nothing."""
    activations = library.specs.Activation
    is_rms = config.norm == "rms"
    spec = library.specs.TransformerDecoderModelSpec.from_config(
        config.num_layers,
        config.num_heads,
        activation=activations.SWISH if config.activation == "swiglu" else activations.GELUTanh,
        ffn_glu=config.activation == "swiglu",
        rms_norm=is_rms,
        rotary_dim=0 if config.positions == "rotary" else None,
        rotary_interleave=False,
        rotary_base=config.rope_base,
        num_heads_kv=config.num_kv_heads if is_rms else None,
        head_dim=config.head_width if is_rms else None,
        qk_norm=config.qk_norm,
    )
    theirs = spec.decoder
    positions: Any = model.positions
    theirs.scale_embeddings = False
    theirs.embeddings.weight = _numbers(model.embedding.weight)
    if config.positions == "learned":
        theirs.position_encodings.encodings = _numbers(positions.weight)
    _norm(theirs.layer_norm, model.norm)
    theirs.projection.weight = _numbers(model.head_weight)
    for layer, block in zip(theirs.layer, model.blocks, strict=True):
        attention: Any = block.attention
        mlp: Any = block.mlp
        own = layer.self_attention
        _norm(own.layer_norm, block.attention_norm)
        _linear(own.linear[0], attention.query, attention.key, attention.value)
        _linear(own.linear[1], attention.out)
        if config.qk_norm:
            _norm(own.q_norm, attention.query_norm)
            _norm(own.k_norm, attention.key_norm)
        _norm(layer.ffn.layer_norm, block.mlp_norm)
        if config.activation == "swiglu":
            _linear(layer.ffn.linear_0, mlp.gate)
            _linear(layer.ffn.linear_0_noact, mlp.up)
        else:
            _linear(layer.ffn.linear_0, mlp.up)
        _linear(layer.ffn.linear_1, mlp.down)
    spec.register_vocabulary([_word(number) for number in range(config.vocab_size)])
    last = _word(config.vocab_size - 1)
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = last
    spec.config.layer_norm_epsilon = config.norm_eps
    spec.validate()
    spec.optimize(quantization=None if kind == "float32" else kind)
    spec.save(str(folder))


class _CTranslate2:
    """Greedily, all rows of a batch together.

    Args:
        threads: None takes one or all cores for a row, whichever is faster, else all.
    """

    def __init__(
        self, library: Any, folder: str, kind: str, vocab_size: int, threads: int | None
    ) -> None:
        self._library, self._folder, self._kind = library, folder, kind
        self._words = min(vocab_size - 1, 1000)
        self._generators: dict[int, Any] = {}
        self._most = threads or num_threads()
        self.threads = threads or fastest_threads(self._short_answer)

    def whole(self, rows: int, tokens: int) -> float:
        """Prompts are read in it too."""
        prompts = [[(row * 31 + at) % self._words for at in range(PROMPT)] for row in range(rows)]
        return self._generate(prompts, tokens, self.threads if rows == 1 else self._most)

    def read(self, tokens: int) -> float:
        return self._generate([[at % self._words for at in range(tokens)]], 1, self._most)

    def _generate(self, prompts: list[list[int]], tokens: int, threads: int) -> float:
        if threads not in self._generators:
            self._generators[threads] = self._library.Generator(
                self._folder, device="cpu", compute_type=self._kind, intra_threads=threads
            )
        words = [[_word(token) for token in ids] for ids in prompts]
        begun = time.perf_counter()
        found = self._generators[threads].generate_batch(
            words,
            max_length=tokens,
            min_length=tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        seconds = time.perf_counter() - begun
        assert all(len(one.sequences_ids[0]) == tokens for one in found)
        return seconds

    def _short_answer(self, threads: int) -> float:
        self.threads = threads
        self.whole(1, 16)
        return self.whole(1, 64)


def _word(token: int) -> str:
    return f"<{token}>"


def _numbers(tensor: Any) -> Any:
    """A copy: CTranslate2 rounds in place."""
    return tensor.detach().float().numpy().copy()


def _norm(theirs: Any, norm: LayerNorm | RMSNorm | Any) -> None:
    theirs.gamma = _numbers(norm.weight)
    if hasattr(theirs, "beta"):
        theirs.beta = _numbers(norm.bias)


def _linear(theirs: Any, *ours: Linear) -> None:
    """Several products of the same input are one, their outputs behind one another."""
    theirs.weight = np.concatenate([_numbers(linear.weight) for linear in ours])
    if ours[0].bias is not None:
        theirs.bias = np.concatenate([_numbers(linear.bias) for linear in ours])
