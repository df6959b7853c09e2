"""The laws in the package are those of the runs beside them: fitted again, they are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.core.files import read_json
from homespun.scaling.law import fitted_runs, make_law, read_law
from homespun.scaling.runs import read_runs

ROOT = Path(__file__).resolve().parents[3]
LAWS = {
    "law": "portable",
    "law-documentation": "portable-documentation",
    "law-fast": "fast",
    "law-fast-documentation": "fast-documentation",
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_of_the_package_is_fitted_to_the_runs_that_are_told(name: str) -> None:
    law = read_law(ROOT / f"src/homespun/scaling/{name}.json")
    folder = ROOT / "docs/scaling" / LAWS[name]
    rows = read_runs(folder / "runs.jsonl")
    table = folder / "table.json"
    again = make_law(
        rows,
        corpus=law.corpus,
        preset=law.preset,
        bytes_per_token=law.bytes_per_token,
        repetition=law.repetition,
        tables=read_json(table)["points"] if table.is_file() else (),
        given=law.given,
        joint=law.joint,
        least_budget=law.least_budget,
        least_tokens=law.least_tokens,
        provisional=law.provisional,
        num_draws=2,
    )
    assert again.constants.model_dump() == pytest.approx(law.constants.model_dump(), rel=1e-3)
    assert again.runs_sha256 == law.runs_sha256
    assert (
        again.num_runs == law.num_runs == len(fitted_runs(rows, law.least_budget, law.least_tokens))
    )
    assert again.drift == pytest.approx(law.drift, rel=1e-3, abs=1e-6)
