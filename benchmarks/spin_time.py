"""Does `homespun spin` end on time, also when it is killed on the way?

    python benchmarks/spin_time.py --minutes 10 --kills 2 --json out.json [SOURCE]

Starts the real command in an empty folder, kills it with -9 at random moments, starts it again with
the same words, and reports the wall-clock seconds that its processes were alive, the working
seconds that the run counted, and how the model compares with its baselines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", help="folder or corpus; default: python")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the moments to kill at")
    parser.add_argument("--runs", type=Path, help="keep the run in this folder")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()

    runs = args.runs or Path(tempfile.mkdtemp(prefix="homespun-spin-"))
    command = [sys.executable, "-m", "homespun", "spin"]
    if args.source:
        command.append(args.source)
    command += [f"--minutes={args.minutes:g}", "--name=timed", f"--runs={runs}", "--no-chat"]
    total = 60 * args.minutes
    rng = random.Random(args.seed)
    moments = sorted(rng.uniform(0.05, 0.9) * total for _ in range(args.kills))
    alive, killed_at = 0.0, []
    while True:
        started = time.monotonic()
        process = subprocess.Popen(command, start_new_session=True)
        limit = max(1.0, moments[0] - alive) if moments else None
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        alive += time.monotonic() - started
        if code is not None:
            break
        killed_at.append(round(alive, 1))
        moments.pop(0)

    run = runs / "timed"
    result = {
        "command": " ".join(command[1:]),
        "exit_code": code,
        "asked_seconds": total,
        "alive_seconds": round(alive, 1),
        "off_by": round(alive / total - 1, 4),
        "killed_at": killed_at,
    }
    if code == 0:
        evaluation = json.loads((run / "eval.json").read_text())
        baselines = json.loads((run / "baselines.json").read_text())
        result |= {
            "working_seconds": json.loads((run / "clock.json").read_text())["seconds"],
            "peak_memory_bytes": json.loads((run / "timings.json").read_text())[
                "peak_memory_bytes"
            ],
            "parameters": evaluation["model"]["parameters"],
            "bits_per_byte": {
                "model": evaluation["validation"]["bits_per_byte"],
                **{model["name"]: model["bits_per_byte"] for model in baselines["models"]},
            },
        }
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if code == 0 and abs(result["off_by"]) <= 0.1 else 1


if __name__ == "__main__":
    sys.exit(main())
