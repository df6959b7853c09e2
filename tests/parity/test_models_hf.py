"""Decoders against Hugging Face transformers, through files in a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.core import CheckpointError, ConfigError, DataError, SamplingSettings
from homespun.models import (
    Decoder,
    DecoderConfig,
    export_hf,
    load_hf,
    preset_options,
    read_hf_config,
)

LLAMA: dict[str, Any] = {"qk_norm": False}
GPT2: dict[str, Any] = {
    "norm": "layer",
    "positions": "learned",
    "activation": "gelu_tanh",
    "num_kv_heads": 4,
    **dict.fromkeys(("attention_bias", "out_bias", "mlp_bias"), True),
    **LLAMA,
}

SHAPES: dict[str, dict[str, Any]] = {
    "qwen3, grouped, tied": {},
    "qwen3, untied, wide heads": {"tied": False, "head_width": 16, "num_kv_heads": 4},
    "qwen3, narrow heads, one key": {"head_width": 4, "num_kv_heads": 1, "rope_base": 1e6},
    "qwen3, dropout, other starts": {"dropout": 0.1, "tied": False, "head_std": 0.0},
    "llama, tied": {"qk_norm": False},
    "llama, untied, wide heads": {"qk_norm": False, "tied": False, "head_width": 20},
    "llama, other eps": {"qk_norm": False, "norm_eps": 1e-2, "num_kv_heads": 4},
    "llama, biases": {**dict.fromkeys(("attention_bias", "out_bias", "mlp_bias"), True), **LLAMA},
    "llama, scaled": {
        "rope_scaling": {"kind": "llama3", "factor": 8.0, "original_context": 40},
        **LLAMA,
    },
    "qwen3, biases": {"attention_bias": True, "out_bias": True},
    "qwen3, sliding": {"sliding_window": 20, "first_sliding_layer": 1},
    "qwen2": {"attention_bias": True, **LLAMA},
    "qwen2, sliding": {"attention_bias": True, "sliding_window": 9, **LLAMA},
    "mistral": {"sliding_window": 33, **LLAMA},
    "gpt2": GPT2,
    "gpt2, untied, erf": {**GPT2, "tied": False, "activation": "gelu", "norm_eps": 1e-3},
}

# What transformers has no switch for, and weights can say.
FOLDED: dict[str, dict[str, Any]] = {
    "no weights in norms": {"norm_weights": False},
    "embedding norm": {"tied": False, "embedding_norm": True},
    "embedding norm, tied": {"embedding_norm": True, "norm_weights": False},
    "sharper scores": {"qk_scale": 1.44},
    "sharper scores, llama": {"qk_scale": 1.44, "qk_norm": False},
    "sharper scores, qwen2": {"qk_scale": 1.44, "qk_norm": False, "attention_bias": True},
    "no weights in norms, gpt2": {**GPT2, "norm_weights": False},
    "all": {"qk_scale": 0.7, "norm_weights": False, "embedding_norm": True, "tied": False},
}


def config(**changes: Any) -> DecoderConfig:
    fields: dict[str, Any] = {
        "vocab_size": 97,
        "num_layers": 3,
        "width": 32,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_width": 8,
        "mlp_width": 56,
        "context": 300,
    }
    return DecoderConfig.model_validate(fields | changes)


def random_model(shape: DecoderConfig) -> Decoder:
    model = shape.empty()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.3 * noise if parameter.dim() == 1 else 0.2 * noise)
    return model


def export(shape: DecoderConfig, out: Path, **more: Any) -> Decoder:
    model = random_model(shape)
    export_hf(model, shape, [], out, end_of_text_id=1, **more)
    return model


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


@pytest.mark.parametrize(
    "changes", [*SHAPES.values(), *FOLDED.values()], ids=[*SHAPES.keys(), *FOLDED.keys()]
)
@torch.no_grad()
def test_transformers_loads_an_export_and_gives_the_same_scores(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    ours = export(config(**changes), tmp_path).eval()
    theirs, info = AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    assert (
        type(theirs).__name__
        == json.loads((tmp_path / "config.json").read_text())["architectures"][0]
    )
    ids_BT = torch.randint(0, 97, (2, 280), generator=torch.Generator().manual_seed(0))
    got, want = ours.head(ours(ids_BT)), theirs(ids_BT).logits
    # Factors that are folded into weights are rounded with them.
    torch.testing.assert_close(got, want, atol=2e-5 if "qk_scale" in changes else 1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_an_export_loads_back_the_same(changes: dict[str, Any], tmp_path: Path) -> None:
    model = export(config(**changes), tmp_path)
    again = load_hf(tmp_path)
    only_for_training = {"dropout": 0.0, "head_std": 0.02}
    assert read_hf_config(tmp_path) == config(**changes).model_copy(update=only_for_training)
    for (name, ours), (other, loaded) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(ours, loaded)


@pytest.mark.parametrize("changes", FOLDED.values(), ids=FOLDED.keys())
@torch.no_grad()
def test_an_export_with_parts_folded_in_loads_back_as_a_plain_model(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    model = export(config(**changes), tmp_path)
    again = load_hf(tmp_path)
    plain = {"norm_weights": True, "embedding_norm": False, "qk_scale": 1.0}
    untied = {"tied": False} if changes.get("embedding_norm") else {}
    assert read_hf_config(tmp_path) == config(**changes).model_copy(update=plain | untied)
    ids_BT = torch.randint(0, 97, (2, 60), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        again.head(again(ids_BT)), model.head(model(ids_BT)), atol=2e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"activation": "relu2"}, "no squared ReLU"),
        ({"softcap": 15.0, "smear": True}, "no softcap of scores and smear"),
        (preset_options("fast", 97), r"ReLU, softcap of scores, .* and bigram table"),
    ],
)
def test_parts_that_others_lack_are_refused_by_name(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    shape = config(**changes)
    with pytest.raises(ConfigError, match=rf"fast cannot be exported: .*{named}; train with --por"):
        export_hf(shape.empty(), shape, [], tmp_path, end_of_text_id=1)
    assert list(tmp_path.iterdir()) == []


def test_generation_settings_and_tokenizer_files_travel_along(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    out = tmp_path / "out"
    shape = config()
    export_hf(
        random_model(shape),
        shape,
        [tokenizer],
        out,
        end_of_text_id=1,
        end_of_turn_id=3,
        settings=SamplingSettings(temperature=0.5, top_p=0.9),
    )
    generation = GenerationConfig.from_pretrained(out)
    assert generation.eos_token_id == [3, 1]
    assert (generation.do_sample, generation.temperature, generation.top_p) == (True, 0.5, 0.9)
    assert (out / "tokenizer.json").read_text() == "{}"
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "float32"


def test_greedy_settings_are_written_without_sampling_fields(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    export(config(), tmp_path, settings=SamplingSettings(temperature=0.0))
    generation = GenerationConfig.from_pretrained(tmp_path)
    assert generation.do_sample is False
    generation.validate(strict=True)


def test_a_missing_tokenizer_file_is_told_before_anything_is_written(tmp_path: Path) -> None:
    shape = config()
    with pytest.raises(DataError, match=r"nothing.json is missing"):
        export_hf(
            random_model(shape), shape, [tmp_path / "nothing.json"], tmp_path, end_of_text_id=1
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model_type": "mamba"}, "cannot be loaded"),
        ({"model_type": "bert"}, "an encoder.*homespun serve .*--base"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "code of its own"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type"),
        (
            {
                "use_sliding_window": True,
                "sliding_window": 5,
                "layer_types": ["sliding_attention", "full_attention", "full_attention"],
            },
            "layer_types",
        ),
        ({"layer_types": ["chunked_attention"] * 3}, "layer_types"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_a_part_that_we_lack_is_named(changes: dict[str, Any], field: str, tmp_path: Path) -> None:
    export(config(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError, match=field):
        load_hf(tmp_path)


def test_damaged_and_foreign_weights_are_told_apart(tmp_path: Path) -> None:
    export(config(), tmp_path)
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"hidden_size": 64}))
    with pytest.raises(CheckpointError, match=r"numbers and its config.json asks for"):
        load_hf(tmp_path)
    path.write_text(json.dumps(fields | {"num_attention_heads": 2, "num_key_value_heads": 1}))
    with pytest.raises(CheckpointError, match=r"query.weight' in .* not of the shape \(16, 32\)"):
        load_hf(tmp_path)
    path.write_text(json.dumps(fields | {"model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"k_norm|q_norm"):
        load_hf(tmp_path)
    path.write_text(json.dumps({k: v for k, v in fields.items() if k != "vocab_size"}))
    with pytest.raises(DataError, match="vocab_size"):
        load_hf(tmp_path)
    path.write_text(json.dumps(fields))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load_hf(tmp_path)
    weights.unlink()
    with pytest.raises(DataError, match="is missing"):
        load_hf(tmp_path)


def test_a_combination_that_no_family_has_is_refused(tmp_path: Path) -> None:
    shape = config(norm="layer")
    with pytest.raises(ConfigError, match=r"no family .* gpt2 has no positions rotary"):
        export_hf(shape.empty(), shape, [], tmp_path, end_of_text_id=1)
    assert list(tmp_path.iterdir()) == []


def test_the_weights_are_as_readable_as_the_files_beside_them(tmp_path: Path) -> None:
    export(config(), tmp_path)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
