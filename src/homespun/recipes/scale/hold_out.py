"""A run ten times larger than any of a sweep, foretold before it is trained.

Where the sweep has budgets enough its lower edge foretells (`scaling.edge`), else its law.

`prediction.json` is written first and names the runs behind the law, so that nobody can fit again
once the loss is known: a prediction that is there is used as it stands.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from homespun.core import Config, Progress, RunDirectory, RunError, Silent, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.shapes import decoder_shape, size_of
from homespun.recipes.scale.sweep import (
    SweepConfig,
    fit_sweep,
    ladder,
    open_sweep,
    sweep,
    train_cell,
)
from homespun.recipes.scale.table import Tables
from homespun.scaling.edge import best_size, foretell, has_edge
from homespun.scaling.grid import Cell, Size
from homespun.scaling.law import Law, fitted_runs, losses, predict, read_law
from homespun.scaling.runs import read_runs, runs_sha256

FACTOR = 10.0
BAR = 0.01


class PreRegistered(Config):
    """What was said before the run.

    Attributes:
        law_runs_sha256, law_num_runs, law_largest_flops: behind the law.
        width, num_layers, tokens, unique_tokens, flops: of the run to come.
        loss, low, high: nats per token, with a 95% interval.
        by: what foretold it: the law of N and D, or the sweep's lower edge.
        law_loss: what the law of N and D says of the same run, for comparison; None where it is
            what foretold it.
        sha256: of all the other values.
    """

    format: int = 1
    law_runs_sha256: str
    law_num_runs: int
    law_largest_flops: float
    width: int
    num_layers: int
    tokens: int
    unique_tokens: int
    flops: float
    loss: float
    low: float
    high: float
    by: Literal["law", "edge"] = "law"
    law_loss: float | None = None
    sha256: str = ""

    def digest(self) -> str:
        # What had no other way yet was written without these two.
        later = {"by", "law_loss"} if self.by == "law" else set()
        values = self.model_dump(exclude={"sha256", *later})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def ensure_sweep(folder: Path, config: SweepConfig, *, progress: Progress | None = None) -> None:
    """Sweep where there is no sweep yet, and go on with one that was begun here and stopped.

    A sweep of `scale sweep` stays as it is: it was made of a grid of its own, and the runs of
    another grid are not what is missing of it.

    Raises: as `sweep`.
    """
    from homespun.recipes.pipeline import source_name

    under_way = folder / "sweep-under-way.json"
    if (folder / "runs.jsonl").is_file() and not under_way.is_file():
        return
    open_sweep(folder, source_name(config.corpus), config)
    write_json(under_way, {"format": 1, "by": "bench law"})
    sweep(folder, config, progress=progress)
    under_way.unlink()


def _law_of(folder: Path) -> Law:
    path = folder / "law.json"
    if not path.is_file():
        return fit_sweep(folder)
    law = read_law(path)
    runs = fitted_runs(read_runs(folder / "runs.jsonl"), law.least_budget, law.least_tokens)
    if runs_sha256(runs) != law.runs_sha256:
        raise RunError(
            f"{path} was not fitted to the runs of this sweep",
            remedy="fit it again with `homespun scale fit`",
        )
    return law


def config_of(run: RunDirectory) -> SweepConfig:
    """What the runs of a sweep have in common."""
    asked = run.record().asked
    values = {key: asked[key] for key in ("vocab_size", "context", "preset")}
    # The law is of so much validation text; a held-out run must be judged by the same.
    runs = read_runs(run.path / "runs.jsonl")
    values["max_validation_tokens"] = runs[0].settings.get("validation_tokens") if runs else None
    return parse_config(SweepConfig, values, where=f"{run.path}/run.json")


def pre_register(folder: Path, *, factor: float = FACTOR) -> PreRegistered:
    """Choose size and length for `factor` times the largest run by the law, and write it down.

    The law is the folder's law.json, as `scale fit` wrote it; without one the sweep is fitted.

    Raises:
        RunError: the file that is there was changed by hand, or law.json is of other runs.
    """
    path = folder / "prediction.json"
    if path.is_file():
        kept = parse_config(PreRegistered, read_json(path), where=str(path))
        if kept.digest() != kept.sha256:
            raise RunError(f"{path} was changed since it was written", remedy="sweep anew")
        return kept
    run = RunDirectory.open(folder)
    law = _law_of(folder)
    config = config_of(run)
    unique = int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    flops = factor * law.valid["flops"][1]
    best = _best_size(law, ladder(config), flops, unique)
    tokens = int(flops / best.flops_per_token)
    by_law = predict(
        law, parameters=float(best.parameters), tokens=float(tokens), unique_tokens=float(unique)
    )
    is_by_edge = has_edge(law)
    told = foretell(law, flops) if is_by_edge else by_law
    said = PreRegistered(
        law_runs_sha256=law.runs_sha256,
        law_num_runs=law.num_runs,
        law_largest_flops=law.valid["flops"][1],
        width=best.width,
        num_layers=best.num_layers,
        tokens=tokens,
        unique_tokens=unique,
        flops=flops,
        loss=told.loss,
        low=told.low,
        high=told.high,
        by="edge" if is_by_edge else "law",
        law_loss=by_law.loss if is_by_edge else None,
    )
    said = said.model_copy(update={"sha256": said.digest()})
    write_json(path, said.model_dump())
    return said


def _best_size(law: Law, sizes: Sequence[Size], flops: float, unique: int) -> Size:
    """On the line through the parabolas' lowest points, where there are enough of them; else that
    of which the law foretells the lowest loss."""
    wanted = best_size(law, flops)
    if wanted is not None:
        return min(sizes, key=lambda size: abs(math.log(size.parameters / wanted)))
    return min(
        sizes,
        key=lambda size: losses(
            law, float(size.parameters), flops / size.flops_per_token, float(unique)
        )[0],
    )


def hold_out(
    folder: Path, *, factor: float = FACTOR, progress: Progress | None = None
) -> dict[str, Any]:
    """Foretell, train, compare. Killed, it goes on with the prediction it began with.

    Returns:
        JSON values: `prediction`, `val_loss`, `val_bpb`, `error` (relative), `inside`, `seconds`.
    """
    prepare_process()
    said = pre_register(folder, factor=factor)
    run = RunDirectory.open(folder)
    config = config_of(run)
    shape = decoder_shape(
        width=said.width,
        num_layers=said.num_layers,
        vocab_size=config.vocab_size,
        context=config.context,
        preset=config.preset,
    )
    cell = Cell("hold-out", said.flops, size_of(shape), said.tokens, None, run.record().seed)
    with run.locked() as clock:
        rows = [row for row in read_runs(folder / "runs.jsonl") if row.key == cell.key]
        row = rows[0] if rows else None
        if row is None:
            say = progress or Silent()
            row = train_cell(run, cell, config, Tables(), clock=clock, progress=say)
    return {
        "format": 1,
        "prediction": said.model_dump(),
        "val_loss": row.loss,
        "val_bpb": row.bits_per_byte,
        "error": math.expm1(math.log(row.loss / said.loss)),
        "inside": said.low <= row.loss <= said.high,
        "bar": BAR,
        "seconds": row.seconds,
    }
