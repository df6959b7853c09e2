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
    checkpoint_steps: int | None = Field(default=None, gt=0)
    checkpoint_seconds: float | None = Field(default=45.0, gt=0.0)
    keep_checkpoints: int = Field(default=2, ge=2)
    health: HealthConfig | None = HealthConfig()
    spikes: SpikeConfig = SpikeConfig()
    tensorboard: bool = True

    @model_validator(mode="after")
    def _some_limit(self) -> TrainConfig:
        if self.num_steps is None and self.seconds is None:
            raise ValueError("give num_steps, seconds or both")
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
        stopped: what ended it.
        saving_seconds: how many of its seconds training waited for checkpoints.
        peak_memory_bytes: largest resident size of its processes.
        evaluation: what the evaluation at the end gave; empty where there is none.
        health: what was found to be off: `finding`, `step`, `value`, `threshold`, `sentence`.
    """

    steps: int
    tokens: int
    epochs: float
    seconds: float
    final_loss: float | None
    skipped_steps: int
    rewinds: int = 0
    stopped: Literal["steps", "time"]
    peak_memory_bytes: int
    saving_seconds: float = 0.0
    evaluation: dict[str, Any]
    health: list[dict[str, Any]] = Field(default_factory=list)


def pin_settings(stage_dir: Path, settings: Mapping[str, Any], *, now: float) -> float:
    """Write `config.json` on the first start; on later ones check that nothing has changed.

    Args:
        stage_dir: the stage's folder.
        settings: JSON values, nested as one likes.
        now: working seconds on the run's clock.

    Returns:
        what `now` was on the first start.

    Raises:
        ConfigError: naming the first setting that differs from those the stage was started with.
        DataError: `config.json` is damaged.
    """
    path = stage_dir / "config.json"
    if not path.is_file():
        write_json(path, {"format": FORMAT, "started": now, **settings})
        return now
    kept = read_json(path)
    started = kept.pop("started", now) if isinstance(kept, dict) else now
    before, asked = _flat(kept), _flat({"format": FORMAT, **settings})
    for key in sorted({*before, *asked}):
        if before.get(key) != asked.get(key):
            raise ConfigError(
                f"{stage_dir} was started with {key} = {_show(before, key)}",
                got=_show(asked, key),
                remedy=f"repeat that setting to continue, or delete {stage_dir} to start again",
            )
    return float(started)


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
