"""ROUGE by hand, in both languages."""

import itertools
import random
import tracemalloc

import pytest

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics import rouge


def test_by_hand() -> None:
    # units shared 3 of 4 and 3 of 3; pairs 1 of 3 and 1 of 2; in order 3
    scores = rouge(["The cat, it sat"], ["the cat sat"])
    assert scores["1"].value == pytest.approx(6 / 7)
    assert scores["2"].value == pytest.approx(2 / 5)
    assert scores["L"].value == pytest.approx(6 / 7)
    assert rouge(["sat cat"], ["cat sat"])["L"].value == pytest.approx(1 / 2)
    only = rouge(["a b c"], ["a"], kinds=["1"], quantity="precision")
    assert only.keys() == {"1"}
    assert only["1"].value == pytest.approx(1 / 3)


def test_chinese_counts_by_character() -> None:
    scores = rouge(["今天天气好。"], ["今天的天气好！"])
    assert scores["1"].value == pytest.approx(10 / 11)
    assert scores["2"].value == pytest.approx(2 * 3 / (4 + 5))
    assert "han" in scores["2"].signature


def test_the_best_reference_counts_for_each_kind() -> None:
    scores = rouge(["a b", "x"], [["b a", "a b c d"], "y"])
    assert scores["1"].values() == pytest.approx([1, 0])
    assert scores["2"].values() == pytest.approx([1 / 2, 0])


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(ConfigError, match="unknown kind"):
        rouge(["a"], ["a"], kinds=["W"])
    with pytest.raises(DataError, match="no reference"):
        rouge(["a"], [[]])


def test_accents_of_their_own_make_no_other_words() -> None:
    assert rouge(["cafe\u0301 noir"], ["caf\u00e9 noir"])["L"].value == 1.0


@pytest.mark.parametrize("quantity", ["precision", "recall", "fmeasure"])
def test_all_kinds_are_those_of_the_package(quantity: str) -> None:
    from rouge_score import rouge_scorer

    class Cut:
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    kinds = {"1": "rouge1", "2": "rouge2", "L": "rougeL"}
    package = rouge_scorer.RougeScorer(list(kinds.values()), tokenizer=Cut())
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcd", k=draw.randrange(25))) for _ in range(60)]
    for ours, theirs in itertools.pairwise(texts):
        found = rouge([ours], [theirs], quantity=quantity)  # type: ignore[arg-type]
        wanted = package.score(theirs, ours)
        for kind, name in kinds.items():
            assert found[kind].value == getattr(wanted[name], quantity)


def test_long_texts_need_no_table_of_all_pairs() -> None:
    draw = random.Random(1)
    words = [f"w{number}" for number in range(2000)]
    ours, theirs = (" ".join(draw.choices(words, k=3000)) for _ in range(2))
    tracemalloc.start()
    value = rouge([ours], [theirs], kinds=["L"])["L"].value
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < value < 0.2
    assert peak < 10_000_000  # 72 MB and more for nine million cells
