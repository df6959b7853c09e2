"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm, GELU, a bias on everything.

Its matrices lie the other way round, inputs before outputs, and queries, keys and values are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from homespun.core import DataError
from homespun.models.config import DecoderConfig
from homespun.models.interchange.families.family import Family, Fields, unsupported

_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
}
_PARTS = ("query", "key", "value")
_FUSED = re.compile(r"(.*\.)attn\.c_attn\.(weight|bias)")


class GPT2(Family):
    """All heads have keys of their own, and together the model's width."""

    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    prefix = "transformer."
    top = {"embedding": "wte", "positions": "wpe", "norm": "ln_f"}  # noqa: RUF012 - never changed
    block = "h"
    in_block = {  # noqa: RUF012
        "attention_norm": "ln_1",
        "attention.query": "attn.query",  # not their names: see `ours` and `theirs`
        "attention.key": "attn.key",
        "attention.value": "attn.value",
        "attention.out": "attn.c_proj",
        "mlp_norm": "ln_2",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    }
    plain = {  # noqa: RUF012
        "activation_function": tuple(_ACTIVATIONS),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False, None),
        "add_cross_attention": (False, None),
    }
    shape = {  # noqa: RUF012
        "norm": "layer",
        "positions": "learned",
        "qk_norm": False,
        "attention_bias": True,
        "out_bias": True,
        "mlp_bias": True,
    }

    def objection(self, config: DecoderConfig) -> str:
        for field, value in self.shape.items():
            if getattr(config, field) != value:
                return f"{field} {getattr(config, field)}"
        if config.activation not in _ACTIVATIONS.values():
            return f"activation {config.activation}"
        if config.num_kv_heads != config.num_heads:
            return "heads that share keys"
        if config.num_heads * config.head_width != config.width:
            return "heads that are not the width together"
        return "sliding window" if config.sliding_window is not None else ""

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        self.refuse(data, path)
        try:
            width, heads = data["n_embd"], data["n_head"]
            if width % heads:
                raise unsupported("n_head", heads, path)
            return {
                "vocab_size": data["vocab_size"],
                "num_layers": data["n_layer"],
                "width": width,
                "num_heads": heads,
                "num_kv_heads": heads,
                "head_width": width // heads,
                "mlp_width": data.get("n_inner") or 4 * width,
                "context": data["n_positions"] if "n_positions" in data else data["n_ctx"],
                "tied": data.get("tie_word_embeddings", True),
                "norm_eps": data.get("layer_norm_epsilon", 1e-5),
                "activation": _ACTIVATIONS[data.get("activation_function", "gelu_new")],
                **self.shape,
            }
        except KeyError as error:
            raise DataError(f"{path} has no {error}", remedy="restore the file") from error

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
        return {
            "vocab_size": config.vocab_size,
            "n_embd": config.width,
            "n_layer": config.num_layers,
            "n_head": config.num_heads,
            "n_inner": config.mlp_width,
            "n_positions": config.context,
            "layer_norm_epsilon": config.norm_eps,
            "activation_function": names[config.activation],
            "tie_word_embeddings": config.tied,
        }

    def theirs(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        renamed = super().theirs(tensors, config)
        found: dict[str, Tensor] = {}
        for name, tensor in renamed.items():
            if ".attn.query." in name:
                parts = [renamed[name.replace(".query.", f".{part}.")] for part in _PARTS]
                name, tensor = name.replace(".query.", ".c_attn."), torch.cat(parts)
            elif ".attn.key." in name or ".attn.value." in name:
                continue
            found[name] = tensor.T.contiguous() if _lies_across(name) else tensor
        return found

    def ours(self, tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
        parted: dict[str, Tensor] = {}
        for name, tensor in self.whole_names(tensors).items():
            tensor = tensor.T if _lies_across(name) else tensor
            if match := _FUSED.fullmatch(name):
                if tensor.shape[0] % 3:
                    raise DataError(
                        f"{name} is not queries, keys and values of one size",
                        got=tuple(tensor.shape),
                        remedy="fetch the model again",
                    )
                for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
                    parted[f"{match[1]}attn.{part}.{match[2]}"] = piece
            else:
                parted[name] = tensor
        return super().ours(parted, config)

    def is_buffer(self, name: str) -> bool:
        return name.endswith((".attn.bias", ".attn.masked_bias"))


def _lies_across(name: str) -> bool:
    """Whether a matrix is kept as inputs times outputs (`Conv1D`)."""
    return name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
