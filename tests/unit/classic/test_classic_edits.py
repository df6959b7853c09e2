"""Edit distance and common sequences by bits, against the table of all cells."""

import numpy as np
import pytest

from homespun.classic.edits import (
    common_length,
    common_length_reference,
    edit_distance,
    edit_distance_reference,
)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("flaw", "lawn", 2),
        ("今天天气", "今天的天气好", 2),
        ("ab", "ba", 2),
    ],
)
def test_known_distances(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == edit_distance(second, first) == distance
    assert edit_distance_reference(first, second) == distance


@pytest.mark.parametrize("seed", range(6))
def test_fast_and_slow_agree(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(50):
        sizes = random.integers(0, 150 if seed == 0 else 20, size=2)
        first, second = (random.integers(1 + seed, size=n).tolist() for n in sizes)
        assert edit_distance(first, second) == edit_distance_reference(first, second)
        assert common_length(first, second) == common_length_reference(first, second)


def test_what_is_common_keeps_its_order() -> None:
    for first, second, length in (
        ("", "abc", 0),
        ("abc", "abc", 3),
        ("ab", "ba", 1),
        ("xaxbxc", "abcabc", 3),
        ("今天天气", "今天的天气好", 4),
    ):
        assert common_length(first, second) == common_length(second, first) == length
        assert common_length_reference(first, second) == length
