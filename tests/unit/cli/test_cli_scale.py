"""`homespun scale fit` and `tune`: what is said of a law and of a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.cli.commands.scaling.scale import print_law
from homespun.cli.commands.scaling.tune import next_command
from homespun.scaling.law import read_law


def test_only_constants_that_were_fitted_are_said_to_be_untold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Larger models that gain as much as any are a finding, and no lack of runs."""
    law = read_law(preset="fast", repeats=True)
    assert law.constants.untold() == ["parameter_reuse"]
    print_law(law)
    told = capsys.readouterr().out
    assert "lies at the edge" not in told
    row = next(line for line in told.splitlines() if "parameter_reuse" in line)
    assert row.count("taken over") == 2
    at_edge = law.constants.model_copy(update={"beta": 2.5})
    print_law(law.model_copy(update={"constants": at_edge}))
    assert "beta lies at the edge of what is searched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("inside", "why"), [(2, "2 budgets have their minimum inside, and 3"), (3, "of 3 budgets too")]
)
def test_why_parabolas_give_no_exponents_is_said(
    inside: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three budgets may have their minimum inside and still lose it when their runs are weighed
    otherwise."""
    lines = [
        {"budget": 1.5 * 10.0 ** (12 + k), "parameters": 1e5, "loss": 3.0, "why_not": ""}
        if k < inside
        else {"budget": 1.5 * 10.0 ** (12 + k), "parameters": None, "loss": None, "why_not": "no"}
        for k in range(4)
    ]
    frontier = {"a": None, "b": None, "parabolas": lines}
    print_law(read_law().model_copy(update={"frontier": frontier}))
    told = " ".join(capsys.readouterr().out.split())
    assert f"no exponents from parabolas: {why}" in told
    assert "C = 1.5e+12: lowest at N = 100,000" in told


@pytest.mark.parametrize("preset", [None, "fast"])
def test_settings_that_a_search_did_not_find_are_not_told_to_be_used(preset: str | None) -> None:
    told = next_command({"best": {"preset": preset}}, Path("runs/mine"))
    assert ("--settings runs/mine/tune/best.json" in told) == (preset is not None)
    assert told.endswith("then pretrain runs/mine")
