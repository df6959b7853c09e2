"""Measurements of training, ours beside others, each in one run on one machine.

speed       whole training steps in turn: tokens a second and the share of the machine's limit
characters  tiny Shakespeare: the loss at the moment another recipe ends
decode      how fast answers are written, and what weights of fewer bits cost
words       ordinary text: bits per byte after the same time
promises    whether plans keep their word; promise_child: one of them, in its own process
recipe      BenchRecipe: everything one may turn, overridden by `--set section.key=value`
validation  the complete validation pass: every token of the held-out text predicted once
ours        learn a token stream through the one training loop and measure what came out
peers       adapters to other projects' code, which is imported from their checkouts
duel        a peer learns for as long as we do, rates given or swept
contender   a contender's own process; child: what runs in it; learning: a peer against the clock
nanogpt_recipe   nanoGPT's own recipe by its own train.py

Others' code is never copied and never imported into this process.
Everything is loaded on first use, so that importing this package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.recipes.bench.characters import Asked, bench_shakespeare
    from homespun.recipes.bench.decode import DecodeAsk, bench_decode, weight_losses
    from homespun.recipes.bench.ours import Budget, TokenText, learn_and_judge
    from homespun.recipes.bench.peers import parse_peers
    from homespun.recipes.bench.promises import PromiseAsk, bench_promises
    from homespun.recipes.bench.recipe import BenchRecipe, override
    from homespun.recipes.bench.speed import SIZES, SpeedAsk, bench_speed
    from homespun.recipes.bench.validation import ValidationPass, validation_pass
    from homespun.recipes.bench.words import TextAsk, bench_text

_HOME = {
    "SIZES": "speed",
    "Asked": "characters",
    "BenchRecipe": "recipe",
    "Budget": "ours",
    "DecodeAsk": "decode",
    "PromiseAsk": "promises",
    "SpeedAsk": "speed",
    "TextAsk": "words",
    "TokenText": "ours",
    "ValidationPass": "validation",
    "bench_decode": "decode",
    "bench_promises": "promises",
    "bench_shakespeare": "characters",
    "bench_speed": "speed",
    "bench_text": "words",
    "learn_and_judge": "ours",
    "override": "recipe",
    "parse_peers": "peers",
    "validation_pass": "validation",
    "weight_losses": "decode",
}

__all__ = [
    "SIZES",
    "Asked",
    "BenchRecipe",
    "Budget",
    "DecodeAsk",
    "PromiseAsk",
    "SpeedAsk",
    "TextAsk",
    "TokenText",
    "ValidationPass",
    "bench_decode",
    "bench_promises",
    "bench_shakespeare",
    "bench_speed",
    "bench_text",
    "learn_and_judge",
    "override",
    "parse_peers",
    "validation_pass",
    "weight_losses",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"homespun.recipes.bench.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'homespun.recipes.bench' has no attribute {name!r}")
