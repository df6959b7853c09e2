"""What the laws of the repository's own sweeps would have foretold of their larger runs.

    python benchmarks/law_backtest.py

For each sweep in docs/scaling and each of its budgets that is three to twelve times larger than one
before it, runs up to the smaller budget are fitted, and the best run of the larger one is foretold:
by the law of N and D at that run's own size and tokens, and by the sweep's lower edge. No training;
one core, about a minute.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from homespun.core import HomespunError
from homespun.scaling.edge import foretell, has_edge
from homespun.scaling.law import Law, make_law, predict, read_law
from homespun.scaling.runs import ScaleRun, read_runs

LAWS = {
    "portable": "law",
    "portable-documentation": "law-documentation",
    "fast": "law-fast",
    "fast-documentation": "law-fast-documentation",
}


def law_of(runs: list[ScaleRun], kept: Law) -> Law:
    return make_law(
        runs,
        corpus=kept.corpus,
        preset=kept.preset,
        bytes_per_token=kept.bytes_per_token,
        joint=kept.joint,
        num_draws=100,
    )


def backtest(root: Path) -> list[dict[str, Any]]:
    rows = []
    for folder, name in LAWS.items():
        kept = read_law(root / f"src/homespun/scaling/{name}.json")
        runs = [
            run
            for run in read_runs(root / "docs/scaling" / folder / "runs.jsonl")
            if run.kind == "isoflop"
        ]
        budgets = sorted({run.budget for run in runs})
        for largest in budgets[:-1]:
            try:
                law = law_of([run for run in runs if run.budget <= largest], kept)
            except HomespunError:
                continue  # too few runs below
            for further in budgets:
                if not (2.5 < further / largest < 12 and has_edge(law)):
                    continue
                best = min((run for run in runs if run.budget == further), key=lambda r: r.loss)
                by_edge = foretell(law, further)
                by_law = predict(
                    law,
                    parameters=float(best.counted("compute")),
                    tokens=float(best.tokens),
                    unique_tokens=float(best.unique_tokens),
                )
                rows.append(
                    {
                        "sweep": folder,
                        "fitted_up_to": largest,
                        "foretold": further,
                        "best": f"{best.width}x{best.num_layers}",
                        "loss": best.loss,
                        "edge_error": best.loss / by_edge.loss - 1,
                        "edge_inside": by_edge.low <= best.loss <= by_edge.high,
                        "edge_width": by_edge.high / by_edge.low - 1,
                        "law_error": best.loss / by_law.loss - 1,
                        "law_inside": by_law.low <= best.loss <= by_law.high,
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = backtest(Path(__file__).resolve().parents[1])
    print("sweep | fitted up to | best of | loss | edge, off by | inside | law, off by | inside")
    for row in rows:
        print(
            f"{row['sweep']} | {row['fitted_up_to']:.0e} | {row['foretold']:.0e} {row['best']} | "
            f"{row['loss']:.4f} | {row['edge_error']:+.2%} | {row['edge_inside']} | "
            f"{row['law_error']:+.2%} | {row['law_inside']}"
        )
    for kind in ("edge", "law"):
        errors = np.abs([row[f"{kind}_error"] for row in rows])
        print(f"{kind}: off by {errors.mean():.2%} on average, {errors.max():.2%} at most")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
