"""What llama.cpp would read otherwise than it was written is refused."""

from __future__ import annotations

from typing import Any

import pytest

from homespun.core import ConfigError
from homespun.models import DecoderConfig
from homespun.models.interchange import refuse_gguf

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "num_layers": 2,
    "width": 32,
    "num_heads": 2,
    "num_kv_heads": 2,
    "head_width": 16,
    "mlp_width": 48,
    "context": 64,
}
YARN = {"kind": "yarn", "factor": 4.0, "original_context": 16}
LLAMA3 = {"kind": "llama3", "factor": 8.0, "original_context": 16}
QWEN2 = {"qk_norm": False, "attention_bias": True}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rope_scaling": {**YARN, "beta_fast": 16.0}}, "beta_fast"),
        ({"rope_scaling": {**YARN, "beta_slow": 2.0}, "qk_norm": False}, "beta_slow"),
        ({"rope_scaling": {**YARN, "attention_factor": 0.9}}, "attention_factor"),
        ({"rope_scaling": LLAMA3}, "qwen3 with the scaling"),
        ({"rope_scaling": LLAMA3, **QWEN2}, "qwen2 with the scaling"),
        ({"attention_bias": True, "out_bias": True}, "Qwen3 with biases"),
    ],
)
def test_scalings_that_llama_cpp_does_not_read_are_refused(
    change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        refuse_gguf(DecoderConfig(**{**SHAPE, **change}))


@pytest.mark.parametrize(
    ("change", "architecture"),
    [
        ({}, "qwen3"),
        ({"rope_scaling": YARN}, "qwen3"),
        ({"rope_scaling": YARN, **QWEN2}, "qwen2"),
        ({"rope_scaling": LLAMA3, "qk_norm": False}, "llama"),
        ({"rope_scaling": LLAMA3, "qk_norm": False, "sliding_window": 9}, "llama"),
    ],
)
def test_the_others_have_an_architecture(change: dict[str, Any], architecture: str) -> None:
    assert refuse_gguf(DecoderConfig(**{**SHAPE, **change})) == architecture
