"""Decoders in the files of Hugging Face `transformers`, and back, without its code.

With QK-norm a decoder is a `Qwen3ForCausalLM`, without it a `LlamaForCausalLM`; both load with
`AutoModelForCausalLM.from_pretrained` and no code of ours. Rotary positions already have the
layout of those classes, so weights are renamed; what those classes lack and weights can say is
folded into them. What weights cannot say is refused, see `not_portable`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from homespun.core import CheckpointError, ConfigError, DataError, SamplingSettings, parse_config
from homespun.core.files import atomic_path, os_error, read_json, write_json
from homespun.models.config import DecoderConfig
from homespun.models.decoder import Decoder
from homespun.models.norm import RMSNorm
from homespun.models.presets import not_portable
from homespun.models.reshape.rope_scaling import RopeScaling
from homespun.models.weights import load_weights, state_to_safetensors

_TOP = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}
_IN_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}
_ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}

# What transformers takes for keys that a config.json leaves out.
_DEFAULTS = {"rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "tie_word_embeddings": False}
# Values that mean "plain"; anything else asks for a part that ours has not.
_ALLOWED = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "hidden_act": ("silu",),
    "use_sliding_window": (False, None),
    "quantization_config": (None,),
    "pretraining_tp": (1, None),
}


def hf_name(name: str) -> str:
    """The name in `transformers` of one of our parameters."""
    if name in _TOP:
        return _TOP[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{_IN_BLOCK[rest.removesuffix('.weight')]}.weight"


def export_hf(
    model: Decoder,
    config: DecoderConfig,
    tokenizer_files: Sequence[Path],
    out: Path,
    *,
    end_of_text_id: int,
    end_of_turn_id: int | None = None,
    settings: SamplingSettings | None = None,
) -> None:
    """Write `model` as a folder that `transformers`, vLLM, llama.cpp's converter and others read.

    Args:
        model: weights are written in float32.
        config: what `model` was built from.
        tokenizer_files: copied beside the weights, tokenizer.json and tokenizer_config.json.
        out: folder, created if absent; files of the same names are replaced.
        end_of_text_id: stands before a text and ends it.
        end_of_turn_id: ends a chat message, where the model was taught to chat.
        settings: how to sample by default, for generation_config.json.

    Raises:
        BudgetError, RunError: `out` cannot be written.
        ConfigError: the model has parts that other tools have not, as the preset "fast" has.
        DataError: a tokenizer file is missing.
    """
    refuse_export(config)
    for file in tokenizer_files:
        if not file.is_file():
            raise DataError(f"{file} is missing", remedy="run the stage that writes it")
    settings = settings or SamplingSettings()
    ends = [end_of_text_id] if end_of_turn_id is None else [end_of_turn_id, end_of_text_id]
    tensors = _folded(model, config)
    with atomic_path(out / "model.safetensors") as temporary:
        temporary.touch()
        mode = (
            temporary.stat().st_mode & 0o777
        )  # of any new file; safetensors makes its own private
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
    write_json(
        out / "generation_config.json",
        {
            "bos_token_id": end_of_text_id,
            "eos_token_id": ends,
            "pad_token_id": end_of_text_id,
            **_sampling(settings),
        },
    )
    for file in tokenizer_files:
        with atomic_path(out / file.name) as temporary:
            shutil.copyfile(file, temporary)
    write_json(out / "config.json", _hf_config(config, end_of_text_id, ends))


def refuse_export(config: DecoderConfig) -> None:
    """Raises ConfigError where a model cannot be written for other tools, naming its parts."""
    if parts := not_portable(config):
        named = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
        raise ConfigError(
            f"a model of the preset fast cannot be exported: other tools have no {named}",
            remedy="train with --portable",
        )


@torch.no_grad()
def _folded(model: Decoder, config: DecoderConfig) -> dict[str, Tensor]:
    """Float32 weights under the names of `transformers`, of a plain model that does the same."""
    tensors = {
        name: tensor.float()
        for name, tensor in state_to_safetensors(model).items()
        if not name.startswith("embedding_norm")
    }
    for name, module in model.named_modules():
        if isinstance(module, RMSNorm) and module.weight is None and name != "embedding_norm":
            tensors[f"{name}.weight"] = torch.ones(module.width)
    if model.embedding_norm is not None:
        # Rows that are normalised for the first layer and not for the head are two tables.
        raw_VD = tensors["embedding.weight"]
        tensors.setdefault("unembedding.weight", raw_VD)
        tensors["embedding.weight"] = model.embedding_norm(raw_VD)
    if config.qk_scale != 1.0:
        ends = ("query_norm.weight", "key_norm.weight")
        if not config.qk_norm:
            ends = ("attention.query.weight", "attention.key.weight")
        for name in tensors:
            if name.endswith(ends):
                tensors[name] = tensors[name] * math.sqrt(config.qk_scale)
    return {hf_name(name): tensor for name, tensor in tensors.items()}


def load_hf(folder: Path) -> Decoder:
    """A float32 decoder from a folder of a Qwen3 or Llama model in `transformers` format.

    Raises:
        DataError: a file is missing or is not what its name says.
        ConfigError: the model has a part that ours has not; the field is named.
        CheckpointError: the weights do not fit the config.
    """
    config = read_hf_config(folder)
    tensors = _read_weights(folder)
    model = config.empty()
    ours = {hf_name(name): name for name, _ in model.named_parameters()}
    if config.tied:
        tensors.pop(_TOP["unembedding.weight"], None)
    unknown = [name for name in tensors if name not in ours and not name.endswith("inv_freq")]
    if unknown:
        raise CheckpointError(
            f"{folder} has weights that {config.__class__.__name__} knows no place for",
            got=unknown[0],
            remedy="only plain Qwen3 and Llama decoders can be loaded",
        )
    named = {ours[name]: tensor for name, tensor in tensors.items() if name in ours}
    load_weights(model, named, where=str(folder))
    return model


def read_hf_config(folder: Path) -> DecoderConfig:
    """The shape of the model in `folder`. Raises as `load_hf` does."""
    path = folder / "config.json"
    data = read_json(path)
    if not isinstance(data, dict) or data.get("model_type") not in _ARCHITECTURES:
        raise ConfigError(
            f"{path} is not of a Qwen3 or Llama model",
            got=data.get("model_type") if isinstance(data, dict) else type(data).__name__,
            remedy="only model_type 'qwen3' and 'llama' can be loaded",
        )
    _refuse_unsupported(data, path)
    try:
        heads = data["num_attention_heads"]
        fields = {
            "vocab_size": data["vocab_size"],
            "num_layers": data["num_hidden_layers"],
            "width": data["hidden_size"],
            "num_heads": heads,
            "num_kv_heads": data.get("num_key_value_heads") or heads,
            "head_width": data.get("head_dim") or data["hidden_size"] // heads,
            "mlp_width": data["intermediate_size"],
            "context": data["max_position_embeddings"],
        }
    except KeyError as error:
        raise DataError(f"{path} has no {error}", remedy="restore the file") from error
    rope = data.get("rope_parameters") or {}
    fields |= {
        "rope_base": rope.get("rope_theta", data.get("rope_theta", _DEFAULTS["rope_theta"])),
        "rope_scaling": _read_rope(data, path),
        "tied": data.get("tie_word_embeddings", _DEFAULTS["tie_word_embeddings"]),
        "qk_norm": data["model_type"] == "qwen3",
        "norm_eps": data.get("rms_norm_eps", _DEFAULTS["rms_norm_eps"]),
    }
    return parse_config(DecoderConfig, fields, where=str(path))


def _hf_config(config: DecoderConfig, end_of_text_id: int, ends: list[int]) -> dict[str, Any]:
    model_type = "qwen3" if config.qk_norm else "llama"
    return {
        "architectures": [_ARCHITECTURES[model_type]],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_width,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        # The first is what transformers 4 reads, the second is 5's.
        "rope_theta": config.rope_base,
        "rope_parameters": {**_rope(config), "rope_theta": config.rope_base},
        **({"rope_scaling": _rope(config)} if config.rope_scaling is not None else {}),
        "tie_word_embeddings": config.tied and not config.embedding_norm,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": end_of_text_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": end_of_text_id,
        "initializer_range": 0.02,
        "torch_dtype": "float32",
        "use_cache": True,
        **({"mlp_bias": False} if model_type == "llama" else {"use_sliding_window": False}),
    }


def _rope(config: DecoderConfig) -> dict[str, Any]:
    """How frequencies are scaled, in the words of `transformers`."""
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_type": "default"}
    found: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "yarn":
        found |= {
            "original_max_position_embeddings": scaling.original_context,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
        }
    return found


def _read_rope(data: Mapping[str, Any], path: Path) -> RopeScaling | None:
    """Raises ConfigError for a kind of scaling that ours does not have."""
    # transformers 5 writes the one, 4 the other.
    for field in ("rope_parameters", "rope_scaling"):
        rope = data.get(field) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            break
    else:
        return None
    known = {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow"}
    ignored = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
    strange = {key for key in rope.keys() - known - ignored if rope[key] is not None}
    if kind not in ("linear", "yarn") or strange or "factor" not in rope:
        raise _unsupported(field, rope, path)
    longest = data.get("max_position_embeddings", 2)
    original = rope.get("original_max_position_embeddings") or longest // rope["factor"]
    fields = {key: rope[key] for key in ("beta_fast", "beta_slow") if rope.get(key) is not None}
    return parse_config(
        RopeScaling,
        {"kind": kind, "factor": rope["factor"], "original_context": int(original), **fields},
        where=str(path),
    )


def _sampling(settings: SamplingSettings) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "do_sample": settings.temperature > 0,
        "max_new_tokens": settings.max_tokens,
    }
    if settings.temperature > 0:
        fields |= {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
        }
        if settings.min_p > 0:
            fields["min_p"] = settings.min_p
    if settings.repetition_penalty != 1.0:
        fields["repetition_penalty"] = settings.repetition_penalty
    return fields


def _refuse_unsupported(data: Mapping[str, Any], path: Path) -> None:
    for field, allowed in _ALLOWED.items():
        if field in data and data[field] not in allowed:
            raise _unsupported(field, data[field], path)
    rope = data.get("rope_parameters") or {}
    if rope.get("partial_rotary_factor", 1.0) != 1.0 or data.get("partial_rotary_factor", 1) != 1:
        raise _unsupported("partial_rotary_factor", rope or data["partial_rotary_factor"], path)
    kinds = set(data.get("layer_types") or ()) - {"full_attention"}
    if kinds:
        raise _unsupported("layer_types", sorted(kinds), path)


def _unsupported(field: str, value: object, path: Path) -> ConfigError:
    return ConfigError(
        f"{path} asks for {field}, which our decoder does not have",
        got=value,
        remedy="choose a plain Qwen3 or Llama model",
    )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
    tensors: dict[str, Tensor] = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing", remedy="fetch or export the model again")
        try:
            tensors |= load_file(path)
        except SafetensorError as error:
            raise DataError(
                f"{path} is not a whole safetensors file: {error}",
                remedy="fetch or export the model again",
            ) from error
        except OSError as error:
            raise os_error(error, f"reading {path}") from error
    return tensors
