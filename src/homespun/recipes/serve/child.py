"""What runs in the process that computes for `homespun serve`; see process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from homespun.recipes.process import end_with_parent, keep_memory, log_to_stderr
from homespun.recipes.run import Run
from homespun.recipes.serve.process import Facts
from homespun.recipes.serve.seat import EngineSeat

if TYPE_CHECKING:
    from homespun.serving import ServedEngine


def opened(
    job: Sequence[tuple[str, str]],
) -> tuple[Mapping[str, ServedEngine], Mapping[str, Facts]]:
    """Engines for names and folders of runs, and what whoever takes requests must know of them."""
    runs = {name: Run(path) for name, path in job}
    seats = {name: EngineSeat(run.engine, run.model) for name, run in runs.items()}
    keep_memory()
    return seats, {
        name: Facts(seat.window, seat.kv_capacity, seat.width) for name, seat in seats.items()
    }


if __name__ == "__main__":
    from homespun.serving import serve_desk

    log_to_stderr()
    end_with_parent()  # also while it opens the models, and hears nothing
    serve_desk(opened)
