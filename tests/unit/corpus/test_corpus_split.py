"""Held-out documents are chosen by name, bounded in size, and there are some."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homespun.corpus.split import TEST, TRAIN, VALIDATION, assign_splits, split_key, target_bytes


def _keys(num_docs: int, seed: int = 0) -> NDArray[np.uint64]:
    return np.array([split_key(f"doc{i}", seed) for i in range(num_docs)], np.uint64)


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=60), st.integers(1, 5000))
def test_from_three_documents_on_every_split_has_one(sizes: list[int], target: int) -> None:
    array = np.array(sizes, np.int64)
    splits = assign_splits(_keys(len(sizes)), array, validation=target, test=target)
    assert set(splits.tolist()) == {TRAIN, VALIDATION, TEST}


def test_held_out_bytes_are_near_their_target() -> None:
    sizes = np.full(1000, 1000, np.int64)
    splits = assign_splits(_keys(1000), sizes, validation=50_000, test=30_000)
    assert sizes[splits == VALIDATION].sum() == 50_000
    assert sizes[splits == TEST].sum() == 30_000


def test_a_huge_document_is_not_held_out_when_others_will_do() -> None:
    keys = np.arange(20, dtype=np.uint64)
    sizes = np.full(20, 100, np.int64)
    sizes[0] = 1_000_000
    splits = assign_splits(keys, sizes, validation=200, test=200)
    assert splits[0] == TRAIN


def test_adding_a_document_moves_few_others() -> None:
    sizes = np.full(401, 1000, np.int64)
    before = assign_splits(_keys(400), sizes[:400], validation=20_000, test=20_000)
    after = assign_splits(_keys(401), sizes, validation=20_000, test=20_000)
    assert (before != after[:400]).sum() <= 2


def test_another_seed_holds_out_others() -> None:
    sizes = np.full(400, 1000, np.int64)
    first = assign_splits(_keys(400), sizes, validation=20_000, test=20_000)
    second = assign_splits(_keys(400, seed=1), sizes, validation=20_000, test=20_000)
    assert (first != second).any()


def test_targets_are_a_share_within_bounds() -> None:
    assert target_bytes(1_000_000, 0.05, smallest=20_000, largest=500_000) == 50_000
    assert target_bytes(10**10, 0.05, smallest=20_000, largest=500_000) == 500_000
    assert target_bytes(250_000, 0.05, smallest=20_000, largest=500_000) == 20_000
    assert target_bytes(10_000, 0.05, smallest=20_000, largest=500_000) == 1_000
