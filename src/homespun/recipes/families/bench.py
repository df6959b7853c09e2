"""The table: every family learns the same ids for the same seconds."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, Progress, Silent, did_you_mean
from homespun.core.machine import machine, versions
from homespun.recipes.bench.learning import read_text
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.bench.words import TextAsk, prepare_text, token_lengths
from homespun.recipes.families.contenders import FAMILIES, Family
from homespun.recipes.families.peer import check_checkout
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.sweep import spread
from homespun.tokenizer import load_tokenizer

_PEER = Family("pytorch-lstm", 2017, ("homespun.recipes.families.peer", "judge_pytorch_lstm"), {})


class FamiliesAsk(NamedTuple):
    """Attributes:
    corpus: a folder, a file, or the name of a corpus.
    seconds: for each family.
    names: families; () for all.
    vocab_size: of the tokenizer, which all share.
    context: tokens a prediction may look back on.
    seed: of every draw.
    keep: a folder for the prepared text, which is used again.
    peer: checkout of pytorch/examples, whose LSTM learns beside ours; None for none.
    megabytes: of the training text that is learned from, spread over all of it; None for all.
    """

    corpus: str
    seconds: float
    names: Sequence[str] = ()
    vocab_size: int = 2048
    context: int = 256
    seed: int = 0
    keep: Path | None = None
    peer: Path | None = None
    megabytes: float | None = None


def part_of(text: TokenText, lengths_V: NDArray[np.int64], num_bytes: float) -> TokenText:
    """With about so many bytes of the training text, in blocks from all over it: the beginning of a
    corpus is one author, and no sample of it."""
    whole = int(lengths_V[np.asarray(text.train)].sum())
    num = int(len(text.train) * min(1.0, num_bytes / whole))
    return text._replace(train=spread(text.train, num))


def bench_families(ask: FamiliesAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """JSON values: a row for each family, in the order of the field's history.

    Raises:
        ConfigError: there is no family of that name. DataError: the text cannot be used.
    """
    progress = progress or Silent()
    chosen = _chosen(ask.names)
    if ask.peer is not None:
        check_checkout(ask.peer)
        chosen = [*chosen, _PEER._replace(arguments={"checkout": ask.peer})]
    scratch = TemporaryDirectory(prefix="homespun-families-") if ask.keep is None else None
    with scratch or nullcontext():
        folder = Path(scratch.name) if scratch else ask.keep
        assert folder is not None
        text_ask = TextAsk(ask.corpus, ask.seconds, vocab_size=ask.vocab_size)
        run, where = prepare_text(text_ask, folder, progress=progress)
        text = read_text(where)
        lengths_V = token_lengths(load_tokenizer(run.path))
        if ask.megabytes is not None:
            text = part_of(text, lengths_V, 1e6 * ask.megabytes)
        num_bytes = int(lengths_V[np.asarray(text.train)].sum())
        prepare_process()
        rows = []
        for family in chosen:
            task = progress.task(family.name, None, "")
            rows.append(_row(family, text, ask))
            task.finish(f"{rows[-1]['val_bpb']:.3f} bits per byte")
    return {
        "format": 1,
        "benchmark": "families",
        "machine": machine(),
        "versions": versions(),
        "data": {
            "name": Path(ask.corpus).name,
            "train_tokens": len(text.train),
            "train_bytes": num_bytes,
        },
        "seconds": ask.seconds,
        "seed": ask.seed,
        "families": rows,
    }


def _row(family: Family, text: TokenText, ask: FamiliesAsk) -> dict[str, Any]:
    module, name = family.place
    judge = getattr(importlib.import_module(module), name)
    began = time.monotonic()
    judged = judge(
        text, seconds=ask.seconds, seed=ask.seed, context=ask.context, **family.arguments
    )
    nats_per_token = judged.nats / judged.predictions
    return {
        "name": family.name,
        "year": family.year,
        "shape": judged.shape,
        "parameters": judged.parameters,
        "tokens_read": judged.tokens_read,
        "seconds": round(time.monotonic() - began, 1),
        "val_loss": nats_per_token,
        "val_bpb": judged.nats / math.log(2) / text.num_bytes,
        "note": judged.note,
    }


def _chosen(names: Sequence[str]) -> list[Family]:
    known = [family.name for family in FAMILIES]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no family '{name}'", remedy=did_you_mean(name, known))
    return [family for family in FAMILIES if not names or family.name in names]
