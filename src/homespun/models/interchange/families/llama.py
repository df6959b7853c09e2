"""Llama 1 to 3 (Touvron et al. 2023, arXiv 2302.13971), and Mistral, which looks back less far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homespun.models.config import DecoderConfig
from homespun.models.interchange.families.family import Family, Fields, unsupported


class Llama(Family):
    """Biases, where there are any, are on all four products of attention."""

    model_type = "llama"
    architecture = "LlamaForCausalLM"
    shape = {"qk_norm": False}  # noqa: RUF012 - never changed
    plain = {"use_sliding_window": (False, None)}  # noqa: RUF012

    def objection(self, config: DecoderConfig) -> str:
        if config.attention_bias != config.out_bias:
            return "biases on queries, keys and values only"
        if config.sliding_window is not None:
            return "sliding window"
        return super().objection(config)

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        if "sliding_attention" in (data.get("layer_types") or ()):
            raise unsupported("layer_types", "sliding_attention", path)
        bias = bool(data.get("attention_bias"))
        return {
            **super().read(data, path),
            "attention_bias": bias,
            "out_bias": bias,
            "mlp_bias": bool(data.get("mlp_bias")),
        }

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        return {
            **super().write(config),
            "attention_bias": config.attention_bias,
            "mlp_bias": config.mlp_bias,
        }


class Mistral(Family):
    """Mistral 7B (arXiv 2310.06825): all layers see the last `sliding_window` tokens."""

    model_type = "mistral"
    architecture = "MistralForCausalLM"
    shape = {  # noqa: RUF012 - never changed
        "qk_norm": False,
        "attention_bias": False,
        "out_bias": False,
        "mlp_bias": False,
        "first_sliding_layer": 0,
    }
    defaults = {"num_key_value_heads": 8, "sliding_window": 4096}  # noqa: RUF012

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        return {
            **super().read(data, path),
            "sliding_window": self.field(data, "sliding_window"),
        }

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().write(config), "sliding_window": config.sliding_window}
