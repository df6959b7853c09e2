"""What a plan was asked for, and whether it may be asked for that now."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from homespun.core import ConfigError, RunDirectory, RunError, did_you_mean, parse_config
from homespun.core.files import read_json
from homespun.recipes.plan.record import read_plan
from homespun.recipes.scale.room import size_text
from homespun.recipes.scale.shapes import Preset
from homespun.recipes.scale.tuned import TunedSettings


class PlanOptions(NamedTuple):
    """What a plan may be asked for besides its budget, size and preset.

    Attributes:
        memory: bytes that training may hold; None for most of what is free here.
        ramp: of rows and context, as `scale.ramped.parse_ramp` reads it; None for none.
        regularise: whether dropout and weight decay are to follow how often the text is read, see
            `training.regularisation`.
        stop_early: whether pretraining ends where the held-out loss has turned, see
            `training.BestConfig`.
        changes: settings of the training in place of the plan's, as `plan.changes` reads them.
        text_tokens: that will be read, where that is a part of the run's text alone; None for all.
    """

    memory: int | None = None
    ramp: str | None = None
    regularise: bool = False
    stop_early: bool = False
    changes: tuple[str, ...] = ()
    text_tokens: int | None = None

    def asked(self) -> dict[str, Any]:
        """Those that were given and a plan depends on, as plan.json keeps them."""
        given = self._asdict()
        del given["changes"]
        return {key: value for key, value in given.items() if value}


NO_OPTIONS = PlanOptions()


def asked_for(
    seconds: float | None, steps: int | None, size: str | None, preset: Preset | None
) -> dict[str, Any]:
    return {"seconds": seconds, "steps": steps, "size": size, "preset": preset}


def read_settings(path: Path | None) -> TunedSettings:
    """What a search found; nothing without a file.

    Raises:
        DataError, ConfigError: the file is missing or is something else.
    """
    if path is None:
        return TunedSettings()
    value = read_json(path)
    if not isinstance(value, dict):
        raise RunError(f"{path} is not a file of settings", remedy="make one with `homespun tune`")
    return parse_config(TunedSettings, value, where=str(path))


def check_preset(preset: str | None) -> None:
    """Raises ConfigError where there is no preset of that name."""
    if preset not in (None, "portable", "fast"):
        raise ConfigError(
            "there is no preset of that name",
            got=preset,
            remedy=did_you_mean(str(preset), ["portable", "fast"]),
        )


def check_not_begun(run: RunDirectory) -> None:
    """Raises RunError where pretraining has begun: what it was held to must not change."""
    if (run.stage("pretrain") / "config.json").is_file():
        raise RunError(
            f"pretraining of {run.path} has begun by its plan",
            remedy=f"make a new run for another plan, or {run.to_redo('plan')}",
        )


def check_plan(
    run: RunDirectory,
    *,
    seconds: float | None,
    steps: int | None,
    size: str | None,
    preset: Preset | None = None,
    options: PlanOptions = NO_OPTIONS,
) -> None:
    """Raises RunError where the plan that is there was made for something else."""
    plan = read_plan(run)
    if preset is not None and preset != plan.preset:
        raise RunError(
            f"{run.plan} is for the preset {plan.preset}",
            got=preset,
            remedy="leave --preset and --portable out to continue by that plan, "
            f"or {run.to_redo('plan')}",
        )
    asked = plan.asked
    wanted = {**asked_for(seconds, steps, size, None), **options.asked()}
    for key, value in wanted.items():
        option = key.replace("seconds", "minutes").replace("_", "-")
        if value is not None and asked.get(key) != value:
            raise RunError(
                f"{run.plan} was made {_as_given(option, asked.get(key))}",
                got=_as_given(option, value).removeprefix("with "),
                remedy=f"leave --{option} out to continue by that plan, or {run.to_redo('plan')}",
            )


def _as_given(option: str, value: Any) -> str:
    """With which option, as a person writes it, or without it."""
    if value is None or value is False:
        return f"without --{option}"
    if option == "minutes":
        value = f"{value / 60:g}"
    elif option == "memory":
        value = size_text(value)
    return f"with --{option}" if value is True else f"with --{option} {value}"


def check_settings(run: RunDirectory, settings_file: Path | None) -> None:
    """Raises RunError where the plan that is there was made without these settings. The same ones
    again are what a killed command is repeated with."""
    if settings_file is None:
        return
    if read_plan(run).tuned != read_settings(settings_file):
        raise RunError(
            f"{run.plan} was made without these settings",
            got=settings_file,
            remedy=f"leave --settings out to continue by that plan, or {run.to_redo('plan')}",
        )
