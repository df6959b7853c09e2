"""`homespun bench NAME`: one measurement a file, each with a table for people and JSON for records.

machine   what `homespun doctor` measures
startup   how soon the command line answers, and that it does so without torch
"""

from __future__ import annotations

import typer

from homespun.cli.commands.bench.machine import machine
from homespun.cli.commands.bench.startup import startup
from homespun.cli.groups import new_group

__all__ = ["build_group"]


def build_group() -> typer.Typer:
    group = new_group("Measure something, and say how.")
    group.command("machine")(machine)
    group.command("startup")(startup)
    return group
