"""The yardsticks on real text: in the order that is known of them, and near what was measured."""

import pytest

from homespun.evaluation import run_baselines
from homespun.tokenizer import TokenizerConfig, train_tokenizer


@pytest.mark.data
def test_shakespeare_costs_what_it_did(data_set) -> None:
    text = (data_set("tiny-shakespeare") / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    train, validation = [text[:cut]], [text[cut:]]
    tokenizer = train_tokenizer(train, config=TokenizerConfig(vocab_size=1024))
    found = run_baselines(lambda: train, validation, tokenizer, seconds_budget=2.0)
    bits = {model["name"]: model["bits_per_byte"] for model in found["models"]}
    assert found["num_bytes"] == len(validation[0].encode())
    # xz with all of the training text gives 2.516; how much it reads depends on the machine.
    assert 2.45 < bits["xz"] < 2.95
    assert bits["5-gram"] == pytest.approx(2.211, abs=0.03)
    assert bits["unigram"] == pytest.approx(3.54, abs=0.05)
