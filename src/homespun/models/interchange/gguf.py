"""The one file that llama.cpp reads (GGUF), with the tokenizer and the chat template inside.

The container is written by llama.cpp's own `gguf` library, its quantisation too: blocks of 32
weights of a row with one float16 scale, of 8 bits (Q8_0) or 4 (Q4_0). Vectors stay float32. With
Q4_0 the embedding and the head have 8 bits, since every token's error there is seen at once.

Shape letters: F rows of a matrix, D its columns, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import ConfigError
from homespun.core.files import atomic_path
from homespun.models.config import DecoderConfig
from homespun.models.decoder import Decoder
from homespun.models.interchange.fold import folded
from homespun.models.interchange.hf import refuse_export
from homespun.models.reshape.rope_scaling import RopeScaling
from homespun.tokenizer.imported.gguf import GgufVocabulary

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

Quantization = Literal["f16", "q8_0", "q4_0"]
_FILE_TYPES: dict[Quantization, int] = {"f16": 1, "q8_0": 7, "q4_0": 2}  # enum llama_ftype
BLOCK = 32
_NAMES = {
    "embedding": "token_embd",
    "positions": "position_embd",
    "norm": "output_norm",
    "unembedding": "output",
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.out": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "mlp_norm": "ffn_norm",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}


class GgufFacts(NamedTuple):
    """What a reader is told of a model beside its shape.

    Attributes:
        name: for people.
        vocabulary: from `gguf_vocabulary`.
        start_ids: stand before a text; llama.cpp can put one there.
        end_of_text_id, end_of_turn_id: end a text and a chat message.
        chat_template: Jinja text; None where the model cannot chat.
    """

    name: str
    vocabulary: GgufVocabulary
    start_ids: tuple[int, ...]
    end_of_text_id: int
    end_of_turn_id: int | None = None
    chat_template: str | None = None


def export_gguf(
    model: Decoder,
    config: DecoderConfig,
    out: Path,
    *,
    facts: GgufFacts,
    quantization: Quantization = "f16",
) -> None:
    """Write `model` as one file for llama.cpp.

    A model that looks back over a window only gets that window as its context, since llama.cpp has
    no windows for these architectures; within it they are the same.

    Raises:
        BudgetError, RunError: `out` cannot be written.
        ConfigError: llama.cpp has no architecture with the model's parts.
    """
    from gguf import GGUFWriter

    architecture = refuse_gguf(config)
    tensors, plain = folded(model, config)
    with atomic_path(out) as temporary:
        writer = GGUFWriter(temporary, architecture)
        try:
            _write_shape(writer, plain, facts, _FILE_TYPES[quantization])
            _write_tokenizer(writer, facts)
            for name, tensor in _renamed(tensors, plain, architecture):
                data, kind = packed(name, tensor, quantization)
                writer.add_tensor(name, data, raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def refuse_gguf(config: DecoderConfig) -> str:
    """llama.cpp's name of the architecture to write a model as.

    Raises:
        ConfigError: there is none with all of its parts.
    """
    family = refuse_export(config).model_type
    scaling = config.rope_scaling
    lacks = ""
    if family == "gpt2" and config.activation != "gelu_tanh":
        lacks = "GELU by the error function"
    elif family == "qwen3" and config.attention_bias:
        lacks = "Qwen3 with biases"
    elif scaling is not None and scaling.attention_factor is not None:
        lacks = "YaRN with an attention_factor of its own"
    elif scaling is not None and scaling.kind == "yarn" and _has_own_betas(scaling):
        # The file says what they are; of these architectures it is not read.
        lacks = "YaRN with a beta_fast or beta_slow of its own"
    elif scaling is not None and scaling.kind == "llama3" and family.startswith("qwen"):
        lacks = f"{family} with the scaling of positions of Llama 3"
    if lacks:
        raise ConfigError(
            f"llama.cpp has no {lacks}", remedy="export a Hugging Face folder instead"
        )
    return "llama" if family == "mistral" else family


def _has_own_betas(scaling: RopeScaling) -> bool:
    names = ("beta_fast", "beta_slow")
    return any(getattr(scaling, n) != RopeScaling.model_fields[n].default for n in names)


def packed(
    name: str, tensor: Tensor, quantization: Quantization
) -> tuple[NDArray[Any], GGMLQuantizationType]:
    """A tensor as it lies in the file, and the name of that form.

    A matrix whose rows are no whole number of blocks stays in float16.

    Raises:
        ConfigError: it has numbers that float16 does not hold.
    """
    from gguf import GGMLQuantizationType, quants

    kinds = {
        "f16": GGMLQuantizationType.F16,
        "q8_0": GGMLQuantizationType.Q8_0,
        "q4_0": GGMLQuantizationType.Q4_0,
    }
    array: NDArray[np.float32] = tensor.float().contiguous().numpy()
    if array.ndim < 2 or name.startswith("position_embd"):
        return array, GGMLQuantizationType.F32
    if not np.abs(array).max() < np.finfo(np.float16).max:
        raise ConfigError(
            f"'{name}' has numbers that float16 does not hold",
            got=float(np.abs(array).max()),
            remedy="the model comes from a run that diverged, take an earlier checkpoint",
        )
    is_table = name.startswith(("token_embd", "output."))
    kind = "q8_0" if quantization == "q4_0" and is_table else quantization
    if array.shape[-1] % BLOCK:
        kind = "f16"
    if kind == "f16":
        return array.astype(np.float16), GGMLQuantizationType.F16
    data: NDArray[Any] = quants.quantize(array, kinds[kind])
    return data, kinds[kind]


def _write_shape(
    writer: GGUFWriter, config: DecoderConfig, facts: GgufFacts, file_type: int
) -> None:
    window = config.sliding_window or config.context
    writer.add_name(facts.name)
    writer.add_file_type(file_type)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(min(config.context, window))
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.mlp_width)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_width)
    writer.add_value_length(config.head_width)
    if config.norm == "layer":
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)
    if config.positions == "rotary":
        _write_rope(writer, config)


def _write_rope(writer: GGUFWriter, config: DecoderConfig) -> None:
    from gguf import RopeScalingType

    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)
    scaling = config.rope_scaling
    if scaling is None or scaling.kind == "llama3":  # which is a tensor, see `_renamed`
        return
    is_yarn = scaling.kind == "yarn"
    writer.add_rope_scaling_type(RopeScalingType.YARN if is_yarn else RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(scaling.factor)
    if is_yarn:
        writer.add_rope_scaling_orig_ctx_len(scaling.original_context)
        writer.add_rope_scaling_yarn_beta_fast(scaling.beta_fast)
        writer.add_rope_scaling_yarn_beta_slow(scaling.beta_slow)


def _write_tokenizer(writer: GGUFWriter, facts: GgufFacts) -> None:
    vocabulary = facts.vocabulary
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    if vocabulary.model == "llama":
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.adds_prefix)
    else:
        writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(facts.start_ids[-1] if facts.start_ids else facts.end_of_text_id)
    writer.add_add_bos_token(bool(facts.start_ids))
    turn = facts.end_of_turn_id
    writer.add_eos_token_id(facts.end_of_text_id if turn is None else turn)
    if turn is not None:
        writer.add_eot_token_id(turn)
    writer.add_pad_token_id(facts.end_of_text_id)
    if facts.chat_template is not None:
        writer.add_chat_template(facts.chat_template)


def _renamed(
    tensors: Mapping[str, Tensor], config: DecoderConfig, architecture: str
) -> Iterator[tuple[str, Tensor]]:
    """Under llama.cpp's names and in its layout."""
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        if module in _NAMES:
            yield f"{_NAMES[module]}.{leaf}", tensor
            continue
        _, layer, rest = module.split(".", 2)
        if architecture == "gpt2" and rest in ("attention.key", "attention.value"):
            continue
        if architecture == "gpt2" and rest == "attention.query":
            parts = [tensors[name.replace("query", part)] for part in ("query", "key", "value")]
            yield f"blk.{layer}.attn_qkv.{leaf}", torch.cat(parts)
            continue
        if architecture == "llama" and rest in ("attention.query", "attention.key"):
            tensor = interleaved(tensor, config.head_width)
        yield f"blk.{layer}.{_NAMES[rest]}.{leaf}", tensor
    scaling = config.rope_scaling
    if scaling is not None and scaling.kind == "llama3":
        pair = torch.arange(0, config.head_width, 2, dtype=torch.float32)
        frequency = 1.0 / config.rope_base ** (pair / config.head_width)
        yield "rope_freqs.weight", frequency / scaling.frequencies(frequency, config.rope_base)


def interleaved(rows_FD: Tensor, head_width: int) -> Tensor:
    """Rows of queries or keys, or their biases, for rotations that pair neighbours: components i
    and i + K/2 of each head become 2i and 2i + 1."""
    shape = rows_FD.shape
    return rows_FD.reshape(-1, 2, head_width // 2, *shape[1:]).transpose(1, 2).reshape(shape)
