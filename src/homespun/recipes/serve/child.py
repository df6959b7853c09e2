"""What runs in the process that computes for `homespun serve`; see process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core.files import sha256_file
from homespun.recipes.applications.record import model_folder
from homespun.recipes.process import (
    end_with_parent,
    keep_memory,
    log_to_stderr,
    prepare_process,
)
from homespun.recipes.run import chosen_device
from homespun.recipes.search import open_embedder
from homespun.recipes.serve.behind import both_ways_seat
from homespun.recipes.serve.process import EngineWish, Facts
from homespun.recipes.serve.rewriting import rewriter_seat, rewrites
from homespun.recipes.serve.seat import EngineSeat
from homespun.recipes.serve.vectors import VectorSeat, makes_vectors

if TYPE_CHECKING:
    from homespun.serving import ServedEngine

HEAVY_BYTES = 30_000_000
LIGHTER = "--weights int8 would answer two to eight times as fast, nearly as well"
"""Measured at 110M and 15M parameters; bits per byte differ by less than 0.3%."""


def opened(
    job: Mapping[str, Any],
) -> tuple[Mapping[str, ServedEngine], Mapping[str, Facts]]:
    """Engines for the job of `open_desk`, and what whoever takes requests must know of them."""
    wish = EngineWish(**job["wish"])
    seats = {name: _seat(Path(path), wish) for name, path in job["places"]}
    keep_memory()
    files = {name: _tokenizer_file(Path(path)) for name, path in job["places"]}
    return seats, {
        name: Facts(
            seat.window,
            seat.kv_capacity,
            seat.width,
            seat.notice,
            sha256_file(files[name]) if files[name].is_file() else "",
        )
        for name, seat in seats.items()
    }


def _seat(folder: Path, wish: EngineWish) -> EngineSeat | VectorSeat:
    if makes_vectors(folder):
        prepare_process()
        other = wish._replace(weights="float32", kernels="auto", device="auto")
        told = "an encoder computes in float32, whatever else is asked for"
        embedder = open_embedder(folder, threads=wish.num_threads)
        embedder.model.to(chosen_device(wish.device))
        is_other = other != wish._replace(device="auto")
        return VectorSeat(embedder, told if is_other else "")
    if rewrites(folder):
        return rewriter_seat(folder, wish)
    run = wish.open(folder)
    if run.objective != "causal":
        return both_ways_seat(run, wish)
    is_heavy = wish.weights == "float32" and run.engine.num_weight_bytes > HEAVY_BYTES
    return EngineSeat(run.engine, run.model, LIGHTER if is_heavy else "")


def _tokenizer_file(folder: Path) -> Path:
    return (model_folder(folder) if rewrites(folder) else folder) / "tokenizer.json"


if __name__ == "__main__":
    from homespun.serving import serve_desk

    log_to_stderr()
    end_with_parent()  # also while it opens the models, and hears nothing
    serve_desk(opened)
