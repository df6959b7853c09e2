import errno
import io
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from homespun.core import BudgetError, CheckpointError, RunError
from homespun.core.files import sha256_file
from homespun.training import checkpoint as module
from homespun.training import load_checkpoint, load_weights, read_done, save_checkpoint
from homespun.training.checkpoint import write_done


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def save(stage: Path, step: int, *, keep: int = 2) -> Path:
    weights = {"w": torch.full((4,), float(step)), "b": torch.arange(3.0)}
    return save_checkpoint(
        stage, step, weights, {"adamw.w.mean": torch.ones(4)}, {"step": step}, keep=keep
    )


def names(stage: Path) -> list[str]:
    return sorted(path.name for path in (stage / "checkpoints").iterdir())


def damage(path: Path, how: str) -> None:
    file = path / "weights.safetensors"
    if how == "flipped bit":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
    elif how == "cut off":
        os.truncate(file, file.stat().st_size - 1)
    elif how == "missing file":
        file.unlink()
    elif how == "no manifest":
        (path / "manifest.json").unlink()
    elif how == "half a manifest":
        (path / "manifest.json").write_text('{"format": 1, "st')
    elif how == "other manifest":
        (path / "manifest.json").write_text("[]")
    elif how == "short manifest":
        manifest = json.loads((path / "manifest.json").read_text())
        del manifest["files"]["optimizer.safetensors"]
        (path / "manifest.json").write_text(json.dumps(manifest))


DAMAGES = [
    "flipped bit",
    "cut off",
    "missing file",
    "no manifest",
    "half a manifest",
    "other manifest",
    "short manifest",
]


def test_what_was_saved_is_loaded(tmp_path):
    path = save(tmp_path, 100)
    assert path.name == "step-00000100"
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 100
    assert loaded.state == {"step": 100}
    assert torch.equal(loaded.weights["w"], torch.full((4,), 100.0))
    assert torch.equal(loaded.optimizer["adamw.w.mean"], torch.ones(4))


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".step-00000001.tmp").mkdir()
    assert load_checkpoint(tmp_path) is None


def test_the_newest_two_stay_and_leftovers_go(tmp_path):
    save(tmp_path, 1)
    leftover = tmp_path / "checkpoints" / ".step-00000002.tmp"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    for step in (2, 3, 100_000_000):
        save(tmp_path, step)
    assert names(tmp_path) == ["step-00000003", "step-100000000"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_reported_set_aside_and_the_one_before_taken(tmp_path, how):
    save(tmp_path, 1)
    damage(save(tmp_path, 2), how)
    notes = Notes()
    loaded = load_checkpoint(tmp_path, progress=notes)
    assert loaded is not None
    assert loaded.step == 1
    assert names(tmp_path) == ["step-00000001", "step-00000002.damaged"]
    assert len(notes.said) == 1
    assert "step-00000002 is damaged" in notes.said[0]


@pytest.mark.parametrize("how", DAMAGES)
def test_all_damaged_is_an_error_that_stays_one(tmp_path, how):
    damage(save(tmp_path, 1), how)
    damage(save(tmp_path, 2), how)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"every checkpoint .* delete .* start"):
            load_checkpoint(tmp_path, progress=Notes())


def test_a_damaged_step_can_be_damaged_again(tmp_path):
    save(tmp_path, 1)
    for _ in range(2):
        damage(save(tmp_path, 2), "cut off")
        load_checkpoint(tmp_path, progress=Notes())
    assert names(tmp_path) == [
        "step-00000001",
        "step-00000002.damaged",
        "step-00000002.damaged-2",
    ]


def refuse(monkeypatch, file: Path, number: int) -> None:
    """Whoever opens `file` is told of error `number`."""
    opened = io.open

    def fail(path, *args, **kwargs):
        if not isinstance(path, int) and Path(path) == file:
            raise OSError(number, os.strerror(number))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(io, "open", fail)
    monkeypatch.setattr("builtins.open", fail)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE, errno.EIO])
def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_a_damaged_one(
    tmp_path, monkeypatch, number, name
):
    save(tmp_path, 1)
    refuse(monkeypatch, save(tmp_path, 2) / name, number)
    for load in (load_checkpoint, load_weights):
        with pytest.raises(RunError) as caught:
            load(tmp_path)
        told = str(caught.value)
        assert "step-00000002" in told
        assert ("not say that it is damaged" if number == errno.EIO else "while reading") in told
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    monkeypatch.undo()
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 2


def test_a_manifest_that_is_a_folder_is_damage_as_weights_are(tmp_path):
    for step, name in ((1, "weights.safetensors"), (2, "manifest.json")):
        file = save(tmp_path, step) / name
        file.unlink()
        file.mkdir()
        assert module.verify_checkpoint(file.parent)
    with pytest.raises(CheckpointError, match="every checkpoint"):
        load_checkpoint(tmp_path, progress=Notes())


@pytest.mark.parametrize("how", ["unreadable", "damaged"])
def test_a_newest_checkpoint_whose_counters_cannot_be_read_is_not_deleted(
    tmp_path, monkeypatch, how
):
    for step in (1, 2):
        path = save(tmp_path, step)
    if how == "damaged":
        (path / "state.json").write_text("{")
    else:
        refuse(monkeypatch, path / "state.json", errno.EIO)
    module.conclude_rewind(tmp_path)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_what_a_rewind_left_is_deleted_though_a_checkpoint_between_is_damaged(tmp_path):
    for step, rewinds in ((1, 0), (2, 1), (3, 0), (4, 0)):
        state = {"step": step, "rewinds": rewinds}
        save_checkpoint(tmp_path, step, {"w": torch.ones(1)}, {}, state, keep=9)
    (tmp_path / "checkpoints" / "step-00000003" / "state.json").write_text("{")
    module.conclude_rewind(tmp_path)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize("is_aside", [False, True])
def test_weights_of_a_stage_without_a_whole_checkpoint_are_not_said_to_be_still_to_come(
    tmp_path, is_aside
):
    damage(save(tmp_path, 1), "cut off")
    if is_aside:
        with pytest.raises(CheckpointError):
            load_checkpoint(tmp_path, progress=Notes())
    with pytest.raises(CheckpointError, match=r"every checkpoint .* is damaged; restore one"):
        load_weights(tmp_path)


FULL = SafetensorError("I/O error: No space left on device (os error 28)")
NO_MORE = SafetensorError("I/O error: Disk quota exceeded (os error 122)")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), FULL, NO_MORE])
def test_a_full_disk_leaves_earlier_checkpoints_and_no_temporary_folder(
    tmp_path, monkeypatch, error
):
    path = save(tmp_path, 1)
    before = sha256_file(path / "weights.safetensors")

    def fail(tensors, filename):
        Path(filename).write_bytes(b"half")
        raise error

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(BudgetError, match="no space left while saving the checkpoint"):
        save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001"]
    assert sha256_file(path / "weights.safetensors") == before
    monkeypatch.undo()
    save(tmp_path, 2)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 2


def test_a_disk_that_fills_up_at_fsync_is_the_same_error(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(BudgetError, match="no space left"):
        save(tmp_path, 1)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(RunError, match="saving the checkpoint"):
        save(tmp_path, 1)


def test_saving_a_step_again_replaces_it(tmp_path):
    save(tmp_path, 1)
    save_checkpoint(tmp_path, 1, {"w": torch.zeros(2)}, {}, {"step": 1})
    assert names(tmp_path) == ["step-00000001"]
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.weights["w"].tolist() == [0.0, 0.0]


def test_final_weights_are_those_done_json_names(tmp_path):
    first = save(tmp_path, 1)
    save(tmp_path, 2)
    write_done(tmp_path, first, {"steps": 1})
    assert load_weights(tmp_path)["w"].tolist() == [1.0] * 4
    done = read_done(tmp_path)
    assert done is not None
    assert done.weights_sha256 == sha256_file(first / "weights.safetensors")


def test_damaged_final_weights_are_refused_with_a_way_out_and_left_where_they_are(tmp_path):
    save(tmp_path, 1)
    final = save(tmp_path, 2)
    write_done(tmp_path, final, {})
    damage(final, "flipped bit")
    with pytest.raises(CheckpointError, match=r"final weights .* delete .*done\.json"):
        load_weights(tmp_path)
    assert final.is_dir()


def test_final_weights_that_were_exchanged_are_refused(tmp_path):
    save(tmp_path, 1)
    final = save(tmp_path, 2)
    write_done(tmp_path, final, {})
    shutil.rmtree(final)
    save_checkpoint(tmp_path, 2, {"w": torch.zeros(4)}, {}, {})
    with pytest.raises(CheckpointError, match=r"not the one that done\.json names"):
        load_weights(tmp_path)


def test_weights_of_an_unfinished_stage_are_the_newest_whole_ones(tmp_path):
    with pytest.raises(CheckpointError, match="no weights yet"):
        load_weights(tmp_path)
    save(tmp_path, 1)
    damage(save(tmp_path, 2), "cut off")
    assert load_weights(tmp_path)["w"].tolist() == [1.0] * 4
    assert names(tmp_path) == ["step-00000001", "step-00000002"], "only read"


def test_a_checkpoint_under_the_name_of_another_step_is_set_aside(tmp_path):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    path.rename(path.with_name("step-00000003"))
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert names(tmp_path) == ["step-00000001", "step-00000003.damaged"]


@pytest.mark.parametrize("name", ["manifest.json", "done.json"])
def test_another_versions_files_are_refused_and_left_alone(tmp_path, name):
    path = save(tmp_path, 1)
    write_done(tmp_path, path, {})
    file = next(tmp_path.rglob(name))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2, "new": 1}))
    with pytest.raises(CheckpointError, match=rf"{name} should be of format 1 \(got 2\)"):
        load_weights(tmp_path)
    if name == "manifest.json":
        with pytest.raises(CheckpointError, match="should be of format 1"):
            load_checkpoint(tmp_path)
    assert names(tmp_path) == ["step-00000001"]
