"""A peer learns a token stream in its own process, against the clock, from the batches we use."""

from __future__ import annotations

import io
import os
import runpy
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core import derive_seed
from homespun.core.files import write_bytes
from homespun.recipes.bench.ours import TokenText, judgement, sliding_stride
from homespun.recipes.bench.validation import ScoreBatch, ValidationPass, validation_pass

if TYPE_CHECKING:
    from homespun.recipes.bench.peers.model import PeerModel

TEXT_FILES = ("train.npy", "held_out.npy")


def save_text(text: TokenText, folder: Path) -> dict[str, Any]:
    """Write the ids where child processes read them; returns what a job needs to find them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in zip(TEXT_FILES, (text.train, text.held_out), strict=True):
        buffer = io.BytesIO()
        np.save(buffer, ids, allow_pickle=False)
        write_bytes(folder / name, buffer.getvalue(), sync=False)
    return {
        "folder": str(folder),
        "vocab_size": text.vocab_size,
        "num_bytes": text.num_bytes,
        "end_of_text_id": text.end_of_text_id,
        "train_tokens": len(text.train),
    }


def read_text(where: Mapping[str, Any]) -> TokenText:
    folder = Path(where["folder"])
    train, held_out = (np.load(folder / name, allow_pickle=False) for name in TEXT_FILES)
    return TokenText(
        train,
        held_out,
        int(where["vocab_size"]),
        int(where["num_bytes"]),
        where["end_of_text_id"],
    )


def learn_peer(job: Mapping[str, Any], peer: PeerModel) -> dict[str, Any]:
    """Steps until `job["seconds"]` after `job["started"]` (monotonic clock), then complete passes.

    The rates follow the share of the time that is used up, as the peer's own schedule follows the
    share of its steps. Importing, building and compiling have been counted by then.
    """
    from homespun.training import TokenBatches

    text = read_text(job["text"])
    context, rows = job["shape"]["context"], job["rows"]
    source = TokenBatches(
        text.train, context=context, rows=rows, seed=derive_seed(job["seed"], "batches")
    )
    setup = time.monotonic() - job["started"]
    peer.module.train()
    losses: list[float] = []
    step_seconds = 0.0
    while True:
        used = time.monotonic() - job["started"]
        if losses and used + 0.5 * step_seconds >= job["seconds"]:
            break
        peer.schedule(min(1.0, (used + 0.5 * step_seconds) / job["seconds"]), len(losses))
        batch = source.batch(len(losses))
        began = time.monotonic()
        losses.append(float(peer.step(batch.ids_BT, batch.targets_BT)))
        # The first step may compile; later ones are what the last one will take.
        if len(losses) > 1:
            step_seconds = time.monotonic() - began
    ended = time.monotonic() - job["started"]
    peer.module.eval()
    tokens = len(losses) * rows * context
    return {
        "name": job["name"],
        "parameters": peer.num_parameters,
        "flops_per_token": peer.flops_per_token,
        "rates": dict(job["rates"]),
        "dtype": job["dtype"],
        "seconds": round(ended, 2),
        "setup_seconds": round(setup, 2),
        "steps": len(losses),
        "weights": {"judged": "last", "step": len(losses)},
        "tokens": tokens,
        "epochs": round(source.epochs(len(losses)), 3),
        "tokens_per_second": round(tokens / max(ended - setup, 1e-9), 1),
        "train_loss": float(np.mean(losses[-20:])),
        **judge_score(peer.score, text, context=context, sliding=job["sliding"]),
    }


def judge_score(
    score: ScoreBatch, text: TokenText, *, context: int, sliding: bool
) -> dict[str, Any]:
    """The figures of the complete passes; without `sliding` the second pass is left out."""
    window = validation_pass(score, text.held_out, context=context)
    other: ValidationPass | None = None
    if sliding:
        stride = sliding_stride(context)
        other = validation_pass(score, text.held_out, context=context, stride=stride)
    return judgement(window, other, text, context=context)


def run_nanogpt_script(job: Mapping[str, Any], tell: Callable[[int], None]) -> dict[str, Any]:
    """nanoGPT's train.py in this process as if it were its own, then complete passes of its model.

    Args:
        job: "path" of the checkout, "folder" to work in, "arguments", "text", "sliding".
        tell: called now and then with the number of steps made.

    Returns:
        the figures; "seconds" run from before the script loads torch to its end.
    """
    script = str(Path(job["path"]) / "train.py")
    sys.path.insert(0, job["path"])
    sys.argv = [script, *job["arguments"]]
    os.chdir(job["folder"])
    printed = _Lines(tell)
    began = time.monotonic()
    with redirect_stdout(printed):
        names = runpy.run_path(script, run_name="__main__")
    seconds = time.monotonic() - began
    from homespun.recipes.bench.peers.nanogpt import trained

    peer, facts = trained(names)
    tokens = facts["steps"] * facts["tokens_per_step"]
    text = read_text(job["text"])
    return {
        "parameters": peer.num_parameters,
        "flops_per_token": peer.flops_per_token,
        "dtype": "float32",
        "seconds": round(seconds, 2),
        "steps": facts["steps"],
        "weights": {"judged": "last", "step": facts["steps"]},
        "tokens": tokens,
        "epochs": round(tokens / len(text.train), 3),
        "tokens_per_second": round(tokens / seconds, 1),
        "printed": printed.evaluations,
        **judge_score(peer.score, text, context=facts["context"], sliding=job["sliding"]),
    }


class _Lines(io.StringIO):
    """What a script prints: its evaluations are kept, its steps are told, the rest is dropped."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self.evaluations: list[str] = []
        self._tell, self._rest = tell, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith("step "):
                self.evaluations.append(line)
            elif line.startswith("iter ") and line[5:].partition(":")[0].endswith("0"):
                self._tell(int(line[5:].partition(":")[0]))
        return len(text)
