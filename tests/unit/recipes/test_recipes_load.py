"""A model from elsewhere in two lines, kept and taken in anew when it changed."""

from pathlib import Path

import pytest

import homespun
from homespun.core import DataError


def gpt2(folder: Path, seed: int) -> None:
    import torch

    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(seed)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: n for n, letter in enumerate([*alphabet, "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    fast.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary), n_positions=32, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=256, eos_token_id=256,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def test_load_gpt2_and_go_on_with_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "gpt2"
    gpt2(folder, 0)
    run = homespun.load(folder)
    text = run.generate("Once", max_tokens=5, temperature=0.0).text
    assert text
    again = homespun.load(folder)
    assert again.path == run.path
    assert again.generate("Once", max_tokens=5, temperature=0.0).text == text
    assert homespun.load(run.path).path == run.path
    gpt2(folder, 1)
    assert homespun.load(folder).path != run.path
    with pytest.raises(DataError, match="not a folder"):
        homespun.load(tmp_path / "none")
