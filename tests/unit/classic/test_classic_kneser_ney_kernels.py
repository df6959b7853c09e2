"""The compiled loops against numpy's."""

from pathlib import Path

import numpy as np
import pytest

from homespun.classic.kneser_ney import KneserNeyModel, kernels
from homespun.classic.kneser_ney.kernels import NativeKernels, NumpyKernels, load_kernels
from homespun.core import ConfigError
from homespun.core.compile import CompileError


@pytest.fixture(scope="module")
def native() -> NativeKernels:
    found = load_kernels("auto")
    if not isinstance(found, NativeKernels):
        pytest.skip("there is no C compiler here")
    return found


def records(seed: int, num: int, width: int, most: int) -> np.ndarray:
    """Small numbers and, so that every byte counts, the same in the highest bits."""
    random = np.random.default_rng(seed)
    low = random.integers(0, most, size=(num, width)).astype(np.uint64)
    high = random.integers(0, 3, size=(num, width)).astype(np.uint64)
    return low | (high << np.uint64(62))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("num", [0, 1, 2, 1000])
@pytest.mark.parametrize("most", [1, 5, 70_000])
def test_counting_and_merging_agree(native: NativeKernels, width: int, num: int, most: int) -> None:
    slow = NumpyKernels()
    a, b = records(1, num, width, most), records(2, num // 2 + 1, width, most)
    slow_a, slow_b = slow.count_records(a.copy()), slow.count_records(b.copy())
    fast_a, fast_b = native.count_records(a.copy()), native.count_records(b.copy())
    pairs = [(fast_a, slow_a), (fast_b, slow_b)]
    pairs.append((native.merge_records(fast_a, fast_b), slow.merge_records(slow_a, slow_b)))
    for fast, expected in pairs:
        np.testing.assert_array_equal(fast[0], expected[0])
        np.testing.assert_array_equal(fast[1], expected[1])
    assert int(pairs[2][0][1].sum()) == len(a) + len(b)


def test_finding_agrees(native: NativeKernels) -> None:
    random = np.random.default_rng(3)
    below = [np.unique(random.integers(0, 30, size=random.integers(0, 9))) for _ in range(40)]
    first = np.concatenate([[0], np.cumsum([len(words) for words in below])]).astype(np.int32)
    child_words = np.concatenate(below).astype(np.int32)
    parents = random.integers(-1, 40, size=2000).astype(np.int32)
    words = random.integers(0, 31, size=2000).astype(np.int32)
    expected = [
        -1 if p < 0 or w not in below[p] else first[p] + below[p].tolist().index(w)
        for p, w in zip(parents.tolist(), words.tolist(), strict=True)
    ]
    for each in (native, NumpyKernels()):
        found = each.find_children(first, child_words, parents, words)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 16])
def test_models_of_both_are_the_same(native: NativeKernels, order: int) -> None:
    random = np.random.default_rng(4)
    text = [
        [f"w{number}" for number in random.zipf(1.5, size=random.integers(0, 30)) % 50]
        for _ in range(80)
    ]
    fast = KneserNeyModel(order=order, kernels="native").fit(text, chunk_tokens=100)
    slow = KneserNeyModel(order=order, kernels="numpy").fit(text, chunk_tokens=100)
    for a, b in zip(fast._levels, slow._levels, strict=True):
        for field_a, field_b in zip(a, b, strict=True):
            np.testing.assert_array_equal(field_a, field_b)
    held_out = [words[::-1] for words in text]
    np.testing.assert_allclose(fast.log_probs(held_out), slow.log_probs(held_out), rtol=1e-12)


def test_without_a_compiler_numpy_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise CompileError("there is no C compiler")

    monkeypatch.setattr(kernels, "load_compiled", refuse)
    assert isinstance(load_kernels("auto", tmp_path), NumpyKernels)
    with pytest.raises(ConfigError, match="no C compiler"):
        load_kernels("native", tmp_path)
