"""Commands around the scaling law.

scale   sweep, fit, plot: a law from nothing
tune    a search for settings beyond its rules
"""

from homespun.cli.commands.scaling.scale import build_group
from homespun.cli.commands.scaling.tune import tune

__all__ = ["build_group", "tune"]
