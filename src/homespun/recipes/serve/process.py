"""The process in which the engines of `homespun serve` compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from homespun.recipes.run import Run
from homespun.recipes.serve.models import check_names, served_model

if TYPE_CHECKING:
    from homespun.serving import Desk, ServedModel


class Facts(NamedTuple):
    """What is to be known of an engine elsewhere (`serving.EngineFacts`)."""

    window: int
    kv_capacity: int
    width: int


@contextmanager
def open_desk(places: Sequence[tuple[str, Path]]) -> Iterator[tuple[list[ServedModel], Desk]]:
    """Runs by the names they are to have, and the process that computes for them.

    This process loads their tokenizers alone. The other ends with the block.

    Raises:
        ConfigError: a name is there twice. RunError, CheckpointError: a run cannot be opened.
    """
    from homespun.serving import ProcessDesk

    names = [name for name, _ in places]
    check_names(names)
    # Nothing of the folder where somebody happens to stand is imported.
    command = [sys.executable, "-P", "-m", "homespun.recipes.serve.child"]
    desk = ProcessDesk(command, [(name, str(path)) for name, path in places], names)
    try:
        runs = [(name, Run(path)) for name, path in places]
        for _, run in runs:
            _ = run.tokenizer  # while the other process opens the models
        facts = {name: Facts(*values) for name, values in desk.facts.items()}
        yield [served_model(run, name, facts[name]) for name, run in runs], desk
    finally:
        desk.stop()
