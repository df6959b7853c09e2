"""A trial's own process: `python -m homespun.recipes.bench.promise_child`.

The job is a JSON object on stdin; what came of it is one JSON line on stdout. Time counts from the
start of the process, as for whoever waits for it.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from homespun.recipes.process import end_with_parent


def main() -> int:
    end_with_parent()
    job = json.loads(sys.stdin.readline())
    came = keep_promise(Path(job["run"]), job["minutes"], job["preset"])
    sys.stdout.write(json.dumps(came) + "\n")
    return 0


def keep_promise(path: Path, minutes: float, preset: Any) -> dict[str, Any]:
    """Plan and pretrain, then read all of the validation text, which is not part of the time."""
    import psutil

    from homespun.core import RunDirectory
    from homespun.core.files import read_json
    from homespun.recipes.stages import pretrain_stage

    began = psutil.Process().create_time()
    done = pretrain_stage(path, minutes=minutes, preset=preset)
    ended = time.time()
    from homespun.corpus import open_split
    from homespun.evaluation import quick_validation
    from homespun.recipes.scale.options import bytes_per_token
    from homespun.recipes.weights import load_model

    run = RunDirectory.open(path)
    held_out: Any = open_split(run.shards, "validation")
    model = load_model(run, "pretrain")
    context = int(read_json(run.plan)["model"]["context"])
    nats = quick_validation(model, held_out, context=context, max_tokens=len(held_out))
    return {
        "planning_seconds": round(run.plan.stat().st_mtime - began, 2),
        "seconds": round(ended - began, 2),
        "tokens": done["result"]["tokens"],
        "val_loss": nats,
        "val_bpb": nats / math.log(2) / bytes_per_token(run),
        "peak_memory_bytes": done["result"]["peak_memory_bytes"],
    }


if __name__ == "__main__":
    raise SystemExit(main())
