"""Which examples are learned from, which are held out, and which are judged on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from homespun.core import DataError, derive_seed

ExampleT = TypeVar("ExampleT")
TEST_SHARE, DEV_SHARE = 0.1, 0.1
MOST_TEST, MOST_DEV = 5000, 1000
"""Distinct examples that are enough: more make intervals hardly narrower and cost what could be
learned from."""
FEWEST = 10
"""Distinct examples there must be: fewer say nothing of how good a model is."""
_MOST_ADDED = 0.1
"""Of the examples to judge on so many may be of rare classes beyond the shares of these."""


class Parts(NamedTuple):
    """Numbers of examples."""

    train: list[int]
    dev: list[int]
    test: list[int]


class _Unit(NamedTuple):
    """What is in one part as a whole.

    Attributes:
        keys: of its examples.
        classes: of how many of these each class is right; empty where answers are no classes.
    """

    keys: list[str]
    classes: Counter[str]


def split(
    examples: Sequence[ExampleT],
    key: Callable[[ExampleT], str],
    *,
    seed: int,
    shared: Callable[[ExampleT], Sequence[str]] = lambda _: (),
    at_least: Callable[[ExampleT], Sequence[str]] | None = None,
    groups: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    test_share: float = TEST_SHARE,
) -> Parts:
    """Parts by a draw of what examples are to read: copies of one are all in the same part, and so
    are those that share another text with one another, directly or by way of others: who has
    learned a translation beside another source has seen it, and so has who has learned a premise
    beside another hypothesis.

    Which part an example is in depends on itself, the seed and the others there are, not on their
    order. Examples that hang together and are more than a part has room for stay in training.
    Where these are half of all, so that the rest would not speak for them, or a part stays half
    empty, `at_least` counts in place of `shared`; where a part stays half empty even so, only what
    is to read is kept apart.

    Groups are kept apart whatever that costs: where none has room in a part, the smallest is it.

    Of each class both parts have their share, and the test one example at least where there are
    two different ones, as far as what hangs together allows; one always stays in training.

    Args:
        key: what is to read.
        shared: texts that may stand in several of these, or beside them.
        at_least: those of them that are kept apart where not all can be; None for all.
        groups: of each example whom or what it is of; None where that is not told.
        classes: of each example the class that is right; None where answers are no classes.

    Raises:
        DataError: there are too few distinct ones, or too few groups.
    """
    keys = [folded(key(example)) for example in examples]
    in_order = _in_order(keys, groups, seed)
    if len(in_order) < FEWEST:
        raise DataError(
            f"at least {FEWEST} different inputs are needed (of questions: passages)",
            got=len(in_order),
            remedy="give more of them",
        )
    num_test = min(MOST_TEST, max(1, round(len(in_order) * test_share))) if test_share else 0
    num_dev = min(MOST_DEV, max(1, round(len(in_order) * DEV_SHARE)))
    # No text is such a pair: a group and a text of one name have nothing in common.
    firm: list[list[Hashable]] = [[("group", name)] for name in groups or ()] or [[] for _ in keys]
    class_of = _class_of(keys, classes)
    least = _units(in_order, keys, firm, class_of)
    num_parts = 2 + (num_test > 0)
    if groups is not None and len(least) < num_parts:
        raise DataError(
            f"at least {num_parts} groups are needed that have no input in common",
            got=f"{len(set(groups))} groups, {len(least)} of them apart",
            remedy="give rows of more of them, or leave --group out",
        )
    alone = {text: number for number, unit in enumerate(least) for text in unit.keys}
    ways = [shared] if at_least is None else [shared, at_least]
    for number, way in enumerate(ways, 1):
        marks = [[*own, *map(folded, way(one))] for own, one in zip(firm, examples, strict=True)]
        units = _units(in_order, keys, marks, class_of)
        num_stuck = sum(
            len(unit.keys)
            for unit in units
            if len(unit.keys) > max(num_test, num_dev) and len({alone[k] for k in unit.keys}) > 1
        )
        test, left = _taken(units, num_test, seed, rare_too=True)
        dev, _ = _taken(left, num_dev, seed)
        is_full = 2 * len(test) >= num_test and 2 * len(dev) >= num_dev
        if is_full and (number == len(ways) or 2 * num_stuck < len(in_order)):
            break
    else:
        # A few such texts for all there is to read: what was read alone can be kept apart.
        leave = None if groups is None else num_parts - 1
        test, left = _taken(least, num_test, seed, rare_too=True, leave=leave)
        dev, _ = _taken(left, num_dev, seed, leave=None if groups is None else 1)
    parts = Parts([], [], [])
    for number, text in enumerate(keys):
        place = parts.test if text in test else parts.dev if text in dev else parts.train
        place.append(number)
    return parts


def _in_order(keys: Sequence[str], groups: Sequence[str] | None, seed: int) -> list[str]:
    """Keys as they are drawn: group by group where there are groups, of which a large one is drawn
    no sooner than a small one."""
    drawn = {text: derive_seed(seed, "split", text) for text in dict.fromkeys(keys)}
    first = dict.fromkeys(drawn, 0)
    if groups is not None:
        draws = {name: derive_seed(seed, "group", name) for name in dict.fromkeys(groups)}
        for text, name in zip(keys, groups, strict=True):
            first[text] = min(first[text] or draws[name], draws[name])
    return sorted(drawn, key=lambda text: (first[text], drawn[text], text))


def _class_of(keys: Sequence[str], classes: Sequence[str] | None) -> Mapping[str, str]:
    """The class of each key: where copies contradict one another what most of them say."""
    said: dict[str, Counter[str]] = {}
    for text, name in zip(keys, classes, strict=True) if classes is not None else ():
        said.setdefault(text, Counter())[name] += 1
    return {text: min(names, key=lambda name: (-names[name], name)) for text, names in said.items()}


def _units(
    in_order: Sequence[str],
    keys: Sequence[str],
    marks: Sequence[Iterable[Hashable]],
    class_of: Mapping[str, str],
) -> list[_Unit]:
    """Keys that hang together by a mark they share, in the order of each unit's first."""
    tops = joined(keys, marks)
    units: dict[str, list[str]] = {}
    for text in in_order:
        units.setdefault(tops[text], []).append(text)
    return [
        _Unit(texts, Counter(class_of[text] for text in texts if text in class_of))
        for texts in units.values()
    ]


def joined(keys: Sequence[str], marks: Sequence[Iterable[Hashable]]) -> dict[str, str]:
    """Of each key another that stands for all that hang together with it: by a mark they share, or
    by way of others.

    Args:
        keys: one may be there several times.
        marks: of each of these.
    """
    first_with: dict[Hashable, str] = {}
    above: dict[str, str] = {}

    def top(text: str) -> str:
        passed = []
        while text in above:
            passed.append(text)
            text = above[text]
        above.update(dict.fromkeys(passed, text))
        return text

    for text, others in zip(keys, marks, strict=True):
        for beside in others:
            one, other = top(text), top(first_with.setdefault(beside, text))
            if one != other:
                above[one] = other
    return {text: top(text) for text in keys}


def _taken(
    units: Sequence[_Unit],
    num: int,
    seed: int,
    *,
    rare_too: bool = False,
    leave: int | None = None,
) -> tuple[set[str], list[_Unit]]:
    """Keys of the first units that have room among `num` and bring their classes nearer to the
    shares of these, and the units that are left. Where that fills less than half, room alone
    counts.

    Args:
        rare_too: see `_shares`.
        leave: so many units are left, whatever room there is; where less than half is filled even
            so, the smallest unit is taken that has no room. None takes no such unit.
    """
    there: Counter[str] = Counter()
    for unit in units:
        there.update(unit.classes)
    shares = _shares(there, num, seed, rare_too=rare_too)
    have: Counter[str] = Counter()
    taken: set[str] = set()

    def ends_class(unit: _Unit) -> bool:
        return any(have[name] + n >= there[name] for name, n in unit.classes.items())

    def suits(unit: _Unit) -> bool:
        farther = 0.0  # from the shares, squared, in shares
        for name, n in unit.classes.items():
            lacking = shares[name] - have[name]
            farther += ((lacking - n) ** 2 - lacking**2) / max(1, shares[name])
        return not unit.classes or (farther < 0 and not ends_class(unit))

    num_units = 0

    def take(unit: _Unit) -> None:
        nonlocal num_units
        num_units += 1
        taken.update(unit.keys)
        have.update(unit.classes)

    left = list(units)
    for is_wanted in (suits, lambda _: True):
        rest = []
        for unit in left:
            num_left = len(units) - num_units
            is_free = len(taken) + len(unit.keys) <= num and num_left > (leave or 0)
            if is_free and is_wanted(unit):
                take(unit)
            else:
                rest.append(unit)
        left = rest
        if 2 * len(taken) >= num:
            return taken, left
    if leave is not None and len(left) > leave:
        take(
            left.pop(min(range(len(left)), key=lambda n: (ends_class(left[n]), len(left[n].keys))))
        )
    return taken, left


def _shares(there: Mapping[str, int], num: int, seed: int, *, rare_too: bool) -> dict[str, int]:
    """Of each class how many of `num` are to be of it: as large a part of them as of all, whole
    numbers by largest remainders. Of none all.

    Args:
        there: how many there are of each.
        rare_too: one of each class of which there are two, too, though its share is none, while
            these are no more than a tenth of `num` above their shares: what is judged on is to be
            as all is.
    """
    total = max(1, sum(there.values()))
    exact = {name: num * n / total for name, n in there.items()}
    drawn = {name: derive_seed(seed, "class", name) for name in there}
    shares = dict.fromkeys(there, 0)
    added = 0.0
    for name in sorted(there, key=lambda name: (-there[name], drawn[name])) if rare_too else ():
        if exact[name] < 1 and there[name] > 1:
            added += 1 - exact[name]
            if added > _MOST_ADDED * num:
                break
            shares[name] = 1
    waiting = [(shares[name] - exact[name], drawn[name], name) for name in there]
    heapq.heapify(waiting)
    room = num - sum(shares.values())
    while waiting and room:
        lacking, draw, name = heapq.heappop(waiting)
        if shares[name] + 1 < there[name]:
            shares[name] += 1
            room -= 1
            heapq.heappush(waiting, (lacking + 1, draw, name))
    return shares


def num_seen(
    train: Sequence[ExampleT], test: Sequence[ExampleT], key: Callable[[ExampleT], str]
) -> int:
    """How many of `test` are in `train` as well."""
    known = {folded(key(example)) for example in train}
    return sum(folded(key(example)) in known for example in test)


def folded(text: str) -> str:
    """Without what makes no difference to a reader: case, and how wide spaces are."""
    return " ".join(text.casefold().split())
