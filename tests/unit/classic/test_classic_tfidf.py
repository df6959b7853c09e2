import math
import random
import tracemalloc
import unicodedata
from collections import Counter

import pytest

from homespun.classic import TfidfIndex, count_han, text_units
from homespun.classic.tfidf import features
from homespun.classic.units import one_line


def obvious_similarity(texts: list[str], at: int, query: str) -> float:
    """The cosine by its definition, over the features that some text has."""
    counts = [features(text) for text in texts]

    def vector(count: Counter[str]) -> dict[str, float]:
        found = {}
        for feature, tf in count.items():
            df = sum(feature in other for other in counts)
            if df:
                found[feature] = (1 + math.log(tf)) * (1 + math.log((1 + len(texts)) / (1 + df)))
        return found

    a, b = vector(counts[at]), vector(features(query))
    norm = math.sqrt(sum(v * v for v in a.values())) * math.sqrt(sum(v * v for v in b.values()))
    return sum(a[key] * b[key] for key in a.keys() & b.keys()) / norm if norm else 0.0


def test_units_are_words_and_single_chinese_characters() -> None:
    assert text_units("Hello, 世界 don_t x2!") == ["hello", "世", "界", "don_t", "x2"]
    assert text_units("Ja, 好。", punctuation=True) == ["ja", ",", "好", "。"]
    assert text_units("naïve Ωmega") == ["naïve", "ωmega"]
    assert text_units("") == []
    assert count_han("a世界。") == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("狐狸在夜里\n奔跑，\n母鸡下蛋。\n猫睡了。", "狐狸在夜里奔跑，母鸡下蛋。猫睡了。"),
        ("狐狸 \r\n  在夜里", "狐狸在夜里"),
        ("きつねは\n走る", "きつねは走る"),
        ("コーヒー\nを飲む", "コーヒーを飲む"),
        ("他说：\n“好。”\n天亮了", "他说：“好。”天亮了"),
        ("he said\n“good”\nand left", "he said “good” and left"),
        ("他用 Python\n写程序", "他用 Python 写程序"),
        ("第一章\n\n狐狸", "第一章 狐狸"),
        ("天亮了。\n　　狐狸", "天亮了。 狐狸"),
        ("狐狸 母鸡", "狐狸 母鸡"),
        ("여우는\n밤에", "여우는 밤에"),
        ("the fox\n  runs\t on", "the fox runs on"),
        ("", ""),
    ],
)
def test_wrapped_lines_are_joined_as_their_script_is_written(text: str, line: str) -> None:
    assert one_line(text) == line


TEXTS = [
    "how do I open a file",
    "how do I close a file",
    "what is the capital of France",
    "怎么打开文件",
    "今天天气怎么样",
]


def test_similarities_are_the_cosines() -> None:
    index = TfidfIndex(TEXTS)
    for query in ("open a file please", "the file the file", "打开一个文件", "zebra"):
        expected = [obvious_similarity(TEXTS, at, query) for at in range(len(TEXTS))]
        assert index.similarities(query) == pytest.approx(expected, abs=1e-6)


def test_the_nearest_text_is_found_in_both_languages() -> None:
    index = TfidfIndex(TEXTS)
    assert index.nearest("how can I open this file")[0] == 0
    assert index.nearest("请问怎么打开这个文件")[0] == 3
    assert index.nearest(TEXTS[2]) == (2, pytest.approx(1.0, abs=1e-6))


def test_an_index_is_built_in_plain_numbers() -> None:
    """Of thousands of texts the counts as objects take half a gigabyte."""
    words = [f"word{number}" for number in range(300)]
    chooser = random.Random(0)
    texts = [" ".join(chooser.choices(words, k=60)) for _ in range(400)]
    num_features = sum(len(features(text)) for text in texts)
    different = len({feature for text in texts for feature in features(text)})
    tracemalloc.start()
    try:
        index = TfidfIndex(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == 400
    # A different feature is a key: some 200 bytes.
    assert peak < 250 * different + 50 * num_features + 1_000_000


def test_nothing_in_common_and_nothing_at_all() -> None:
    assert TfidfIndex(TEXTS).nearest("zebra") == (0, 0.0)
    assert TfidfIndex([]).nearest("x") == (-1, 0.0)
    assert len(TfidfIndex([])) == 0


def test_underscores_of_emphasis_are_no_letters_and_those_of_names_are() -> None:
    text = "You _must_ see _two words_ of os_path, __init__ and x_1_y. 他_必须_来"
    assert text_units(text) == [
        *("you", "must", "see", "two", "words", "of", "os_path", "__init__", "and", "x_1_y"),
        *"他必须来",
    ]
    assert text_units("_a_, b", punctuation=True) == ["a", ",", "b"]


def test_accents_of_their_own_make_no_other_words() -> None:
    """As file systems and some programs write them, and Korean by its letters."""
    for text in ("un café très doux", "한국어 문서", "Việt Nam"):
        apart = unicodedata.normalize("NFD", text)
        assert apart != text
        assert text_units(apart) == text_units(text) == text.lower().split()
        assert TfidfIndex(["something else", text]).nearest(apart) == (1, pytest.approx(1.0))
