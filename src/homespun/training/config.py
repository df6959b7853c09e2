"""What a training stage is asked, what it gives back, and the file that holds it to its word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from homespun.core import Config, ConfigError
from homespun.core.files import read_json, write_json
from homespun.training.ema import EmaConfig
from homespun.training.health import HealthConfig, SpikeConfig
from homespun.training.optim import OptimizerConfig, ScheduleConfig

FORMAT = 1


class BestConfig(Config):
    """Which weights a stage keeps: those of the lowest held-out loss, not the last.

    Text that is read many times is learned by heart: the held-out loss falls, turns and rises.

    Attributes:
        after: readings of the text from which on weights are kept; before the second there is
            nothing to know by heart, and keeping them would be work for nothing.
        patience: share of the stage without a lower held-out loss (three evaluations at the least)
            that ends training early; None goes on to the end.
    """

    after: float = Field(default=1.0, ge=0.0)
    patience: float | None = Field(default=None, gt=0.0, le=1.0)


class KeptWeights(Config):
    """Whose weights a stage ended with, where those of the lowest held-out loss were not the last.

    Attributes:
        step: they are of. last_step: of the stage.
        loss, last_loss: held-out nats a target of the best weights and of the last ones; None where
            that is no number.
        is_complete: whether they were compared by a pass at the end, or by the evaluations on the
            way.
        score: name of what that pass compared in place of the loss; None where it was the loss.
        best_score, last_score: of the best weights and of the last ones; more is better.
        sentence: which were kept and why.
    """

    step: int
    last_step: int
    loss: float
    last_loss: float | None
    is_complete: bool
    score: str | None = None
    best_score: float | None = None
    last_score: float | None = None
    sentence: str


class TrainConfig(Config):
    """At least one of `num_steps` and `seconds` is given; with both, what is reached first counts.

    Attributes:
        num_steps: optimiser steps to make; given alone, the result is the same on every run.
        seconds: working seconds the stage may take, evaluations and checkpoints included.
        num_micro_batches: batches of the source whose gradients are added up for one step.
        optimizer, schedule: see there.
        ema: the average of the weights that is evaluated and kept in the end; None for the last
            weights themselves.
        clip_norm: largest global gradient norm; longer gradients are scaled down to it.
        compute_dtype: of activations and products; weights and optimiser state stay fp32.
        kernels: what computes between the large matrix products; "native" is compiled for this
            machine (`homespun.models.native`), faster on processors, and rounds otherwise.
        seed: of dropout and whatever else the model draws during training.
        eval_steps: evaluate every so many steps; None for never, by count.
        eval_share: evaluate whenever another such share of the stage is done; None for never.
        best: whether the weights of the lowest held-out loss are kept and training may end early;
            needs evaluations, whose "loss" counts. None keeps the last.
        eval_cost: the largest share of the time that those evaluations may take in a stage that
            ends by time: where they are slow there are fewer. None for as many as are due.
        checkpoint_steps: save every so many steps; None for never, by count.
        checkpoint_seconds: save when the last save is so long ago; None for never, by time.
        keep_checkpoints: how many stay, the newest.
        health: what is looked at besides, see `training.health`; None for nothing.
        spikes: which steps are skipped because they stand out, and when the run goes back.
        tensorboard: whether to write event files beside `metrics.jsonl`.
    """

    num_steps: int | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0.0)
    num_micro_batches: int = Field(default=1, gt=0)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: EmaConfig | None = None
    clip_norm: float = Field(default=1.0, gt=0.0)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    kernels: Literal["torch", "native"] = "torch"
    seed: int = 0
    eval_steps: int | None = Field(default=None, gt=0)
    eval_share: float | None = Field(default=None, gt=0.0, le=1.0)
    eval_cost: float | None = Field(default=None, gt=0.0, le=1.0)
    best: BestConfig | None = None
    checkpoint_steps: int | None = Field(default=None, gt=0)
    checkpoint_seconds: float | None = Field(default=45.0, gt=0.0)
    keep_checkpoints: int = Field(default=2, ge=2)
    health: HealthConfig | None = HealthConfig()
    spikes: SpikeConfig = SpikeConfig()
    tensorboard: bool = True

    @model_validator(mode="after")
    def _some_limit(self) -> TrainConfig:
        if self.num_steps is None and self.seconds is None:
            raise ConfigError("a stage has no end", remedy="give num_steps, seconds or both")
        return self


class TrainResult(Config):
    """What a finished stage came to.

    Attributes:
        steps: made, skipped ones included.
        tokens: seen, padding not counted.
        epochs: how often the data was seen.
        seconds: working seconds of the stage, all its processes together.
        final_loss: mean nats per target of the last 20 steps that were not skipped; None where
            there were none.
        skipped_steps: steps that changed nothing because loss or gradient was not finite or far
            outside of what the run had shown.
        rewinds: how often the run went back to an earlier checkpoint because such steps followed
            one another.
        stopped: what ended it; "early" where the held-out loss had turned.
        saving_seconds: how many of its seconds training waited for checkpoints.
        peak_memory_bytes: largest resident size of its processes.
        evaluation: what the evaluation of the weights that are kept gave; empty where there is
            none.
        weights: whose they are, where the last ones were not those of the lowest held-out loss.
        health: what was found to be off: `finding`, `step`, `value`, `threshold`, `sentence`.
    """

    steps: int
    tokens: int
    epochs: float
    seconds: float
    final_loss: float | None
    skipped_steps: int
    rewinds: int = 0
    stopped: Literal["steps", "time", "early"]
    peak_memory_bytes: int
    saving_seconds: float = 0.0
    evaluation: dict[str, Any]
    weights: KeptWeights | None = None
    health: list[dict[str, Any]] = Field(default_factory=list)


def pin_settings(stage_dir: Path, settings: Mapping[str, Any]) -> None:
    """Write `config.json` on the first start; on later ones check that nothing has changed.

    Args:
        stage_dir: the stage's folder.
        settings: JSON values, nested as one likes.

    Raises:
        ConfigError: naming the first setting that differs from those the stage was started with.
        DataError: `config.json` is damaged.
    """
    path = stage_dir / "config.json"
    if not path.is_file():
        write_json(path, {"format": FORMAT, **settings})
        return
    kept = read_json(path)
    if isinstance(kept, dict):
        kept.pop("started", None)  # which earlier versions wrote
    before, asked = _flat(kept), _flat({"format": FORMAT, **settings})
    for key in sorted({*before, *asked}):
        if before.get(key) != asked.get(key):
            raise ConfigError(
                f"{stage_dir} was started with {key} = {_show(before, key)}",
                got=_show(asked, key),
                remedy=f"repeat that setting to continue, or delete {stage_dir} to start again",
            )


def _flat(value: object, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _show(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "nothing"
