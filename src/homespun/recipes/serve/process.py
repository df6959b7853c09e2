"""The process in which the engines of `homespun serve` compute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from homespun.recipes.run import Run
from homespun.recipes.serve.models import check_names, served_model
from homespun.recipes.serve.rewriting import rewrites, served_rewriter, serves_task
from homespun.recipes.serve.vectors import makes_vectors, served_encoder

if TYPE_CHECKING:
    from homespun.inference import Kernels, WeightKind
    from homespun.serving import Desk, EngineFacts, ServedModel, ServerConfig


class Facts(NamedTuple):
    """What is to be known of an engine elsewhere (`serving.EngineFacts`).

    Attributes:
        notice: what is worth saying of it.
        tokenizer: SHA-256 of its tokenizer's file: ids that are sent to it are that tokenizer's.
    """

    window: int
    kv_capacity: int
    width: int
    notice: str = ""
    tokenizer: str = ""


class EngineWish(NamedTuple):
    """How engines compute, as JSON values; see `inference.Engine`.

    Attributes:
        weights, kernels: how matrices are kept, and what computes.
        device: "auto" takes a GPU where there is one.
        max_rows: answers written together; None for the engine's own choice.
        kv_tokens: tokens each model's cache holds; None for the engine's own choice.
        num_threads: threads each model computes on; None for as many as are fastest.
    """

    weights: WeightKind = "float32"
    kernels: Kernels = "auto"
    device: str = "auto"
    max_rows: int | None = None
    kv_tokens: int | None = None
    num_threads: int | None = None

    def open(self, path: Path | str) -> Run:
        """The run in `path`, whose engine will be so. Raises RunError where there is none."""
        return Run(path, **self._asdict())


@contextmanager
def open_desk(
    places: Sequence[tuple[str, Path]],
    wish: EngineWish | None = None,
    *,
    limits: ServerConfig | None = None,
) -> Iterator[tuple[list[ServedModel], Desk]]:
    """Runs, encoders and translators by the names they are to have, and the process that computes
    for them, as wished.

    This process loads their tokenizers alone. The other ends with the block.

    Args:
        limits: how often the other one is begun again where it ends.

    Raises:
        ConfigError: a name is there twice, or a folder has learned what cannot be served.
        RunError, CheckpointError: a run cannot be opened.
    """
    from homespun.serving import ProcessDesk

    names = [name for name, _ in places]
    check_names(names)
    makers = {name: _maker(path) for name, path in places}
    # Nothing of the folder where somebody happens to stand is imported.
    command = [sys.executable, "-P", "-m", "homespun.recipes.serve.child"]
    job = {
        "places": [(name, str(path)) for name, path in places],
        "wish": (wish or EngineWish())._asdict(),
    }
    desk = ProcessDesk(command, job, names, limits=limits)
    try:
        runs = {name: Run(path) for name, path in places if makers[name] is None}
        for run in runs.values():
            _ = run.tokenizer  # while the other process opens the models
        facts = {name: Facts(*values) for name, values in desk.facts.items()}
        yield (
            [
                served_model(runs[name], name, facts[name])
                if (make := makers[name]) is None
                else make(path, name, facts[name])
                for name, path in places
            ],
            desk,
        )
    finally:
        desk.stop()


def _maker(folder: Path) -> Callable[[Path, str, EngineFacts], ServedModel] | None:
    """What makes a model of a folder; None for runs. Raises as `serves_task`."""
    if serves_task(folder) and rewrites(folder):
        return served_rewriter
    return served_encoder if makes_vectors(folder) else None
