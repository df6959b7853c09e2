"""Pretraining by the run's plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homespun.core import (
    Progress,
    RunDirectory,
    Silent,
    WorkClock,
    derive_seed,
    parse_config,
)
from homespun.core.files import read_json
from homespun.recipes.expected import expected_curve
from homespun.recipes.learn.targets import Taught, taught
from homespun.recipes.plan import RunPlan, read_plan
from homespun.recipes.plan.changes import foretells, with_changes
from homespun.recipes.prior.kept import (
    attach_prior,
    counting_seconds,
    ensure_prior,
)
from homespun.recipes.scale.options import EVALUATING, VALIDATION_TOKENS, bytes_per_token
from homespun.recipes.scale.room import check_room
from homespun.recipes.together import ALONE, Helpers
from homespun.scaling.rules import (
    DECAY_SHARE,
    WEIGHT_DECAY,
    left_after_counting,
    optimizer_settings,
)

if TYPE_CHECKING:
    from homespun.training import Evaluate, Judge, RampConfig, TrainConfig

JUDGED_TOKENS = 131_072
"""Of held-out text, by which the best weights and the last are compared."""
PATIENCE = 0.15
"""Of a stage: three of its evaluations."""


def ensure_pretrained(
    run: RunDirectory,
    *,
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers = ALONE,
) -> dict[str, Any]:
    """Count the n-gram table the plan wants and pretrain by plan.json, or go on where it stopped;
    returns done.json.

    Raises:
        BudgetError: memory or disk do not suffice to begin.
    """
    from homespun.corpus import verify_shards

    stage = run.stage("pretrain")
    is_done = (stage / "done.json").is_file()
    if not is_done:
        if not (stage / "config.json").is_file():
            check_room(run, read_plan(run))
        verify_shards(run.shards, progress=progress)
    ensure_prior(
        run, read_plan(run), progress=progress
    )  # of a finished stage too, where it was lost
    if not is_done:
        helpers.call("pretrain", run.path)
        _pretrain(run, clock=clock, progress=progress, helpers=helpers)
    done: dict[str, Any] = read_json(stage / "done.json")
    return done


def help_pretraining(run: RunDirectory, *, clock: WorkClock, helpers: Helpers) -> None:
    """What the other processes do while the leader pretrains."""
    _pretrain(run, clock=clock, progress=Silent(), helpers=helpers)


def _pretrain(
    run: RunDirectory,
    *,
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers,
) -> None:
    import torch

    from homespun.corpus import open_split
    from homespun.models import DecoderConfig
    from homespun.training import Watch, set_threads, train

    plan = read_plan(run)
    set_threads(plan.threads)
    seed = run.record().seed
    shape = DecoderConfig(**plan.model)
    model = shape.build(torch.Generator().manual_seed(derive_seed(seed, "weights")))
    attach_prior(model, run, shape, whole=False)
    tokens: Any = open_split(run.shards, "train")
    held_out: Any = open_split(run.shards, "validation")
    learned = taught(run, plan, tokens, ramp=planned_ramp(plan), seed=derive_seed(seed, "pretrain"))
    config = pretrain_config(plan, seed=seed)
    if config.seconds is not None:
        # Counting is part of the stage's time. What it took is kept, so a restart says the same.
        counting = counting_seconds(run) if plan.prior_order else 0.0
        left = left_after_counting(config.seconds, counting)
        config = config.model_copy(update={"seconds": round(left, 3)})
    curve: Evaluate | None = validation_curve(run)
    judge = closer_look(run)
    if plan.objective != "causal":
        curve, judge = own_curve(learned) if learned.num_held_out else None, None
    is_told = foretells(plan.changes)
    expected = expected_curve(run, plan) if is_told else None
    if expected is None and plan.prediction is not None:
        why = (
            "the law says only where a run ends" if is_told else "no law is of what --set asks for"
        )
        progress.say(f"the loss on the way is not compared: {why}")
    train(
        model,
        learned.objective,
        learned.source,
        config=config,
        stage_dir=run.stage("pretrain"),
        clock=clock,
        evaluate=curve,
        watch=Watch(expected=expected, held_out=held_out),
        progress=progress,
        world=helpers.world,
        parallel=helpers.parallel(plan.parts),
        judge=judge,
    )


def planned_ramp(plan: RunPlan) -> RampConfig | None:
    """Raises ConfigError where plan.json says what is no ramp."""
    from homespun.training import RampConfig

    if plan.ramp is None:
        return None
    return parse_config(RampConfig, plan.ramp, where="the plan's ramp")


def closer_look(run: RunDirectory) -> Judge | None:
    """By what the best weights and the last are compared at the end: more of the validation text,
    all of it where it is not long; None where it is all read on the way."""
    from homespun.corpus import open_split
    from homespun.training import Judge

    held_out: Any = open_split(run.shards, "validation")
    read = min(len(held_out), JUDGED_TOKENS)
    if read <= VALIDATION_TOKENS:
        return None
    return Judge(validation_curve(run, max_tokens=JUDGED_TOKENS), read / VALIDATION_TOKENS)


def validation_curve(run: RunDirectory, *, max_tokens: int = VALIDATION_TOKENS) -> Evaluate:
    """What `train` calls to see how the run's validation text is predicted on the way, of which
    `max_tokens` are looked at."""
    from homespun.corpus import open_split
    from homespun.evaluation import quick_validation

    held_out: Any = open_split(run.shards, "validation")
    per_token = bytes_per_token(run)

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        loss = quick_validation(model, held_out, context=model.context, max_tokens=max_tokens)
        return {
            "loss": loss,
            "bits_per_byte": loss / math.log(2) / per_token,
            "split": "validation",
        }

    return evaluate


def own_curve(learned: Taught) -> Evaluate:
    """As `validation_curve`, of targets behind a prefix: the same ones every time."""
    from homespun.training import held_out_loss

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        batches = map(learned.held_out.batch, range(learned.num_held_out))
        return held_out_loss(model, learned.objective, batches)

    return evaluate


def pretrain_config(plan: RunPlan, *, seed: int) -> TrainConfig:
    """The settings that won at this scale, see LOG.md, and what the plan has in their place."""
    from homespun.training import (
        BestConfig,
        OptimizerConfig,
        ScheduleConfig,
        TrainConfig,
        beta2_for,
    )

    ramp = planned_ramp(plan)
    batch = plan.rows * plan.model["context"] if ramp is None else round(ramp.batch_tokens)
    config = TrainConfig(
        num_steps=plan.num_steps,
        seconds=plan.seconds,
        optimizer=OptimizerConfig(
            **optimizer_settings(tied=bool(plan.model.get("tied", True))),
            learning_rate=plan.learning_rate or 6e-3,
            matrix_learning_rate=plan.matrix_learning_rate or 1e-2,
            beta2=beta2_for(batch, plan.expected_tokens),
            weight_decay=WEIGHT_DECAY if plan.weight_decay is None else plan.weight_decay,
        ),
        schedule=ScheduleConfig(
            kind="wsd", warmup=0.02 if plan.warmup is None else plan.warmup, decay=DECAY_SHARE
        ),
        compute_dtype=_dtype(plan.compute_dtype),
        kernels=plan.kernels,
        seed=derive_seed(seed, "loop"),
        eval_share=0.05,
        eval_cost=EVALUATING,
        best=BestConfig(patience=PATIENCE if plan.stop_early else None),
        checkpoint_seconds=20.0,
    )
    return with_changes(config, plan.changes)


def _dtype(name: str) -> Any:
    return "bfloat16" if name == "bfloat16" else "float32"
