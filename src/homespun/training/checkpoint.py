"""Checkpoints that are whole or absent, and known to be whole when they are read.

checkpoints/
  step-00000100/
    weights.safetensors     parameters, fp32
    optimizer.safetensors   the optimiser's state
    state.json              step, position in the data, counters
    manifest.json           size and sha256 of each of the above
  .step-00000200.tmp/       a save that did not finish; removed by the next one
  .step-00000100.before.tmp/  what another checkpoint of that step takes the place of
  step-00000300.damaged/    one that did not verify, set aside
done.json                   beside `checkpoints/`: the stage is complete, and by which checkpoint
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from homespun.core import (
    CheckpointError,
    Config,
    ConfigError,
    DataError,
    HomespunError,
    Progress,
    RunError,
    Silent,
)
from homespun.core.config import parse_config
from homespun.core.files import fsync_dir, make_folder, os_error, read_json, sha256_file, write_json
from homespun.training.distributed.tensors import Gathered, save_file
from homespun.training.ema import AVERAGE_PREFIX, COUNT

FORMAT = 1
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8,})")
_BEFORE = ".before.tmp"
_ASIDE = re.compile(r"step-\d{8,}\.damaged(-\d+)?")
_OF_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
"""What the system says of files that are not there as they were. All else, such as no permission,
too many open files, a cable that is loose or a server that is away, says nothing of what is in
them."""


class FileRecord(Config):
    bytes: int
    sha256: str


class Manifest(Config):
    """What `manifest.json` holds."""

    format: int
    step: int
    files: dict[str, FileRecord]


class Checkpoint(NamedTuple):
    """What a stage continues from.

    Attributes:
        step: completed steps.
        weights: parameters by name.
        optimizer: optimiser state by name.
        state: the loop's counters, JSON values.
        path: its folder.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]
    path: Path


class Done(Config):
    """What `done.json` holds: the result, and the checkpoint that holds the final weights."""

    format: int = FORMAT
    checkpoint: str
    weights_sha256: str
    result: dict[str, Any]


def save_checkpoint(
    stage_dir: Path,
    step: int,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep: int = 2,
) -> Path:
    """Write everything into a temporary folder, make it durable, rename it into place.

    Args:
        stage_dir: the stage's folder; `checkpoints/` is made inside.
        step: completed steps; names the folder.
        weights: parameters by name.
        optimizer: optimiser state by name, may be empty.
        state: JSON values.
        keep: how many of the newest checkpoints stay, at least two.

    Returns:
        the new folder.

    Raises:
        BudgetError: the disk is full. RunError: the folder cannot be written. Earlier checkpoints
            are as they were in both cases.
    """
    return commit_checkpoint(
        write_checkpoint(stage_dir, step, weights, optimizer, state), keep=keep
    )


def write_checkpoint(
    stage_dir: Path,
    step: int,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> Path:
    """The first half of `save_checkpoint`: everything is in the files of a temporary folder.

    The tensors may be changed afterwards; nothing is durable yet.

    Returns:
        the temporary folder, for `commit_checkpoint`.

    Raises:
        BudgetError, RunError: like `save_checkpoint`.
    """
    folder = stage_dir / "checkpoints"
    temporary = folder / f".step-{step:08d}.tmp"
    try:
        make_folder(folder)
        _put_back(folder)
        for leftover in folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir()
        save_file(_plain(weights), temporary / WEIGHTS)
        save_file(_plain(optimizer), temporary / OPTIMIZER)
        write_json(temporary / STATE, dict(state), sync=False)
    except (OSError, SafetensorError, HomespunError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _save_error(error, temporary) from error
    return temporary


def commit_checkpoint(
    temporary: Path, *, keep: int = 2, spare: Collection[int] = frozenset()
) -> Path:
    """The second half of `save_checkpoint`: hash, make durable, rename into place, rotate.

    Args:
        temporary: from `write_checkpoint`; it may run in another thread than that did.
        keep: how many of the newest checkpoints stay, at least two.
        spare: steps of those that stay besides.

    Returns:
        the checkpoint's folder.

    Raises:
        BudgetError, RunError: like `save_checkpoint`.
    """
    assert keep >= 2, "a damaged checkpoint needs another to fall back to"
    folder = temporary.parent
    final = folder / temporary.name.removeprefix(".").removesuffix(".tmp")
    try:
        files = {name: _record(temporary / name) for name in (WEIGHTS, OPTIMIZER, STATE)}
        step = int(final.name.removeprefix("step-"))
        manifest = Manifest(format=FORMAT, step=step, files=files)
        write_json(temporary / "manifest.json", manifest.model_dump())
        fsync_dir(temporary)
        with _out_of_the_way(final):
            os.replace(temporary, final)
        fsync_dir(folder)
    except (OSError, SafetensorError, HomespunError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise _save_error(error, final) from error
    for number in _steps(folder)[:-keep]:
        if number not in spare:
            _remove(folder / f"step-{number:08d}")
    return final


def remove_newer(stage_dir: Path, step: int) -> None:
    """Delete the checkpoints of later steps than `step`, the newest first."""
    folder = stage_dir / "checkpoints"
    for number in reversed(_steps(folder)):
        if number > step:
            _remove(folder / f"step-{number:08d}")


def conclude_rewind(stage_dir: Path) -> None:
    """Where a run was killed between going back and deleting what came after: delete that now.

    A checkpoint that says of more rewinds than those of later steps was written by going back.
    """
    folder = stage_dir / "checkpoints"
    if not folder.is_dir():
        return
    _put_back(folder)
    most, came_back = -1, -1
    for step in _steps(folder):
        try:
            rewinds = int(read_json(folder / f"step-{step:08d}" / STATE).get("rewinds", 0))
        except (HomespunError, AttributeError, TypeError, ValueError):
            continue  # it says of no rewind; whoever loads it tells what is wrong
        if rewinds < most:
            if is_whole(stage_dir, came_back):
                remove_newer(stage_dir, came_back)
            return
        most, came_back = rewinds, step


def load_checkpoint(
    stage_dir: Path, *, progress: Progress | None = None, newest: int | None = None
) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None where the stage has saved none yet.

    Args:
        stage_dir: the stage's folder.
        progress: told of damage.
        newest: leave those of later steps alone.

    A damaged one is reported through `progress.say` and renamed to `….damaged`.

    Raises:
        CheckpointError: there are checkpoints, and every one of them is damaged; or one is of
            another version's format.
        RunError: the newest cannot be read, which is no damage; it stays as it is.
    """
    folder = stage_dir / "checkpoints"
    if not folder.is_dir():
        return None
    _put_back(folder)
    say = (progress or Silent()).say
    for step in reversed(_steps(folder)):
        if newest is not None and step > newest:
            continue
        path = folder / f"step-{step:08d}"
        problem = verify_checkpoint(path)
        if not problem:
            return Checkpoint(
                step,
                load_file(path / WEIGHTS),
                load_file(path / OPTIMIZER),
                read_json(path / STATE),
                path,
            )
        aside = _set_aside(path)
        say(f"{path} is damaged ({problem}); kept as {aside.name}, going back to the one before")
    if _some_aside(folder):
        raise _all_damaged(stage_dir)
    return None


def _some_aside(folder: Path) -> bool:
    return folder.is_dir() and any(_ASIDE.fullmatch(entry.name) for entry in folder.iterdir())


def _all_damaged(stage_dir: Path) -> CheckpointError:
    return CheckpointError(
        f"every checkpoint in {stage_dir / 'checkpoints'} is damaged",
        remedy=f"restore one from a copy, or delete {stage_dir} to start the stage again",
    )


def verify_checkpoint(path: Path) -> str:
    """What is wrong with the checkpoint at `path`, in a few words; "" where nothing is.

    Raises:
        CheckpointError: it is of another version's format, which is no damage.
        RunError: it cannot be read, which is none either.
    """
    try:
        manifest = read_manifest(path)
        named = _NAME.fullmatch(path.name)
        if named and int(named.group(1)) != manifest.step:
            return f"the manifest is of step {manifest.step}"
        for name, record in manifest.files.items():
            size = (path / name).stat().st_size
            if size != record.bytes:
                return f"{name} has {size} bytes instead of {record.bytes}"
            if sha256_file(path / name) != record.sha256:
                return f"{name} does not match its sha256"
    except (ConfigError, DataError) as error:
        return str(error)
    except (OSError, RunError) as error:
        told = error if isinstance(error, OSError) else error.__cause__  # of the manifest
        if not isinstance(told, OSError):
            raise
        if told.errno not in _OF_DAMAGE:
            raise _unreadable(told, path) from told
        return str(told)
    if missing := {WEIGHTS, OPTIMIZER, STATE} - manifest.files.keys():
        return f"{min(missing)} is not in the manifest"
    return ""


def _unreadable(error: OSError, path: Path) -> HomespunError:
    """Of a disk or server that does not hand over what is in a checkpoint, where it may later."""
    if error.errno != errno.EIO:
        return os_error(error, f"reading {path}")
    return RunError(
        f"{path} could not be read ({error.strerror}), which does not say that it is damaged",
        remedy="see that its disk is well and connected, and run again; where it stays unreadable, "
        "delete that folder to go on from the checkpoint before",
    )


def read_manifest(path: Path) -> Manifest:
    """Raises DataError or ConfigError where the manifest is missing or not one, CheckpointError
    where it is of another version's format."""
    path = path / "manifest.json"
    return parse_config(Manifest, _read(path), where=str(path))


def is_whole(stage_dir: Path, step: int) -> bool:
    """Whether there is a checkpoint of `step` that verifies."""
    path = stage_dir / "checkpoints" / f"step-{step:08d}"
    return path.is_dir() and not verify_checkpoint(path)


def load_weights(stage_dir: Path) -> dict[str, Tensor]:
    """The weights of a stage: the final ones, or of a stage still under way the newest. Where it
    averages them (`TrainConfig.ema`), the average.

    Only reads; what is damaged stays where it is.

    Raises:
        CheckpointError: there are none, or they are damaged. RunError: they cannot be read.
    """
    done = read_done(stage_dir)
    folder = stage_dir / "checkpoints"
    if done is None:
        for step in reversed(_steps(folder)):
            if not verify_checkpoint(folder / f"step-{step:08d}"):
                return _usable(folder / f"step-{step:08d}")
        if _steps(folder) or _some_aside(folder):
            raise _all_damaged(stage_dir)
        raise CheckpointError(f"{stage_dir} holds no weights yet", remedy="train the stage first")
    path = folder / done.checkpoint
    problem = verify_checkpoint(path)
    if not problem and read_manifest(path).files[WEIGHTS].sha256 != done.weights_sha256:
        problem = "it is not the one that done.json names"
    if problem:
        raise CheckpointError(
            f"the final weights {path} are damaged: {problem}",
            remedy=f"delete {stage_dir / 'done.json'} and train again, which goes on from the "
            "checkpoint before",
        )
    return _usable(path)


def _usable(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, or their average where the stage keeps one and has begun it."""
    weights = load_file(path / WEIGHTS)
    with safe_open(path / OPTIMIZER, framework="pt") as tensors:
        names = set(tensors.keys())
        count = f"{AVERAGE_PREFIX}{COUNT}"
        if count in names and float(tensors.get_tensor(count)) > 0:
            for name in weights:
                if f"{AVERAGE_PREFIX}{name}" in names:
                    weights[name] = tensors.get_tensor(f"{AVERAGE_PREFIX}{name}")
    return weights


def write_done(stage_dir: Path, checkpoint: Path, result: dict[str, Any]) -> None:
    """Mark the stage complete."""
    sha256 = read_manifest(checkpoint).files[WEIGHTS].sha256
    done = Done(checkpoint=checkpoint.name, weights_sha256=sha256, result=result)
    write_json(stage_dir / "done.json", done.model_dump())


def read_done(stage_dir: Path) -> Done | None:
    """None while the stage is not complete. Raises DataError or ConfigError for a damaged file,
    CheckpointError for one of another version's format."""
    path = stage_dir / "done.json"
    if not path.is_file():
        return None
    return parse_config(Done, _read(path), where=str(path))


def _read(path: Path) -> dict[str, Any]:
    """The fields of a file that says of which format it is, which is looked at before all else."""
    value = read_json(path)
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    found = fields.get("format", FORMAT)
    if isinstance(found, int) and found != FORMAT:
        raise CheckpointError(
            f"{path} should be of format {FORMAT}",
            got=found,
            remedy="use the version of homespun that wrote it, or delete the stage's folder",
        )
    return fields


def _plain(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What safetensors takes: contiguous, on the CPU, none sharing memory with another."""
    if isinstance(tensors, Gathered):  # made one at a time, when it is written
        return tensors
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        is_view = tensor.untyped_storage().nbytes() != tensor.nbytes
        plain[name] = tensor.clone() if is_view else tensor
    return plain


def _record(path: Path) -> FileRecord:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
    return FileRecord(bytes=path.stat().st_size, sha256=sha256_file(path))


def _steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, ascending."""
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(name.group(1)) for name in names if name)


@contextmanager
def _out_of_the_way(path: Path) -> Iterator[None]:
    """Another checkpoint takes the place of one at `path`, which is deleted only after that.

    A folder that is not empty cannot be renamed over, so for a moment there is none; a kill in that
    moment leaves what `_put_back` puts back."""
    before = path.with_name(f".{path.name}{_BEFORE}")
    if path.exists():
        os.replace(path, before)
    try:
        yield
    except OSError:
        with suppress(OSError):
            os.replace(before, path)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _put_back(folder: Path) -> None:
    """Undo what a kill left half-way while a checkpoint took the place of another."""
    for before in folder.glob(f".step-*{_BEFORE}"):
        path = folder / before.name.removeprefix(".").removesuffix(_BEFORE)
        if not path.exists() and not verify_checkpoint(before):
            os.replace(before, path)


def _remove(path: Path) -> None:
    """Delete a checkpoint so that a kill half-way leaves a leftover, not a damaged checkpoint."""
    doomed = path.with_name(f".{path.name}.old.tmp")
    with suppress(OSError):
        os.replace(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged")
    number = 2
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{number}")
        number += 1
    os.replace(path, aside)
    return aside


def _save_error(error: Exception, path: Path) -> HomespunError:
    doing = f"saving the checkpoint {path}"
    if isinstance(error, HomespunError):
        return error
    if isinstance(error, OSError):
        return os_error(error, doing)
    # safetensors reports the operating system's error in its text only.
    if told := re.search(r"os error (\d+)", str(error)):
        number = int(told[1])
        return os_error(OSError(number, os.strerror(number)), doing)
    return CheckpointError(f"{error} while {doing}", remedy="mend that and run again")
