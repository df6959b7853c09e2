"""Every error a user can meet.

HomespunError
├── ConfigError      a setting is unknown, out of range, or contradicts another
├── DataError        a text, corpus or data set cannot be read or is not what it should be
├── CheckpointError  a saved model or its state is missing, damaged or from elsewhere
├── RunError         a run directory is missing, busy, or not in the state a command needs
├── RequestError     a request to generate or answer cannot be served as asked
└── BudgetError      time, memory or disk do not suffice

A message says what was wrong, what was got, and what to do about it. `assert` is for our own
bugs only.
"""

from __future__ import annotations

_NOTHING = object()


class HomespunError(Exception):
    """Root of all errors raised on purpose.

    Args:
        what: one clause, what was wrong, without a full stop.
        got: the value met, shown in parentheses where given.
        remedy: one sentence, what the user can do.
    """

    def __init__(self, what: str, *, got: object = _NOTHING, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        message = what if got is _NOTHING else f"{what} (got {_short(got)})"
        if remedy:
            message = f"{message}; {remedy}"
        super().__init__(message)


def _short(value: object, limit: int = 160) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class ConfigError(HomespunError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""


class DivergedError(ConfigError):
    """A training kept meeting steps that were not finite or stood out; its rate is too high."""


class DataError(HomespunError):
    """A text, corpus or data set cannot be read or is not what it should be."""


class CheckpointError(HomespunError):
    """A saved model or its state is missing, damaged or from elsewhere."""


class RunError(HomespunError):
    """A run directory is missing, busy, or not in the state a command needs."""


class RequestError(HomespunError, ValueError):
    """A request to generate or answer cannot be served as asked."""


class BudgetError(HomespunError):
    """Time, memory or disk do not suffice for what was asked."""
