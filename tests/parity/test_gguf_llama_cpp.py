"""Our GGUF files as llama.cpp reads them: same ids, same scores, same text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stories import GREEDY, write_folder

from homespun.models import Decoder, DecoderConfig, GgufFacts, Quantization, export_gguf
from homespun.models.interchange.gguf import interleaved, packed
from homespun.recipes import import_model, open_run
from homespun.tokenizer import (
    ByteLevelTokenizer,
    TokenizerConfig,
    gguf_vocabulary,
    train_tokenizer,
)

TEXTS = [
    "The fox ran over the hill, didn't it? 1234567 times!\n\n\tx = [1, 22]",
    "话说宝玉听了，笑道：“这有何难？”",
    "  two  spaces and <|im_end|> no token",
]
GPT2: dict[str, Any] = {
    "norm": "layer",
    "positions": "learned",
    "activation": "gelu_tanh",
    "norm_eps": 1e-5,
    **dict.fromkeys(("attention_bias", "out_bias", "mlp_bias"), True),
    "qk_norm": False,
}
YARN = {"kind": "yarn", "factor": 4.0, "original_context": 32}
CASES: dict[str, dict[str, Any]] = {
    "ours": {"num_kv_heads": 1},
    "ours, no norm weights, sharper": {"norm_weights": False, "qk_scale": 1.44, "tied": False},
    "llama": {"qk_norm": False, "num_kv_heads": 1, "tied": False},
    "llama, biases": {
        "qk_norm": False,
        **dict.fromkeys(("attention_bias", "out_bias", "mlp_bias"), True),
    },
    "llama 3": {
        "qk_norm": False,
        "rope_scaling": {"kind": "llama3", "factor": 8.0, "original_context": 40},
    },
    "llama, linear": {
        "qk_norm": False,
        "rope_scaling": {"kind": "linear", "factor": 2.0, "original_context": 64},
    },
    "llama, yarn": {"qk_norm": False, "rope_scaling": YARN},
    "mistral": {"qk_norm": False, "sliding_window": 60},
    "qwen2": {"qk_norm": False, "attention_bias": True, "num_kv_heads": 1},
    "qwen3, yarn": {"rope_scaling": YARN},
    "gpt2": GPT2,
    "gpt2, untied": {**GPT2, "tied": False},
}


@pytest.fixture(scope="module")
def tokenizer() -> ByteLevelTokenizer:
    return train_tokenizer(TEXTS * 20, config=TokenizerConfig(kind="bpe", vocab_size=340))


def random_model(case: str, vocab_size: int) -> tuple[Decoder, DecoderConfig]:
    fields: dict[str, Any] = {
        "vocab_size": vocab_size,
        "num_layers": 2,
        "width": 64,
        "num_heads": 2,
        "num_kv_heads": 2,
        "head_width": 32,
        "mlp_width": 96,
        "context": 128,
    }
    config = DecoderConfig.model_validate(fields | CASES[case])
    model = config.empty()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                # Rounded, so that float16 holds them and only arithmetic can differ.
                parameter.copy_((0.2 * noise).half().float())
            else:
                parameter.copy_(0.2 * noise if name.endswith("bias") else 1 + 0.3 * noise)
    return model.eval(), config


def facts(tokenizer: ByteLevelTokenizer, config: DecoderConfig) -> GgufFacts:
    return GgufFacts(
        name="test",
        vocabulary=gguf_vocabulary(json.loads(tokenizer.document), vocab_size=config.vocab_size),
        start_ids=tokenizer.start_ids,
        end_of_text_id=tokenizer.end_of_text_id,
        end_of_turn_id=tokenizer.end_of_turn_id,
        chat_template=tokenizer.chat_template,
    )


class LlamaCpp:
    """A model in llama.cpp, on one thread, without its chatter."""

    def __init__(self, path: Path, **more: Any) -> None:
        llama_cpp = pytest.importorskip(
            "llama_cpp", reason="llama-cpp-python is not installed, which reads GGUF files"
        )
        self.llama = llama_cpp.Llama(
            str(path), n_ctx=more.pop("context", 128), n_threads=1, n_threads_batch=1,
            logits_all=True, verbose=False, seed=0, n_batch=128, **more,
        )  # fmt: skip

    def scores(self, ids: list[int]) -> NDArray[np.float32]:
        self.llama.reset()
        self.llama.eval(ids)
        return np.array(self.llama.scores[: len(ids)])

    def greedy(self, ids: list[int], num: int) -> list[int]:
        self.llama.reset()
        found, new = list(ids), list(ids)
        for _ in range(num):
            self.llama.eval(new)
            new = [int(np.argmax(self.llama.scores[self.llama.n_tokens - 1]))]
            found += new
        return found[len(ids) :]

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return self.llama.tokenize(text.encode(), add_bos=False, special=special)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., LlamaCpp]]:
    there: list[LlamaCpp] = []

    def open_file(path: Path, **more: Any) -> LlamaCpp:
        there.append(LlamaCpp(path, **more))
        return there[-1]

    yield open_file
    for model in there:
        model.llama.close()


@torch.no_grad()
def our_scores(model: Decoder, ids: list[int]) -> NDArray[np.float32]:
    return model.head(model(torch.tensor([ids])))[0].numpy()


@pytest.mark.parametrize("case", CASES)
def test_float16_files_give_our_scores_and_our_text(
    case: str, tokenizer: ByteLevelTokenizer, tmp_path: Path, opened: Callable[..., LlamaCpp]
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model, config = random_model(case, tokenizer.vocab_size)
    export_gguf(model, config, tmp_path / "m.gguf", facts=facts(tokenizer, config))
    # float16 keys and values, and GELU from a table of float16, are llama.cpp's own.
    theirs = opened(
        tmp_path / "m.gguf", context=60 if case == "mistral" else 128, type_k=0, type_v=0
    )
    ids = torch.randint(0, 300, (50,), generator=torch.Generator().manual_seed(0)).tolist()
    want = our_scores(model, ids)
    assert want.std() > 0.3
    error = np.abs(theirs.scores(ids) - want).max() / want.std()
    assert error < 0.02, error
    # Random models are often of two minds: the same text, but where both score as good as equal.
    num_ties = 0
    for step, token in enumerate(theirs.greedy(ids[:10], 40)):
        scores = our_scores(model, ids[: 10 + step])[-1]
        if token != scores.argmax():
            assert scores.max() - scores[token] < 2 * 0.02 * want.std()
            num_ties += 1
        ids[10 + step : 11 + step] = [token]
    assert num_ties <= 1


def test_ids_special_tokens_and_template_are_ours(
    tokenizer: ByteLevelTokenizer, tmp_path: Path, opened: Callable[..., LlamaCpp]
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model, config = random_model("ours", tokenizer.vocab_size + 3)
    export_gguf(model, config, tmp_path / "m.gguf", facts=facts(tokenizer, config))
    theirs = opened(tmp_path / "m.gguf")
    for text in TEXTS:
        assert theirs.encode(text) == tokenizer.encode(text).tolist()
    assert theirs.encode("<|im_end|>", special=True) == [tokenizer.end_of_turn_id]
    assert theirs.llama.token_eos() == tokenizer.end_of_turn_id
    assert theirs.llama.token_bos() == tokenizer.end_of_text_id
    assert theirs.llama.metadata["tokenizer.chat_template"] == tokenizer.chat_template
    assert theirs.llama.metadata["tokenizer.ggml.add_bos_token"] == "true"
    assert theirs.llama.n_vocab() == tokenizer.vocab_size + 3
    assert theirs.llama.detokenize(tokenizer.encode(TEXTS[1]).tolist()).decode() == TEXTS[1]


@pytest.mark.parametrize(("kind", "limit"), [("q8_0", 0.06), ("q4_0", 0.6)])
@pytest.mark.parametrize("case", ["ours", "llama", "gpt2"])
def test_quantised_files_are_off_by_no_more_than_their_weights(
    case: str,
    kind: Quantization,
    limit: float,
    tokenizer: ByteLevelTokenizer,
    tmp_path: Path,
    opened: Callable[..., LlamaCpp],
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model, config = random_model(case, tokenizer.vocab_size)
    path = tmp_path / "m.gguf"
    export_gguf(model, config, path, facts=facts(tokenizer, config), quantization=kind)
    theirs = opened(path, type_k=0, type_v=0)
    ids = torch.randint(0, 300, (50,), generator=torch.Generator().manual_seed(0)).tolist()
    rounded = as_stored(model, kind)
    want, exact = our_scores(rounded, ids), our_scores(model, ids)
    found = theirs.scores(ids)

    def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.sqrt(np.square(a - b).mean()) / exact.std())

    assert 0 < distance(want, exact) < limit
    # llama.cpp rounds activations to 8 bits as well: about as much as Q8_0 weights again.
    assert distance(found, want) < 0.05
    assert distance(found, exact) < limit + 0.05


@torch.no_grad()
def as_stored(model: Decoder, kind: Quantization) -> Decoder:
    """The model with the weights that the file's bytes stand for."""
    import copy

    from gguf import quants

    rounded = copy.deepcopy(model)
    for name, parameter in rounded.named_parameters():
        if parameter.dim() == 2:
            table = name.startswith(("embedding", "unembedding"))
            name = "token_embd.weight" if table else name
            if "positions" in name:
                continue
            data, form = packed(name, parameter.detach(), kind)
            parameter.copy_(torch.from_numpy(quants.dequantize(data, form).copy()))
    return rounded


@pytest.mark.data
def test_a_real_model_says_the_published_text_in_llama_cpp(
    data_set: Callable[[str], Path], tmp_path: Path, opened: Callable[..., LlamaCpp]
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    write_folder(data_set("stories260k"), tmp_path / "folder")
    import_model(str(tmp_path / "folder"), tmp_path / "run")
    run = open_run(tmp_path / "run")
    run.export_gguf(tmp_path / "m.gguf")
    theirs = opened(tmp_path / "m.gguf", context=512, type_k=0, type_v=0)
    assert theirs.encode(GREEDY) == run.tokenizer.encode(GREEDY).tolist()
    ids = theirs.greedy([1], 250)
    assert ids == list(run.generate("", temperature=0.0, max_tokens=250).token_ids)
    assert GREEDY.startswith(run.tokenizer.decode(ids))


def test_neighbours_are_turned_together_after_interleaving() -> None:
    rows = torch.arange(16)[:, None].float()
    assert interleaved(rows, 8)[:, 0].tolist() == [
        0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15,
    ]  # fmt: skip
