"""Whom or what rows are of, and in words how they were divided."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from homespun.core import DataError
from homespun.recipes.applications.rows import Column, Row, find, label_text, pick
from homespun.recipes.applications.splitting import Parts

_MOST_NAMED = 5
"""Classes that a sentence names."""


def has_column(rows: Sequence[Row], name: str) -> bool:
    return find(rows, _column(name), {}) is not None


def read_groups(
    rows: Sequence[Row],
    name: str,
    *,
    gold: Collection[str | None],
    where: str,
    option: str = "--group ",
) -> list[str]:
    """Of each row whom or what it is of; how wide spaces are makes no difference.

    Args:
        rows: not empty.
        name: of the column that says it.
        gold: columns of what is to be learned.
        where: the file, for messages.
        option: what the name is said behind, for messages.

    Raises:
        DataError: there is no such column, it is one of `gold`, or a row says nothing or several.
    """
    column = _column(name)
    values = pick(rows, column, {name: name}, where=where, option=option)
    if find(rows, column, {}) in gold:
        raise DataError(
            "rows are to be kept together by what is to be learned of them",
            got=f"{option}{name}",
            remedy="name the column that says whom or what a row is of: an author, a document",
        )
    for number, value in enumerate(values, 1):
        if isinstance(value, list | dict):
            raise DataError(
                f"row {number} of {where} has more than one {name}",
                got=value,
                remedy="write it as a text or a number",
            )
    return [
        " ".join(value.split()) if isinstance(value, str) else label_text(value) for value in values
    ]


def _column(name: str) -> Column:
    return Column(name, (), "whom or what a row is of")


def division(
    numbers: Parts,
    *,
    seed: int,
    by_class: bool,
    group: str | None,
    groups: Sequence[str] | None,
    test_groups: Sequence[str] | None,
    in_three: bool,
) -> dict[str, Any]:
    """What results.json says of the split; `how` is a sentence for people.

    Args:
        numbers: of the rows in each part; of the test none where these are another file's.
        seed: of the draw.
        by_class: whether every class has its share of each part.
        group: column that rows are kept together by; None for none.
        groups: of each row whom or what it is of; None without such a column.
        test_groups: of each row to judge on; None where that is not told.
        in_three: rows to judge on are of the same file.
    """
    told: dict[str, Any] = {"seed": seed, "by_class": by_class, "group": group}
    if groups is not None:
        train, dev = ({groups[number] for number in part} for part in (numbers.train, numbers.dev))
        told["groups"] = {"train": len(train), "dev": len(dev)}
        if test_groups is not None:
            known = train | dev
            told["groups"]["test"] = len(set(test_groups))
            told["test_rows_of_known_groups"] = sum(name in known for name in test_groups)
    return {**told, "how": _how(told, in_three=in_three)}


def _how(told: Mapping[str, Any], *, in_three: bool) -> str:
    ways = ["copies of an input are in one part"]
    if told["by_class"]:
        ways.append("each class has its share of every part")
    if told["group"] is not None:
        num = told["groups"]
        counts = f"{num['train']:,} to learn from, {num['dev']:,} held out"
        if in_three:
            counts += f", {num['test']:,} to judge on"
        ways.append(f"all rows of one `{told['group']}` are in one part ({counts})")
    listed = ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, and {ways[-1]}"
    return (
        f"The file was divided in {'three' if in_three else 'two'} by a draw (seed "
        f"{told['seed']}): {listed}."
    )


def division_notes(facts: Mapping[str, Any]) -> list[str]:
    """Sentences on what a person must know of the split beside the numbers."""
    from homespun.evaluation.intervals import MIN_ITEMS

    told, num, notes = facts["split"], facts["rows"]["test"], []
    if told["group"] is not None:
        num_groups = told["groups"].get("test")
        if num_groups is None:
            notes.append(
                f"Whether it learned from rows of the same `{told['group']}` as those it was "
                "judged on is not known: the file of these has no such column."
            )
        elif num_groups < MIN_ITEMS:
            notes.append(
                f"The rows it was judged on are of {num_groups} different `{told['group']}`: "
                f"fewer than {MIN_ITEMS} have no interval."
            )
        if seen := told.get("test_rows_of_known_groups"):
            notes.append(
                f"Of {seen:,} of the {num:,} rows it was judged on, other rows of the same "
                f"`{told['group']}` were learned from: what it remembers of these may help it."
            )
    if new := facts["test_classes_not_in_training"]:
        notes.append(
            f"Of the classes it was judged on {len(new):,} {_are(len(new))} in "
            f"no row it learned from, and cannot be answered: {_named(list(new))}."
        )
    if unjudged := facts["classes_not_in_test"]:
        notes.append(
            f"Of the classes it learned {len(unjudged):,} {_are(len(unjudged))} in no row it was "
            f"judged on, so that nothing is known of how it does on {_named(list(unjudged))}."
        )
    return notes


def _are(num: int) -> str:
    return "is" if num == 1 else "are"


def _named(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
