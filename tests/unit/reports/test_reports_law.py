"""Pictures and table of a law."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scaling"))
from scaling_samples import made_runs

from homespun.core import RunError
from homespun.reports.law import otherwise, write_law_plots
from homespun.scaling.law import make_law, read_law, write_law
from homespun.scaling.published import PUBLISHED
from homespun.scaling.runs import read_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    runs = made_runs(repeats=True)
    (folder / "runs.jsonl").write_text("".join(json.dumps(r.model_dump()) + "\n" for r in runs))
    law = make_law(runs, corpus="made", preset="p", bytes_per_token=2.75, num_draws=100)
    write_law(folder / "law.json", law)
    write_law_plots(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loss_by_operations", ["operations of training", "the law's edge"]),
        ("parabolas", ["parameters, matrices and head", "1e+13"]),
        ("predicted", ["loss measured"]),
        ("residuals", ["measured above the law, %", "read again"]),
    ],
)
def test_a_picture_is_whole_and_says_what_it_shows(
    folder: Path, name: str, words: list[str]
) -> None:
    path = folder / "plots" / f"{name}.svg"
    told = "".join(ElementTree.parse(path).getroot().itertext())
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize("name", ["predicted", "residuals"])
def test_runs_that_a_law_was_not_fitted_to_are_told_from_those_it_was(
    folder: Path, tmp_path: Path, name: str
) -> None:
    def words(folder: Path) -> str:
        return "".join(ElementTree.parse(folder / "plots" / f"{name}.svg").getroot().itertext())

    part = shutil.copytree(folder, tmp_path / "part")
    runs = read_runs(folder / "runs.jsonl")
    law = make_law(
        runs, corpus="m", preset="p", bytes_per_token=2.75, least_budget=3e12, num_draws=2
    )
    write_law(part / "law.json", law)
    write_law_plots(part)
    assert "left out of the fit" in words(part)
    assert "left out of the fit" not in words(folder)


def test_a_law_of_other_runs_is_not_drawn_over_these(folder: Path, tmp_path: Path) -> None:
    part = shutil.copytree(folder, tmp_path / "part")
    lines = (part / "runs.jsonl").read_text().splitlines(keepends=True)
    (part / "runs.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(RunError, match=r"not fitted to the runs of this sweep.*scale fit"):
        write_law_plots(part)


def test_a_law_with_one_constant_left_to_fit_is_drawn(folder: Path) -> None:
    runs = read_runs(folder / "runs.jsonl")
    given = {"A": 60.0, "B": 300.0, "alpha": 0.34, "beta": 0.36}
    law = make_law(runs, corpus="m", preset="p", bytes_per_token=2.75, given=given, num_draws=2)
    assert [name for name, _ in otherwise(law, runs)] == [
        "N: matrices and head, as the law",
        "N: all, tables included",
        "N: without tables and head",
    ]


def test_the_same_law_gives_the_same_bytes(folder: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "plots").iterdir()}
    assert {path: path.read_bytes() for path in write_law_plots(folder)} == before


def test_the_table_has_every_source_and_marks_what_was_not_read(folder: Path) -> None:
    table = (folder / "plots" / "law.md").read_text()
    first, _, ours = table.partition("## Why they differ")
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(PUBLISHED)
    for row in PUBLISHED:
        line = next(line for line in rows if line.startswith(f"| {row.name},"))
        assert ("not read at its source" in line) == (row.mark == "quoted")
    assert ours


def test_our_own_runs_show_why_laws_differ(folder: Path) -> None:
    page = (folder / "plots" / "law.md").read_text()
    law = read_law(folder / "law.json")
    low, high = law.valid["flops"]
    assert f"Over a factor of {high / low:.3g} in C" in page
    assert "{factor" not in page
    _, _, ours = page.partition("fitted in other ways")
    lines = [line.strip("| ").split(" | ") for line in ours.splitlines() if line.startswith("| ")]
    rows = {line[0]: line[1:] for line in lines[1:]}
    assert len(rows) == 4
    same = rows["N: matrices and head, as the law"]
    assert float(same[2]) == pytest.approx(law.constants.E, rel=0.01)
    assert float(same[3]) == pytest.approx(law.constants.alpha, rel=0.01)
    # Without a floor the exponents are slopes of the whole loss, which is flatter.
    bare = rows["E = 0.01"]
    assert float(bare[2]) == 0.01
    assert float(bare[3]) < float(same[3])
    others = [other for _, other in otherwise(law, read_runs(folder / "runs.jsonl"))]
    assert [other.counting for other in others] == ["compute", "total", "non_embedding", "compute"]
    sizes = [other.valid["parameters"][0] for other in others]
    assert sizes[2] < sizes[0] < sizes[1]
