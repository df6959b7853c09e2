"""Where a run comes from: `parent.json`, and what a new run takes over from an older one.

A run that goes on from another is a run of its own. What it needs of the older one is linked into
it (hard links: no disk is used twice, and the older run may be moved or deleted):

    parent.json       which run, which weights (sha256), what was done to them
    start/            a complete stage of no steps: the weights that learning begins with
    replay/NAME/      corpus and shards of the runs before, NAME by NAME
    before.json       what the parent's model scored on the texts that count
    change.json       before and after, and what it comes to in words; written last
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homespun.core import Config, RunDirectory, RunError, parse_config
from homespun.core.files import read_json, sha256_file, write_json
from homespun.recipes.prior.kept import record_path, table_path

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.recipes.extend.compare import Difference

FORMAT = 1
Kind = Literal["continue", "context", "vocabulary", "grow", "average"]
# The last of those that are there says that it is complete; import.json, that it came with a model.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "import.json",
    "tokenizer_stats.json",
)


class Parent(Config):
    """What `parent.json` holds.

    Attributes:
        kind: how the run goes on from its parent.
        run: the parent's name.
        path: where it was.
        stage: whose weights were taken.
        weights_sha256: of these weights.
        tokenizer_sha256: of the parent's tokenizer.json.
        settings: what was asked beyond the budget.
    """

    format: int = FORMAT
    kind: Kind
    run: str
    path: str
    stage: str
    weights_sha256: str
    tokenizer_sha256: str
    settings: dict[str, Any]


def parent_path(run: RunDirectory) -> Path:
    return run.path / "parent.json"


def change_path(run: RunDirectory) -> Path:
    return run.path / "change.json"


def read_parent(run: RunDirectory) -> Parent | None:
    """None for a run that began from nothing. Raises RunError for a later version's format."""
    path = parent_path(run)
    if not path.is_file():
        return None
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise RunError(
            f"{path} is not a record this version reads",
            remedy="use the version that wrote it, or restore it from a copy",
        )
    return parse_config(Parent, value, where=str(path))


def describe_parent(old: RunDirectory, *, kind: Kind, settings: Mapping[str, Any]) -> Parent:
    """The record of a run that goes on from the pretrained weights of `old`.

    Raises:
        RunError: `old` has no finished pretraining, learned to read a prefix both ways, or was
            imported, without the text that going on needs (an average is measured, not trained).
    """
    from homespun.recipes.weights import check_causal
    from homespun.training import read_done

    done = read_done(old.stage("pretrain"))
    if done is None:
        raise RunError(
            f"{old.path} has no pretrained model yet, and there is nothing to go on from",
            remedy=f"run `homespun pretrain {old.path}` first",
        )
    check_causal(old)
    is_imported = (old.path / "import.json").is_file()
    if kind != "average" and (is_imported or not (old.shards / "index.json").is_file()):
        raise RunError(
            f"{old.path} was imported, without the text its model learned from, and training on "
            "here mixes that in and measures by it",
            remedy="begin with a run that learned its text here, such as one of `homespun spin`",
        )
    return Parent(
        kind=kind,
        run=old.path.resolve().name,
        path=str(old.path.resolve()),
        stage="pretrain",
        weights_sha256=done.weights_sha256,
        tokenizer_sha256=sha256_file(old.tokenizer),
        settings=dict(settings),
    )


def begin_child(
    path: Path, old: RunDirectory, parent: Parent, *, asked: Mapping[str, Any], seed: int
) -> RunDirectory:
    """The new run's folder with its record and `parent.json`, or the one that is there.

    Raises:
        RunError: another run is there, one that was asked otherwise, or one whose parent has
            been trained again since.
    """
    if path.resolve() == old.path.resolve():
        raise RunError(
            "a run cannot go on into itself", got=path.name, remedy="choose another --name"
        )
    run = RunDirectory.create(path, asked=dict(asked), seed=seed)
    kept = read_parent(run)
    if kept is None:
        write_json(parent_path(run), parent.model_dump())
    elif kept.weights_sha256 != parent.weights_sha256:
        raise RunError(
            f"{run.path} began with other weights than {old.path} has now",
            remedy=f"choose another --name, or delete {run.path}",
        )
    return run


def take_tokenizer(old: RunDirectory, run: RunDirectory) -> None:
    """The parent's tokenizer, its statistics last, as they say that it is complete."""
    for name in _TOKENIZER_FILES:
        if (old.path / name).is_file() and not (run.path / name).is_file():
            link_file(old.path / name, run.path / name)


def take_folder(source: Path, target: Path, *, last: str) -> None:
    """Link all files of `source` into `target`; `last` is the file that says it is complete."""
    if (target / last).is_file():
        return
    for path in sorted(source.rglob("*"), key=lambda path: path.name == last):
        if path.is_file() and not path.name.startswith("."):
            link_file(path, target / path.relative_to(source))


def take_table(old: RunDirectory, run: RunDirectory) -> None:
    """The parent's n-gram table, if it has one: for runs that learn from the same text."""
    for path in (record_path(old), table_path(old)):
        if path.is_file() and not (run.path / path.name).is_file():
            link_file(path, run.path / path.name)


def take_replay(old: RunDirectory, run: RunDirectory) -> None:
    """Link into `replay/` what the parent and its own ancestors learnt from, texts and tokens."""
    name = old.path.resolve().name
    found = {folder.name: folder for folder in replay_folders(old)} | {name: old.path}
    for name, folder in found.items():
        target = run.path / "replay" / name
        take_folder(folder / "corpus", target / "corpus", last="card.json")
        take_folder(folder / "shards", target / "shards", last="index.json")


def replay_folders(run: RunDirectory) -> list[Path]:
    """Folders `replay/NAME` in a run, by name; none in a run that began from nothing."""
    return sorted(path.parents[1] for path in run.path.glob("replay/*/shards/index.json"))


def write_start(run: RunDirectory, weights: Mapping[str, Tensor], why: Mapping[str, Any]) -> None:
    """Keep `weights` as the complete stage `start`, unless it is there."""
    from homespun.training import read_done, save_checkpoint
    from homespun.training.checkpoint import write_done

    stage = run.stage("start")
    if read_done(stage) is None:
        path = save_checkpoint(stage, 0, weights, {}, {"step": 0})
        write_done(stage, path, dict(why))


def write_change(
    run: RunDirectory,
    texts: Mapping[str, Difference],
    sentences: Sequence[str],
    *,
    result: Mapping[str, Any],
    at_start: Mapping[str, Difference] | None = None,
) -> None:
    """change.json: `texts` by name, before and after all; `at_start` before any training."""
    parent = read_parent(run)
    assert parent is not None
    value: dict[str, Any] = {
        "format": FORMAT,
        "kind": parent.kind,
        "parent": {"run": parent.run, "weights_sha256": parent.weights_sha256},
        "settings": parent.settings,
        "result": dict(result),
        "texts": {name: change.model_dump() for name, change in texts.items()},
        "sentences": list(sentences),
    }
    if at_start is not None:
        value["at_start"] = {name: change.model_dump() for name, change in at_start.items()}
    write_json(change_path(run), value)


def link_file(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # renaming one link of a file onto another does nothing
