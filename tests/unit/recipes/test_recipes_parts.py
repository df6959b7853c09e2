"""The small parts of the recipes: plans held to, times kept, names, and the process."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from homespun.core import ConfigError, DataError, RunDirectory, RunError, WorkClock
from homespun.recipes import doctor
from homespun.recipes.learn import check_chat_budget
from homespun.recipes.pipeline import check_settings, default_name, source_name
from homespun.recipes.plan import (
    PlanOptions,
    check_not_begun,
    check_plan,
    check_preset,
    read_plan,
)
from homespun.recipes.process import prepare_process
from homespun.recipes.texts import ensure_conversations
from homespun.recipes.timing import Timings

PLAN = {
    "format": 1, "asked": {"seconds": 120.0, "steps": None, "size": None}, "size": "1m",
    "parameters": 10**6, "model": {}, "rows": 8, "seconds": 120.0, "num_steps": None,
    "expected_tokens": 10, "expected_epochs": 1.0, "speeds": [], "reason": "", "threads": 2,
    "compute_dtype": "float32",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path)
    run.plan.write_text(json.dumps(PLAN))
    return run


def test_a_plan_is_kept_to_and_what_is_not_asked_is_not_compared(run: RunDirectory) -> None:
    check_plan(run, seconds=120.0, steps=None, size=None)
    check_plan(run, seconds=None, steps=None, size=None)


def test_another_plan_is_refused_with_all_that_rests_on_it(run: RunDirectory) -> None:
    run.stage("pretrain").mkdir()
    run.stage("sft").mkdir()
    with pytest.raises(RunError, match="leave --minutes out") as caught:
        check_plan(run, seconds=180.0, steps=None, size=None)
    assert "was made with --minutes 2 (got --minutes 3)" in str(caught.value)
    options = PlanOptions(memory=4 * 10**9)
    with pytest.raises(RunError, match=r"made without --memory \(got --memory 4 GB\)"):
        check_plan(run, seconds=None, steps=None, size=None, options=options)
    for path in (run.plan, run.stage("pretrain"), run.stage("sft")):
        assert str(path) in str(caught.value)
    with pytest.raises(RunError, match="leave --size out"):
        check_plan(run, seconds=None, steps=None, size="8m")


def test_a_plan_of_a_later_format_or_no_plan_is_refused(run: RunDirectory) -> None:
    assert read_plan(run).seconds == 120
    run.plan.write_text(json.dumps({**PLAN, "format": 3, "novelty": True}))
    with pytest.raises(RunError, match="format 3"):
        read_plan(run)
    run.plan.write_text("[]")
    with pytest.raises(RunError, match="not a plan"):
        read_plan(run)


def test_a_plan_can_change_until_pretraining_begins(run: RunDirectory) -> None:
    check_not_begun(run)
    run.stage("pretrain").mkdir()
    (run.stage("pretrain") / "config.json").write_text("{}")
    with pytest.raises(RunError, match="new run"):
        check_not_begun(run)


def test_the_fine_tune_keeps_the_budget_it_began_with(run: RunDirectory) -> None:
    check_chat_budget(run, seconds=60, steps=None)  # nothing has begun
    run.stage("sft").mkdir()
    config = run.stage("sft") / "config.json"
    config.write_text(json.dumps({"train": {"seconds": 60.0, "num_steps": 500}}))
    check_chat_budget(run, seconds=60, steps=None)
    check_chat_budget(run, seconds=None, steps=None)
    with pytest.raises(RunError, match="leave --minutes out"):
        check_chat_budget(run, seconds=90, steps=None)
    with pytest.raises(RunError, match="leave --steps out"):
        check_chat_budget(run, seconds=None, steps=500)


def test_conversations_of_another_file_are_refused(run: RunDirectory, tmp_path: Path) -> None:
    from homespun.core import Silent
    from homespun.core.files import sha256_file

    mine = tmp_path / "mine.jsonl"
    mine.write_text("one")
    (run.path / "chat").mkdir()
    card = {"input": {"sha256": sha256_file(mine)}}
    (run.path / "chat" / "card.json").write_text(json.dumps(card))

    def ask(chat: Path | None) -> object:
        return ensure_conversations(run, "source", chat, seed=0, progress=Silent())

    assert ask(mine) == ask(None) == card
    mine.write_text("two")
    with pytest.raises(RunError, match=r"mine.jsonl; delete .*chat"):
        ask(mine)


def test_a_stage_keeps_its_first_start_over_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "timings.json"

    def at(seconds: float) -> Timings:
        (tmp_path / "clock.json").write_text(json.dumps({"seconds": seconds}))
        return Timings(path, WorkClock(tmp_path / "clock.json"))

    with pytest.raises(KeyboardInterrupt), at(10).stage("corpus"):
        raise KeyboardInterrupt
    assert json.loads(path.read_text())["stages"]["corpus"][1] is None
    with at(50).stage("corpus"):
        pass
    with at(90).stage("corpus"):  # done before: passed over
        pass
    kept = json.loads(path.read_text())
    start, end = kept["stages"]["corpus"]
    assert 10 <= start < 11
    assert 50 <= end < 51
    assert kept["peak_memory_bytes"] > 5e6


def test_damaged_times_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "timings.json").write_text('{"stages": 3}')
    timings = Timings(tmp_path / "timings.json", WorkClock(tmp_path / "clock.json"))
    timings.mark("report")
    assert list(json.loads((tmp_path / "timings.json").read_text())["stages"]) == ["report"]


@pytest.mark.parametrize(
    ("source", "name"),
    [("python", "python"), ("/a/My tales", "My-tales"), ("/a/.hidden", "hidden"),
     ("/a/故事", "故事"), ("/", "run")],
)  # fmt: skip
def test_a_run_is_named_after_its_source(source: str, name: str) -> None:
    assert default_name(source) == name


def test_a_run_of_one_file_leaves_its_suffix_out(tmp_path: Path) -> None:
    (tmp_path / "野草.txt").write_text("野草")
    assert default_name(str(tmp_path / "野草.txt")) == "野草"


def test_a_source_is_a_path_or_a_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tales").mkdir()
    monkeypatch.chdir(tmp_path)
    assert source_name("tales") == str((tmp_path / "tales").resolve())
    assert source_name(None) == source_name("python") == "python"
    with pytest.raises(DataError, match="did you mean 'python'"):
        source_name("pyhton")


def test_settings_that_cannot_be_meant_are_refused() -> None:
    check_settings(minutes=10, steps=None, seed=0)
    with pytest.raises(ConfigError, match="steps"):
        check_settings(minutes=None, steps=0, seed=0)
    with pytest.raises(ConfigError, match="seed"):
        check_settings(minutes=None, steps=None, seed=-1)
    check_preset("fast")
    with pytest.raises(ConfigError, match=r"no preset of that name.*fast"):
        check_preset("Fast")


def test_the_name_doctor_is_the_function() -> None:
    import homespun.recipes.checkup as checkup

    assert doctor is checkup.doctor


def spins_after(environment: dict[str, str], code: str = "") -> str:
    """GOMP_SPINCOUNT as a fresh process has it after `prepare_process`."""
    program = f"""
import os, sys
{code}
from homespun.recipes.process import prepare_process
prepare_process(); prepare_process()
print(os.environ.get("GOMP_SPINCOUNT", "unset"))
"""
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, **environment}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def test_threads_spin_briefly_unless_the_user_has_said_otherwise() -> None:
    assert spins_after({}) == "10000"
    assert spins_after({"GOMP_SPINCOUNT": "7"}) == "7"
    assert spins_after({"OMP_WAIT_POLICY": "PASSIVE"}) == "unset"
    assert spins_after({}, "sys.modules['torch'] = sys") == "unset"  # too late: say nothing


@pytest.mark.parametrize(("most", "threshold"), [(2**40, 1 << 30), (32 << 20, 32 << 20)])
def test_large_blocks_are_kept_by_older_c_libraries_too(
    monkeypatch: pytest.MonkeyPatch, most: int, threshold: int
) -> None:
    """glibc 2.34 and older take no more than half a heap, and say so by a 0."""
    found = {-3: 128 << 10}

    def mallopt(name: int, value: int) -> int:
        if name == -3 and value > most:
            return 0
        found[name] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    prepare_process()
    assert found == {-3: threshold, -1: 2**31 - 1, -2: 64 << 20}


def test_preparing_twice_in_a_running_process_is_harmless() -> None:
    prepare_process()
    prepare_process()
