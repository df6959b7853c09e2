"""`--set optimizer.kind=adamw`: settings of a training in place of those its plan would give it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from homespun.core import ConfigError, RunDirectory, RunError, did_you_mean, parse_config
from homespun.core.files import write_json
from homespun.recipes.measure import KEPT_CHECKPOINTS, expected_disk
from homespun.recipes.plan.record import read_plan
from homespun.recipes.process import prepare_process
from homespun.scaling.rules import ADAMW_RATE, DECAY_SHARE

if TYPE_CHECKING:
    from homespun.models import DecoderConfig
    from homespun.training import TrainConfig

SECTIONS = ("optimizer", "schedule", "train")
# What a plan decides, or what its speed and memory were measured for.
_PLANNED = {
    "num_steps": "--steps",
    "seconds": "--minutes",
    "num_micro_batches": "--memory",
    "seed": "--seed of the run",
    "compute_dtype": "nothing: what this processor is fast in is taken",
    "kernels": "nothing: what this machine can compile is taken",
    "optimizer": "optimizer.kind and its kin",
    "schedule": "schedule.kind and its kin",
}
Changes = dict[str, dict[str, Any]]
_OF_MUON = ("matrix_learning_rate", "update_scale", "variance", "variance_beta2", "orthogonal")
_OF_MOMENTUM = ("momentum", "nesterov", "momentum_start", "momentum_warmup")
_UNREAD = {
    "adamw": (*_OF_MUON, *_OF_MOMENTUM),
    "sgd": (*_OF_MUON, "beta1", "beta2", "eps"),
}
"""Fields that an optimiser never looks at."""


def put(values: dict[str, Any], setting: str, *, sections: Iterable[str]) -> None:
    """Write a setting such as `rows=16` or `optimizer.kinds.head.rate=0.1` into `values`.

    Its value is read as JSON and, where it is none, as text.

    Args:
        sections: keys of `values` that hold further keys.

    Raises:
        ConfigError: it is not key=value.
    """
    key, equals, text = setting.partition("=")
    section, *names = key.split(".")
    if not equals or not all((section, *names)) or (names and section not in sections):
        raise ConfigError(
            "a setting must be written key=value or section.key=value",
            got=setting,
            remedy="the sections are " + ", ".join(sections),
        )
    if key in sections:
        raise ConfigError(
            f"{key} is a section", got=setting, remedy=f"set one of its fields: {key}.name=…"
        )
    target: dict[str, Any] = values
    for name in (section, *names)[:-1]:
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name} is a value, not a section", got=setting)
        target = inner
    target[(section, *names)[-1]] = _value(text)


def read_changes(settings: Iterable[str]) -> Changes:
    """What `--set` says, by section.

    Raises:
        ConfigError: a setting is unknown, wrong, or the plan's to decide.
    """
    settings = tuple(settings)
    if not settings:
        return {}
    prepare_process()  # before torch is loaded
    from homespun.training import ScheduleConfig, TrainConfig

    found: Changes = {}
    for setting in settings:
        section = setting.partition("=")[0].partition(".")[0]
        if section not in SECTIONS:
            raise ConfigError(
                "a training has no such section of settings",
                got=setting,
                remedy=did_you_mean(section, list(SECTIONS)) + "; as optimizer.kind=adamw, "
                "schedule.kind=cosine or train.ema.kind=ema",
            )
        put(found, setting, sections=SECTIONS)
    for name in found.get("train", {}):
        if name in _PLANNED:
            raise ConfigError(
                f"train.{name} is not set by hand", got="--set", remedy=f"use {_PLANNED[name]}"
            )
    optimizer = found.get("optimizer", {})
    if optimizer.get("kind") == "sgd" and "learning_rate" not in optimizer:
        raise ConfigError(
            "no rate is known that suits SGD",
            got="optimizer.kind=sgd",
            remedy="give one: --set optimizer.learning_rate=0.1",
        )
    with_changes(TrainConfig(num_steps=1, schedule=ScheduleConfig(decay=DECAY_SHARE)), found)
    _check_read(optimizer)
    return found


def _check_read(optimizer: Mapping[str, Any]) -> None:
    """Raises ConfigError naming a field that the optimiser does not look at."""
    kind = optimizer.get("kind", "muon")
    for name in optimizer:
        if name in _UNREAD.get(str(kind), ()):
            remedy = "leave it out"
            if name == "matrix_learning_rate":
                remedy = "set optimizer.kinds.matrix.rate, in shares of optimizer.learning_rate"
            raise ConfigError(
                f"optimizer.{name} means nothing to {kind}", got="--set", remedy=remedy
            )
    ramp = [name for name in ("momentum_start", "momentum_warmup") if optimizer.get(name)]
    if len(ramp) == 1:
        raise ConfigError(
            "momentum rises from optimizer.momentum_start over the share "
            "optimizer.momentum_warmup of the run: one of them does nothing",
            got=f"--set optimizer.{ramp[0]}",
            remedy="give both",
        )


def settle_changes(run: RunDirectory, settings: Iterable[str]) -> None:
    """Put settings into the plan that is there, beside its own, where pretraining has not begun.

    Raises:
        ConfigError: as `read_changes`. RunError: it has begun with others.
    """
    from homespun.models import DecoderConfig

    given = read_changes(settings)
    plan = read_plan(run)
    wanted: Changes = _merged(plan.changes, given)
    if wanted == plan.changes:
        return
    _check_read(wanted.get("optimizer", {}))
    stage = run.stage("pretrain")
    if any((stage / name).is_file() for name in ("config.json", "done.json")):
        raise RunError(
            f"pretraining of {run.path} has begun with other settings",
            got=" ".join(settings),
            remedy=f"repeat those or leave them out to continue it, or {run.to_redo('plan')}",
        )
    shape = DecoderConfig(**plan.model)
    more = {
        "disk_bytes": _more(disk_bytes, shape, plan.changes, wanted),
        "memory_bytes": _more(average_bytes, shape, plan.changes, wanted),
        "needed_bytes": _more(average_bytes, shape, plan.changes, wanted),
    }
    told = {name: getattr(plan, name) for name in more}
    update = {name: value + more[name] for name, value in told.items() if value is not None}
    changed = plan.model_copy(update={"changes": wanted, **update})
    write_json(run.plan, changed.model_dump())


def with_changes(config: TrainConfig, changes: Mapping[str, Mapping[str, Any]]) -> TrainConfig:
    """`config` with what is set by hand in its place.

    AdamW's rate of matrices is `ADAMW_RATE` unless it is set: the rates of a plan's matrices are
    Muon's, and those of its tables far too high for them.

    Raises:
        ConfigError: a setting is unknown or wrong.
    """
    if not changes:
        return config
    sections = {name: changes.get(name, {}) for name in ("optimizer", "schedule")}
    merged = _merged(config.model_dump(), {**changes.get("train", {}), **sections})
    for name in sections:  # a wrong name is compared with those of its section
        parse_config(type(getattr(config, name)), merged[name], where=f"--set {name}")
    optimizer = changes.get("optimizer", {})
    matrix = optimizer.get("kinds", {}).get("matrix", {})
    if optimizer.get("kind") == "adamw" and "rate" not in matrix:
        rate = ADAMW_RATE / merged["optimizer"]["learning_rate"]
        merged["optimizer"]["kinds"]["matrix"]["rate"] = float(f"{rate:.6g}")
    return parse_config(type(config), merged, where="--set")


def kept_checkpoints(changes: Mapping[str, Mapping[str, Any]]) -> int:
    """How many stay of a training."""
    return int(changes.get("train", {}).get("keep_checkpoints", KEPT_CHECKPOINTS))


def disk_bytes(
    shape: DecoderConfig, changes: Mapping[str, Mapping[str, Any]], *, table_bytes: int = 0
) -> int:
    """`measure.expected_disk` of a training by these: AdamW keeps a second number of every matrix
    too, and an average of the weights is kept beside them."""
    from homespun.models import count_parameters, parameters_by_kind

    more = 0
    if changes.get("optimizer", {}).get("kind") == "adamw":
        more += 4 * parameters_by_kind(shape).matrix
    if has_average(changes):
        more += 4 * count_parameters(shape)
    return expected_disk(shape, table_bytes=table_bytes, kept=kept_checkpoints(changes), more=more)


def average_bytes(shape: DecoderConfig, changes: Mapping[str, Mapping[str, Any]]) -> int:
    """Of memory that an average of the weights takes: itself, and the weights while it stands in
    their place to be looked at. 0 without one."""
    from homespun.models import count_parameters

    return 2 * 4 * count_parameters(shape) * has_average(changes)


def has_average(changes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether such a training averages its weights."""
    return changes.get("train", {}).get("ema") is not None


def _more(
    count: Callable[[DecoderConfig, Changes], int],
    shape: DecoderConfig,
    before: Changes,
    after: Changes,
) -> int:
    return count(shape, after) - count(shape, before)


def foretells(changes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the law still speaks of such a training: its runs were made by the rules' optimiser
    and schedule. An average of the weights leaves the loss of training alone."""
    return not changes.get("optimizer") and not changes.get("schedule")


def _merged(values: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(values) if isinstance(values, Mapping) else {}
    for name, value in changes.items():
        found[name] = _merged(found.get(name), value) if isinstance(value, Mapping) else value
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
