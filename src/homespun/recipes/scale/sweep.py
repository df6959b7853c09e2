"""The sweep behind the scaling law: every run of a grid, from nothing, through the one loop.

A sweep's folder is a run directory with corpus, tokenizer and shards, and beside them
`runs.jsonl` (a line for each finished run), `cells/KEY/metrics.jsonl`, and later `law.json`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from homespun.core import (
    Config,
    ConfigError,
    DataError,
    DivergedError,
    Progress,
    RunDirectory,
    RunError,
    Silent,
    Tokenizer,
    WorkClock,
    derive_seed,
)
from homespun.core.files import append_row, read_json, read_jsonl, write_json
from homespun.core.machine import num_cores
from homespun.recipes import texts
from homespun.recipes.measure import best_dtype_name, best_kernels
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.options import bytes_per_token, text_repetition
from homespun.recipes.scale.shapes import (
    PRESET,
    Preset,
    decoder_shape,
    multiplied_parameters,
    size_of,
)
from homespun.recipes.scale.table import Table, Tables, TableText, spread, table_curve
from homespun.scaling.curve import Curve, with_curve
from homespun.scaling.grid import (
    BUDGETS,
    FEWEST_TOKENS,
    WIDTHS,
    Cell,
    Size,
    anchor_cells,
    by_cost,
    isoflop_cells,
    repeated_part,
)
from homespun.scaling.law import Law, fitted_runs, make_law, write_law
from homespun.scaling.rules import (
    DECAY_SHARE,
    WEIGHT_DECAY,
    optimizer_settings,
    settings_for,
    table_for,
)
from homespun.scaling.runs import Counting, ScaleRun, read_runs

if TYPE_CHECKING:
    from homespun.training import TrainConfig

VOCAB_SIZE = 2048
CONTEXT = 256
CORPUS = "gutenberg-classics"
DIVERGED = "diverged.json"
# Of operations a second, before anything has been measured.
FIRST_GUESS = 20e9


class SweepConfig(Config):
    """Attributes:
    corpus: a folder, a file, or a corpus by name.
    budgets: operations a run, one parabola each.
    shapes: widths and layers to choose from; None for the usual ladder.
    seeds: the first trains everything, further ones two cells each, for the noise.
    repeats: also train on parts of the text read 1, 2, 4, 8 and 16 times.
    budget_minutes: stop before the run that would end later; None for no limit.
    vocab_size, context, preset: of all runs.
    max_validation_tokens: of the final loss; None for all of the validation text.
    """

    corpus: str = CORPUS
    budgets: tuple[PositiveFloat, ...] = Field(default=BUDGETS, min_length=1)
    shapes: tuple[tuple[PositiveInt, PositiveInt], ...] | None = None
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    repeats: bool = False
    budget_minutes: PositiveFloat | None = None
    vocab_size: int = Field(default=VOCAB_SIZE, ge=256, le=65_536)
    context: int = Field(default=CONTEXT, ge=16, le=4096)
    preset: Preset = PRESET
    max_validation_tokens: PositiveInt | None = None


def sweep(
    out: Path | str, config: SweepConfig, *, progress: Progress | None = None
) -> list[ScaleRun]:
    """Make all runs of the grid that are not in `out`/runs.jsonl yet; returns all there are.

    A run that diverged is left out for good, with its reason in `out`/diverged.json: the others go
    on, and a law is fitted to those that came to their end.

    Raises:
        RunError: another sweep is at work in `out`, or it holds something else, as runs that were
            judged by another part of the held-out text. DataError, ConfigError: as their messages
            say.
    """
    from homespun.recipes.pipeline import source_name

    prepare_process()
    say = progress or Silent()
    cells = grid_cells(config)
    run = open_sweep(Path(out), source_name(config.corpus), config)
    with run.locked() as clock:
        tokenizer = prepare(run, config.vocab_size, progress=say)
        limit = None if config.budget_minutes is None else 60 * config.budget_minutes
        started = clock.seconds()
        check_text(run, cells)
        check_judged(run, config)
        tables = Tables()
        diverged = _diverged(run)
        task = say.task("sweep", sum(cell.flops for cell in cells), "operations")
        for cell in cells:
            done = read_runs(run.path / "runs.jsonl")
            if cell.key not in {*diverged, *(row.key for row in done)}:
                used = clock.seconds() - started
                if limit is not None and used + expected_seconds(cell, done) > limit:
                    say.say(f"{cell.key} and what follows would end after the budget of minutes")
                    break
                try:
                    row = train_cell(run, cell, config, tables, clock=clock, progress=say)
                except DivergedError as error:  # it would again: steps are what they are
                    diverged[cell.key] = error.what
                    write_json(run.path / DIVERGED, diverged)
                    shutil.rmtree(run.path / "cells" / cell.key, ignore_errors=True)
                else:
                    loss = f"{row.loss:.4f} nats, {row.bits_per_byte:.4f} bits per byte"
                    say.say(f"{row.key}: {loss}")
            if cell.key in diverged:
                say.say(f"{cell.key} is left out: {diverged[cell.key]}")
            task.advance(cell.flops)
        task.finish()
        ensure_table_curve(run, config, tokenizer)
    return read_runs(run.path / "runs.jsonl")


def _diverged(run: RunDirectory) -> dict[str, str]:
    """Why which cells were given up."""
    path = run.path / DIVERGED
    return dict(read_json(path)) if path.is_file() else {}


def open_sweep(out: Path, source: str, config: SweepConfig) -> RunDirectory:
    """The folder, new or of the same corpus, vocabulary and context; the grid may grow."""
    asked = {
        "command": "scale sweep",
        "source": source,
        "preset": config.preset,
        "vocab_size": config.vocab_size,
        "context": config.context,
    }
    return RunDirectory.create(out, asked=asked, seed=config.seeds[0])


def prepare(run: RunDirectory, vocab_size: int, *, progress: Progress) -> Tokenizer:
    """Corpus, tokenizer and shards, once."""
    seed = run.record().seed
    source = str(run.record().asked["source"])
    texts.ensure_corpus(run, source, language="auto", seed=seed, progress=progress)
    tokenizer = texts.ensure_tokenizer(run, vocab_size=vocab_size, progress=progress)
    texts.ensure_shards(run, tokenizer, progress=progress)
    return tokenizer


def grid_cells(config: SweepConfig) -> list[Cell]:
    """Every run of the grid, in the order in which they are made.

    Raises:
        ConfigError: a shape cannot be, or a budget is too small for all of those it is given.
    """
    sizes = ladder(config)
    cells = isoflop_cells(config.budgets, sizes, seed=config.seeds[0])
    for budget in set(config.budgets) - {cell.budget for cell in cells}:
        raise ConfigError(
            f"a run of so few operations reads fewer than {FEWEST_TOKENS:,} tokens at any size",
            got=f"{budget:.3g}",
            remedy="give larger --budgets, or smaller --sizes",
        )
    more = anchor_cells(cells, config.seeds[1:])
    if config.repeats:
        more += repeated_part(config.budgets, sizes, seed=config.seeds[0])
    return by_cost([*cells, *more])


def check_text(run: RunDirectory, cells: Sequence[Cell]) -> None:
    """Before the first of them is trained. Raises DataError where the training text is shorter than
    what a cell is to read once."""
    there = int(read_json(run.shards / "index.json")["splits"]["train"]["tokens"])
    for cell in cells:
        if cell.unique_tokens is not None and cell.unique_tokens > there:
            raise DataError(
                f"{cell.key} needs {cell.unique_tokens:,} tokens to read once",
                got=f"{there:,}",
                remedy="give a larger corpus or smaller budgets, or leave --repeats out",
            )


def check_judged(run: RunDirectory, config: SweepConfig) -> None:
    """Raises RunError where runs that are there were judged by another part of the held-out text:
    their losses and those to come could not be compared, and no law is of both."""
    from homespun.corpus import open_split

    num = len(open_split(run.shards, "validation"))
    wanted = min(config.max_validation_tokens or num, num)
    for row in read_runs(run.path / "runs.jsonl"):
        told = row.settings.get("validation_tokens", wanted)
        if told != wanted:
            raise RunError(
                f"the runs in {run.path} were judged by {told:,} tokens of held-out text",
                got=f"{wanted:,}",
                remedy=f"give --validation-tokens {told}, or another --out",
            )


def ladder(config: SweepConfig) -> list[Size]:
    """The sizes to choose from, smallest first."""
    shapes: Sequence[tuple[int, int | None]]
    shapes = config.shapes or [(width, None) for width in WIDTHS]
    return sorted(
        (
            size_of(
                decoder_shape(
                    width=width,
                    num_layers=layers,
                    vocab_size=config.vocab_size,
                    context=config.context,
                    preset=config.preset,
                )
            )
            for width, layers in shapes
        ),
        key=lambda size: size.parameters,
    )


def expected_seconds(cell: Cell, done: Sequence[ScaleRun]) -> float:
    """From the speed of the finished run nearest in width."""
    if not done:
        return cell.flops / FIRST_GUESS
    near = min(done, key=lambda row: abs(math.log(row.width / cell.size.width)))
    return cell.flops * near.seconds / near.flops


def train_cell(
    run: RunDirectory,
    cell: Cell,
    config: SweepConfig,
    tables: Tables,
    *,
    clock: WorkClock,
    progress: Progress,
) -> ScaleRun:
    """Train one cell, append its line to runs.jsonl, and remove its checkpoints.

    Args:
        tables: where a fast model's n-gram table comes from; counting is not part of `seconds`.
    """
    import torch

    from homespun.corpus import open_split
    from homespun.evaluation import quick_validation
    from homespun.models import count_parameters, parameters_by_kind, train_flops_per_token
    from homespun.models.native import kernels_by_name, use_kernels
    from homespun.training import CausalObjective, TokenBatches, set_threads, train

    set_threads(min(torch.get_num_threads(), num_cores()))
    shape = decoder_shape(
        width=cell.size.width,
        num_layers=cell.size.num_layers,
        vocab_size=config.vocab_size,
        context=config.context,
        preset=config.preset,
    )
    tokens: Any = open_split(run.shards, "train")
    if cell.unique_tokens is not None:
        tokens = spread(tokens, cell.unique_tokens)
    settings = settings_for(
        multiplied_parameters(shape), cell.tokens, context=config.context, preset=config.preset
    )
    seed = derive_seed(cell.seed, "scale")
    held_out: Any = open_split(run.shards, "validation")
    most = config.max_validation_tokens or len(held_out)
    table = cell_table(run, cell, config, tables, tokens, held_out)
    source = TokenBatches(
        tokens,
        context=config.context,
        rows=settings.rows,
        seed=seed,
        blocks=None if table is None else table.blocks,
    )
    model = shape.build(torch.Generator().manual_seed(derive_seed(seed, "weights")))
    if table is not None:
        model.attach_prior(table.prior)
    folder = run.path / "cells" / cell.key
    train_config = cell_config(cell, context=config.context, preset=config.preset)
    result = train(
        model,
        CausalObjective(),
        source,
        config=train_config,
        stage_dir=folder,
        clock=clock,
        progress=progress,
    )
    with use_kernels(kernels_by_name(train_config.kernels)):
        loss = quick_validation(model, held_out, context=config.context, max_tokens=most)
    flops_per_token = float(train_flops_per_token(shape))
    kinds = parameters_by_kind(shape)
    row = ScaleRun(
        key=cell.key,
        kind=cell.kind,
        budget=cell.budget,
        flops=flops_per_token * result.tokens,
        width=shape.width,
        num_layers=shape.num_layers,
        vocab_size=shape.vocab_size,
        context=shape.context,
        parameters=count_parameters(shape),
        non_embedding=kinds.non_embedding,
        matrix_and_head=multiplied_parameters(shape),
        flops_per_token=flops_per_token,
        tokens=result.tokens,
        unique_tokens=len(tokens),
        epochs=result.tokens / len(tokens),
        loss=loss,
        bits_per_byte=loss / math.log(2) / bytes_per_token(run),
        seconds=result.seconds,
        seed=cell.seed,
        settings={
            **settings._asdict(),
            "batch_tokens": settings.rows * config.context,
            "final_train_loss": result.final_loss,
            "validation_tokens": min(most, len(held_out)),
            "skipped_steps": result.skipped_steps,
        },
        table_order=0 if table is None else table.prior.order,
        table_loss=None if table is None else table.loss,
    )
    append_row(run.path / "runs.jsonl", row.model_dump())
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return row


def cell_table(
    run: RunDirectory,
    cell: Cell,
    config: SweepConfig,
    tables: Tables,
    tokens: Any,
    held_out: Any,
) -> Table | None:
    """The n-gram table of the text that a cell reads; None where its models have none."""
    from homespun.tokenizer import load_tokenizer

    settings = table_for(config.preset)
    if not settings.order:
        return None
    text = table_text(config, load_tokenizer(run.path), tokens, held_out)
    return tables.of(cell.unique_tokens, text, settings)


def ensure_table_curve(run: RunDirectory, config: SweepConfig, tokenizer: Tokenizer) -> None:
    """table.json: how good the table is alone, by how much text it has counted; nothing where the
    models have none."""
    from homespun.corpus import open_split

    path, settings = run.path / "table.json", table_for(config.preset)
    if path.is_file() or not settings.order:
        return
    tokens, held_out = (open_split(run.shards, split) for split in ("train", "validation"))
    text = table_text(config, tokenizer, tokens, held_out)
    found = table_curve(text, settings, lambda num: spread(text.train, num))
    write_json(path, {"format": 1, "points": found})


def table_text(config: SweepConfig, tokenizer: Tokenizer, tokens: Any, held_out: Any) -> TableText:
    return TableText(
        train=np.asarray(tokens[:]),
        held_out=held_out,
        vocab_size=config.vocab_size,
        end_of_text_id=tokenizer.end_of_text_id,
        context=config.context,
        max_tokens=config.max_validation_tokens or len(held_out),
    )


def cell_config(cell: Cell, *, context: int, preset: str) -> TrainConfig:
    """How a cell is trained: by the rules, with decay to nothing at its own end."""
    from homespun.training import OptimizerConfig, ScheduleConfig, TrainConfig, beta2_for

    settings = settings_for(cell.size.parameters, cell.tokens, context=context, preset=preset)
    return TrainConfig(
        num_steps=settings.num_steps,
        optimizer=OptimizerConfig(
            **optimizer_settings(tied=False),
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            beta2=beta2_for(settings.rows * context, cell.tokens),
            weight_decay=WEIGHT_DECAY,
        ),
        schedule=ScheduleConfig(kind="wsd", warmup=settings.warmup, decay=DECAY_SHARE),
        compute_dtype=best_dtype_name(),
        kernels=best_kernels().name,
        seed=derive_seed(cell.seed, "loop"),
        checkpoint_seconds=60.0,
        tensorboard=False,
    )


def fit_sweep(
    out: Path | str,
    *,
    least_budget: float = 0.0,
    least_tokens: float = 0.0,
    given: Mapping[str, float] | None = None,
    joint: bool = False,
    counting: Counting = "compute",
    provisional: bool = False,
    num_draws: int = 1000,
) -> Law:
    """Fit the law to the runs in `out` and write `law_path(out, counting)`.

    Args:
        least_budget: grid runs of fewer operations are left out.
        least_tokens: runs of fewer tokens are left out.
        given: values of E, A, B, alpha or beta that are taken over; the others are fitted.
        joint: see `fit_law`.
        counting: the parameters that are N.

    Raises:
        RunError: there is no sweep. DataError: it has too few runs.
    """
    run = RunDirectory.open(Path(out))
    rows = read_runs(run.path / "runs.jsonl")
    table = run.path / "table.json"
    law = make_law(
        rows,
        corpus=Path(str(run.record().asked["source"])).name,
        preset=str(run.record().asked.get("preset", PRESET)),
        bytes_per_token=bytes_per_token(run),
        repetition=text_repetition(run),
        tables=read_json(table)["points"] if table.is_file() else (),
        given=given,
        joint=joint,
        counting=counting,
        least_budget=least_budget,
        least_tokens=least_tokens,
        provisional=provisional,
        num_draws=num_draws,
    )
    rows = fitted_runs(rows, least_budget, least_tokens)
    law = with_curve(law, rows, {row.key: cell_curve(run, row.key) for row in rows})
    write_law(law_path(run.path, counting), law)
    return law


def law_path(folder: Path, counting: Counting = "compute") -> Path:
    """law.json, which plans and `hold_out` read; a law that counts other parameters than they do is
    for comparing alone, and has its way of counting in its name."""
    return folder / ("law.json" if counting == "compute" else f"law-{counting}.json")


def cell_curve(run: RunDirectory, key: str) -> Curve:
    """The losses of a cell's steps, as its metrics.jsonl has them; none where it is gone."""
    path = run.path / "cells" / key / "metrics.jsonl"
    steps = [
        (row["tokens"], row["loss"])
        for row in (read_jsonl(path) if path.is_file() else ())
        if row["kind"] == "train" and row["loss"] is not None
    ]
    tokens, found = np.array(steps, dtype=np.float64).reshape(-1, 2).T
    return Curve(tokens, found)
