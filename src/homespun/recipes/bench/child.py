"""What runs in a contender's own process: `python -m homespun.recipes.bench.child`.

The first line on stdin is the job, a JSON object; each further line asks for one thing; each
answer is one JSON line on stdout. Whatever else the contender prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from homespun.core import HomespunError
from homespun.recipes.process import end_with_parent

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.recipes.bench.peers.model import PeerAsk, PeerModel

_ADAPTERS = {
    "nanogpt": "nanogpt",
    "nanochat": "nanochat",
    "minimind": "minimind",
    "transformers": "hf",
}


def main() -> int:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a peer's prints must not look like answers
    job = json.loads(sys.stdin.readline())
    end_with_parent()
    try:
        if job.get("tuned"):
            from homespun.recipes.process import prepare_process

            prepare_process()
        if job.get("dtype") == "auto":
            from homespun.recipes.bench.recipe import BenchRecipe

            job["dtype"] = BenchRecipe().dtype_name()
        _JOBS[job["job"]](job, answers)
    except HomespunError as error:
        _answer(answers, {"error": str(error)})
    except Exception as error:
        import traceback

        traceback.print_exc()
        _answer(answers, {"error": f"{type(error).__name__}: {error}"})
    return 0


def check(job: Mapping[str, Any], answers: TextIO) -> None:
    """Whether our recipe can be, see `contender.check_recipe`."""
    from homespun.recipes.bench.recipe import BenchRecipe
    from homespun.recipes.plan import CONTEXT
    from homespun.recipes.scale.options import shapes_to_choose

    recipe, vocab_size = BenchRecipe(**job["recipe"]), job["vocab_size"]
    recipe.decoder(vocab_size)
    recipe.training(seconds=1.0, num_steps=None, seed=0)
    shapes_to_choose(job["size"], vocab_size=vocab_size, context=CONTEXT, preset=recipe.preset)
    _answer(answers, {"ready": True})


def gemm(job: Mapping[str, Any], answers: TextIO) -> None:
    """Each ask measures matrix products for `seconds`."""
    import torch

    from homespun.training.machine import gemm_gflops

    _threads(job)
    dtype = getattr(torch, job["dtype"])
    _answer(answers, {"ready": True, "dtype": job["dtype"]})
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        _answer(answers, {"gflops": gemm_gflops(dtype, seconds=seconds)})


def speed(job: Mapping[str, Any], answers: TextIO) -> None:
    """Each ask takes whole optimiser steps on random ids for `seconds`, at least one."""
    import torch

    _threads(job)
    shape = job["shape"]
    step, facts = _ours(job) if job["name"] == "homespun" else _theirs(job)
    generator = torch.Generator().manual_seed(0)
    size = (job["rows"], shape["context"] + 1)
    batches = [
        torch.randint(shape["vocab_size"], size, generator=generator, dtype=torch.int64)
        for _ in range(4)
    ]
    taken = 0

    def once() -> float:
        nonlocal taken
        ids_BT = batches[taken % len(batches)]
        taken += 1
        began = time.perf_counter()
        step(ids_BT[:, :-1].contiguous(), ids_BT[:, 1:].contiguous())
        return time.perf_counter() - began

    began = time.perf_counter()
    for _ in range(2):
        once()
    _answer(
        answers,
        {
            "ready": True,
            **facts,
            "threads": torch.get_num_threads(),
            "warm_up_seconds": round(time.perf_counter() - began, 2),
        },
    )
    for line in sys.stdin:
        end = time.perf_counter() + json.loads(line)["seconds"]
        seconds = [once()]
        while time.perf_counter() + 0.5 * seconds[-1] < end:
            seconds.append(once())
        _answer(answers, {"steps": seconds, "peak_memory_bytes": peak_memory_bytes()})


def learn(job: Mapping[str, Any], answers: TextIO) -> None:
    """A peer learns a token stream for a time, then is judged by complete passes."""
    from homespun.recipes.bench.learning import learn_peer

    _threads(job)
    _answer(answers, {**learn_peer(job, build_peer(job)), "peak_memory_bytes": peak_memory_bytes()})


def nanogpt_recipe(job: Mapping[str, Any], answers: TextIO) -> None:
    """nanoGPT's own recipe by its own script; steps made are answered on the way."""
    from homespun.recipes.bench.learning import run_nanogpt_script

    found = run_nanogpt_script(job, lambda step: _answer(answers, {"step": step}))
    _answer(answers, {**found, "peak_memory_bytes": peak_memory_bytes()})


def build_peer(job: Mapping[str, Any]) -> PeerModel:
    """The model and optimiser that the job names, from its checkout."""
    from homespun.recipes.bench.peers.model import PeerAsk
    from homespun.recipes.bench.peers.shape import Shape

    path = None if job["path"] is None else Path(job["path"])
    if path is not None:
        sys.path.insert(0, str(path))
    ask = PeerAsk(
        path=path,
        shape=Shape(**job["shape"]),
        rows=job["rows"],
        dtype=job["dtype"],
        compile=job["compile"],
        rates=job.get("rates", {}),
    )
    adapter = import_module(f"homespun.recipes.bench.peers.{_ADAPTERS[job['name']]}")
    build: Callable[[PeerAsk], PeerModel] = adapter.build
    return build(ask)


def _theirs(job: Mapping[str, Any]) -> tuple[Callable[[Tensor, Tensor], object], dict[str, Any]]:
    peer = build_peer(job)
    peer.module.train()
    return peer.step, {
        "parameters": peer.num_parameters,
        "flops_per_token": peer.flops_per_token,
    }


def _ours(job: Mapping[str, Any]) -> tuple[Callable[[Tensor, Tensor], object], dict[str, Any]]:
    """The step of the training loop, on the same ids."""
    import torch

    from homespun.models import count_parameters, train_flops_per_token
    from homespun.models.native import kernels_by_name, use_kernels
    from homespun.recipes.bench.recipe import BenchRecipe
    from homespun.training import Batch, CausalObjective
    from homespun.training.stage.trainee import Trainee
    from homespun.training.step import take_step

    recipe = BenchRecipe(**job["recipe"])
    config = recipe.decoder(job["shape"]["vocab_size"])
    train = recipe.training(seconds=None, num_steps=1, seed=0)
    trainee = Trainee(config.build(torch.Generator().manual_seed(0)), train)
    trainee.model.train()
    kernels = kernels_by_name(train.kernels)

    def step(ids_BT: Tensor, targets_BT: Tensor) -> None:
        batch = Batch(ids_BT, targets_BT, None, None, ids_BT.numel())
        with use_kernels(kernels):
            take_step(
                trainee.model,
                CausalObjective(),
                [batch],
                trainee.optimizer,
                lr_scale=1.0,
                clip_norm=train.clip_norm,
            )

    return step, {
        "parameters": count_parameters(config),
        "flops_per_token": train_flops_per_token(config),
    }


def peak_memory_bytes() -> int:
    """Of this process alone. What the parent held when it started this one is not in it, as it is
    in getrusage's figure."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    from homespun.core.machine import peak_memory_bytes as largest

    return largest()


def _threads(job: Mapping[str, Any]) -> None:
    if job.get("threads") is not None:
        import torch

        torch.set_num_threads(int(job["threads"]))


def _answer(answers: TextIO, value: Mapping[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


_JOBS: dict[str, Callable[[Mapping[str, Any], TextIO], None]] = {
    "check": check,
    "gemm": gemm,
    "speed": speed,
    "learn": learn,
    "nanogpt_recipe": nanogpt_recipe,
}

if __name__ == "__main__":
    sys.exit(main())
