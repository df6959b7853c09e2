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
def test_a_law_knows_where_runs_lie_on_the_way(name: str) -> None:
    law = read_law(ROOT / f"src/homespun/scaling/{name}.json")
    assert all(0.8 < low <= high < 1.4 for _, low, high in law.curve)
    assert law.curve[-1][0] == 1.0


@pytest.mark.parametrize("name", LAWS)
def test_the_page_beside_a_law_speaks_of_that_law(name: str) -> None:
    law = read_law(ROOT / f"src/homespun/scaling/{name}.json")
    page = (ROOT / "docs/scaling" / LAWS[name] / "law.md").read_text(encoding="utf-8")
    low, high = law.valid["flops"]
    assert f"Over a factor of {high / low:.3g} in C" in page
    assert f"{law.num_runs} runs" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| N: matrices")]
    a = law.constants.beta / (law.constants.alpha + law.constants.beta)
    assert [float(row[2]) for row in rows] == [pytest.approx(a, abs=0.01)]


def test_the_design_page_tells_the_laws_there_are() -> None:
    page = " ".join((ROOT / "docs/design/scaling.md").read_text(encoding="utf-8").split())
    laws = {name: read_law(ROOT / f"src/homespun/scaling/{name}.json") for name in LAWS}
    novels, manuals = laws["law"], laws["law-fast-documentation"]
    c = novels.constants
    assert f"alpha {c.alpha:.2f}, beta {c.beta:.2f}" in page
    c = manuals.constants
    most = manuals.valid["epochs"][1]
    assert f"E {c.E:.2f}, alpha {c.alpha:.3f}, beta {c.beta:.2f}" in page
    assert f"{manuals.num_runs} runs up to 1e14 operations and {most:.1f} readings" in page
    assert f"within {100 * manuals.noise:.2g}%" in page
    sizes = [law.valid["parameters"] for law in laws.values()]
    low, high = min(low for low, _ in sizes) / 1e6, max(high for _, high in sizes) / 1e6
    assert f"models of {low:.2f}M to {high:.1f}M parameters" in page


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
