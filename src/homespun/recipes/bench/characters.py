"""The benchmark of tiny Shakespeare: what was asked, and the contenders one after another."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, Progress, Silent
from homespun.core.machine import machine, versions
from homespun.recipes.bench.contender import check_recipe
from homespun.recipes.bench.duel import PeerSettings, check_settings, learn_and_judge_peer
from homespun.recipes.bench.learning import save_text
from homespun.recipes.bench.nanogpt_recipe import run_nanogpt
from homespun.recipes.bench.ours import Budget
from homespun.recipes.bench.peers import Peer
from homespun.recipes.bench.recipe import override
from homespun.recipes.process import prepare_process
from homespun.recipes.shakespeare import (
    ShakespeareConfig,
    check_keep,
    read_characters,
    train_shakespeare,
)

CORPUS = "tiny-shakespeare"
DEFAULT_SECONDS = 180.0
NANOCHAT = PeerSettings(num_layers=3, width=192, rows=12, context=256, rates={})
"""The shape of nanochat that did best here in three minutes."""


class Asked(NamedTuple):
    """What one run of the benchmark is to do.

    Attributes:
        data: the text; None takes tiny Shakespeare.
        seconds, num_steps: of our training; with neither, what nanoGPT took or three minutes.
            Nanochat needs the former.
        seed: of weights and batches.
        preset: name of a recipe.
        settings: changes of it, as `override` reads them.
        eval_seconds, target, keep, sliding: as in `Budget` and `train_shakespeare`.
        peers: nanogpt runs its own recipe; nanochat learns for as long as we do.
        peer: of nanochat.
        last_weights: judge our last weights, not those of the lowest held-out loss.
        stop_early: end where the held-out loss has turned.
        nanogpt_extra: more arguments of nanoGPT's train.py.
    """

    data: Path | None = None
    seconds: float | None = None
    num_steps: int | None = None
    seed: int = 0
    preset: str = "fast"
    settings: tuple[str, ...] = ()
    eval_seconds: float | None = None
    target: float | None = None
    keep: Path | None = None
    sliding: bool = True
    peers: Sequence[Peer] = ()
    peer: PeerSettings = NANOCHAT
    last_weights: bool = False
    stop_early: bool = False
    nanogpt_extra: tuple[str, ...] = ()


def bench_shakespeare(asked: Asked, *, progress: Progress | None = None) -> dict[str, Any]:
    """Train and judge; JSON values, see benchmarks/README.md.

    nanoGPT comes first: the seconds its own recipe takes, from before it loads torch to the end,
    are then everyone's, unless others are asked for.

    Raises:
        ConfigError: an unknown preset or setting, options that do not go together, or `keep` has
            something in it. DataError: the text cannot be used. RunError: a peer does not run.
    """
    progress = progress or Silent()
    if asked.last_weights and asked.stop_early:
        raise ConfigError(
            "a run that ends early is judged by its best weights",
            got="--last-weights and --stop-early",
            remedy="leave one of them out",
        )
    start = ShakespeareConfig.from_preset(asked.preset)
    if asked.last_weights:
        start = start.by_the_last()
    elif asked.stop_early:
        start = start.stopping_early()
    config = override(start, asked.settings)
    _check(asked)
    path = find_text(asked.data, progress=progress)
    text = read_characters(path)
    if asked.peers:
        check_recipe(config, vocab_size=text.vocab_size)
    with tempfile.TemporaryDirectory(prefix="homespun-bench-") as name:
        folder = Path(name)
        where = save_text(text, folder / "text")
        seconds, others = asked.seconds, []
        for peer in asked.peers:
            if peer.name == "nanogpt":
                assert peer.path is not None
                found = run_nanogpt(
                    peer.path,
                    path,
                    where,
                    folder / "nanogpt",
                    sliding=asked.sliding,
                    progress=progress,
                    extra=asked.nanogpt_extra,
                )
                others.append(found)
                if seconds is None and asked.num_steps is None:
                    seconds = found["seconds"]
        if seconds is None and asked.num_steps is None:
            seconds = DEFAULT_SECONDS
        for peer in asked.peers:
            if peer.name != "nanogpt":
                others.append(
                    learn_and_judge_peer(
                        peer,
                        where,
                        asked.peer,
                        seconds=DEFAULT_SECONDS if seconds is None else seconds,
                        seed=asked.seed,
                        sliding=asked.sliding,
                        progress=progress,
                    )
                )
    ours = _ours(path, config, asked, seconds, progress)
    return {
        "format": 1,
        "benchmark": "shakespeare",
        "machine": machine(),
        "versions": versions(),
        "data": {"name": path.name, "train": len(text.train), "vocab_size": text.vocab_size},
        "seed": asked.seed,
        "preset": asked.preset,
        "contenders": [ours, *others],
    }


def _check(asked: Asked) -> None:
    """Raises ConfigError for what cannot be, before anybody learns."""
    check_keep(asked.keep)
    learners = [peer.name for peer in asked.peers if peer.name != "nanogpt"]
    check_settings(learners, asked.peer)
    if asked.num_steps is None or asked.seconds is not None:
        return
    if learners:
        raise ConfigError(
            f"{learners[0]} learns for as long as we do, and steps are no time",
            got=f"{asked.num_steps} steps",
            remedy="give minutes, with or without steps, or leave that peer out",
        )
    if asked.eval_seconds is not None:
        raise ConfigError(
            "looks are made by seconds where the training has seconds",
            got=f"{asked.num_steps} steps",
            remedy="give minutes as well, or --set train.eval_steps=100",
        )


def _ours(
    path: Path,
    config: ShakespeareConfig,
    asked: Asked,
    seconds: float | None,
    progress: Progress,
) -> dict[str, Any]:
    prepare_process()
    # From here on the time is ours: loading torch, reading the text, building the model count.
    started = time.monotonic()
    text = read_characters(path)
    eval_seconds = asked.eval_seconds
    if eval_seconds is None and asked.target is not None and seconds is not None:
        eval_seconds = max(5.0, seconds / 20)
    budget = Budget(seconds, asked.num_steps, started, eval_seconds, asked.target, asked.sliding)
    return train_shakespeare(
        text, config, budget=budget, seed=asked.seed, keep=asked.keep, progress=progress
    )


def find_text(given: Path | None, *, progress: Progress) -> Path:
    """The file of the text: the one given, or tiny Shakespeare from where it lies or is fetched."""
    if given is not None:
        return given
    from homespun.corpus.registry import locate_files

    return locate_files(CORPUS, progress=progress)[0]
