"""Train every variant with every seed, one after another; killed, it goes on.

base.json      the recipe and what was asked
trainings.jsonl   a line for each training that came to its end
text/          the prepared text
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, Progress, Silent, parse_config
from homespun.core.files import append_row, read_json, read_jsonl, write_json
from homespun.core.machine import machine, versions
from homespun.recipes.bench.ablation.compare import compared
from homespun.recipes.bench.ablation.variants import Variant, chosen, usual_variants
from homespun.recipes.bench.learning import read_text
from homespun.recipes.bench.ours import Budget, learn_and_judge
from homespun.recipes.bench.recipe import BenchRecipe, make_recipe, override
from homespun.recipes.bench.words import TextAsk, prepare_text
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.shapes import Preset, shape_name

BASE = "as it is"
_KEPT = ("val_loss", "val_bpb", "tokens", "epochs", "seconds", "tokens_per_second", "parameters",
         "steps", "predictions", "bytes")  # fmt: skip


class AblationAsk(NamedTuple):
    """What one run of the benchmark is to do.

    Attributes:
        corpus: a folder, a file, or the name of a corpus.
        seconds: for every training, counting a table included.
        keep: a folder for the prepared text and what came of each training.
        num_steps: end by steps instead, which says what a part is worth apart from its price.
        preset, size: of the recipe, see `TextAsk`; its rates and batch are a plan's.
        only: names of usual changes; all where neither these nor `changes` are given.
        changes: further ones.
        settings: changes of the recipe itself, for all.
        seeds: of weights and batches.
        vocab_size: of the tokenizer.
    """

    corpus: str
    seconds: float
    keep: Path
    num_steps: int | None = None
    preset: Preset = "fast"
    size: str | None = None
    only: tuple[str, ...] = ()
    changes: tuple[Variant, ...] = ()
    settings: tuple[str, ...] = ()
    seeds: Sequence[int] = (0, 1, 2)
    vocab_size: int = 2048


def bench_ablation(ask: AblationAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """The recipe a plan makes for the text and time, and that recipe with one thing changed.

    Seeds are the outer round: what the machine has to give changes over an hour, and a variant is
    compared with the recipe of the same seed, which was trained near it in time.

    Returns:
        JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: an unknown change or setting, two changes of one name, or `keep` holds what
            another question came to.
        DataError: the text cannot be used.
    """
    say = progress or Silent()
    prepare_process()  # before torch is loaded, so that trainings of a later call are alike
    base, where = _base(ask, say)
    usual = usual_variants(base)
    variants = [Variant(BASE, ())]
    if ask.only or not ask.changes:
        variants += chosen(usual, ask.only)
    variants += ask.changes
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                "two changes have the same name, under which only one could be told",
                got=name,
                remedy="give yours another name",
            )
    recipes = {variant.name: override(base, variant.settings) for variant in variants}
    for recipe in recipes.values():  # a wrong one is told now
        recipe.decoder(ask.vocab_size)
        recipe.training(seconds=1.0, num_steps=None, seed=0)
    path = ask.keep / "trainings.jsonl"
    done = {_known(row) for row in _rows(path)}
    todo = [(v, seed) for seed in ask.seeds for v in variants if (*v, seed) not in done]
    task = say.task("trainings", len(todo), "")
    for variant, seed in todo:
        row = _train(recipes[variant.name], where, ask, seed)
        changed = {"variant": variant.name, "settings": list(variant.settings), "seed": seed}
        append_row(path, {**changed, **{name: row[name] for name in _KEPT}})
        task.advance(1, note=f"{variant.name}, seed {seed}: {row['val_loss']:.4f}")
    task.finish()
    asked = {(*variant, seed) for variant in variants for seed in ask.seeds}
    rows = [row for row in _rows(path) if _known(row) in asked]
    return {
        "format": 1,
        "benchmark": "ablation",
        "machine": machine(),
        "versions": versions(),
        "data": {
            "name": Path(ask.corpus).name,
            "train": where["train_tokens"],
            "vocab_size": where["vocab_size"],
        },
        "seconds": None if ask.num_steps else ask.seconds,
        "num_steps": ask.num_steps,
        "preset": ask.preset,
        "size": shape_name(base.decoder(ask.vocab_size)),
        "base": base.model_dump(),
        "trainings": rows,
        "variants": compared(rows, BASE),
    }


def _train(
    recipe: BenchRecipe, where: dict[str, Any], ask: AblationAsk, seed: int
) -> dict[str, Any]:
    stage = ask.keep / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    seconds = None if ask.num_steps else ask.seconds
    row = learn_and_judge(
        read_text(where),
        recipe,
        budget=Budget(seconds, ask.num_steps, time.monotonic(), sliding=False),
        seed=seed,
        stage_dir=stage / "pretrain",
    )
    shutil.rmtree(stage, ignore_errors=True)
    return row


def _base(ask: AblationAsk, progress: Progress) -> tuple[BenchRecipe, dict[str, Any]]:
    """The recipe that was planned here before, or a new one, and where the ids lie."""
    asked = {
        "corpus": ask.corpus,
        "seconds": ask.seconds,
        "num_steps": ask.num_steps,
        "preset": ask.preset,
        "size": ask.size,
        "settings": list(ask.settings),
        "vocab_size": ask.vocab_size,
    }
    text = TextAsk(ask.corpus, ask.seconds, vocab_size=ask.vocab_size)
    path = ask.keep / "base.json"
    if path.is_file():
        kept = read_json(path)
        if kept["asked"] != asked:
            raise ConfigError(
                f"{ask.keep} holds what another question came to",
                got=", ".join(f"{k}={v}" for k, v in asked.items() if v != kept["asked"].get(k)),
                remedy="give another folder with --keep",
            )
        _, where = prepare_text(text, ask.keep, progress=progress)
        return parse_config(BenchRecipe, kept["recipe"], where=str(path)), dict(where)
    run, where = prepare_text(text, ask.keep, progress=progress)
    planned, _ = make_recipe(
        run, seconds=ask.seconds, size=ask.size, preset=ask.preset, progress=progress
    )
    base = override(planned, ask.settings)
    write_json(path, {"format": 1, "asked": asked, "recipe": base.model_dump()})
    return base, dict(where)


def _known(row: dict[str, Any]) -> tuple[str, tuple[str, ...], int]:
    """What a training is known by: a name alone may have meant other settings before."""
    return row["variant"], tuple(row["settings"]), row["seed"]


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(path)) if path.is_file() else []
