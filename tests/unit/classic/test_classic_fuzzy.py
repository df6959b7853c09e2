"""The nearest texts, beside a slow version that compares each with each by the definition."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from homespun.classic import FuzzyIndex, TfidfIndex, text_units
from homespun.classic.edits import edit_distance_reference
from homespun.classic.fuzzy import Near

TEXTS = [
    "I like the old dog",
    "I like the old cat",
    "you like a new cat",
    "where is the station",
    "我喜欢这只狗。",
    "我喜欢那只猫。",
    "车站在哪里？",
    "",
]


def obvious_nearest(
    texts: list[str], query: str, most: int, least: float, without: set[int]
) -> list[Near]:
    units, asked = [text_units(text) for text in texts], text_units(query)
    cosines = TfidfIndex(texts).similarities(query)
    left = []
    for number, other in enumerate(units):
        if number not in without and cosines[number] > 0:
            likeness = 1 - edit_distance_reference(asked, other) / max(len(asked), len(other))
            nearness = round((float(cosines[number]) + likeness) / 2, 6)
            if nearness >= least:
                left.append(Near(number, nearness))
    left.sort(key=lambda near: (-near.nearness, near.number))
    chosen, missing = left[:1], set(asked)
    while 0 < len(chosen) < most:
        missing -= set(units[chosen[-1].number])

        def told(near: Near, missing: set[str] = missing) -> float:
            return round(
                sum(
                    math.log((1 + len(texts)) / sum(unit in other for other in units))
                    for unit in missing & set(units[near.number])
                ),
                6,
            )

        best = max((near for near in left if near not in chosen), key=told, default=None)
        if best is None or not told(best):
            break
        chosen.append(best)
    return chosen


def test_many_similarities_are_those_of_each() -> None:
    index = TfidfIndex(TEXTS)
    queries = ["the old dog", "", "zebra", "车站 the cat cat", TEXTS[0]]
    each = np.stack([index.similarities(query) for query in queries])
    assert index.all_similarities(queries) == pytest.approx(each, abs=1e-6)
    assert index.all_similarities([]).shape == (0, len(TEXTS))
    assert TfidfIndex([]).all_similarities(["x"]).shape == (1, 0)


def test_what_is_found_is_what_comparing_all_finds() -> None:
    draw = random.Random(1)
    words = [
        "the",
        "the",
        "a",
        "old",
        "new",
        "dog",
        "cat",
        "runs",
        "sleeps",
        "狗",
        "猫",
        "在",
        "xyz",
    ]
    texts = [" ".join(draw.choice(words) for _ in range(draw.randrange(1, 9))) for _ in range(120)]
    without = [{n, (n + 7) % 120} for n in range(120)]
    for most, least in ((1, 0.0), (2, 0.3), (3, 0.1), (4, 0.6)):
        fast = list(
            FuzzyIndex(texts, candidates=999).nearest(
                texts, most=most, least=least, without=without
            )
        )
        slow = [
            obvious_nearest(texts, text, most, least, set(without[n]))
            for n, text in enumerate(texts)
        ]
        assert fast == slow


def test_order_and_rare_words_both_count() -> None:
    index = FuzzyIndex(TEXTS)
    (found,) = index.nearest(["I like the new dog"], most=2)
    assert [near.number for near in found] == [0, 2]  # what the first lacks the second has
    (found,) = index.nearest(["我喜欢这只猫。"], most=2)
    assert [near.number for near in found] == [4, 5]
    (found,) = index.nearest([TEXTS[3]])
    assert found == [Near(3, 1.0)]


def test_nothing_near_is_nothing_found() -> None:
    index = FuzzyIndex(TEXTS)
    assert list(index.nearest(["zebra", "", "the zebra"], least=0.9)) == [[], [], []]
    assert list(index.nearest(["zebra", ""])) == [[], []]
    assert list(index.nearest([TEXTS[0]], most=0)) == [[]]
    assert list(FuzzyIndex([]).nearest(["x"])) == [[]]
    (found,) = index.nearest([TEXTS[0]], without=[range(8)])
    assert found == []


def test_few_candidates_are_those_of_the_highest_cosine() -> None:
    texts = [f"the {n} dog" for n in range(50)] + ["the dog"] * 3
    (found,) = FuzzyIndex(texts, candidates=2).nearest(["the dog"], most=5)
    assert found == [Near(50, 1.0)]
    (found,) = FuzzyIndex(texts, candidates=2).nearest(["the dog"], without=[[50]])
    assert found == [Near(51, 1.0)]


def test_however_many_texts_there_are_as_much_is_computed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, whole, sizes = FuzzyIndex(TEXTS), FuzzyIndex(TEXTS), []
    real = TfidfIndex.all_similarities

    def spied(self: TfidfIndex, queries: list[str]) -> object:
        sizes.append(len(queries) * len(self))
        return real(self, queries)

    wanted = list(whole.nearest(TEXTS, most=2)), whole.alike(TEXTS, 3)
    monkeypatch.setattr("homespun.classic.fuzzy._MOST_NUMBERS", 3 * len(TEXTS))
    monkeypatch.setattr(TfidfIndex, "all_similarities", spied)
    assert (list(index.nearest(TEXTS, most=2)), index.alike(TEXTS, 3)) == wanted
    assert max(sizes) == 3 * len(TEXTS)
    monkeypatch.setattr("homespun.classic.fuzzy._MOST_NUMBERS", 1)
    assert index.alike(TEXTS, 3) == wanted[1]
