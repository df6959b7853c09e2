"""What `homespun finetune` reaches on data whose published results are known.

    python benchmarks/applications.py polarity sst2 trec --method linear cnn
    python benchmarks/applications.py sst2 ewt wnut --method encoder --base MINILM --seeds 3
    python benchmarks/applications.py multi30k --minutes 60 --set width=128
    python benchmarks/applications.py tatoeba-zh-en --minutes 60 --set epochs=1000 known=32
    python benchmarks/applications.py folder-en --base MINILM    # questions over a folder of files

Prints a line for each task, method and seed; `--json` keeps them. Data are those of $HOMESPUN_DATA
(--data); files and folders are made in --out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from applications_data import FILES, write
from applications_folder import measure_folder

from homespun.core import Silent
from homespun.recipes.applications import Asked, learn_application

TASKS = {
    "classify": (
        "polarity", "sst2", "trec", "davidson", "cold", "hotels", "csl-topics", "spam",
    ),
    "tag": ("ewt", "sinica", "wnut", "weibo", "resumes"),
    "pair": ("rte",),
    "translate": ("multi30k", "tatoeba-en-zh", "tatoeba-zh-en"),
    "summarise": ("scitldr", "csl-titles", "dialogsum"),
    "answer": ("xquad", "xquad-zh", "cmrc"),
}  # fmt: skip
FOLDERS = ("folder-en", "folder-zh")


def measure(
    name: str, method: str | None, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Learn and judge once."""
    learned_from, judged_on = FILES[name]
    folder = Path(options.out)
    root = Path(options.data)
    data = write(folder / f"{name}.jsonl", learned_from(root))
    test = None
    if judged_on is not None:
        test = write(folder / f"{name}-test.jsonl", judged_on(root))
    out = folder / f"{name}-{method}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    task = next(task for task, names in TASKS.items() if name in names)
    began = time.monotonic()
    told = learn_application(
        Asked(
            task,
            data,
            out,
            test=test,
            method=method,
            base=options.base if method in (None, "encoder") else None,
            seconds=None if options.minutes is None else 60 * options.minutes,
            seed=seed,
            options=dict(entry.split("=", 1) for entry in options.set),
            judge_baselines=options.baselines,
        ),
        progress=Silent(),
    )
    return {
        "name": name,
        "method": told["method"],
        "base": options.base is not None,
        "set": options.set,
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "learning_seconds": told["learning_seconds"],
        "rows": told["rows"],
        "seen": told["test_rows_seen_in_training"],
        "measures": {
            m["name"] + (" lc" if "case:lc" in m["signature"] else ""): [
                round(m["value"], 4),
                *([] if m["low"] is None else [round(m["low"], 4), round(m["high"], 4)]),
            ]
            for m in told["measures"]
        },
        "extra": told["extra"],
        "baselines": {
            b["method"]: [round(b["measures"][0]["value"], 4), b["difference"]]
            for b in told["baselines"]
        },
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted([*FILES, *FOLDERS]))
    parser.add_argument("--method", nargs="+", default=[None])
    parser.add_argument("--base", type=Path, help="folder of MiniLM")
    parser.add_argument(
        "--reader", type=Path, help="for folder-…: a reader that has learned from the same articles"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--set", nargs="+", default=[])
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--data", default=os.environ.get("HOMESPUN_DATA", "../shared/data"))
    parser.add_argument("--out", default=None, help="folder for files; a temporary one by default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    temporary = None if options.out else tempfile.TemporaryDirectory()
    options.out = options.out or (temporary.name if temporary else None)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    rows = []
    for name in options.names:
        for method in options.method:
            for seed in range(options.seeds):
                if name in FOLDERS:
                    rows.append(measure_folder(name, seed, options))
                else:
                    rows.append(measure(name, method, seed, options))
                print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
