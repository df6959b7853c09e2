"""Frozen, strict configuration, and errors a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

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
            remedy = did_you_mean(str(first["loc"][-1]), _keys_at(cls, first["loc"][:-1]))
            raise ConfigError(f"unknown key '{key}' in {where}", remedy=remedy) from error
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):  # a validator of ours, in its own words
            raise ConfigError(f"{where}: {cause}") from error
        raise ConfigError(
            f"{key} in {where} is wrong: {first['msg'].lower()}",
            got=first.get("input"),
            remedy="correct that value",
        ) from error


def _keys_at(cls: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The right keys of the config at `place` inside of a `cls`, itself where that is empty."""
    for part in place:
        field = cls.model_fields.get(str(part))  # none is a number in a list, or a key of a mapping
        if field is not None:
            cls = _config_in(field.annotation) or cls
    return list(cls.model_fields)


def _config_in(annotation: Any) -> type[BaseModel] | None:
    """The first config that a field of such a type can hold, in a list or a mapping too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_config_in(part) for part in get_args(annotation))
    return next((kind for kind in found if kind is not None), None)


def did_you_mean(word: str, choices: list[str]) -> str:
    """A remedy sentence: the nearest choice, or all of them."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "choose one of: " + ", ".join(choices)
