"""What a family of decoders on Hugging Face must tell: names of weights, fields of config.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from homespun.core import ConfigError, DataError
from homespun.models.config import DecoderConfig
from homespun.models.interchange.families.rope import read_rope, rope_field, write_rope

Fields = Mapping[str, Any]
"""A config.json."""


class Family:
    """Decoders named and shaped like Llama: root-mean-square norms, rotary positions, SwiGLU.

    Attributes:
        model_type, architecture: what config.json calls it.
        prefix: before the names of all weights but the head's, often left out by others.
        top, in_block: our names of modules and theirs.
        plain: fields that must have one of these values, since ours has no such part.
        defaults: of fields that config.json may leave out, as `transformers` has them.
        shape: our settings that the family fixes.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[str]
    prefix: ClassVar[str] = "model."
    head: ClassVar[str] = "lm_head.weight"
    top: ClassVar[Mapping[str, str]] = {"embedding": "embed_tokens", "norm": "norm"}
    block: ClassVar[str] = "layers"
    in_block: ClassVar[Mapping[str, str]] = {
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
    plain: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    shape: ClassVar[Mapping[str, Any]] = {}

    def objection(self, config: DecoderConfig) -> str:
        """Why a plain model of `config` cannot be one of this family; empty where it can."""
        fixed = {"norm": "rms", "positions": "rotary", "activation": "swiglu", **self.shape}
        for field, value in fixed.items():
            if getattr(config, field) != value:
                return f"{field} {getattr(config, field)}"
        return ""

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        """Fields of `DecoderConfig`.

        Raises:
            ConfigError: the model has a part that ours has not. DataError: a field is missing.
        """
        self.refuse(data, path)
        try:
            heads = data["num_attention_heads"]
            kv_heads = self.field(data, "num_key_value_heads")
            width = self.field(data, "head_dim") or data["hidden_size"] // heads
            found = {
                "vocab_size": data["vocab_size"],
                "num_layers": data["num_hidden_layers"],
                "width": data["hidden_size"],
                "num_heads": heads,
                "num_kv_heads": heads if kv_heads is None else kv_heads,
                "head_width": width,
                "mlp_width": data["intermediate_size"],
                "context": data["max_position_embeddings"],
            }
        except KeyError as error:
            raise DataError(f"{path} has no {error}", remedy="restore the file") from error
        base = rope_field(data, "rope_theta")
        return {
            **found,
            **self.shape,
            "rope_base": 10_000.0 if base is None else base,
            "rope_scaling": read_rope(data, path),
            "tied": data.get("tie_word_embeddings", False),
            "norm_eps": data.get("rms_norm_eps", 1e-6),
        }

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Fields of config.json that say the shape, of a model without `objection`."""
        return {
            "vocab_size": config.vocab_size,
            "hidden_size": config.width,
            "intermediate_size": config.mlp_width,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "head_dim": config.head_width,
            "max_position_embeddings": config.context,
            "rms_norm_eps": config.norm_eps,
            **write_rope(config),
            "tie_word_embeddings": config.tied,
            "hidden_act": "silu",
            "attention_dropout": 0.0,
        }

    def theirs(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        """Weights under their names, in their layout."""
        return {self.hf_name(name): tensor for name, tensor in tensors.items()}

    def ours(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        """Weights under our names, in our layout. What has no place keeps its name."""
        named = {self.hf_name(name): name for name in parameter_names(config)}
        found = {}
        whole = self.whole_names(tensors)
        if config.tied and self.table not in whole and self.head in whole:
            # Of two names of one table a file may keep either.
            whole[self.table] = whole[self.head]
        for name, tensor in whole.items():
            if name == self.head and config.tied:
                continue
            if name in named:
                found[named[name]] = tensor
            elif not self.is_buffer(name):
                found[name] = tensor
        return found

    @property
    def table(self) -> str:
        """Their name of the table of tokens."""
        return self.hf_name("embedding.weight")

    def has_own_head(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether the head is another matrix than the table of tokens, whatever config.json says:
        then `transformers` ties neither to the other."""
        whole = self.whole_names(tensors)
        head, table = whole.get(self.head), whole.get(self.table)
        return head is not None and table is not None and not torch.equal(head, table.to(head))

    def hf_name(self, name: str) -> str:
        """The name in `transformers` of one of our parameters."""
        if name == "unembedding.weight":
            return self.head
        module, _, leaf = name.rpartition(".")
        if module in self.top:
            return f"{self.prefix}{self.top[module]}.{leaf}"
        _, layer, rest = module.split(".", 2)
        return f"{self.prefix}{self.block}.{layer}.{self.in_block[rest]}.{leaf}"

    def whole_names(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """With the prefix that models without a head are saved without."""
        if any(name.startswith(self.prefix) for name in tensors):
            return dict(tensors)
        return {name if name == self.head else self.prefix + name: t for name, t in tensors.items()}

    def is_buffer(self, name: str) -> bool:
        """Whether a tensor is no weight, but a table that old versions saved as well."""
        return name.endswith("inv_freq")

    def field(self, data: Fields, name: str) -> Any:
        return data.get(name, self.defaults.get(name))

    def refuse(self, data: Fields, path: Path) -> None:
        """Raises ConfigError for what ours has not."""
        plain = {"hidden_act": ("silu", "swish"), "quantization_config": (None,), **self.plain}
        for field, allowed in plain.items():
            if field in data and data[field] not in allowed:
                raise unsupported(field, data[field], path)
        share = rope_field(data, "partial_rotary_factor")
        if share not in (None, 1, 1.0):
            raise unsupported("partial_rotary_factor", share, path)
        kinds = set(data.get("layer_types") or ()) - {"full_attention", "sliding_attention"}
        if kinds:
            raise unsupported("layer_types", sorted(kinds), path)


def parameter_names(config: DecoderConfig) -> list[str]:
    """Our names of a model's parameters, without the memory of one."""
    with torch.device("meta"):
        return [name for name, _ in config.empty().named_parameters()]


def unsupported(field: str, value: object, path: Path) -> ConfigError:
    return ConfigError(
        f"{path} asks for {field}, which our decoder does not have",
        got=value,
        remedy="choose a plain GPT-2, Llama, Mistral, Qwen2 or Qwen3 model",
    )
