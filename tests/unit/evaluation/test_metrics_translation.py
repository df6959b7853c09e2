"""BLEU and chrF: counted by hand, and equal to sacrebleu's where it is installed."""

import math
import string

import numpy as np
import pytest

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics import bleu, chrf
from homespun.evaluation.metrics.tokens import cut_13a, cut_zh, cutter

HYPOTHESES = [
    "The cat sat on the mat, at 3.14 o'clock.",
    'It is "a guide" to action -- state-of-the-art, 1990-2000!',
    "short",
    "",
    "他说：“今天天气很好。”GPT-4也同意，100%。",
]
REFERENCES = [
    "The cat sits on the mat at 3.14 o'clock.",
    "It is a guide to action; state-of-the-art, 1990-2000.",
    "a very much longer reference than that",
    "nothing came",
    "他说：“今天的天气很好。”GPT-4同意了，100%。",
]


def test_bleu_by_hand() -> None:
    # right 4 3 2 1 of 5 4 3 2: no gap in length
    value = bleu(["a b c d e"], ["a b c d f"], tokenize="none").value
    assert value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # all right, one token of five missing
    value = bleu(["a b c d"], ["a b c d e"], tokenize="none").value
    assert value == pytest.approx(100 * math.exp(1 - 5 / 4))
    # no 3-grams or 4-grams: 1/2 and 1/4 of a match, of 2 and of 1
    value = bleu(["a b x c"], ["a b y c"], tokenize="none").value
    assert value == pytest.approx(100 * (3 / 4 * 1 / 3 * 0.5 / 2 * 0.25 / 1) ** 0.25)
    assert bleu(["a"], ["a"], tokenize="none").value == 0.0  # no 4-grams at all
    assert bleu([""], ["a b c d"]).value == 0.0


def test_a_word_counts_no_oftener_than_in_one_reference() -> None:
    rows = bleu(["the the the"], [["the cat", "the the x y"]], tokenize="none").rows_NK
    assert rows[0, :4].tolist() == [3, 2, 2, 1]  # ours, the nearest and shorter, 1- and 2-grams


def test_chrf_by_hand() -> None:
    # one order: 2 of 3 and 2 of 4, F2 = 5 p r / (4 p + r)
    value = chrf(["abx"], ["ab cd"], char_order=1).value
    assert value == pytest.approx(100 * 5 * (2 / 3) * 0.5 / (4 * 2 / 3 + 0.5))
    assert chrf(["你好"], ["你好"]).value == pytest.approx(100)
    assert chrf(["你"], ["好"]).value == 0.0


def test_chinese_is_cut_into_characters() -> None:
    assert cut_zh("我有3.5元，GPT-4好。") == [*"我有", "3.5", "元", "，", "GPT-4", "好", "。"]
    assert cut_13a("我有3.5元") == ["我有3.5元"]
    assert cut_13a("end. 1-2 a-b &amp;") == ["end", ".", "1", "-", "2", "a-b", "&"]


def test_signature() -> None:
    assert bleu(["a"], ["b"]).signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|")
    assert "nrefs:var" in bleu(["a", "b"], [["a"], ["a", "b"]], lowercase=True).signature
    assert chrf(["a"], ["b"], word_order=2).name == "chrF2++"


def test_numbers_that_sacrebleu_gave() -> None:
    """sacrebleu 2.6.0, so that they are held to where it is not installed."""
    expected = {"13a": 29.84422346, "zh": 43.51693386, "char": 56.06154561, "none": 10.59778952}
    for name, value in expected.items():
        ours = bleu(HYPOTHESES, REFERENCES, tokenize=name).value  # type: ignore[arg-type]
        assert ours == pytest.approx(value, abs=1e-7)
    assert chrf(HYPOTHESES, REFERENCES).value == pytest.approx(55.59317485, abs=1e-7)
    plus = chrf(HYPOTHESES, REFERENCES, word_order=2)
    assert plus.value == pytest.approx(54.58969669, abs=1e-7)


@pytest.mark.parametrize("name", ["13a", "zh", "char", "none"])
def test_bleu_as_sacrebleu(name: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    oracle = sacrebleu.BLEU(tokenize=name)
    expected = oracle.corpus_score(HYPOTHESES, [REFERENCES])
    ours = bleu(HYPOTHESES, REFERENCES, tokenize=name)
    assert ours.value == pytest.approx(expected.score, abs=1e-9)
    signature = str(oracle.get_signature()).rpartition("|version:")[0]
    assert ours.signature.rpartition("|version:")[0] == signature
    for hypothesis, reference in zip(HYPOTHESES, REFERENCES, strict=True):
        one = bleu([hypothesis], [reference], tokenize=name, lowercase=True)
        oracle = sacrebleu.BLEU(tokenize=name, lowercase=True)
        assert one.value == pytest.approx(oracle.corpus_score([hypothesis], [[reference]]).score)


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_as_sacrebleu(word_order: int) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    oracle = sacrebleu.CHRF(word_order=word_order)
    expected = oracle.corpus_score(HYPOTHESES, [REFERENCES]).score
    ours = chrf(HYPOTHESES, REFERENCES, word_order=word_order)
    assert ours.value == pytest.approx(expected, abs=1e-9)
    signature = str(oracle.get_signature()).rpartition("|version:")[0]
    assert ours.signature.rpartition("|version:")[0] == signature


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_several_references_as_sacrebleu(seed: int) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    random = np.random.default_rng(seed)
    signs = list(string.printable + "好的是，。「」１％…é" + " " * 30)
    texts = [
        ["".join(random.choice(signs, size=random.integers(1, 60))) for _ in range(40)]
        for _ in range(3)
    ]
    ours, *theirs = texts
    ours = [a[: len(a) // 2] + b[len(b) // 2 :] for a, b in zip(ours, theirs[0], strict=True)]
    lists = list(zip(*theirs, strict=True))
    for name in ("13a", "zh", "char"):
        expected = sacrebleu.BLEU(tokenize=name, force=True).corpus_score(ours, theirs).score
        assert bleu(ours, lists, tokenize=name).value == pytest.approx(expected, abs=1e-9)
    for word_order in (0, 2):
        expected = sacrebleu.CHRF(word_order=word_order).corpus_score(ours, theirs).score
        ours_value = chrf(ours, lists, word_order=word_order).value
        assert ours_value == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="no reference"):
        bleu(["a"], [[]])
    with pytest.raises(DataError, match="as many"):
        chrf(["a"], ["a", "b"])
    with pytest.raises(ConfigError, match="unknown tokenisation"):
        cutter("intl")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="chrF needs"):
        chrf(["a"], ["a"], char_order=0)


def test_every_character_is_cut_as_in_sacrebleu() -> None:
    zh = pytest.importorskip("sacrebleu.tokenizers.tokenizer_zh", reason="no sacrebleu")
    western = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a", reason="no sacrebleu")
    characters = [chr(c) for c in range(1, 0x30000) if not 0xD800 <= c < 0xE000]
    for oracle, ours in ((zh.TokenizerZh(), cut_zh), (western.Tokenizer13a(), cut_13a)):
        for start in range(0, len(characters), 64):
            text = "".join(f"x{c}1{c}" for c in characters[start : start + 64])
            assert ours(text) == oracle(text).split()
