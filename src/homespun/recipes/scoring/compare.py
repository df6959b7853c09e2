"""The answers of a file, or of what was learned, beside right ones, and beside those of another."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from homespun.core import ConfigError, DataError
from homespun.core.files import read_jsonl
from homespun.core.rng import derive_seed
from homespun.recipes.applications.dividing import read_groups
from homespun.recipes.applications.record import PREDICTIONS_FILE, RECORD_FILE, read_record
from homespun.recipes.applications.results import difference
from homespun.recipes.applications.rows import (
    STDIN,
    Column,
    Row,
    find,
    is_missing,
    is_plain_text,
    pick,
    read_rows,
)
from homespun.recipes.process import prepare_process
from homespun.recipes.scoring.kinds import KINDS, find_kind

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Statistics

_OF_TASK = {
    "classify": "labels",
    "pair": "labels",
    "tag": "tags",
    "segment": "words",
    "answer": "answers",
    "translate": "translations",
    "summarise": "summaries",
}
_ANSWERS, _RIGHT = "answers", "right"


class ScoreAsk(NamedTuple):
    """Attributes:
    answers: a file of answers, or a folder that `finetune` wrote, which holds answers of its own to
        the rows it was judged on.
    right: a file of right answers, row by row; None of a folder.
    kind: of the answers, one of `KINDS`; None of a folder.
    beside: other answers to the same, of the same kind.
    columns: where answers and right ones stand, by "answers" and "right".
    group: column of `right` that says whom or what a row is of: rows of one are redrawn together.
    seed: of intervals and tests.
    """

    answers: Path
    right: Path | None = None
    kind: str | None = None
    beside: Path | None = None
    columns: Mapping[str, str] = {}
    group: str | None = None
    seed: int = 0


class _Read(NamedTuple):
    """Attributes:
    kind: of the answers.
    said, right: cells, as the files have them.
    asked: what was asked, where that is known: of others it must be the same.
    together: of each row what it is redrawn with; None where every row is alone.
    """

    kind: str
    said: list[Any]
    right: list[Any]
    asked: list[str] | None = None
    together: list[str] | None = None


def score(ask: ScoreAsk) -> dict[str, Any]:
    """JSON values: every measure with its 95% interval and its signature; with `beside` also the
    other's, the difference, its interval, and the p-value of a paired bootstrap over rows.

    Raises:
        ConfigError: there is no such kind, or of a folder it is said what its answers are held
            beside. DataError: a file cannot be read, has other rows than
            the one beside it, or a cell is not what it should be.
    """
    prepare_process()
    from homespun.evaluation.metrics import with_interval

    ours = _read(ask, ask.answers)
    told: dict[str, Any] = {"format": 1, "kind": ours.kind, "rows": len(ours.right), "measures": []}
    if ask.beside is None:
        mine = _measures(ours, ask.answers, ())
        others: Sequence[Statistics | None] = [None] * len(mine)
    else:
        theirs = _read(ask, ask.beside)
        _check_same(ours, theirs, ask)
        # One may have answered with classes that the other never has.
        classes = _classes(ours, ask.answers) | _classes(theirs, ask.beside)
        mine = _measures(ours, ask.answers, classes)
        others = _measures(theirs, ask.beside, classes)
    for number, (one, other) in enumerate(zip(mine, others, strict=True)):
        draw = np.random.Generator(np.random.PCG64(derive_seed(ask.seed, "score", number)))
        found = with_interval(one, draw)
        entry: dict[str, Any] = {
            "name": found.name,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "signature": found.signature,
        }
        if other is not None:
            entry["beside"] = other.value
            entry["difference"] = difference(one, other, draw)
        told["measures"].append(entry)
    return told


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _classes(read: _Read, path: Path) -> set[str]:
    classes_of = find_kind(read.kind).classes
    with _naming(path):
        return set() if classes_of is None else classes_of(read.said, read.right)


def _measures(read: _Read, path: Path, classes: Collection[str]) -> list[Statistics]:
    from homespun.evaluation.metrics import by_group

    with _naming(path):
        found = find_kind(read.kind).measures(read.said, read.right, classes)
    together = read.together
    if together is None or len(set(together)) == len(together):
        return found
    return [
        by_group(one, together, name="groups") if one.num == len(together) else one for one in found
    ]


def _read(ask: ScoreAsk, path: Path) -> _Read:
    if path.is_dir():
        _check_bare(ask, path)
        return _of_folder(path, ask.kind)
    if ask.kind is None or ask.right is None:
        if not path.exists() and str(path) != STDIN:
            raise DataError(
                f"there is no folder {path}, nor a file of that name", remedy="check its name"
            )
        raise ConfigError(
            "what is right, and what kind of answers they are, is not said",
            got=str(path),
            remedy=f"give a second file, and --as with one of {', '.join(KINDS)}",
        )
    usual = find_kind(ask.kind).columns
    rows = _rows(ask.right, ask, _RIGHT)
    right = _column(rows, ask.right, _RIGHT, usual, ask.columns)
    together = None if ask.group is None else _groups(rows, ask)
    # What `apply` wrote has the answer in a column of the task's, what programs write in "answer".
    usual = (*usual, "answer", "prediction", "predicted")
    said = _column(_rows(path, ask, _ANSWERS), path, _ANSWERS, usual, ask.columns)
    if len(said) != len(right):
        raise DataError(
            f"{path} has not as many rows as {ask.right}",
            got=f"{len(said):,} and {len(right):,}",
            remedy="give one answer for each row, in the same order, an empty one where there is "
            "none",
        )
    if not _is_lines(rows, ask.right):
        # Blank lines of tables are rows, which `apply` leaves unanswered.
        there = [n for n, row in enumerate(rows) if not all(map(is_missing, row.values()))]
        said, right = ([side[n] for n in there] for side in (said, right))
        together = together and [together[n] for n in there]
    return _Read(ask.kind, said, right, together=together)


def _rows(path: Path, ask: ScoreAsk, name: str) -> list[Row]:
    names = {key: ask.columns[key] for key in (name,) if key in ask.columns}
    if name == _RIGHT and ask.group is not None:
        names["group"] = ask.group
    rows = read_rows(path, names=names, with_gold=False)
    if not rows:
        raise DataError(f"{path} has no rows", remedy="give a file with some")
    return rows


def _groups(rows: Sequence[Row], ask: ScoreAsk) -> list[str]:
    return read_groups(rows, ask.group or "", gold=(), where=str(ask.right))


def _column(
    rows: Sequence[Row], path: Path, name: str, usual: tuple[str, ...], columns: Mapping[str, str]
) -> list[Any]:
    own = {name: columns[name]} if name in columns else {}
    if _is_lines(rows, path):
        return [row["text"] for row in rows]
    what = "the answers" if name == _ANSWERS else "what is right"
    column = Column(name, usual, what, may_be_empty=True)
    # Answers are called all sorts of things; another file's only column may be what was asked.
    is_only = name == _ANSWERS and not own and len(rows[0]) == 1
    if is_only and find(rows, column, own) is None:
        return [next(iter(row.values()), None) for row in rows]
    return pick(rows, column, own, where=str(path))


def _is_lines(rows: Sequence[Row], path: Path) -> bool:
    """Whether rows are lines of text, and not, as standard input may have them, of JSON."""
    return is_plain_text(path) and all(row.keys() == {"text"} for row in rows)


def _of_folder(folder: Path, kind: str | None) -> _Read:
    """Answers that a learned task gave to the rows it was judged on."""
    task = read_record(folder).task
    if task not in _OF_TASK or kind not in (None, _OF_TASK[task]):
        raise ConfigError(
            f"{folder / RECORD_FILE} is of the task {task}, whose answers are no "
            f"{kind or 'such as can be scored by themselves'}",
            remedy=f"give folders of {', '.join(_OF_TASK)}, and leave --as out",
        )
    try:
        rows = list(read_jsonl(folder / PREDICTIONS_FILE))
        columns = find_kind(_OF_TASK[task]).columns
        right, said = (
            [next(row[side][name] for name in columns if name in row[side]) for row in rows]
            for side in ("right", "answer")
        )
        asked = [str(row["asked"]) for row in rows]
        together = [int(row.get("together_with", row["row"])) for row in rows]
    except (KeyError, TypeError, ValueError, StopIteration, RuntimeError) as error:
        raise DataError(
            f"{folder / PREDICTIONS_FILE} is not what a learned task writes",
            remedy="learn the task again",
        ) from error
    if any(isinstance(value, float) for value in right):
        raise DataError(
            f"the answers of {folder} are numbers, not labels",
            remedy="its report.html says how they correlate with what is right",
        )
    return _Read(_OF_TASK[task], said, right, asked, list(map(str, together)))


def _check_bare(ask: ScoreAsk, folder: Path) -> None:
    """Raises ConfigError where other rows are given than those the folder's task was judged on."""
    given = {"RIGHT": ask.right, "--columns": ask.columns, "--group": ask.group}
    if said := [name for name, value in given.items() if value]:
        raise ConfigError(
            f"{folder} holds answers beside what is right, and nothing else is scored of it",
            got=" ".join(said),
            remedy=f"leave {' and '.join(said)} out, or answer a file: `homespun apply … --out`",
        )


def _check_same(ours: _Read, theirs: _Read, ask: ScoreAsk) -> None:
    """Raises DataError where the two did not answer the same."""
    same = [json.dumps(part, ensure_ascii=False) for part in (ours.right, theirs.right)]
    if ours.kind != theirs.kind or ours.asked != theirs.asked or same[0] != same[1]:
        raise DataError(
            "the two were not judged on the same rows",
            got=f"{ask.answers} and {ask.beside}",
            remedy="compare tasks learned from one file with one --seed, or with one --test",
        )
