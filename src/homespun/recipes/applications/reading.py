"""A user's file as examples: to learn from, held out for what is to be chosen, to judge on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from homespun.core import DataError
from homespun.corpus.sources.files import printable
from homespun.recipes.applications.contract import Application
from homespun.recipes.applications.dividing import division, has_column, read_groups
from homespun.recipes.applications.rows import Column, Row, find, pick, read_rows
from homespun.recipes.applications.splitting import TEST_SHARE, folded, num_seen, split

ExampleT = TypeVar("ExampleT")
_GROUP = "group"


class Parts(NamedTuple, Generic[ExampleT]):
    """Examples to learn from, held out and to judge on.

    Attributes:
        facts: what results.json says of them.
        test_groups: of each to judge on whom or what it is of; None where that is not told.
        test_rows: of each to judge on the number of its row in its file, from 1.
    """

    train: list[ExampleT]
    dev: list[ExampleT]
    test: list[ExampleT]
    facts: dict[str, Any]
    test_groups: list[str] | None = None
    test_rows: Sequence[int] = ()


class Read(NamedTuple, Generic[ExampleT]):
    """The examples of a file, and of each whom or what it is of; None where that is not told."""

    examples: list[ExampleT]
    groups: list[str] | None


class RowReader(NamedTuple):
    """How a user's rows are read.

    Attributes:
        names: from the task's names of columns to the files'.
        several: what parts several right ones in a cell of text; None where a cell is one. An empty
            cell has none then.
        option: what names of columns are said behind, for messages.
        group: column that says whom or what a row is of: rows of one are in one part.
        group_option: what that is said behind.
    """

    names: Mapping[str, str] = {}
    several: str | None = None
    option: str = "--columns "
    group: str | None = None
    group_option: str = "--group "


def read_parts(
    task: Application[ExampleT, Any],
    data: Path,
    test_file: Path | None,
    reader: RowReader,
    *,
    seed: int,
    preprocess: Callable[[list[ExampleT]], list[ExampleT]] = list,
) -> Parts[ExampleT]:
    """The parts of a file.

    Args:
        task: what is learned.
        data, test_file: to learn from and to judge on; None holds out a share of `data`.
        reader: how rows are read.
        seed: of the split.
        preprocess: all examples as they are learned from and judged, see `Method.preprocess`.

    Raises:
        DataError: as `read_examples`, or there are too few.
    """
    examples, groups = _read(task, data, reader)
    num, test_groups = len(examples), None
    if test_file is not None:
        more, test_groups = _read(task, test_file, reader, group_may_lack=True)
        examples += more
    examples = preprocess(task.settle(examples))
    examples, test = examples[:num], examples[num:]
    share = TEST_SHARE if test_file is None else 0.0
    classes = [name for one in examples if (name := task.class_alone(one)) is not None]
    by_class = len(classes) == num
    numbers = split(
        examples,
        task.key,
        seed=seed,
        shared=lambda example: [*task.texts_right(example), *task.texts_read(example)],
        at_least=lambda example: [*task.texts_right(example), *task.texts_read(example)[:1]],
        groups=groups,
        classes=classes if by_class else None,
        test_share=share,
    )
    seen = num_seen(examples, test, task.asked_whole)
    if test_file is None:
        test = [examples[number] for number in numbers.test]
        test_groups = None if groups is None else [groups[number] for number in numbers.test]
    train = [examples[number] for number in numbers.train]
    dev = [examples[number] for number in numbers.dev]
    held_out = f"{len(test):,} rows of the file, held out"
    facts: dict[str, Any] = {
        "rows": {"train": len(train), "dev": len(dev), "test": len(test)},
        "test_from": held_out if test_file is None else printable(str(test_file)),
        "test_rows_seen_in_training": seen,
        "test_answers_seen_in_training": _num_sharing(task.texts_right, [*train, *dev], test),
        "test_texts_seen_in_training": _num_sharing(task.texts_read, [*train, *dev], test),
        "test_classes_not_in_training": _new_classes(task, [*train, *dev], test),
        "classes_not_in_test": _new_classes(task, test, [*train, *dev]),
        "split": division(
            numbers,
            seed=seed,
            by_class=by_class,
            group=reader.group,
            groups=groups,
            test_groups=test_groups,
            in_three=test_file is None,
        ),
    }
    test_rows = range(len(test)) if test_file is not None else numbers.test
    return Parts(train, dev, test, facts, test_groups, [number + 1 for number in test_rows])


def _num_sharing(
    texts_of: Callable[[ExampleT], Sequence[str]],
    known: Sequence[ExampleT],
    test: Sequence[ExampleT],
) -> int:
    """Of how many rows of `test` such a text stands in `known` too, beside whatever else."""
    texts = {folded(text) for example in known for text in texts_of(example)}
    return sum(any(folded(text) in texts for text in texts_of(example)) for example in test)


def _new_classes(
    task: Application[ExampleT, Any], known: Sequence[ExampleT], test: Sequence[ExampleT]
) -> dict[str, int]:
    """Classes that rows of `test` have and none of `known`, and of how many rows each is right."""
    there = {name for example in known for name in task.classes(example)}
    found = Counter(name for example in test for name in set(task.classes(example)) - there)
    return dict(sorted(found.items()))


def read_examples(
    task: Application[ExampleT, Any], path: Path, reader: RowReader
) -> list[ExampleT]:
    """The examples of a file that says what is right.

    Raises:
        DataError: a column is missing, in all rows or, of what is right, in one; or a value is not
            what it should be.
    """
    return _read(task, path, reader).examples


def _read(
    task: Application[ExampleT, Any],
    path: Path,
    reader: RowReader,
    *,
    group_may_lack: bool = False,
) -> Read[ExampleT]:
    names = reader.names
    numbered = {} if reader.group is None else {_GROUP: reader.group}
    rows = [task.completed(row) for row in read_rows(path, names={**names, **numbered})]
    if not rows:
        raise DataError(f"{path} has no rows", remedy="give a file with some")
    if reader.several is not None:
        parted = {find(rows, column, names) for column in task.gold}
        rows = [_parted(row, parted, reader.several) for row in rows]
    columns = {
        c.name: pick(rows, c, names, where=str(path), option=reader.option) for c in task.to_learn()
    }
    for column in task.gold:
        _check_told(rows, column, names, path)
    for column in task.optional:
        found = _where_there(rows, column, names, path)
        if found is not None:
            columns[column.name] = found
    groups = None
    if reader.group is not None and (has_column(rows, reader.group) or not group_may_lack):
        gold = {find(rows, column, names) for column in task.gold}
        option = reader.group_option
        groups = read_groups(rows, reader.group, gold=gold, where=str(path), option=option)
    examples = []
    for number in range(len(rows)):
        try:
            examples.append(
                task.example({name: values[number] for name, values in columns.items()})
            )
        except DataError as error:
            raise DataError(f"row {number + 1} of {path}: {error}") from error
    return Read(examples, groups)


def _check_told(rows: Sequence[Row], column: Column, names: Mapping[str, str], path: Path) -> None:
    """Raises DataError where a row of JSON does not have what is right: to say nothing of it is not
    to say that there is none."""
    name = find(rows, column, names)
    number = next((at for at, row in enumerate(rows, 1) if name not in row), None)
    if number is not None:
        raise DataError(
            f"row {number} of {path} has no {name}",
            got=", ".join(map(str, rows[number - 1])),
            remedy="write it, as null or [] where there is none, or take the row out",
        )


def _where_there(
    rows: Sequence[Row], column: Column, names: Mapping[str, str], path: Path
) -> list[Any] | None:
    """The values of a column that rows may have, None where one has it not; None where none does.
    Raises DataError where none has the user's name for it."""
    shapes = {tuple(row): row for row in rows}
    found = {shape: find([row], column, names) for shape, row in shapes.items()}
    if not any(name is not None for name in found.values()):
        return pick(rows, column, names, where=str(path)) if column.name in names else None
    wanted = (found[tuple(row)] for row in rows)
    return [None if name is None else row[name] for row, name in zip(rows, wanted, strict=True)]


def _parted(row: Row, columns: Collection[str | None], mark: str) -> Row:
    """A row whose cells of text in these columns are lists."""
    return {
        name: [part.strip() for part in value.split(mark) if part.strip()]
        if name in columns and isinstance(value, str)
        else value
        for name, value in row.items()
    }
