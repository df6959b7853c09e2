"""The benchmark of ordinary text: one tokenizer, the same tokens, the same time for everyone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, Progress, RunDirectory, Silent
from homespun.core.machine import machine, versions
from homespun.recipes.bench.contender import check_recipe
from homespun.recipes.bench.duel import PeerSettings, check_settings, learn_and_judge_peer
from homespun.recipes.bench.learning import read_text, save_text
from homespun.recipes.bench.ours import Budget, TokenText, as_stream, learn_and_judge
from homespun.recipes.bench.peers import Peer
from homespun.recipes.bench.recipe import BenchRecipe, StartingRecipe, make_recipe, override
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.shapes import Preset, shape_name
from homespun.recipes.texts import (
    check_source,
    ensure_corpus,
    ensure_shards,
    ensure_tokenizer,
)

if TYPE_CHECKING:
    from homespun.core import Tokenizer

PEER = PeerSettings(num_layers=4, width=256, rows=12, context=256, rates={})


class TextAsk(NamedTuple):
    """What one run of the benchmark is to do.

    Attributes:
        corpus: a folder, a file, or the name of a corpus.
        seconds: for every contender, loading torch included; a peer's from its process's start.
        vocab_size: of the tokenizer, which is ours for all.
        presets: ours, one after another.
        size: of our models, as "64x3" or a name; None leaves it to the plan.
        is_planned: ours are trained as `homespun pretrain` would train in the time, by a plan for
            this text, whose measuring does not count, as peers' sweeps do not. Without, the
            starting recipe, which needs no measuring.
        settings, seed: as for tiny Shakespeare.
        keep: a folder for the prepared text and our stage; prepared text in it is used again.
        sliding: whether the sliding pass is made as well.
        peers, peer: whom to measure beside us, and how.
        peer_shapes: layers and width of peers' models, each trained for the full time; rates are
            swept with the first. None for the shape of `peer`.
    """

    corpus: str
    seconds: float
    vocab_size: int = 2048
    presets: Sequence[Preset] = ("fast",)
    size: str | None = None
    is_planned: bool = True
    settings: tuple[str, ...] = ()
    seed: int = 0
    keep: Path | None = None
    sliding: bool = True
    peers: Sequence[Peer] = ()
    peer: PeerSettings = PEER
    peer_shapes: Sequence[tuple[int, int]] = ()


def bench_text(ask: TextAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """Prepare the text once, let each contender learn for the same time, and judge all alike.

    Preparing is not part of anyone's time. JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: an unknown preset or setting. DataError: the text cannot be used.
        RunError: a peer does not run.
    """
    progress = progress or Silent()
    _check(ask)
    scratch = tempfile.TemporaryDirectory(prefix="homespun-bench-") if ask.keep is None else None
    with scratch or nullcontext():
        folder = Path(scratch.name) if scratch else ask.keep
        assert folder is not None
        run, where = prepare_text(ask, folder, progress=progress)
        others = [
            row for peer in ask.peers for row in _of_peer(peer, where, ask, progress=progress)
        ]
        prepare_process()
        loading = loading_seconds()
        ours = [
            _ours(run, preset, where, ask, _fresh(folder), loading=loading, progress=progress)
            for preset in ask.presets
        ]
    return {
        "format": 2,
        "benchmark": "text",
        "machine": machine(),
        "versions": versions(),
        "data": {
            "name": Path(ask.corpus).name,
            "train": where["train_tokens"],
            "vocab_size": where["vocab_size"],
        },
        "seed": ask.seed,
        "contenders": [*ours, *others],
    }


def _check(ask: TextAsk) -> None:
    """Raises ConfigError for what is wrong, before anybody learns."""
    check_settings([peer.name for peer in ask.peers], ask.peer, ask.peer_shapes)
    if ask.size is not None and not ask.is_planned:
        raise ConfigError(
            "the starting recipe has a size of its own, and only a plan is asked for one",
            got=ask.size,
            remedy="set model.width and model.num_layers, or train by a plan",
        )
    for preset in ask.presets:
        recipe = override(StartingRecipe.from_preset(preset), ask.settings)
        if ask.peers:
            check_recipe(recipe, vocab_size=ask.vocab_size, size=ask.size)


def loading_seconds() -> float:
    """What loading torch and the training loop takes: peers' processes do it within their time,
    this one before a plan is made."""
    began = time.monotonic()
    import homespun.models
    import homespun.training  # noqa: F401

    return time.monotonic() - began


def _of_peer(
    peer: Peer, where: Mapping[str, Any], ask: TextAsk, *, progress: Progress
) -> Iterator[dict[str, Any]]:
    """A row for each shape; the rates that a sweep found with the first go for the others."""
    settings = ask.peer
    for layers, width in ask.peer_shapes or (settings[:2],):
        settings = settings._replace(num_layers=layers, width=width)
        row = learn_and_judge_peer(
            peer,
            where,
            settings,
            seconds=ask.seconds,
            seed=ask.seed,
            sliding=ask.sliding,
            progress=progress,
        )
        yield {**row, "label": f"{peer.name} {width}x{layers}"}
        settings = settings._replace(rates={**settings.rates, **row["rates"]}, sweep=False)


def _ours(
    run: RunDirectory,
    preset: Preset,
    where: Mapping[str, Any],
    ask: TextAsk,
    folder: Path,
    *,
    loading: float,
    progress: Progress,
) -> dict[str, Any]:
    num_steps = foretold = None
    recipe: BenchRecipe
    if ask.is_planned:
        recipe, plan = make_recipe(
            run, seconds=ask.seconds, size=ask.size, preset=preset, progress=progress
        )
        num_steps = plan.num_steps
        foretold = None if plan.prediction is None else plan.prediction.bits_per_byte
    else:
        recipe = StartingRecipe.from_preset(preset)
    recipe = override(recipe, ask.settings)
    started = time.monotonic() - loading
    row = learn_and_judge(
        read_text(where),
        recipe,
        budget=Budget(ask.seconds, num_steps, started, sliding=ask.sliding),
        seed=ask.seed,
        stage_dir=folder / "pretrain",
        progress=progress,
    )
    shape = shape_name(recipe.decoder(where["vocab_size"]))
    return {**row, "label": f"{preset} {shape}", "foretold_bpb": foretold}


def prepare_text(
    ask: TextAsk, folder: Path, *, progress: Progress
) -> tuple[RunDirectory, Mapping[str, Any]]:
    """Clean, split and encode the corpus as a run would; the run, and where the ids lie.

    Raises:
        RunError: the text that is there is another one. DataError: there is no such corpus.
    """
    from homespun.recipes.pipeline import source_name, undone_if_nothing

    path = folder / "text"
    is_new = not (path / "run.json").is_file()
    if not is_new:
        run = RunDirectory.open(path)
        # Of text that was prepared the source may be gone.
        is_there = Path(ask.corpus).exists()
        place = str(Path(ask.corpus).resolve()) if is_there else ask.corpus
        check_source(run, place, remedy="give another folder with --keep")
    else:
        place = source_name(ask.corpus)
        run = RunDirectory.create(path, asked={"source": place}, seed=0)
    with run.locked():
        with undone_if_nothing(run, is_new):
            ensure_corpus(run, place, language="auto", seed=0, progress=progress)
        tokenizer = ensure_tokenizer(run, vocab_size=ask.vocab_size, progress=progress)
        ensure_shards(run, tokenizer, progress=progress)
        return run, save_text(token_text(run, tokenizer), path / "ids")


def token_text(run: RunDirectory, tokenizer: Tokenizer) -> TokenText:
    """The run's shards; bytes are those that the held-out ids stand for."""
    from homespun.corpus import open_split

    train, held_out = (
        as_stream(np.asarray(open_split(run.shards, split)[:])) for split in ("train", "validation")
    )
    num_bytes = int(token_lengths(tokenizer)[held_out[1:]].sum())
    return TokenText(train, held_out, tokenizer.vocab_size, num_bytes, tokenizer.end_of_text_id)


def token_lengths(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Bytes that each token stands for, (V,)."""
    return np.array([len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)])


def _fresh(folder: Path) -> Path:
    """A new folder for our stage beside those of earlier runs."""
    number = 1
    while (path := folder / f"stage-{number}").exists():
        number += 1
    path.mkdir(parents=True)
    return path
