"""nanoGPT's own recipe for a processor, run by its own train.py as its user would.

Its README: `python train.py config/train_shakespeare_char.py --device=cpu …`. Nothing is written
into the checkout: the run has a folder of its own, in which links lead to what train.py reads.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from homespun.core import Progress, RunError
from homespun.core.files import write_text
from homespun.recipes.bench.contender import Contender

DATA = "shakespeare_char"
STEPS = 2000
RECIPE = (
    "config/train_shakespeare_char.py",
    "--device=cpu",
    "--compile=False",
    "--eval_iters=20",
    "--log_interval=1",
    "--block_size=64",
    "--batch_size=12",
    "--n_layer=4",
    "--n_head=4",
    "--n_embd=128",
    f"--max_iters={STEPS}",
    f"--lr_decay_iters={STEPS}",
    "--dropout=0.0",
)


def run_nanogpt(
    checkout: Path,
    text: Path,
    where: Mapping[str, Any],
    folder: Path,
    *,
    sliding: bool,
    progress: Progress,
    extra: Sequence[str] = (),
) -> dict[str, Any]:
    """Prepare the data and train, each by the project's own script, and judge what came out.

    Args:
        checkout: of nanoGPT.
        text: what it learns.
        where: of the same text as ids, as `save_text` gives it, to judge by.
        folder: to work in, not there yet.
        sliding: whether the sliding pass is made too.
        extra: more arguments of train.py, which win over the recipe's.

    Returns:
        a contender's figures, see benchmarks/README.md.

    Raises:
        RunError: a script fails.
    """
    data = folder / "data" / DATA
    data.mkdir(parents=True)
    for name in ("configurator.py", "config"):
        (folder / name).symlink_to(checkout / name)
    (data / "prepare.py").symlink_to(checkout / "data" / DATA / "prepare.py")
    (data / "input.txt").symlink_to(text.resolve())
    if find_spec("requests") is None:  # asked for at import, used only to download the text
        write_text(data / "requests.py", "")
    _prepare(data / "prepare.py", folder)
    arguments = [*RECIPE, *extra]
    job = {
        "job": "nanogpt_recipe",
        "path": str(checkout),
        "folder": str(folder),
        "arguments": arguments,
        "text": dict(where),
        "sliding": sliding,
    }
    task = progress.task("nanoGPT's own recipe", total=STEPS, unit="steps")
    with Contender("nanogpt", job) as child:
        answer, steps = child.answer(), 0
        while "val_loss" not in answer:
            task.advance(answer["step"] - steps)
            steps = answer["step"]
            answer = child.answer()
    task.finish(f"{answer['seconds']:.0f} s, loss {answer['val_loss']:.4f}")
    return {"name": "nanogpt", **answer, "command": ["python", "train.py", *arguments]}


def _prepare(script: Path, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RunError(
            "nanoGPT's prepare.py failed",
            got=lines[-1] if lines else f"exit code {done.returncode}",
            remedy="run it by hand to see why",
        )
