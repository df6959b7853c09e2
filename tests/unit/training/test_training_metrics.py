import errno
import json
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from homespun.core import BudgetError, DataError
from homespun.training.metrics import MetricsLog


def row(step: int, kind: str = "train") -> dict[str, object]:
    return {"kind": kind, "step": step, "loss": 1 / step}


def steps(folder: Path) -> list[tuple[str, int]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [(value["kind"], value["step"]) for value in map(json.loads, lines)]


def events(path: Path) -> list[Event]:
    """Read a TFRecord file: length (8 bytes), crc (4), data, crc (4)."""
    data, found, place = path.read_bytes(), [], 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        found.append(Event.FromString(data[place + 12 : place + 12 + length]))
        place += 16 + length
    return found


def test_rows_are_appended_in_order(tmp_path):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    for step in (1, 2):
        log.write(row(step))
    log.write(row(2, "eval"))
    log.close()
    assert steps(tmp_path) == [("train", 1), ("train", 2), ("eval", 2)]


def test_rows_behind_the_checkpoint_are_removed_on_resume(tmp_path):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    for step in range(1, 6):
        log.write(row(step))
    log.write(row(5, "eval"))
    log.close()
    log = MetricsLog(tmp_path, step=3, tensorboard=False)
    log.write(row(4))
    log.close()
    assert steps(tmp_path) == [("train", 1), ("train", 2), ("train", 3), ("train", 4)]


@pytest.mark.parametrize("is_evaluated", [True, False])
def test_an_evaluation_the_checkpoint_does_not_know_of_is_removed_on_resume(tmp_path, is_evaluated):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    found = row(3, "health")
    rows = [row(2, "eval"), row(3), found, row(3, "eval"), row(3, "sample"), found]
    for value in rows:
        log.write(value)
    log.close()
    MetricsLog(tmp_path, step=3, is_evaluated=is_evaluated, tensorboard=False).close()
    kept = [(str(value["kind"]), value["step"]) for value in rows]
    # What the evaluation found is found again as well; what the step itself did is not.
    assert steps(tmp_path) == (kept if is_evaluated else kept[:3])


@pytest.mark.parametrize("tail", [b'{"kind": "train", "st', b'{"kind": "train", "step": 4}'])
def test_a_last_row_that_was_cut_off_never_joins_the_next(tmp_path, tail):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    log.write(row(1))
    log.close()
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(tail)
    log = MetricsLog(tmp_path, step=9, tensorboard=False)
    log.write(row(10))
    log.close()
    assert steps(tmp_path)[-1] == ("train", 10)
    assert steps(tmp_path)[0] == ("train", 1)


def test_rows_that_are_kept_stay_byte_for_byte(tmp_path):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    log.write({"kind": "train", "step": 1, "loss": 0.1 + 0.2, "text": "自然 ü"})
    log.close()
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"kind": "train", "step": 2, "loss": 1.0}\n')
    MetricsLog(tmp_path, step=1, tensorboard=False).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_row_that_is_not_json_in_the_middle_is_said(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('garbage\n{"kind": "train", "step": 1}\n')
    with pytest.raises(DataError, match="line 1 of"):
        MetricsLog(tmp_path, step=1, tensorboard=False)


def test_a_disk_without_room_for_event_files_is_told_in_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("homespun.training.metrics._Events", full)
    with pytest.raises(BudgetError, match="no space left while writing the event files"):
        MetricsLog(tmp_path, step=0)


def test_sync_makes_rows_visible_at_once(tmp_path):
    log = MetricsLog(tmp_path, step=0, tensorboard=False)
    log.write(row(1))
    log.sync()
    assert steps(tmp_path) == [("train", 1)]
    log.close()


def test_tensorboard_gets_the_numbers_and_purges_what_is_repeated(tmp_path):
    log = MetricsLog(tmp_path, step=7)
    log.write({"kind": "train", "step": 8, "loss": 0.5, "lr": 0.25, "grad_norm": None})
    log.write({"kind": "eval", "step": 8, "loss": 0.75, "split": "validation"})
    log.write({"kind": "sample", "step": 8, "prompt": "a", "text": "b"})
    log.close()
    (path,) = tmp_path.glob("events*")
    found = events(path)
    starts = [event for event in found if event.session_log.status == 1]
    assert [event.step for event in starts] == [8], "what an earlier process logged from step 8 on"
    values = {
        value.tag: (event.step, value.simple_value)
        for event in found
        for value in event.summary.value
    }
    assert values == {"train/loss": (8, 0.5), "train/lr": (8, 0.25), "eval/loss": (8, 0.75)}
