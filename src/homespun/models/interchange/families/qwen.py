"""Qwen2 (arXiv 2407.10671) and Qwen3 (arXiv 2505.09388)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homespun.models.config import DecoderConfig
from homespun.models.interchange.families.family import Family, Fields, unsupported


class Qwen2(Family):
    """Biases on queries, keys and values; layers from one on may look back less far."""

    model_type = "qwen2"
    architecture = "Qwen2ForCausalLM"
    shape = {  # noqa: RUF012 - never changed
        "qk_norm": False,
        "attention_bias": True,
        "out_bias": False,
        "mlp_bias": False,
    }
    defaults = {  # noqa: RUF012
        "num_key_value_heads": 32,
        "sliding_window": 4096,
        "max_window_layers": 28,
    }

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        return {**super().read(data, path), **self._sliding(data, path)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        slides = config.sliding_window is not None
        first = config.first_sliding_layer if slides else config.num_layers
        return {
            **super().write(config),
            "use_sliding_window": slides,
            "sliding_window": config.sliding_window,
            "max_window_layers": first,
        }

    def _sliding(self, data: Fields, path: Path) -> dict[str, Any]:
        window = self.field(data, "sliding_window") if data.get("use_sliding_window") else None
        if window is None:
            return {}
        layers = data["num_hidden_layers"]
        first = min(self.field(data, "max_window_layers"), layers)
        if kinds := data.get("layer_types"):
            first = kinds.index("sliding_attention") if "sliding_attention" in kinds else layers
            if "full_attention" in kinds[first:]:
                raise unsupported("layer_types", "full layers behind sliding ones", path)
        if first == layers:
            return {}
        return {"sliding_window": window, "first_sliding_layer": first}


class Qwen3(Qwen2):
    """Queries and keys are normalised; biases, where there are any, on all four products."""

    model_type = "qwen3"
    architecture = "Qwen3ForCausalLM"
    shape = {"qk_norm": True, "mlp_bias": False}  # noqa: RUF012 - never changed
    defaults = {**Qwen2.defaults, "head_dim": 128}  # noqa: RUF012

    def objection(self, config: DecoderConfig) -> str:
        if config.attention_bias != config.out_bias:
            return "biases on queries, keys and values only"
        return super().objection(config)

    def read(self, data: Fields, path: Path) -> dict[str, Any]:
        bias = bool(data.get("attention_bias"))
        return {**super().read(data, path), "attention_bias": bias, "out_bias": bias}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        return {**super().write(config), "attention_bias": config.attention_bias}
