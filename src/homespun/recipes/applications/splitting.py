"""Which examples are learned from, which are held out, and which are judged on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from homespun.core import DataError, derive_seed

ExampleT = TypeVar("ExampleT")
TEST_SHARE, DEV_SHARE = 0.1, 0.1
MOST_TEST, MOST_DEV = 5000, 1000
"""Distinct examples that are enough: more make intervals hardly narrower and cost what could be
learned from."""
FEWEST = 10
"""Distinct examples there must be: fewer say nothing of how good a model is."""


class Parts(NamedTuple):
    """Numbers of examples."""

    train: list[int]
    dev: list[int]
    test: list[int]


def split(
    examples: Sequence[ExampleT],
    key: Callable[[ExampleT], str],
    *,
    seed: int,
    shared: Callable[[ExampleT], Sequence[str]] = lambda _: (),
    at_least: Callable[[ExampleT], Sequence[str]] | None = None,
    test_share: float = TEST_SHARE,
    dev_share: float = DEV_SHARE,
) -> Parts:
    """Parts by a draw of what examples are to read: copies of one are all in the same part, and so
    are those that share another text with one another, directly or by way of others: who has
    learned a translation beside another source has seen it, and so has who has learned a premise
    beside another hypothesis.

    Which part an example is in depends on itself, the seed and how many others there are, not on
    their order. Examples that hang together and are more than a part has room for stay in training.
    Where these are half of all, so that the rest would not speak for them, or a part stays half
    empty, `at_least` counts in place of `shared`; where a part stays half empty even so, only what
    is to read is kept apart.

    Args:
        key: what is to read.
        shared: texts that may stand in several of these, or beside them.
        at_least: those of them that are kept apart where not all can be; None for all.

    Raises:
        DataError: there are too few distinct ones.
    """
    keys = [folded(key(example)) for example in examples]
    ranks = {text: derive_seed(seed, "split", text) for text in dict.fromkeys(keys)}
    if len(ranks) < FEWEST:
        raise DataError(
            f"at least {FEWEST} different inputs are needed (of questions: passages)",
            got=len(ranks),
            remedy="give more of them",
        )
    in_order = sorted(ranks, key=lambda text: (ranks[text], text))
    num_test = min(MOST_TEST, max(1, round(len(in_order) * test_share))) if test_share else 0
    num_dev = min(MOST_DEV, max(1, round(len(in_order) * dev_share)))
    ways = [shared] if at_least is None else [shared, at_least]
    for number, way in enumerate(ways, 1):
        groups = _groups(in_order, keys, [way(example) for example in examples])
        num_stuck = sum(len(group) for group in groups if len(group) > max(num_test, num_dev))
        test, left = _taken(groups, num_test)
        dev, _ = _taken(left, num_dev)
        is_full = 2 * len(test) >= num_test and 2 * len(dev) >= num_dev
        if is_full and (number == len(ways) or 2 * num_stuck < len(in_order)):
            break
    else:
        # A few such texts for all there is to read: what was read alone can be kept apart.
        test = set(in_order[:num_test])
        dev = set(in_order[num_test : num_test + num_dev])
    parts = Parts([], [], [])
    for number, text in enumerate(keys):
        place = parts.test if text in test else parts.dev if text in dev else parts.train
        place.append(number)
    return parts


def _groups(
    in_order: Sequence[str], keys: Sequence[str], shared: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Keys that hang together by a text they share, in the order of each group's first."""
    first_with: dict[str, str] = {}
    above: dict[str, str] = {}

    def top(text: str) -> str:
        passed = []
        while text in above:
            passed.append(text)
            text = above[text]
        above.update(dict.fromkeys(passed, text))
        return text

    for text, others in zip(keys, shared, strict=True):
        for beside in map(folded, others):
            one, other = top(text), top(first_with.setdefault(beside, text))
            if one != other:
                above[one] = other
    groups: dict[str, list[str]] = {}
    for text in in_order:
        groups.setdefault(top(text), []).append(text)
    return list(groups.values())


def _taken(groups: Sequence[list[str]], num: int) -> tuple[set[str], list[list[str]]]:
    """Keys of the first groups that have room among `num`, and the groups that are left."""
    taken: set[str] = set()
    left = []
    for group in groups:
        if len(taken) + len(group) <= num:
            taken.update(group)
        else:
            left.append(group)
    return taken, left


def num_seen(
    train: Sequence[ExampleT], test: Sequence[ExampleT], key: Callable[[ExampleT], str]
) -> int:
    """How many of `test` are in `train` as well."""
    known = {folded(key(example)) for example in train}
    return sum(folded(key(example)) in known for example in test)


def folded(text: str) -> str:
    """Without what makes no difference to a reader: case, and how wide spaces are."""
    return " ".join(text.casefold().split())
