"""A config.json from elsewhere may say anything: it is a shape of ours, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.core import HomespunError
from homespun.models import DecoderConfig
from homespun.models.interchange import read_hf_config

LLAMA: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 96,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e4,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
}
SCALED = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24}
GPT2: dict[str, Any] = {
    "vocab_size": 61,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 96,
    "n_inner": 40,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}
GOOD: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "llama": LLAMA | {"rope_scaling": SCALED},
    "mistral": LLAMA | {"sliding_window": 16},
    "qwen2": LLAMA | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "qwen3": LLAMA | {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
}
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2.5,
    1e300,
    10**30,
    "",
    "abc",
    "7",
    [],
    [[]],
    {},
    {"a": 1},
)


def read(folder: Path, fields: dict[str, Any]) -> DecoderConfig | HomespunError:
    (folder / "config.json").write_text(json.dumps(fields))
    try:
        return read_hf_config(folder)
    except HomespunError as error:
        return error


@pytest.mark.parametrize("kind", GOOD)
def test_whatever_a_field_says_there_is_a_sentence(kind: str, tmp_path: Path) -> None:
    good = {"model_type": kind, **GOOD[kind]}
    assert isinstance(read(tmp_path, good), DecoderConfig)
    num_refused = 0
    for name in good:
        for value in STRANGE:
            found = read(tmp_path, {**good, name: value})
            num_refused += isinstance(found, HomespunError)
    assert num_refused > len(good)


@pytest.mark.parametrize("place", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
def test_whatever_a_scaling_says_there_is_a_sentence(kind: str, place: str, tmp_path: Path) -> None:
    own = {"high_freq_factor": 4.0, "low_freq_factor": 1.0} if kind == "llama3" else {}
    scaled = {**SCALED, **own, "rope_type": kind}
    good = {"model_type": "llama", **LLAMA, place: scaled}
    assert isinstance(read(tmp_path, good), DecoderConfig)
    for name in scaled:
        for value in STRANGE:
            read(tmp_path, {**good, place: {**scaled, name: value}})
    for value in STRANGE:
        read(tmp_path, {**good, "original_max_position_embeddings": value})
    told = read(tmp_path, {**good, place: {**scaled, "original_max_position_embeddings": "abc"}})
    assert isinstance(told, HomespunError)
    assert "config.json" in str(told)


def test_settings_of_positions_are_found_wherever_they_stand(tmp_path: Path) -> None:
    fields = {"model_type": "llama", **LLAMA}
    del fields["rope_theta"]
    for place in ("rope_scaling", "rope_parameters"):
        found = read(tmp_path, {**fields, place: {**SCALED, "rope_theta": 500.0}})
        assert isinstance(found, DecoderConfig)
        assert found.rope_base == 500.0
        assert found.rope_scaling is not None
        for scaled in (SCALED, {"rope_type": "default"}):
            told = read(tmp_path, {**fields, place: {**scaled, "partial_rotary_factor": 0.5}})
            assert "partial_rotary_factor" in str(told)
        nested = {"full_attention": {"rope_type": "default", "rope_theta": 500.0}}
        assert f"asks for {place}" in str(read(tmp_path, {**fields, place: nested}))
    plain = read(tmp_path, fields)
    assert isinstance(plain, DecoderConfig)
    assert plain.rope_base == 10_000.0


@pytest.mark.parametrize("change", [{"pretraining_tp": 2}, {"hidden_act": "swish"}])
def test_what_changes_nothing_is_taken(change: dict[str, Any], tmp_path: Path) -> None:
    fields = {"model_type": "llama", **LLAMA}
    assert read(tmp_path, {**fields, **change}) == read(tmp_path, fields)


def test_too_long_a_context_is_refused_with_the_option_that_shortens_it(tmp_path: Path) -> None:
    told = read(tmp_path, {"model_type": "qwen2", **LLAMA, "max_position_embeddings": 1_010_000})
    assert isinstance(told, HomespunError)
    assert "1010000" in str(told)
    assert "--context" in str(told)
