"""The table: every family learns the same ids for the same seconds."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, Progress, RunError, Silent, did_you_mean
from homespun.core.machine import machine, versions
from homespun.recipes.bench.learning import read_text
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.bench.words import TextAsk, prepare_text, token_lengths
from homespun.recipes.families.contenders import FAMILIES, Family
from homespun.recipes.families.kept import KeptRows
from homespun.recipes.families.peer import check_checkout
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.table import spread
from homespun.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from homespun.core import RunDirectory

_PEER = Family("pytorch-lstm", 2017, ("homespun.recipes.families.peer", "judge_pytorch_lstm"), {})


class FamiliesAsk(NamedTuple):
    """Attributes:
    corpus: a folder, a file, or the name of a corpus.
    seconds: for each family.
    names: families; () for all.
    vocab_size: of the tokenizer, which all share.
    context: tokens a prediction may look back on.
    seed: of every draw.
    keep: a folder for the prepared text and the rows, which are used again.
    peer: checkout of pytorch/examples, whose LSTM learns beside ours; None for none.
    megabytes: of the training text that is learned from, spread over all of it; None for all.
    is_planned: today's decoder is trained as `homespun pretrain` would train it in the time, by a
        plan for this text, whose measuring does not count. Else it has a size by the rule that the
        other families have.
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
    is_planned: bool = True


def part_of(text: TokenText, lengths_V: NDArray[np.int64], num_bytes: float) -> TokenText:
    """With about so many bytes of the training text, in blocks from all over it: the beginning of a
    corpus is one author, and no sample of it."""
    whole = int(lengths_V[np.asarray(text.train)].sum())
    num = int(len(text.train) * min(1.0, num_bytes / whole))
    return text._replace(train=spread(text.train, num))


def bench_families(ask: FamiliesAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """JSON values: a row for each family, in the order of the field's history; `failed` has those
    that came to no end, with their errors. Killed and called again with the same `keep`, it goes
    on: families that came to their end are not measured again.

    Raises:
        ConfigError: there is no family of that name. DataError: the text cannot be used.
        RunError: no family came to its end.
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
        rows, failed = _measured(
            chosen,
            text,
            ask,
            run if ask.is_planned else None,
            KeptRows(folder, _asked(ask)),
            progress,
        )
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
        "planned": ask.is_planned,
        "families": rows,
        "failed": failed,
    }


def _measured(
    chosen: Sequence[Family],
    text: TokenText,
    ask: FamiliesAsk,
    run: RunDirectory | None,
    kept: KeptRows,
    progress: Progress,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Rows, and names and errors of those that have none."""
    rows, failed = [], []
    for family in chosen:
        task = progress.task(family.name, None, "")
        row = kept.find(family.name)
        if row is None:
            try:
                row = _row(family, text, ask, run)
            # Whatever it is: what the others took an hour for must not be lost with it.
            except Exception as error:
                if len(chosen) == 1:
                    raise
                failed.append({"name": family.name, "error": f"{type(error).__name__}: {error}"})
                task.finish("failed")
                progress.say(f"{family.name} failed: {error}")
                continue
            kept.add(row)
        rows.append(row)
        task.finish(f"{row['val_bpb']:.3f} bits per byte")
    if not rows:
        raise RunError(
            "no family came to its end",
            got="; ".join(f"{one['name']}: {one['error']}" for one in failed),
            remedy="give more text or minutes, or name other families",
        )
    return rows, failed


def _asked(ask: FamiliesAsk) -> dict[str, Any]:
    """What rows of one table have in common."""
    left_out = ("names", "keep", "peer")
    return {name: value for name, value in ask._asdict().items() if name not in left_out}


def _row(
    family: Family, text: TokenText, ask: FamiliesAsk, run: RunDirectory | None
) -> dict[str, Any]:
    module, name = family.place
    judge = getattr(importlib.import_module(module), name)
    began = time.monotonic()
    more = {"run": run} if family.is_planned else {}
    judged = judge(
        text, seconds=ask.seconds, seed=ask.seed, context=ask.context, **family.arguments, **more
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
