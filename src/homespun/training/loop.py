"""The training loop: the only one. Every stage that changes weights goes through `train`.

A step is a function of (weights, optimiser state, step number): batches and random draws depend on
their numbers alone. So a stage that is killed at any moment and started again makes the very steps
it would have made, from its newest checkpoint on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from homespun.core import (
    DivergedError,
    Objective,
    Progress,
    Silent,
    StepHook,
    WorkClock,
    parse_config,
)
from homespun.core.files import make_folder, os_error, read_jsonl
from homespun.models import load_weights as set_weights
from homespun.training.checkpoint import load_weights, read_done, write_done
from homespun.training.config import KeptWeights, TrainConfig, TrainResult, pin_settings
from homespun.training.data import BatchSource
from homespun.training.distributed import (
    ParallelConfig,
    World,
    check_compile,
    check_enough,
    sharing_cores,
)
from homespun.training.health import Along, Monitor, Seen, Watch
from homespun.training.interrupt import Interruption, held_signals
from homespun.training.limits import Limit
from homespun.training.metrics import MetricsLog, RowLog, SilentLog
from homespun.training.stage import (
    Best,
    Evaluate,
    Evaluations,
    Judge,
    Saves,
    State,
    Steps,
    Trainee,
    Watching,
    asked_parts,
    let_pass,
    stopped_early,
)

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
    world: World | None = None,
    parallel: ParallelConfig | None = None,
    watch: Watch | None = None,
    judge: Judge | None = None,
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
        clock: the run's, which goes on meanwhile. `config.seconds` counts on a clock of the
            stage's own, in its folder: what else is done in the run does not shorten the stage.
        evaluate: `(model, step) -> values` of an "eval" row, called in evaluation mode without
            gradients; a list under "samples" becomes rows of kind "sample" instead. It must not
            change the model. Its time counts.
        hooks: called after each step with the row about to be written.
        progress: told how far it is, and what is off.
        world: the processes, all of which call this with the same arguments; the leader alone
            reads and writes the stage's folder. None for this process alone.
        parallel: how the model is spread over them.
        watch: what the checks of `config.health` compare the run with.
        judge: with `config.best`, a closer look by which the weights of the lowest held-out loss
            and the last ones are compared at the end, by their loss or a score; None for what
            `evaluate` said.

    Returns:
        the result; it is in done.json too, and a stage that is complete returns it at once with
        its weights in `model`. The model is in evaluation mode, and with `parallel.strategy`
        "fsdp" still sharded: its weights are to be read from the stage's folder.

    Raises:
        KeyboardInterrupt: SIGINT came; the step was finished and saved. SystemExit: same, SIGTERM.
        ConfigError: some batches have fewer rows than there are processes, or the stage was started
            with other settings.
        DivergedError: it kept meeting steps that were not finite or stood out, after going back as
            often as `config.spikes` allows.
        CheckpointError: no checkpoint is whole, or they are of another model.
        BudgetError: the disk is full, or one row of text does not fit into memory; or, where
            weights are sharded, a step does not: started again, the stage takes it in more parts.
    """
    world = world or World(device=next(model.parameters()).device)
    check_compile(parallel, kernels=config.kernels, device=world.device.type)
    # Where batches change on the way, before the first rather than in the middle.
    check_enough(getattr(source, "fewest_rows", world.size), world)
    settings = {
        # How often a stage is looked at changes none of its weights.
        "train": config.model_dump(exclude={"eval_cost"}),
        "objective": objective.name,
        "source": source.describe(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    result = world.lead(lambda: _result_there(stage_dir, settings, model))
    if result is not None:
        model.to(world.device)  # as training would have; NCCL sends nothing from elsewhere
        for tensor in model.state_dict().values() if world.size > 1 else ():
            world.broadcast(tensor)
        model.eval()
        return parse_config(TrainResult, result, where=str(stage_dir / "done.json"))
    trainee = Trainee(model, config, world, parallel)
    progress = progress or Silent()
    monitor = None
    # A forward pass through shards takes all processes.
    if config.health is not None and (world.is_leader or trainee.spread.is_lockstep):
        monitor = (Monitor if world.is_leader else Along)(
            model,
            objective,
            source,
            config=config.health,
            watch=watch or Watch(),
            settle=trainee.spread.settle,
        )
    evaluations = Evaluations(
        model,
        trainee.with_average(evaluate),
        config,
        settle=trainee.spread.settle,
        world=trainee.world,
    )
    saves = Saves(trainee, stage_dir, config, clock, progress)
    averaged = None if judge is None else trainee.with_average(judge.evaluate)
    stage = _Stage(
        config,
        stage_dir,
        steps=Steps(trainee, objective, source, config, stage_dir),
        evaluations=evaluations,
        best=Best(
            config,
            saves,
            None if judge is None or averaged is None else judge._replace(evaluate=averaged),
            evaluations.measure,
        ),
        watching=Watching(monitor, stage_dir, progress),
        trainee=trainee,
        progress=progress,
    )
    devices = [trainee.device] if trainee.device.type == "cuda" else []
    # The leader's time is everybody's.
    own = WorkClock(stage_dir / "clock.json").ticking() if world.is_leader else nullcontext(clock)
    with (
        sharing_cores(world),
        held_signals() as interruption,
        torch.random.fork_rng(devices),
        own as own_clock,
    ):
        stage.start(clock, own_clock)
        try:
            return stage.run(hooks, interruption)
        finally:
            stage.close()
            model.eval()


def _result_there(
    stage_dir: Path, settings: dict[str, Any], model: nn.Module
) -> dict[str, Any] | None:
    """The result of a stage that is over, whose weights `model` has then; None of one to train.

    Raises:
        ConfigError: the stage was started with other settings. RunError: its folder cannot be made.
    """
    try:
        make_folder(stage_dir)
    except OSError as error:
        raise os_error(error, f"making the folder {stage_dir}") from error
    pin_settings(stage_dir, settings)
    done = read_done(stage_dir)
    if done is None:
        return None
    set_weights(model, load_weights(stage_dir), where=str(stage_dir))
    return done.result


class _Stage:
    """One stage under way: its state, and in which order its pieces act."""

    state: State
    metrics: RowLog
    limit: Limit

    def __init__(
        self,
        config: TrainConfig,
        stage_dir: Path,
        *,
        steps: Steps,
        evaluations: Evaluations,
        best: Best,
        progress: Progress,
        watching: Watching,
        trainee: Trainee,
    ) -> None:
        self.world, self.trainee, self.watching = trainee.world, trainee, watching
        self.config, self.stage_dir, self.progress = config, stage_dir, progress
        self.steps, self.evaluations = steps, evaluations
        self.best, self.saves = best, best.saves
        self.kept: KeptWeights | None = None

    def start(self, clock: WorkClock, own_clock: WorkClock) -> None:
        """Take over the newest checkpoint, or stand at the beginning; cut the metrics to match."""
        state = self.state = self.saves.resume()
        self.clock = clock
        self.limit = Limit(
            num_steps=self.config.num_steps,
            seconds=self.config.seconds,
            clock=own_clock,
            # A clock file that was lost must not give the stage its time again.
            used=state.seconds if own_clock is clock else max(state.seconds, own_clock.seconds()),
            progress=state.progress,
        )
        self.limit.took(state.step_seconds)
        self.limit.reserve(evaluation=state.evaluation_seconds, checkpoint=state.checkpoint_seconds)
        self.best.reserve(state, self.limit)
        if not self.world.is_leader:
            self.metrics = SilentLog()
            return
        self.metrics = MetricsLog(
            self.stage_dir,
            step=state.step,
            is_evaluated=state.evaluated_step == state.step,
            tensorboard=self.config.tensorboard,
        )

    def run(self, hooks: Sequence[StepHook], interruption: Interruption) -> TrainResult:
        state, limit, metrics, saves = self.state, self.limit, self.metrics, self.saves
        task = self.progress.task(self.stage_dir.name, *limit.scale)
        if state.step == 0 and saves.newest is None:
            saves.save(state, limit, metrics)  # whether it can be saved shows before the work does
        if self.world.is_leader:
            self.watching.start(state, metrics)
        # Behind `start`, which takes what it finds as known: so these parts are told as any others.
        state.parts = max(state.parts, self.world.lead(lambda: asked_parts(self.stage_dir)))
        shown = 0.0
        while not self.is_over():
            share = state.progress
            self.watching.before_step(state)
            row = self.steps.step(state, limit)
            for hook in hooks:
                hook.on_step(state.step, self.trainee.model, row)
            metrics.write(row)
            self.watching.after_step(state, metrics, self.seen(row))
            if state.skipped_in_a_row >= self.config.spikes.in_a_row:
                self.leave_the_spot()
            elif self.evaluations.is_due(state, share, limit):
                self.evaluate()
            self.clock.tick()
            position = limit.position(state.step)
            task.advance(position - shown, _note(row))
            shown = position
            saves.poll()
            if self.must_save(interruption):
                self.save()
            if interruption.agreed is not None:
                saves.finish()
                interruption.leave()
        if self.evaluations.is_missing(state):
            self.evaluate()
        saves.save(state, limit, metrics)
        saves.finish()
        self.kept = self.best.choose(state)
        if self.kept is not None:
            self.progress.say(f"{self.stage_dir.name}: {self.kept.sentence}")
        # The last evaluation may have followed the checkpoint of its step; the result reads rows.
        metrics.sync()
        result = TrainResult(**self.world.lead(self.conclude))
        self.steps.conclude()
        task.finish(f"{result.steps} steps")
        if interruption.signal is not None:
            interruption.leave()
        return result

    def seen(self, row: dict[str, Any]) -> Seen:
        """What the checks of health get of the step just made."""
        state, steps, window = self.state, self.steps, self.config.spikes.window
        return Seen(
            row,
            state.progress,
            state.losses[-window:],
            state.grad_norms[-window:],
            steps.waited,
            steps.took,
            steps.next_batch(state),
        )

    def evaluate(self) -> None:
        self.evaluations.run(self.state, self.limit, self.metrics)
        self.watching.after_evaluation(self.state, self.metrics)
        self.best.look(self.state, self.steps.epochs(self.state))
        self.best.reserve(self.state, self.limit)
        if self.best.has_turned(self.state) and not self.is_last():
            self.state.has_turned = True
            self.watching.tell(stopped_early(self.state), self.state, self.metrics)

    def is_over(self) -> bool:
        """Whether the limit is reached, by the leader's clock, or the held-out loss has turned,
        with weights worth keeping."""
        while self.state.has_turned or self.is_last():
            if self.trainee.is_finite():
                return True
            self.rewind()
        return False

    def is_last(self) -> bool:
        """Whether the limit is reached after the step just made."""
        return self.world.agreed(self.limit.done(self.state.step))

    def must_save(self, interruption: Interruption) -> bool:
        """Where a process was asked to stop, or the leader says so. All are to stop then."""
        is_best = self.state.best_step == self.state.step
        is_due = self.world.is_leader and (is_best or self.saves.is_due(self.state))
        signal, due = self.world.highest([interruption.signal or 0, is_due])
        if signal:
            # Apart from what this process received: one that arrives from here on is heard after
            # the next step, and where another was first it is no second one, which ends a save.
            interruption.agreed = round(signal)
        return bool(signal or due)

    def save(self) -> None:
        """Save the step just made; weights that are not finite are given up instead."""
        if self.trainee.is_finite():
            self.saves.save(self.state, self.limit, self.metrics)
        else:
            self.rewind()

    def leave_the_spot(self) -> None:
        """After too many steps that were not taken: go back, or let large gradients pass."""
        state = self.state
        if state.rewinds_here and state.large_gradients >= self.config.spikes.in_a_row:
            # Other text brought them as well and losses are as before, so they come from where the
            # weights are: refusing them, the run would stand here for good.
            state.grad_norms, state.skipped_in_a_row, state.large_gradients = [], 0, 0
            self.watching.tell(let_pass(state), state, self.metrics)
        else:
            self.rewind()

    def rewind(self) -> None:
        """Go back and leave out what was read since, or give up."""
        if self.state.rewinds_here >= self.config.spikes.max_rewinds or not self.saves.rewind(
            self.state, self.limit, self.metrics
        ):
            raise _diverged(self.config, self.state)
        self.watching.write_last(self.state, self.metrics)

    def conclude(self) -> dict[str, Any]:
        """Write done.json; returns the result."""
        result = self.result().model_dump()
        assert self.saves.newest is not None, "a stage ends with a checkpoint"
        write_done(self.stage_dir, self.saves.newest, result)
        return result

    def close(self) -> None:
        """Let a save under way be whole, and close the files."""
        self.saves.abandon()
        self.metrics.close()

    def stopped(self) -> Literal["steps", "time", "early"]:
        if self.state.has_turned:
            return "early"
        return "steps" if self.limit.is_out_of_steps(self.state.step) else "time"

    def result(self) -> TrainResult:
        rows = read_jsonl(self.stage_dir / "metrics.jsonl")
        losses = [row["loss"] for row in rows if row["kind"] == "train" and not row["skipped"]]
        last = losses[-_FINAL_LOSS_STEPS:]
        return TrainResult(
            steps=self.state.step,
            tokens=self.state.tokens,
            epochs=self.steps.epochs(self.state),
            seconds=round(self.limit.used(), 3),
            final_loss=math.fsum(last) / len(last) if last else None,
            skipped_steps=self.state.skipped,
            rewinds=self.state.rewinds,
            stopped=self.stopped(),
            saving_seconds=round(self.state.saving_seconds, 3),
            peak_memory_bytes=self.state.peak_memory_bytes,
            evaluation=self.state.evaluation,
            weights=self.kept,
            health=self.state.findings,
        )


def _diverged(config: TrainConfig, state: State) -> DivergedError:
    again = f", and again after going back {state.rewinds_here} times" if state.rewinds_here else ""
    return DivergedError(
        f"training went wrong: loss or gradient was not finite or far too large in "
        f"{max(1, state.skipped_in_a_row)} steps in a row up to step {state.step}{again}, "
        f"at learning rate",
        got=config.optimizer.learning_rate,
        remedy="start a new run with a smaller size or with more text; in Python, with a "
        "learning_rate a third of that",
    )


def _note(row: Mapping[str, Any]) -> str:
    loss = "skipped" if row["loss"] is None else f"loss {row['loss']:.3f}"
    return f"{loss}, {row['tokens_per_second']:,.0f} tokens/s"
