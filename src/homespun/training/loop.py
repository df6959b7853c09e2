"""The training loop: the only one. Every stage that changes weights goes through `train`.

A step is a function of (weights, optimiser state, step number): batches and random draws depend on
their numbers alone. So a stage that is killed at any moment and started again makes the very steps
it would have made, from its newest checkpoint on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from homespun.core import (
    ConfigError,
    Objective,
    Progress,
    Silent,
    StepHook,
    WorkClock,
    derive_seed,
    parse_config,
)
from homespun.core.files import read_jsonl
from homespun.models import load_weights as set_weights
from homespun.models import state_to_safetensors
from homespun.training.checkpoint import (
    load_checkpoint,
    load_weights,
    read_done,
    save_checkpoint,
    write_done,
)
from homespun.training.config import TrainConfig, TrainResult, pin_settings
from homespun.training.data import BatchSource
from homespun.training.interrupt import Interruption, held_signals
from homespun.training.limits import Limit
from homespun.training.metrics import MetricsLog
from homespun.training.optim import build_optimizer
from homespun.training.resources import peak_memory_bytes
from homespun.training.step import take_step

Evaluate = Callable[[nn.Module, int], Mapping[str, Any]]
_FINAL_LOSS_STEPS = 20


def train(  # noqa: PLR0913 - one call says all of a stage
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    *,
    config: TrainConfig,
    stage_dir: Path,
    clock: WorkClock,
    evaluate: Evaluate | None = None,
    hooks: Sequence[StepHook] = (),
    progress: Progress | None = None,
) -> TrainResult:
    """Train `model` in place, or go on where an earlier process stopped, to the end.

    With `config.num_steps` alone, the final weights are a function of the arguments, however often
    the stage was killed in between (on one machine and number of threads).

    Args:
        model: fp32 parameters on the device to train on. A resumed stage overwrites them.
        objective: turns a batch into a loss.
        source: gives batch number so-and-so.
        config: how long, how fast, how careful.
        stage_dir: where config.json, metrics.jsonl, checkpoints/ and done.json are written.
        clock: the run's; `config.seconds` counts on it from the first start of the stage.
        evaluate: `(model, step) -> values` of an "eval" row, called in evaluation mode without
            gradients; a list under "samples" becomes rows of kind "sample" instead. It must not
            change the model. Its time counts.
        hooks: called after each step with the row about to be written.
        progress: told how far it is.

    Returns:
        the result; it is in done.json too, and a stage that is complete returns it at once with
        its weights in `model`. The model is in evaluation mode.

    Raises:
        KeyboardInterrupt: SIGINT came; the step was finished and saved. SystemExit: same, SIGTERM.
        ConfigError: the stage was started with other settings, or `config.max_skipped` steps in a
            row were not finite.
        CheckpointError: no checkpoint is whole, or they are of another model.
        BudgetError: the disk is full.
    """
    stage_dir.mkdir(parents=True, exist_ok=True)
    settings = {
        "train": config.model_dump(),
        "objective": objective.name,
        "source": source.describe(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    started = pin_settings(stage_dir, settings, now=clock.seconds())
    if (done := read_done(stage_dir)) is not None:
        set_weights(model, load_weights(stage_dir), where=str(stage_dir))
        model.eval()
        return parse_config(TrainResult, done.result, where=str(stage_dir / "done.json"))
    stage = _Stage(model, objective, source, config=config, stage_dir=stage_dir, clock=clock)
    devices = [stage.device] if stage.device.type == "cuda" else []
    with held_signals() as interruption, torch.random.fork_rng(devices):
        stage.start(started, progress or Silent())
        try:
            return stage.run(evaluate, hooks, interruption)
        finally:
            stage.metrics.close()
            model.eval()


@dataclass
class _State:
    """`state.json`: everything the loop itself remembers.

    Attributes:
        step: completed steps; the position in the data too.
        tokens, skipped, skipped_in_a_row: counters.
        seconds: working seconds of the stage.
        progress: share of the stage done, as the schedule of the last step saw it.
        evaluated_step: of the last evaluation, -1 before the first.
        evaluation: what it gave.
        peak_memory_bytes: of all processes so far.
        evaluation_seconds, checkpoint_seconds, step_seconds: what those take, see `Limit`.
    """

    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    progress: float = 0.0
    evaluated_step: int = -1
    evaluation: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    evaluation_seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    step_seconds: float = 0.0


class _Stage:
    """One stage under way: what `train` was given, and its state."""

    metrics: MetricsLog
    limit: Limit

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        source: BatchSource,
        *,
        config: TrainConfig,
        stage_dir: Path,
        clock: WorkClock,
    ) -> None:
        self.model, self.objective, self.source = model, objective, source
        self.config, self.stage_dir, self.clock = config, stage_dir, clock
        self.device = next(model.parameters()).device
        dtype = getattr(torch, config.compute_dtype)
        _set_compute_dtype(model, dtype)
        self.optimizer = build_optimizer(model, config.optimizer, matrix_dtype=dtype)
        self.state = _State()
        self.progress: Progress = Silent()
        self.saved_step = -1
        self.saved_at = time.monotonic()
        self.checkpoint = stage_dir

    def start(self, started: float, progress: Progress) -> None:
        """Take over the newest checkpoint, or stand at the beginning; cut the metrics to match."""
        self.progress = progress
        loaded = load_checkpoint(self.stage_dir, progress=progress)
        if loaded is not None:
            self.state = _State(**loaded.state)
            set_weights(self.model, loaded.weights, where=str(loaded.path))
            self.optimizer.load_state_tensors(loaded.optimizer)
            self.saved_step, self.checkpoint = loaded.step, loaded.path
            progress.say(f"continuing {self.stage_dir.name} after step {loaded.step}")
        self.limit = Limit(
            num_steps=self.config.num_steps,
            seconds=self.config.seconds,
            clock=self.clock,
            # A clock file that was lost must not give the stage its time again.
            used=max(self.state.seconds, self.clock.seconds() - started),
            progress=self.state.progress,
        )
        self.limit.took(self.state.step_seconds)
        self.limit.reserve(
            evaluation=self.state.evaluation_seconds, checkpoint=self.state.checkpoint_seconds
        )
        self.metrics = MetricsLog(
            self.stage_dir,
            step=self.state.step,
            is_evaluated=self.state.evaluated_step == self.state.step,
            tensorboard=self.config.tensorboard,
        )

    def run(
        self, evaluate: Evaluate | None, hooks: Sequence[StepHook], interruption: Interruption
    ) -> TrainResult:
        if self.config.seconds is not None:
            task = self.progress.task(self.stage_dir.name, self.config.seconds, "s")
        else:
            task = self.progress.task(self.stage_dir.name, self.config.num_steps, "steps")
        shown = 0.0
        while not self.limit.done(self.state.step):
            share = self.state.progress
            row = self.step()
            for hook in hooks:
                hook.on_step(self.state.step, self.model, row)
            self.metrics.write(row)
            if self.state.skipped_in_a_row >= self.config.max_skipped:
                raise _diverged(self.config, self.state)
            if evaluate and self.evaluation_is_due(share):
                self.evaluate(evaluate)
            self.clock.tick()
            position = self.limit.position(self.state.step)
            task.advance(position - shown, _note(row))
            shown = position
            if interruption.signal is not None or self.checkpoint_is_due():
                self.save()
            if interruption.signal is not None:
                interruption.leave()
        if evaluate and self.state.evaluated_step != self.state.step:
            self.evaluate(evaluate)
        self.save()
        # The last evaluation may have followed the checkpoint of its step; the result reads rows.
        self.metrics.sync()
        result = self.result()
        write_done(self.stage_dir, self.checkpoint, result.model_dump())
        task.finish(f"{result.steps} steps")
        if interruption.signal is not None:
            interruption.leave()
        return result

    def step(self) -> dict[str, Any]:
        """Make one step; returns its row."""
        state, config = self.state, self.config
        began = time.perf_counter()
        state.progress = self.limit.progress(state.step)
        scale = config.schedule.scale(state.progress)
        torch.manual_seed(derive_seed(config.seed, "step", state.step))
        self.model.train()
        first = state.step * config.num_micro_batches
        outcome = take_step(
            self.model,
            self.objective,
            (
                self.source.batch(index).to(self.device)
                for index in range(first, first + config.num_micro_batches)
            ),
            self.optimizer,
            lr_scale=scale,
            clip_norm=config.clip_norm,
        )
        took = time.perf_counter() - began
        self.limit.took(took)
        state.step += 1
        state.tokens += outcome.num_tokens
        state.skipped += outcome.is_skipped
        state.skipped_in_a_row = state.skipped_in_a_row + 1 if outcome.is_skipped else 0
        return {
            "kind": "train",
            "step": state.step,
            "tokens": state.tokens,
            "epoch": self.source.epochs(first + config.num_micro_batches),
            "loss": _finite(outcome.loss),
            "lr": config.optimizer.learning_rate * scale,
            "grad_norm": _finite(outcome.grad_norm),
            "skipped": outcome.is_skipped,
            "seconds": round(self.limit.used(), 3),
            "tokens_per_second": round(outcome.num_tokens / max(took, 1e-9), 1),
            **{name: _finite(value) for name, value in outcome.metrics.items()},
        }

    def evaluation_is_due(self, share_before: float) -> bool:
        """After the step just made; `share_before` is the progress before it."""
        config = self.config
        if config.eval_steps and self.state.step % config.eval_steps == 0:
            return True
        if config.eval_share is None:
            return False
        return self.state.progress // config.eval_share > share_before // config.eval_share

    def evaluate(self, evaluate: Evaluate) -> None:
        """Write a row of kind "eval", and rows of kind "sample" where there are texts."""
        began = time.monotonic()
        self.model.eval()
        with torch.no_grad():
            values = dict(evaluate(self.model, self.state.step))
        samples = values.pop("samples", ())
        values = {key: _finite(value) for key, value in values.items()}
        self.state.evaluated_step = self.state.step
        self.state.evaluation = values
        place = {"step": self.state.step, "tokens": self.state.tokens}
        seconds = {"seconds": round(self.limit.used(), 3)}
        self.metrics.write({"kind": "eval", **place, **values, **seconds})
        for sample in samples:
            self.metrics.write({"kind": "sample", "step": self.state.step, **sample})
        self.limit.reserve(evaluation=time.monotonic() - began)

    def checkpoint_is_due(self) -> bool:
        steps, seconds = self.config.checkpoint_steps, self.config.checkpoint_seconds
        if steps and self.state.step % steps == 0:
            return True
        return seconds is not None and time.monotonic() - self.saved_at >= seconds

    def save(self) -> None:
        """Write a checkpoint of the step just made, unless there is one."""
        if self.saved_step == self.state.step:
            return
        began = time.monotonic()
        self.state.seconds = self.limit.used()
        self.state.peak_memory_bytes = max(self.state.peak_memory_bytes, peak_memory_bytes())
        self.state.evaluation_seconds = self.limit.evaluation_seconds
        self.state.checkpoint_seconds = self.limit.checkpoint_seconds
        self.state.step_seconds = self.limit.step_seconds
        self.metrics.sync()
        self.checkpoint = save_checkpoint(
            self.stage_dir,
            self.state.step,
            state_to_safetensors(self.model),
            self.optimizer.state_tensors(),
            asdict(self.state),
            keep=self.config.keep_checkpoints,
        )
        self.clock.save()
        self.saved_step, self.saved_at = self.state.step, time.monotonic()
        self.limit.reserve(checkpoint=self.saved_at - began)

    def result(self) -> TrainResult:
        rows = read_jsonl(self.stage_dir / "metrics.jsonl")
        losses = [row["loss"] for row in rows if row["kind"] == "train" and not row["skipped"]]
        last = losses[-_FINAL_LOSS_STEPS:]
        return TrainResult(
            steps=self.state.step,
            tokens=self.state.tokens,
            epochs=self.source.epochs(self.state.step * self.config.num_micro_batches),
            seconds=round(self.limit.used(), 3),
            final_loss=math.fsum(last) / len(last) if last else None,
            skipped_steps=self.state.skipped,
            stopped="steps" if self.limit.is_out_of_steps(self.state.step) else "time",
            peak_memory_bytes=self.state.peak_memory_bytes,
            evaluation=self.state.evaluation,
        )


def _set_compute_dtype(model: nn.Module, dtype: torch.dtype) -> None:
    set_dtype = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(dtype)
    elif dtype != torch.float32:
        raise ConfigError(
            f"{type(model).__name__} computes in float32 only",
            got=str(dtype).removeprefix("torch."),
            remedy="set compute_dtype to float32",
        )


def _diverged(config: TrainConfig, state: _State) -> ConfigError:
    return ConfigError(
        f"loss or gradient was not finite in {state.skipped_in_a_row} steps in a row, "
        f"up to step {state.step}, at learning rate",
        got=config.optimizer.learning_rate,
        remedy="start a new run with a smaller size or with more text; in Python, with a "
        "learning_rate a third of that",
    )


def _finite(value: Any) -> Any:
    """JSON has no NaN: a number that is not finite becomes None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _note(row: Mapping[str, Any]) -> str:
    loss = "skipped" if row["loss"] is None else f"loss {row['loss']:.3f}"
    return f"{loss}, {row['tokens_per_second']:,.0f} tokens/s"
