"""Frozen, strict configuration, and errors a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from homespun.core.errors import ConfigError


class Config(BaseModel):
    """Base of all configs and JSON records: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def parse_config(cls: type[ConfigT], data: object, *, where: str) -> ConfigT:
    """Validate `data` against `cls`.

    Args:
        cls: the config class.
        data: plain values by their keys, as read from JSON or the command line.
        where: what the data is, for the message ("runs/a/run.json").

    Raises:
        ConfigError: naming the first wrong key, what was got and, for an unknown key, the nearest
            right one; or that they are no keys and values at all.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{where} is not a JSON object", got=data, remedy='write it as {"KEY": VALUE, …}'
        )
    try:
        return cls.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "value"
        if first["type"] == "extra_forbidden":
            remedy = did_you_mean(str(first["loc"][-1]), list(cls.model_fields))
            raise ConfigError(f"unknown key '{key}' in {where}", remedy=remedy) from error
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):  # a validator of ours, in its own words
            raise ConfigError(f"{where}: {cause}") from error
        raise ConfigError(
            f"{key} in {where} is wrong: {first['msg'].lower()}",
            got=first.get("input"),
            remedy="correct that value",
        ) from error


def did_you_mean(word: str, choices: list[str]) -> str:
    """A remedy sentence: the nearest choice, or all of them."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "choose one of: " + ", ".join(choices)
