"""Every family we take in, against the class of `transformers` that wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from homespun.models import Decoder, load_hf, read_hf
from homespun.models.interchange.shards import read_weights

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2: dict[str, Any] = {
    "vocab_size": 61,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 96,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 24,
    "rope_theta": 1e4,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 5e5,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT2),
    "gpt2, erf, inner width, untied": (
        "GPT2",
        GPT2 | {"activation_function": "gelu", "n_inner": 40, "tie_word_embeddings": False},
    ),
    "llama": ("Llama", SMALL),
    "llama, tied, wide heads": ("Llama", SMALL | {"tie_word_embeddings": True, "head_dim": 12}),
    "llama, biases": ("Llama", SMALL | {"attention_bias": True, "mlp_bias": True}),
    "llama 3": ("Llama", SMALL | {"rope_parameters": LLAMA3, "num_key_value_heads": 1}),
    "llama, linear": (
        "Llama",
        SMALL | {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 1e3}},
    ),
    "llama, yarn": ("Llama", SMALL | {"rope_parameters": YARN}),
    "llama, yarn, told factor": (
        "Llama",
        SMALL | {"rope_parameters": YARN | {"attention_factor": 0.9, "beta_fast": 16.0}},
    ),
    "mistral": ("Mistral", SMALL | {"sliding_window": 17}),
    "mistral, no window": ("Mistral", SMALL | {"sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", SMALL | {"tie_word_embeddings": True}),
    "qwen2, window from layer 1": (
        "Qwen2",
        SMALL | {"use_sliding_window": True, "sliding_window": 11, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", SMALL | {"head_dim": 8}),
    "qwen3, biases, yarn": (
        "Qwen3",
        SMALL | {"head_dim": 10, "attention_bias": True, "rope_parameters": YARN},
    ),
    "qwen3, window": (
        "Qwen3",
        SMALL
        | {"head_dim": 8, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2},
    ),
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")


def saved_by_transformers(case: str, folder: Path) -> Any:
    """A random model of theirs, saved in several shards."""
    import transformers

    name, fields = CASES[case]
    kind = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    torch.manual_seed(3)
    shape = getattr(transformers, f"{name}Config")(**fields, attn_implementation="eager")
    model = getattr(transformers, f"{name}{kind}")(shape).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:  # biases and norms that are not at their start
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
            elif "wpe" in name:
                parameter.mul_(3.0)
    model.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").is_file()
    return model


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_scores_and_greedy_text_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    theirs = saved_by_transformers(case, tmp_path)
    ours = load_hf(tmp_path).eval()
    ids_BT = torch.randint(0, 61, (2, 90), generator=torch.Generator().manual_seed(0))
    want = theirs(ids_BT).logits
    assert want.std() > 0.3  # not a model that says nothing
    # In float64 either is up to 5e-5 away: scores run to 9, and rotary angles are rounded.
    torch.testing.assert_close(ours.head(ours(ids_BT)), want, atol=5e-5, rtol=1e-5)
    prompt = ids_BT[:1, :6]
    told = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=60,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert greedy(ours, prompt[0].tolist(), 60) == told[0].tolist()


@pytest.mark.parametrize("outside", [None, 90])
@pytest.mark.parametrize("rope", [YARN, LLAMA3])
@torch.no_grad()
def test_scaling_that_does_not_say_the_first_context_is_read_as_by_transformers(
    rope: dict[str, Any], outside: int | None, tmp_path: Path
) -> None:
    import transformers

    # Of so small a base many pairs turn around the first context.
    CASES["scaled"] = ("Llama", SMALL | {"rope_parameters": rope | {"rope_theta": 100.0}})
    saved_by_transformers("scaled", tmp_path)
    del CASES["scaled"]
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    told = config["rope_parameters"].pop("original_max_position_embeddings")
    if outside is not None:
        config["original_max_position_embeddings"] = outside
    path.write_text(json.dumps(config))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids_BT = torch.randint(0, 61, (1, 90), generator=torch.Generator().manual_seed(0))
    ours = load_hf(tmp_path).eval()
    want = theirs(ids_BT).logits
    torch.testing.assert_close(ours.head(ours(ids_BT)), want, atol=1e-5, rtol=1e-5)
    config["rope_parameters"]["original_max_position_embeddings"] = told
    config.pop("original_max_position_embeddings", None)
    path.write_text(json.dumps(config))
    other = load_hf(tmp_path).eval()
    assert (other.head(other(ids_BT)) - want).abs().max() > 1e-3  # it makes a difference


class PlainCache:
    """Keys and values as they come."""

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def append(self, layer: int, *new: torch.Tensor) -> tuple[torch.Tensor, ...]:
        old = self._layers.get(layer)
        both = new if old is None else tuple(torch.cat(pair, 2) for pair in zip(old, new))  # noqa: B905
        self._layers[layer] = both
        return both

    def hidden_keys(self, *, like: torch.Tensor) -> None:
        return None


@torch.no_grad()
def greedy(model: Decoder, ids: list[int], num: int) -> list[int]:
    """With a cache, so that windows and positions are tried a token at a time."""
    cache = PlainCache()
    new = ids
    for _ in range(num):
        hidden_BTD = model(torch.tensor([new]), cache=cache)
        cache.length += len(new)
        new = [int(model.head(hidden_BTD[:, -1])[0].argmax())]
        ids = ids + new
    return ids


@pytest.mark.parametrize(
    "case", ["gpt2", "mistral", "qwen2", "qwen3, biases, yarn", "qwen3, window"]
)
def test_the_engine_answers_rows_of_different_lengths_as_each_alone(
    case: str, tmp_path: Path
) -> None:
    from homespun.core import SamplingSettings
    from homespun.inference import Engine, reference_generate
    from homespun.tokenizer import TokenizerConfig, train_tokenizer

    tokenizer = train_tokenizer([], config=TokenizerConfig(kind="byte"))
    name, fields = CASES[case]
    CASES["bytes"] = (name, fields | {"vocab_size": tokenizer.vocab_size})
    theirs = saved_by_transformers("bytes", tmp_path)
    del CASES["bytes"]
    model = load_hf(tmp_path)
    settings = SamplingSettings(temperature=0.0, max_tokens=40)
    prompts = [[3, 60, 2], list(range(50, 90)), list(range(9)), [7]]
    found = Engine(model, tokenizer).generate_batch(prompts, settings)
    for prompt, completion in zip(prompts, found, strict=True):
        want = reference_generate(model, tokenizer, prompt, settings, window=96)
        assert completion.token_ids == want.token_ids
        assert completion.token_ids
        told = theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=len(completion.token_ids),
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert [*prompt, *completion.token_ids] == told[0].tolist()


@pytest.mark.parametrize("case", ["gpt2", "qwen3, window"])
@torch.no_grad()
def test_rows_with_positions_of_their_own_and_packed_texts_score_as_alone(
    case: str, tmp_path: Path
) -> None:
    saved_by_transformers(case, tmp_path)
    model = load_hf(tmp_path).eval()
    ids_BT = torch.randint(0, 61, (1, 60), generator=torch.Generator().manual_seed(1))
    positions_BT = torch.cat((torch.arange(25), torch.arange(35)))[None]
    segments_BT = torch.cat((torch.zeros(25), torch.ones(35))).long()[None]
    packed = model(ids_BT, positions_BT=positions_BT, segments_BT=segments_BT)
    torch.testing.assert_close(packed[:, :25], model(ids_BT[:, :25]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[:, 25:], model(ids_BT[:, 25:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", ["gpt2", "llama"])
@torch.no_grad()
def test_a_shorter_context_is_the_beginning_of_the_longer(case: str, tmp_path: Path) -> None:
    from homespun.models import load_weights

    theirs = saved_by_transformers(case, tmp_path)
    config, tensors = read_hf(tmp_path, context=40)
    model = config.empty()
    load_weights(model, tensors, where="here")
    ids_BT = torch.arange(40)[None]
    torch.testing.assert_close(
        model.head(model(ids_BT)), theirs(ids_BT).logits, atol=1e-5, rtol=1e-5
    )
    assert config.context == 40


@pytest.mark.parametrize("case", ["gpt2", "llama"])
@torch.no_grad()
def test_a_model_saved_without_its_head_is_found_all_the_same(case: str, tmp_path: Path) -> None:
    fields = CASES[case][1]
    CASES["tied"] = (CASES[case][0], fields | {"tie_word_embeddings": True})
    theirs = saved_by_transformers("tied", tmp_path / "whole")
    del CASES["tied"]
    theirs.base_model.save_pretrained(tmp_path / "base")
    ids_BT = torch.arange(30)[None]
    ours = load_hf(tmp_path / "base")
    # Whether the head is tied is told by the config of the whole model only.
    if case == "gpt2":
        want = theirs(ids_BT).logits
        torch.testing.assert_close(ours.head(ours(ids_BT)), want, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(ours.embedding.weight, theirs.model.embed_tokens.weight)


@pytest.mark.parametrize("kept", ["both", "head"])
@pytest.mark.parametrize("case", ["gpt2", "llama"])
@torch.no_grad()
def test_a_head_in_the_file_of_a_tied_model_is_read_as_by_transformers(
    case: str, kept: str, tmp_path: Path
) -> None:
    import transformers

    CASES["tied"] = (CASES[case][0], CASES[case][1] | {"tie_word_embeddings": True})
    saved_by_transformers("tied", tmp_path)
    del CASES["tied"]
    weights = read_weights(tmp_path)
    table = next(name for name in weights if name.endswith(("wte.weight", "embed_tokens.weight")))
    weights["lm_head.weight"] = weights[table].flip(0).contiguous()
    if kept == "head":  # under which of its two names a table is kept depends on who saves it
        weights["lm_head.weight"] = weights.pop(table)
    folder = tmp_path / "changed"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((tmp_path / "config.json").read_bytes())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ours = load_hf(folder).eval()
    assert (ours.unembedding is None) == (kept == "head")
    ids_BT = torch.randint(0, 61, (2, 40), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.head(ours(ids_BT)), theirs(ids_BT).logits, atol=5e-5, rtol=1e-5)
