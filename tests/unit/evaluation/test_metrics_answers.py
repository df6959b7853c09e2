"""Answers to questions, counted by hand, in both languages."""

import json
import tarfile

import pytest

from homespun.core import ConfigError, DataError
from homespun.evaluation.metrics import answer_scores
from homespun.evaluation.metrics.answers import (
    chinese_answer_units,
    longest_common_run,
    normalise_english,
)


def test_english_is_normalised_as_in_squad() -> None:
    assert normalise_english("The  Cat's hat, an a theme!") == "cats hat theme"


def test_english_by_hand() -> None:
    scores = answer_scores(
        ["The Eiffel Tower", "in Paris, France", "1889", ""],
        [["eiffel tower."], ["Paris", "Paris (France)"], ["1887"], ["a"]],
    )
    assert scores.exact_match.values().tolist() == [1, 0, 0, 1]
    # "in paris france" against "paris france": 2 shared of 3 and 2
    # The last is an article alone: nothing on either side, which agree as in SQuAD 2.0.
    assert scores.f1.values() == pytest.approx([1, 4 / 5, 0, 1])
    assert scores.f1.value == pytest.approx(2.8 / 4)


def test_words_count_as_often_as_they_stand() -> None:
    assert answer_scores(["x x y"], [["x y y"]]).f1.value == pytest.approx(2 / 3)


def test_chinese_by_hand() -> None:
    scores = answer_scores(
        ["《北京》", "在北京大学里", "学大京北", "iPhone 手机"],
        [["北京"], ["北京大学"], ["北京大学"], ["iphone手机"]],
        language="zh",
    )
    assert scores.exact_match.values().tolist() == [1, 0, 0, 0]
    # 4 of 6 and 4; a run of 1 of 4 and 4; all three units
    assert scores.f1.values() == pytest.approx([1, 8 / 10, 1 / 4, 1])
    assert "lang:zh" in scores.f1.signature


def test_chinese_numbers_are_not_others_without_their_point() -> None:
    scores = answer_scores(
        ["3.5%", "1,000元", "15亿", "2008－2009年", "50%"],
        [["35%"], ["1000元"], ["1.5亿"], ["2008-2009年"], ["50"]],
        language="zh",
    )
    # The marks of years are taken out of both; those of numbers are not, as in CMRC's own script.
    assert scores.exact_match.values().tolist() == [0, 0, 0, 1, 0]
    # "%" of 2 and 2; "元"; "亿"; both; "50" of 2 and 1
    assert scores.f1.values() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1, 2 / 3])


def test_chinese_units_and_runs() -> None:
    assert chinese_answer_units("1998年, GPT_2很好！") == ["1998", "年", ",", "gpt2", "很", "好"]
    assert chinese_answer_units("约3.5万,1,000 U.S. 元.") == [
        *("约", "3.5", "万", ",", "1,000", "u.s", ".", "元", "."),
    ]
    assert longest_common_run("abcdef", "zbcdyabc") == 3
    assert longest_common_run("", "a") == 0


@pytest.mark.data
def test_the_gold_answers_of_cmrc_are_right_and_others_are_not(data_set) -> None:
    with tarfile.open(data_set("cmrc2018/cmrc2018.tar.xz")) as tar:
        name = next(name for name in sorted(tar.getnames()) if name.endswith("trial.json"))
        file = tar.extractfile(name)
        assert file is not None
        data = json.loads(file.read())["data"]
    golds = [
        [answer["text"] for answer in question["answers"]]
        for article in data
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    right = answer_scores([gold[-1] for gold in golds], golds, language="zh")
    assert (right.exact_match.value, right.f1.value) == (1.0, 1.0)
    shifted = answer_scores([gold[-1] for gold in golds[1:] + golds[:1]], golds, language="zh")
    assert shifted.exact_match.value < 0.05
    assert shifted.f1.value < 0.2


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="list of gold answers"):
        answer_scores(["a"], ["a"])
    with pytest.raises(DataError, match="list of gold answers"):
        answer_scores(["a"], [[]])
    with pytest.raises(ConfigError, match="en and zh"):
        answer_scores(["a"], [["a"]], language="fr")  # type: ignore[arg-type]
