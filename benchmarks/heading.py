"""What every result begins with: the command, the commit, the machine, the versions."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from homespun.core.machine import machine, versions


def heading() -> dict[str, Any]:
    """Of the script that is running, as it was called."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }


def print_heading() -> dict[str, Any]:
    """Print it, a line each; returns it for the JSON file."""
    found = heading()
    for name, value in found.items():
        text = value if isinstance(value, str) else ", ".join(f"{k} {v}" for k, v in value.items())
        print(f"{name}: {text}", flush=True)
    return found


def commit(folder: Path = Path(__file__).parent) -> str:
    """The commit of the files beside this one, and whether they differ from it; "unknown" where
    they are no checkout."""

    def git(*words: str) -> str:
        told = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return told.stdout.strip()

    try:
        number = git("rev-parse", "--short", "HEAD")
        return f"{number} and changes" if git("status", "--porcelain", "-uno") else number
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
