"""Learn a task from a file, or several at once, and judge them on what was held out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from homespun.core import (
    CheckpointError,
    ConfigError,
    DataError,
    Progress,
    RunError,
    Silent,
    WorkClock,
    did_you_mean,
)
from homespun.core.files import read_json, sha256_file, write_json
from homespun.core.machine import versions
from homespun.core.runs import locked_folder
from homespun.corpus.sources.files import printable
from homespun.recipes.applications.contract import Application, HasNotes, Lesson, Method
from homespun.recipes.applications.cutting import count_cut, cut_notes
from homespun.recipes.applications.dividing import division_notes
from homespun.recipes.applications.judging import Rival, judge
from homespun.recipes.applications.neural import (
    COMMON,
    STAGE,
    EncoderLearning,
    common_shape,
    learn_together,
    read_kept,
)
from homespun.recipes.applications.reading import Parts, RowReader, read_parts
from homespun.recipes.applications.record import (
    CLOCK_FILE,
    LEARNED_FILE,
    RECORD_FILE,
    ApplicationRecord,
    begin,
    check_folder,
    model_folder,
)
from homespun.recipes.applications.registry import find_application
from homespun.recipes.applications.rows import STDIN, encoding_note
from homespun.recipes.imports import model_place
from homespun.recipes.process import prepare_process

ExampleT = TypeVar("ExampleT")
AnswerT = TypeVar("AnswerT")

_SHARED_METHOD, _TOGETHER = "encoder", "together"
"""The method that learns beside others, and the folder of their common training."""


class Also(NamedTuple):
    """A further task that the same encoder learns.

    Attributes:
        task: its name.
        data: file to learn from; a tenth is held out where there is no `test`.
        test: file to judge on.
        columns: from the task's names of columns to the file's.
        group: as in `Asked`.
    """

    task: str
    data: Path
    test: Path | None = None
    columns: Mapping[str, str] = {}
    group: str | None = None


class Asked(NamedTuple):
    """What a user wants learned.

    Attributes:
        task: its name.
        data: file to learn from; a tenth of it is kept to judge on where there is no `test`.
        test: file to judge on.
        out: folder that is written.
        method: None takes the task's own choice.
        base: folder of a pretrained model to begin with, or "hub:OWNER/NAME" as a path.
        columns: from the task's names of columns to the file's.
        seconds: how long learning may take; None for as long as the method thinks right.
        seed: of every draw.
        options: of the method.
        judge_baselines: also learn and judge the task's baselines.
        also: further tasks for the same encoder, learned at the same time.
        several: mark that parts what is right in a cell of text, where there may be several of it.
        flags: the command's own word for some of `options`, as "--memory" for "known".
        group: column that says whom or what a row is of (an author, a document, a patient): rows of
            one are learned from or judged on, never both.
    """

    task: str
    data: Path
    out: Path
    test: Path | None = None
    method: str | None = None
    base: Path | None = None
    columns: Mapping[str, str] = {}
    seconds: float | None = None
    seed: int = 0
    options: Mapping[str, str] = {}
    judge_baselines: bool = True
    also: Sequence[Also] = ()
    several: str | None = None
    flags: Mapping[str, str] = {}
    names_option: str = "--columns "
    group: str | None = None
    group_option: str = "--group "


class _Pupil(NamedTuple):
    """A task with all it is learned from; `base` is a folder."""

    asked: Asked
    task: Application[Any, Any]
    method: Method[Any, Any]
    parts: Parts[Any]
    base: Path | None


def learn_application(asked: Asked, *, progress: Progress | None = None) -> dict[str, Any]:
    """Do it all; returns results.json. Killed and called again, it goes on.

    With `also`, every further task has a folder `also-N-TASK` in `out` that is one of a task like
    any other, and results.json lists them under `together`. A folder that was begun by a call that
    could not be carried out is taken away again, or empty as it was.

    Raises:
        DataError: a file cannot be read, or says too little. ConfigError: there is no such task or
            method. RunError: the folder holds something else, or another process works on it.
    """
    if asked.out.is_file():
        raise RunError(
            f"{asked.out} is a file, and a folder is written", remedy="name another --out"
        )
    prepare_process()
    _check_files(asked)
    progress = progress or Silent()
    if asked.also:
        asked = asked._replace(method=asked.method or _SHARED_METHOD)
    pupils = [_pupil(one, progress) for one in (asked, *_further(asked))]
    for note in filter(None, map(encoding_note, dict.fromkeys(_files(asked)))):
        progress.say(note)
    record = _record(pupils[0])
    check_folder(asked.out)
    was_there = asked.out.exists()
    asked.out.mkdir(parents=True, exist_ok=True)
    # Of two commands that begin it at the same moment one is first, and the other says so.
    with locked_folder(asked.out, remedy="wait for it, stop it, or name another --out"):
        is_new = not (asked.out / RECORD_FILE).is_file()
        try:
            begin(asked.out, record)
            return _learn(pupils, progress)
        except (CheckpointError, ConfigError, DataError):
            # Whatever has been trained stays, also where a later part could not be carried out.
            if is_new and not any(asked.out.glob(f"**/{STAGE}")):
                shutil.rmtree(asked.out, ignore_errors=True)
                if was_there:
                    asked.out.mkdir(exist_ok=True)
            raise


def _files(asked: Asked) -> list[Path]:
    """All files of rows, those of further tasks included."""
    files = [asked.data, asked.test]
    for also in asked.also:
        files += [also.data, also.test]
    return [file for file in files if file is not None]


def _check_files(asked: Asked) -> None:
    """Raises DataError where rows to learn from or to judge on are to come from standard input,
    RunError where weights could not be read back from the folder to write."""
    if Path(STDIN) in _files(asked):
        raise DataError(
            "rows to learn from are read again where learning goes on, as standard input cannot be",
            got=STDIN,
            remedy="write it into a file, and name that",
        )
    path = printable(str(asked.out))
    if path != str(asked.out):
        raise RunError(f"the name of the folder {path} is not UTF-8", remedy="name another --out")


def _further(asked: Asked) -> list[Asked]:
    """The tasks of `also`, as if each had been asked for by itself, with the settings by which all
    of them are trained together."""
    common = {name: asked.options[name] for name in COMMON if name in asked.options}
    return [
        asked._replace(
            task=also.task,
            data=also.data,
            out=asked.out / f"also-{number}-{also.task}",
            test=also.test,
            method=_SHARED_METHOD,
            columns=also.columns,
            several=None,
            options=common,
            flags={},
            also=(),
            names_option=f"--also {also.task}={also.data},",
            group=also.group,
            group_option=f"--also {also.task}={also.data},group=",
        )
        for number, also in enumerate(asked.also, 1)
    ]


def _pupil(asked: Asked, progress: Progress) -> _Pupil:
    task = find_application(asked.task)
    method = choose_method(task, asked.method, has_base=asked.base is not None)
    _check(method, asked)
    if asked.several is not None and not (task.takes_several and asked.several):
        raise ConfigError(
            f"of {task.name} one thing is right in each row"
            if asked.several
            else "nothing cannot part what is right",
            remedy="leave --several out",
        )
    reader = RowReader(
        asked.columns, asked.several, asked.names_option, asked.group, asked.group_option
    )
    parts = read_parts(
        task,
        asked.data,
        asked.test,
        reader,
        seed=asked.seed,
        preprocess=partial(method.preprocess, options=_options(method, asked.options)),
    )
    base = None
    if asked.base is not None:
        base = model_place(asked.base, progress=progress)
        _check_base(base, asked, method)
    return _Pupil(asked, task, method, parts, base)


def _learn(pupils: Sequence[_Pupil], progress: Progress) -> dict[str, Any]:
    main = pupils[0].asked
    clock = WorkClock(main.out / CLOCK_FILE)
    for pupil in pupils[1:]:
        pupil.asked.out.mkdir(exist_ok=True)
        begin(pupil.asked.out, _record(pupil))
    lessons = [_lesson(pupil, clock, progress) for pupil in pupils]
    with clock.ticking():
        if main.also:
            folder = main.out / _TOGETHER
            folder.mkdir(exist_ok=True)
            methods = [_shared(pupil.method, pupil.task) for pupil in pupils]
            learned = learn_together(list(zip(methods, lessons, strict=True)), folder)
        else:
            learned = [pupils[0].method.learn(lessons[0])]
        facts = {"learning_seconds": _learning_seconds(main.out, clock)}
        told = [
            _judged(pupil, lesson, answerer, facts, pupils)
            for pupil, lesson, answerer in zip(pupils, lessons, learned, strict=True)
        ]
    return told[0]


def _lesson(pupil: _Pupil, clock: WorkClock, progress: Progress) -> Lesson[Any]:
    asked = pupil.asked
    folder = model_folder(asked.out)
    folder.mkdir(exist_ok=True)
    return Lesson(
        pupil.parts.train,
        pupil.parts.dev,
        folder,
        seed=asked.seed,
        seconds=asked.seconds,
        base=pupil.base,
        options=_options(pupil.method, asked.options),
        clock=clock,
        progress=progress,
        score=pupil.task.score,
    )


def _judged(
    pupil: _Pupil,
    lesson: Lesson[Any],
    learned: Any,
    facts: Mapping[str, Any],
    pupils: Sequence[_Pupil],
) -> dict[str, Any]:
    task, method, others = pupil.task, pupil.method, [one for one in pupils if one is not pupil]
    cut = count_cut(learned, pupil.parts.train, pupil.parts.test)
    kept = read_kept(lesson.folder)
    held_out = method.held_out
    if method.held_out_few and (kept is None or not kept.is_chosen):
        held_out = method.held_out_few
    notes, rivals = [*([] if kept is None else [kept.sentence]), *cut_notes(cut)], []
    notes += [
        *(learned.notes if isinstance(learned, HasNotes) else ()),
        *_shared_notes(pupil.parts.facts),
    ]
    told_kept = None if kept is None else kept.model_dump()
    facts = {**facts, "held_out": held_out, "cut": cut, "weights": told_kept}
    if others:
        names = ", ".join(f"{one.task.name} ({printable(one.asked.data.name)})" for one in others)
        notes.append(f"Learned together with {names}, by one encoder.")
        shape = common_shape([_shared(one.method, one.task) for one in pupils])
        alone = _shared(method, task).shaped(shape)
        rivals.append(Rival(f"{method.name} alone", alone, is_equal=True))
        facts = {**facts, "together": [one.asked.out.name for one in others]}
    made = [task.methods[n]() for n in task.baselines if n != method.name]
    rivals += [Rival(m.name, m) for m in made if lesson.base is not None or not m.needs_base]
    return judge(
        task,
        method.name,
        learned,
        lesson,
        pupil.parts,
        pupil.asked.out,
        rivals=rivals if pupil.asked.judge_baselines else (),
        facts={**facts, "notes": notes},
    )


def _shared_notes(facts: Mapping[str, Any]) -> list[str]:
    """A sentence where right texts of the test stand among those learned from, one where one of
    several texts that are read does, and those on the split."""
    num, notes = facts["rows"]["test"], []
    if seen := facts["test_answers_seen_in_training"]:
        notes.append(
            f"Of {seen:,} of the {num:,} rows it was judged on a right text also stands in a row "
            "it learned from: these it may remember."
        )
    if seen := facts["test_texts_seen_in_training"]:
        notes.append(
            f"Of {seen:,} of the {num:,} rows it was judged on one of the texts also stands in a "
            "row it learned from: what it remembers of that may help it."
        )
    return [*notes, *division_notes(facts)]


def _shared(method: Method[Any, Any], task: Application[Any, Any]) -> EncoderLearning[Any, Any]:
    if isinstance(method, EncoderLearning) and method.name == _SHARED_METHOD:
        return method
    raise ConfigError(
        f"{task.name} by '{method.name}' cannot be learned together with other tasks",
        remedy=f"only tasks with the method '{_SHARED_METHOD}' can, by that method",
    )


def _learning_seconds(out: Path, clock: WorkClock) -> float:
    """Working seconds until learning was first done, those of killed processes included."""
    path = model_folder(out) / LEARNED_FILE
    if not path.is_file():
        write_json(path, {"seconds": round(clock.seconds(), 1)})
    return float(read_json(path)["seconds"])


def choose_method(
    task: Application[ExampleT, AnswerT], name: str | None, *, has_base: bool
) -> Method[ExampleT, AnswerT]:
    """The method of that name, or the task's choice. Raises ConfigError where there is none."""
    name = name or task.default_method(has_base=has_base)
    if name not in task.methods:
        raise ConfigError(
            f"{task.name} has no method '{name}'", remedy=did_you_mean(name, list(task.methods))
        )
    return task.methods[name]()


def _check(method: Method[Any, Any], asked: Asked) -> None:
    for name, flag in asked.flags.items():
        if name in asked.options and name not in method.options:
            makers = find_application(asked.task).methods
            others = [other for other, make in makers.items() if name in make().options]
            raise ConfigError(
                f"the method '{method.name}' of {asked.task} has nothing of {flag}",
                remedy=f"leave {flag} out"
                + (f", or take --method {' or --method '.join(others)}" if others else ""),
            )
    _options(method, asked.options)
    if asked.also:
        _shared(method, find_application(asked.task))
    other = _with_base(asked.task)
    if asked.base is not None and not method.takes_base:
        raise ConfigError(
            f"the method '{method.name}' begins with nothing",
            got=f"--base {asked.base}",
            remedy="leave --base out" + (f", or take --method {other}" if other else ""),
        )
    if asked.seconds is not None and not method.takes_time:
        raise ConfigError(
            f"the method '{method.name}' takes as long as it takes",
            remedy="leave --minutes out",
        )
    if method.needs_base and asked.base is None:
        raise ConfigError(
            f"the method '{method.name}' begins with a pretrained {method.base_kind}",
            remedy="give the folder of one with --base",
        )


def _check_base(base: Path, asked: Asked, method: Method[Any, Any]) -> None:
    if not (base / method.base_file).is_file():
        raise DataError(
            f"{asked.base} is not the folder of a pretrained {method.base_kind}: it has no "
            f"{method.base_file}",
            remedy="give the folder with config.json, tokenizer.json and model.safetensors, or "
            "hub:OWNER/NAME"
            if method.base_file == "config.json"
            else "give one that `homespun runs` lists",
        )


def _with_base(task: str) -> str | None:
    """The first method that begins with a pretrained model."""
    methods = find_application(task).methods
    return next((name for name, make in methods.items() if make().takes_base), None)


def _options(method: Method[Any, Any], given: Mapping[str, str]) -> dict[str, str]:
    for name in given:
        if name not in method.options:
            known = list(method.options)
            raise ConfigError(
                f"the method '{method.name}' has no setting '{name}'",
                remedy=did_you_mean(name, known) if known else "leave --set out",
            )
    return {**method.options, **given}


def _also_text(also: Also) -> str:
    more = {} if also.test is None else {"test": printable(str(also.test))}
    more |= {} if also.group is None else {"group": also.group}
    parts = [f"{name}={value}" for name, value in sorted({**more, **also.columns}.items())]
    return " ".join([also.task, printable(str(also.data)), *parts])


def _record(pupil: _Pupil) -> ApplicationRecord:
    asked = pupil.asked
    return ApplicationRecord(
        task=asked.task,
        method=pupil.method.name,
        data=printable(str(asked.data)),
        data_sha256=sha256_file(asked.data),
        test=None if asked.test is None else printable(str(asked.test)),
        test_sha256=None if asked.test is None else sha256_file(asked.test),
        columns=dict(asked.columns),
        base=None if asked.base is None else printable(str(asked.base)),
        seconds=asked.seconds,
        seed=asked.seed,
        options=_options(pupil.method, asked.options),
        also=[_also_text(also) for also in asked.also],
        several=asked.several,
        group=asked.group,
        by_class=pupil.parts.facts["split"]["by_class"],
        versions=versions(),
    )
