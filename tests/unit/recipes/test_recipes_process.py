"""What a job's process does beside its work."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

GRANDCHILD = """
import sys, time
from homespun.recipes.process import end_with_parent
end_with_parent(look_seconds=0.05)
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_a_job_ends_soon_after_who_asked_for_it_is_killed() -> None:
    command = [sys.executable, "-c", PARENT, GRANDCHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        job = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.2)
        assert job.is_running()  # not before
        parent.kill()
    try:
        job.wait(timeout=10)
    except psutil.NoSuchProcess:
        return
    assert not job.is_running()


JOBS = """
import sys
from pathlib import Path

from homespun.recipes import checkup, stages
from homespun.recipes.bench.ablation import AblationAsk, run as ablation
from homespun.recipes.extend import average
from homespun.recipes.questions import encoder
from homespun.recipes.questions.ask import QuestionsAsk
from homespun.recipes.scale import tune

nowhere = Path("nowhere")
jobs = {
    "ablation": (ablation, lambda: ablation.bench_ablation(AblationAsk("x", 1.0, nowhere))),
    "average": (average, lambda: average.average_run(nowhere)),
    "doctor": (checkup, checkup.doctor),
    "encoder": (encoder, lambda: encoder.ask_encoder(nowhere, QuestionsAsk("blimp", nowhere))),
    "plan": (stages, lambda: stages.plan_stage(nowhere, steps=1)),
    "pretrain": (stages, lambda: stages.pretrain_stage(nowhere)),
    "tune": (tune, lambda: tune.tune(nowhere, minutes=1.0)),
}


class Prepared(Exception):
    pass


def prepare():
    raise Prepared("torch" in sys.modules)


for name, (module, job) in jobs.items():
    module.prepare_process = prepare
    try:
        job()
    except Prepared as found:
        print(name, found)
"""


def test_a_process_is_prepared_before_torch_is_loaded() -> None:
    """Else how its threads wait is settled, and a plan is measured otherwise than trained."""
    command = [sys.executable, "-c", JOBS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ("ablation", "average", "doctor", "encoder", "plan", "pretrain", "tune")
    assert done.stdout.splitlines() == [f"{name} False" for name in names]
