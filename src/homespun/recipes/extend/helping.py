"""What the other processes do while one leads a model that goes on learning."""

from __future__ import annotations

from homespun.core import RunDirectory, Silent, WorkClock
from homespun.recipes.extend.engine import own_rows
from homespun.recipes.extend.further import train_further
from homespun.recipes.extend.new_text import mixed_rows
from homespun.recipes.together import Helpers


def help_going_on(
    run: RunDirectory,
    *,
    clock: WorkClock,
    helpers: Helpers,
    rewarm: float,
    replay: float | None,
) -> None:
    """Train along in `ensure_further`, on the rows that the leader has.

    Args:
        replay: the share of old text; None for a run that reads its own text alone.
    """
    source = own_rows(run) if replay is None else mixed_rows(run, replay=replay)
    train_further(run, source, rewarm=rewarm, clock=clock, progress=Silent(), helpers=helpers)
