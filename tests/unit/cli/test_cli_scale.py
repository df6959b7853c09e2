"""`homespun scale fit`: what is said of a law."""

from __future__ import annotations

import pytest

from homespun.cli.commands.scaling.scale import print_law
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
