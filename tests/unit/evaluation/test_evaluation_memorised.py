import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.evaluation import CopyFinder, find_copies
from homespun.evaluation import memorised as module
from homespun.evaluation.memorised import find_copies_obvious

TEXTS = st.lists(st.text("ab好", max_size=30), max_size=5)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(samples=TEXTS, training=TEXTS, min_copy=st.integers(1, 8))
def test_copies_are_those_that_plain_search_finds(samples, training, min_copy) -> None:
    fast = find_copies(samples, training, min_copy=min_copy)
    slow = find_copies_obvious(samples, training, min_copy=min_copy)
    assert fast["longest_copied_characters"] == slow["longest_copied_characters"]
    assert fast["share_copied_50"] == pytest.approx(slow["share_copied_50"])
    run = fast["longest_copied_text"]
    assert len(run) == fast["longest_copied_characters"]
    assert not run or any(run in text for text in training)
    assert not run or any(run in text for text in samples)


def test_long_training_documents_are_searched_across_their_pieces(monkeypatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 64)
    random_text = random.Random(0)
    training = ["".join(random_text.choices("abcd", k=length)) for length in (700, 10, 300, 65)]
    for start in range(0, 600, 23):
        sample = training[0][start : start + 90]
        found = find_copies([f"zz{sample}zz"], training, min_copy=50)
        assert found["longest_copied_text"] == sample
        assert found["share_copied_50"] == pytest.approx(90 / 94)


def test_runs_do_not_cross_documents_or_samples() -> None:
    found = find_copies(["abcdef", "ghijkl"], ["abcd", "efgh", "fghi"], min_copy=3)
    assert found["longest_copied_text"] == "abcd"
    assert found["share_copied_50"] == pytest.approx((4 + 3) / 12)


def test_feeding_in_parts_is_feeding_at_once() -> None:
    samples = ["the cat sat on the mat, 你好世界你好世界"]
    training = ["a cat sat on it", "我说你好世界", "on the mat, 你"]
    finder = CopyFinder(samples, min_copy=4)
    for text in training:
        finder.feed([text])
    assert finder.result() == find_copies(samples, training, min_copy=4)
    assert finder.result()["longest_copied_text"] == "on the mat, 你"


def test_each_sample_is_told_what_it_copies() -> None:
    finder = CopyFinder(["abcdef", "", "ghijkl", "zz"], min_copy=3)
    finder.feed(["abcd", "efgh", "fghi"])
    assert finder.copied_characters() == [4, 0, 3, 0]
    assert CopyFinder([]).copied_characters() == []


def test_nothing_to_compare_is_nothing_copied() -> None:
    for samples, training in (([], ["abc"]), (["abc"], []), ([""], [""])):
        found = find_copies(samples, training)
        assert found["longest_copied_characters"] == 0
        assert found["longest_copied_text"] == ""
        assert found["share_copied_50"] == 0.0


def test_a_chinese_passage_counts_from_half_the_characters() -> None:
    poem = "床前明月光疑是地上霜举头望明月低头思故乡春眠不觉晓处处闻啼鸟"
    assert find_copies([poem[:25]], [poem])["share_copied_50"] == 1.0
    assert find_copies([poem[:24]], [poem])["share_copied_50"] == 0.0
    assert find_copies([poem[:24] + "ab"], [poem + "x"])["share_copied_50"] == 0.0
    english = "".join(random.Random(0).choices("abcdefgh", k=80))
    assert find_copies([english[:50]], [english])["share_copied_50"] == 1.0
    assert find_copies([english[:49]], [english])["share_copied_50"] == 0.0
    mixed = poem[:20] + english[:10]
    assert find_copies([mixed], [mixed])["share_copied_50"] == 1.0
    assert find_copies([mixed[:-1]], [mixed])["share_copied_50"] == 0.0


def test_a_sample_longer_than_a_piece_is_compared_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PIECE", 64)
    text = "".join(random.Random(1).choices("abcdefgh", k=100))
    for sample in (text, text + "z" * 50):
        found = find_copies([sample], [text])
        assert found["longest_copied_text"] == text
        assert found["share_copied_50"] == pytest.approx(100 / len(sample))
