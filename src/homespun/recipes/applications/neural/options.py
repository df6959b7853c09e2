"""Settings that a user gives by name, as words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homespun.core import ConfigError


def read_option(options: Any, name: str, kind: type, *, low: float, high: float) -> Any:
    """A number a user gave by name. Raises ConfigError where it is none, or out of range."""
    try:
        value = kind(options[name])
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        sort = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"{name} must be {sort} from {low:g} to {high:g}",
            got=options[name],
            remedy=f"write --set {name}=NUMBER",
        )
    return value


def read_choice(options: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of a few words a user gave by name. Raises ConfigError where it is another."""
    value = options[name].strip().lower()
    if value not in choices:
        raise ConfigError(
            f"{name} must be {' or '.join(choices)}",
            got=options[name],
            remedy=f"write --set {name}={choices[0]}",
        )
    return value
