"""What runs in the process that computes for `homespun serve`; see process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homespun.recipes.process import end_with_parent, keep_memory, log_to_stderr
from homespun.recipes.serve.process import EngineWish, Facts
from homespun.recipes.serve.seat import EngineSeat

if TYPE_CHECKING:
    from homespun.serving import ServedEngine


def opened(
    job: Mapping[str, Any],
) -> tuple[Mapping[str, ServedEngine], Mapping[str, Facts]]:
    """Engines for the job of `open_desk`, and what whoever takes requests must know of them."""
    wish = EngineWish(**job["wish"])
    runs = {name: wish.open(path) for name, path in job["places"]}
    seats = {name: EngineSeat(run.engine, run.model) for name, run in runs.items()}
    keep_memory()
    return seats, {
        name: Facts(seat.window, seat.kv_capacity, seat.width, seat.notice)
        for name, seat in seats.items()
    }


if __name__ == "__main__":
    from homespun.serving import serve_desk

    log_to_stderr()
    end_with_parent()  # also while it opens the models, and hears nothing
    serve_desk(opened)
