"""A killed training goes on as if nothing had happened. See benchmarks/kill_resume.py."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kill_resume(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import kill_resume

    yield kill_resume
    sys.modules.pop("kill_resume", None)


@pytest.mark.parametrize("as_users", [False, True])
def test_kills_at_random_moments_and_while_saving_leave_no_trace(kill_resume, tmp_path, as_users):
    kills = kill_resume.run_kills(
        tmp_path, num_kills=2, num_saving=1, num_steps=24, as_users=as_users
    )
    assert len(kills) >= 2
    assert sum(kill.was_saving for kill in kills) >= 1
    assert all(kill.same_weights for kill in kills), kills
    assert all(kill.same_rows for kill in kills), kills


@pytest.mark.slow
@pytest.mark.parametrize("as_users", [False, True])
def test_two_hundred_kills_leave_no_trace(kill_resume, tmp_path, as_users):
    kills = kill_resume.run_kills(tmp_path, num_kills=100, num_saving=25, as_users=as_users)
    assert len(kills) >= 100
    assert sum(kill.was_saving for kill in kills) >= 25
    assert all(kill.same_weights and kill.same_rows for kill in kills), kills


@pytest.mark.slow
def test_twenty_poisoned_batches_leave_the_result_as_it_is(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import poison

    report = poison.compare(tmp_path, num_steps=1600, seeds=2)
    sys.modules.pop("poison", None)
    assert report["good"], report


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """How a training of 40 steps ends that nobody stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import kill_resume

        folder = tmp_path_factory.mktemp("undisturbed")
        kill_resume.Trainings(num_steps=40, num_threads=1).finish(folder)
        return kill_resume.outcome(folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_and_the_same_call_goes_on(
    kill_resume, undisturbed, tmp_path, number, code
):
    trainings = kill_resume.Trainings(num_steps=40, num_threads=1)
    process = trainings.start(tmp_path / "signalled")
    metrics = tmp_path / "signalled/pretrain/checkpoints/step-00000007"
    while not metrics.exists():
        assert process.is_alive()
        time.sleep(0.001)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    stage = tmp_path / "signalled/pretrain"
    assert not (stage / "done.json").exists()
    saved = max(int(path.name[5:]) for path in (stage / "checkpoints").glob("step-*"))
    rows = (stage / "metrics.jsonl").read_text().splitlines()
    assert f'"step": {saved},' in rows[-1], "the last step made is the one saved"
    trainings.finish(tmp_path / "signalled")
    assert kill_resume.outcome(tmp_path / "signalled") == undisturbed
