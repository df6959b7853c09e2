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
