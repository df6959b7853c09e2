"""Training that goes on: the plan of a run that has a parent, and its stage of the one loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError, Progress, RunDirectory, WorkClock, derive_seed
from homespun.core.files import read_json, write_json
from homespun.core.processes import process_place
from homespun.recipes.extend import lineage
from homespun.recipes.plan import Read, RunPlan, choose_regularisation, read_plan
from homespun.recipes.prior.kept import attach_prior
from homespun.recipes.scale.shapes import multiplied_parameters, shape_name
from homespun.recipes.scale.tuned import TunedSettings
from homespun.scaling.plan import rereading

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig
    from homespun.recipes.together import Helpers
    from homespun.training import BatchSource, TrainConfig

LEAST_TRAINING_SHARE = 0.4
DEFAULT_SECONDS = 300.0
WARMUP = 0.05


class Part(NamedTuple):
    """A text of which rows come.

    Attributes:
        share: of all rows, 0 to 1.
        unique: tokens that it has.
        before: readings of it that count as well, by the runs that this one goes on from.
    """

    share: float
    unique: int
    before: float = 0.0

    def read(self, tokens: float) -> Read:
        """What has been read of it where so many tokens are read in all."""
        return Read(self.share * tokens + self.before * self.unique, self.unique)


class Budget(NamedTuple):
    """What a command that trains further may spend.

    Attributes:
        seconds: working seconds of the whole command; None where steps were asked for.
        steps: of training; None where minutes were asked for.
        rewarm: the peak learning rate, as a share of the parent's.
    """

    seconds: float | None
    steps: int | None
    rewarm: float


def check_budget(minutes: float | None, steps: int | None, rewarm: float) -> Budget:
    """Five minutes where neither is given.

    Raises:
        ConfigError: both are given, or `rewarm` is not above 0 and at most 2.
        BudgetError: minutes out of range.
    """
    from homespun.recipes.pipeline import check_settings

    check_settings(minutes=minutes, steps=steps, seed=0)
    if minutes is not None and steps is not None:
        raise ConfigError(
            "a budget is a number of minutes or of steps", got="both", remedy="leave one out"
        )
    if not 0 < rewarm <= 2:
        raise ConfigError(
            "rewarm is a share of the learning rate of before, above 0 and at most 2",
            got=rewarm,
            remedy="give --rewarm such a number",
        )
    if steps is not None:
        return Budget(None, steps, rewarm)
    return Budget(DEFAULT_SECONDS if minutes is None else 60.0 * minutes, None, rewarm)


def ensure_plan(
    run: RunDirectory,
    old: RunDirectory,
    model: DecoderConfig,
    budget: Budget,
    *,
    reserve: float,
    clock: WorkClock,
    parts: Sequence[Part],
) -> RunPlan:
    """The parent's plan with another model and another budget, made once and kept in plan.json.

    Rows are as many as keep the tokens of a step, and one for each process at least; tokens a
    second are the parent's, by FLOPs. Dropout and weight decay are what a new run would have that
    reads as much of `parts`.

    Args:
        run: the new one.
        old: its parent.
        model: what is trained.
        budget: what was asked.
        reserve: seconds to keep free for measuring at the end.
        clock: the new run's.
        parts: the texts that rows come from, the run's own first.
    """
    from homespun.models import DecoderConfig, count_parameters, train_flops_per_token

    if run.plan.is_file():
        return read_plan(run)
    before = read_plan(old)
    shape = DecoderConfig(**before.model)
    rows = max(process_place().size, before.rows * shape.context // model.context)
    done = read_json(old.stage("pretrain") / "done.json")["result"]
    rate = done["tokens"] / max(1e-3, done["seconds"])
    rate *= train_flops_per_token(shape) / train_flops_per_token(model)
    seconds = None
    if budget.seconds is not None:
        left = budget.seconds - clock.seconds() - reserve
        seconds = round(max(LEAST_TRAINING_SHARE * budget.seconds, left), 1)
    tokens = rows * model.context * budget.steps if budget.steps else int(rate * (seconds or 0.0))
    unique = num_tokens(run.shards)
    regularised = _regularised(before, model, [part.read(tokens) for part in parts])
    kept = {name: True for name in ("regularise",) if before.asked.get(name)}
    plan = before.model_copy(
        update={
            "asked": {"seconds": budget.seconds, "steps": budget.steps, "size": None, **kept},
            # A name asked for is that of the shape, which a longer context leaves as it is.
            "size": before.size if _same_size(shape, model) else shape_name(model),
            "parameters": count_parameters(model),
            **regularised,
            "rows": rows,
            "seconds": seconds,
            "num_steps": budget.steps,
            "expected_tokens": max(1, tokens),
            "expected_epochs": round(tokens / max(1, unique), 3),
            "read_before": round(parts[0].before, 3),
            "replay_share": math.fsum(part.share for part in parts[1:]),
            "replay_read": round(readings_of_old_text(run, old), 3),
            "speeds": [],
            "reason": f"goes on from {old.path.resolve().name}",
            "memory_note": "",
            "ramp": None,
            "ramp_steps": None,
            "stop_early": False,
            # Foretold for another text and time.
            **dict.fromkeys(
                (
                    *("prediction", "other", "expected_seconds"),
                    *("memory_bytes", "needed_bytes", "disk_bytes"),
                )
            ),
        }
    )
    write_json(run.plan, plan.model_dump())
    return plan


def num_tokens(shards: Path) -> int:
    """Of the training text in a folder of shards."""
    return int(read_json(shards / "index.json")["splits"]["train"]["tokens"])


def readings_until(old: RunDirectory) -> float:
    """How often a finished run has read its own text, with what the runs before it read of that."""
    done = read_json(old.stage("pretrain") / "done.json")["result"]
    plan = read_plan(old)
    return plan.read_before + float(done.get("epochs", plan.expected_epochs))


def readings_of_old_text(run: RunDirectory, old: RunDirectory) -> float:
    """How often the texts in the folder `replay/` of a new run have been read, taken together, by
    its parent `old` and by the runs before that; 0 where there are none."""
    plan, sizes = read_plan(old), replay_sizes(old)
    tokens = read_json(old.stage("pretrain") / "done.json")["result"]["tokens"]
    again = (plan.replay_share or _replay_asked(old)) * tokens / max(1, sum(sizes.values()))
    read = dict.fromkeys(sizes, plan.replay_read + again)
    read[old.path.resolve().name] = readings_until(old)
    sizes = replay_sizes(run)
    total = math.fsum(read.get(name, 0.0) * size for name, size in sizes.items())
    return total / max(1, sum(sizes.values()))


def _replay_asked(run: RunDirectory) -> float:
    """The share of old text among the rows of a run that `continue` made, as `parent.json` has it:
    plans of before they told it say nothing. 0 of all other runs."""
    parent = lineage.read_parent(run)
    return float(parent.settings.get("replay", 0.0)) if parent else 0.0


def replay_sizes(run: RunDirectory) -> dict[str, int]:
    """Tokens of each text in the folder `replay/`, by the name of the run that it is of."""
    return {folder.name: num_tokens(folder / "shards") for folder in lineage.replay_folders(run)}


def _regularised(before: RunPlan, model: DecoderConfig, texts: list[Read]) -> dict[str, Any]:
    """What of a plan follows from how often its texts are read: from the one that could be known by
    heart best."""
    parameters = multiplied_parameters(model)
    most = max(texts, key=lambda text: rereading(parameters, *text))
    chosen = choose_regularisation(
        parameters,
        most,
        is_asked=bool(before.asked.get("regularise")),
        is_beside_table=before.prior_order > 0,
        tuned=before.tuned or TunedSettings(),
    )
    return {
        "model": model.model_copy(update={"dropout": chosen.dropout}).model_dump(),
        "weight_decay": chosen.weight_decay,
        "regularised_for": round(most.tokens / most.unique, 3) if chosen.is_ruled else None,
    }


def _same_size(one: DecoderConfig, other: DecoderConfig) -> bool:
    return (one.width, one.num_layers) == (other.width, other.num_layers)


def start_model(
    run: RunDirectory, model: DecoderConfig, *, table_of: RunDirectory | None = None
) -> Decoder:
    """The weights of the stage `start`, in fp32, beside the n-gram table of `table_of`, for use;
    without it, beside the run's own, for training."""
    from homespun.models import load_weights
    from homespun.training import load_weights as stage_weights

    decoder = model.empty()
    load_weights(decoder, stage_weights(run.stage("start")), where=str(run.stage("start")))
    decoder.eval()
    return attach_prior(decoder, table_of or run, model, whole=table_of is not None)


def ensure_further(
    run: RunDirectory,
    source: BatchSource,
    *,
    rewarm: float,
    replay: float | None = None,
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers,
) -> dict[str, Any]:
    """Train the stage `pretrain` from the weights of `start` by plan.json; returns done.json.

    Args:
        replay: by which `source` was mixed, so that those who train along make it too; None for
            the run's own rows.
        helpers: who trains along.
    """
    stage = run.stage("pretrain")
    if not (stage / "done.json").is_file():
        helpers.call("further", run.path, rewarm=rewarm, replay=replay)
        train_further(run, source, rewarm=rewarm, clock=clock, progress=progress, helpers=helpers)
    done: dict[str, Any] = read_json(stage / "done.json")
    return done


def train_further(
    run: RunDirectory,
    source: BatchSource,
    *,
    rewarm: float,
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers,
) -> None:
    """What all processes do in `ensure_further`."""
    from homespun.corpus import open_split
    from homespun.models import DecoderConfig
    from homespun.recipes.learn import validation_curve
    from homespun.training import CausalObjective, Watch, set_threads, train

    plan = read_plan(run)
    set_threads(plan.threads)
    train(
        start_model(run, DecoderConfig(**plan.model)),
        CausalObjective(),
        source,
        config=further_config(plan, rewarm=rewarm, seed=run.record().seed),
        stage_dir=run.stage("pretrain"),
        clock=clock,
        evaluate=validation_curve(run),
        watch=Watch(held_out=open_split(run.shards, "validation")),
        progress=progress,
        world=helpers.world,
        parallel=helpers.parallel(plan.parts),
    )


def further_config(plan: RunPlan, *, rewarm: float, seed: int) -> TrainConfig:
    """As pretraining, with every learning rate times `rewarm`: up quickly, then down to zero.

    Ibrahim et al. 2024 (arXiv 2403.08763) find that re-warming and decaying again, with some replay
    of the old text, loses little to training on all of the text from the start.
    """
    from homespun.recipes.learn import pretrain_config
    from homespun.training import ScheduleConfig

    config = pretrain_config(plan, seed=derive_seed(seed, "further"))
    rates = {
        name: rewarm * value
        for name, value in config.optimizer
        if name.endswith("learning_rate") and value is not None
    }
    return config.model_copy(
        update={
            "optimizer": config.optimizer.model_copy(update=rates),
            "schedule": ScheduleConfig(kind="linear", warmup=WARMUP),
            "eval_share": 0.2,
            "eval_cost": None,
            "best": None,
        }
    )
