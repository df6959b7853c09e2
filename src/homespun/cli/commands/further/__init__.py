"""Models that go on learning, each in a new run beside the one it begins with.

continue_   new text, with some of the old read again
extend      a longer context, a larger vocabulary, more layers and width
average     the mean of checkpoints or of runs
"""

from __future__ import annotations

import typer

from homespun.cli.commands.further.average import average
from homespun.cli.commands.further.continue_ import continue_
from homespun.cli.commands.further.extend import build_group

__all__ = ["add_further"]


def add_further(app: typer.Typer, *, panel: str) -> None:
    """Add the commands to `app`, under the heading `panel` of its help page."""
    app.command("continue", rich_help_panel=panel)(continue_)
    app.add_typer(build_group(), name="extend", rich_help_panel=panel)
    app.command("average", rich_help_panel=panel)(average)
