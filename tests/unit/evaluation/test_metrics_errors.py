"""Error rates by hand and as jiwer has them."""

import pytest

from homespun.core import DataError
from homespun.evaluation.metrics import character_error_rate, word_error_rate


def test_rates_by_hand() -> None:
    # one word changed, one added; one lost: 3 edits of 5 words
    rate = word_error_rate(["the bat sat down", "hello"], ["the cat sat", "hello there"])
    assert rate.value == pytest.approx(3 / 5)
    assert rate.values() == pytest.approx([2 / 3, 1 / 2])
    assert word_error_rate(["a b c d"], ["x"]).value == 4.0
    assert character_error_rate(["今天 天气"], ["今天天气好"]).value == pytest.approx(2 / 5)
    spaceless = character_error_rate(["今天 天气"], ["今天天气好"], count_spaces=False)
    assert spaceless.value == pytest.approx(1 / 5)
    assert character_error_rate(["e\u0301"], ["\u00e9"]).value == 0.0  # one letter, two spellings


def test_as_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed")
    ours = ["the bat  sat down", "hello", "", "a b"]
    theirs = ["the cat sat", "hello there", "gone", "b a b"]
    assert word_error_rate(ours, theirs).value == pytest.approx(jiwer.wer(theirs, ours))
    ours[0] = "the bat sat down"  # jiwer counts every space of a run
    assert character_error_rate(ours, theirs).value == pytest.approx(jiwer.cer(theirs, ours))


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="needs a reference"):
        word_error_rate(["a"], [" "])
    with pytest.raises(DataError, match="as many"):
        character_error_rate(["a"], [])
