"""Whatever is wrong, the command says so in one sentence and leaves everything as it was.

The cases are those of `benchmarks/bad_input.py`; here most run in this process, to be quick.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_input import Outcome, complaints, judge, run_process, snapshot
from bad_input_cases import CASES
from bad_input_stage import Case, Place, SkipCaseError, open_place

from homespun.cli import main

Run = Callable[[list[str], Place], Outcome]


@pytest.fixture
def run_here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, in the case's folder, without data sets or cache."""

    def run(words: list[str], place: Place) -> Outcome:
        monkeypatch.chdir(place.folder)
        monkeypatch.setenv("HOMESPUN_CACHE", str(place.folder / "cache"))
        monkeypatch.delenv("HOMESPUN_DATA", raising=False)
        capfd.readouterr()
        code = main(words)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_bad_input_is_one_clear_sentence_and_leaves_no_trace(
    case: Case, finished: Path, tmp_path: Path, run_here: Run
) -> None:
    with open_place(finished, tmp_path / "place") as place:
        try:
            sentence, wrong = judge(case, place, run_process if case.as_process else run_here)
        except SkipCaseError as reason:
            pytest.skip(str(reason))
    assert wrong == [], sentence


def test_there_are_at_least_forty_kinds_of_bad_input() -> None:
    assert len({case.kind for case in CASES}) == len(CASES) >= 40


def test_a_process_of_its_own_ends_in_the_same_sentence(finished: Path, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.kind == "one bit of the weights")
    with open_place(finished, tmp_path / "place") as place:
        assert judge(case, place, run_process)[1] == []


def test_training_goes_back_to_the_checkpoint_before_a_damaged_one(
    finished: Path, tmp_path: Path, run_here: Run
) -> None:
    with open_place(finished, tmp_path / "place") as place:
        run = place.run()
        stage = run / "pretrain"
        (stage / "done.json").unlink()
        add_damaged_copy(stage / "checkpoints", step=5)
        before = snapshot(stage / "checkpoints" / "step-00000004")
        outcome = run_here(["pretrain", "tiny"], place)
        after = snapshot(stage / "checkpoints" / "step-00000004")
    assert outcome.code == 0, outcome.err
    assert "step-00000005 is damaged" in outcome.err
    assert "weights.safetensors does not match its sha256" in outcome.err
    assert before == after
    assert (stage / "checkpoints" / "step-00000005.damaged").is_dir()
    assert json.loads((stage / "done.json").read_text())["checkpoint"] == "step-00000004"


def test_a_good_request_still_works_on_the_same_run(
    finished: Path, tmp_path: Path, run_here: Run
) -> None:
    with open_place(finished, tmp_path / "place") as place:
        place.run()
        line = ["generate", "tiny", "--prompt", "The fox", "--max-tokens", "8", "--raw"]
        first, second = run_here(line, place), run_here(line, place)
    assert (first.code, first.err) == (0, "")
    assert first.out == second.out != ""


def test_the_judge_sees_what_it_is_there_to_see() -> None:
    case = Case("x", lambda place: [], ("folder",), 1, False, ())
    good = Outcome(1, "", "reading: done\nerror: no folder; make one\n")
    assert complaints(case, good, {"a": "1"}, {"a": "1"}) == []
    assert complaints(case, good, {"a": "1"}, {}) == ["a was lost"]
    assert complaints(case, good, {}, {"a": "1"}) == ["a was made"]
    assert complaints(case, good, {"a": "1"}, {"a": "2"}) == ["a was changed"]
    for bad in (
        good._replace(code=0),
        good._replace(err=good.err * 2),
        good._replace(err=good.err + "and more\n"),
        good._replace(err="Traceback (most recent call last):\n" + good.err),
        good._replace(err="error: no folder\n"),
        good._replace(err="error: no file; make one\n"),
    ):
        assert len(complaints(case, bad, {}, {})) == 1


def add_damaged_copy(checkpoints: Path, *, step: int) -> None:
    """Copy the newest checkpoint under a later step, with one bit of its weights flipped."""
    newest = max(checkpoints.glob("step-????????"))
    copy = checkpoints / f"step-{step:08d}"
    shutil.copytree(newest, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "step": step}))
    weights = copy / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
