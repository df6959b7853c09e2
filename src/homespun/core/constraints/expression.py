"""Regular expressions, read from left to right: nothing is remembered but what is open."""

from __future__ import annotations

import re

from homespun.core.errors import RequestError

DEEPEST_GROUPS = 64
MOST_TOKENS = 10_000
"""Signs, escapes and runs of letters: some 10 ms of looking."""
MOST_ALTERNATIVES = 2000
MOST_REPEATS = 1000
"""`*`, `+`, `?` and `{…}`. 10,000 `a?` took 1.3 s and 400 MB."""
MOST_TIMES = 100_000
"""How often something may be repeated by counts within each other: eight `{9}` took 150 MB."""
_TOKEN = re.compile(r"\\.|\[\^?\]?|[\](){}|*+?]|[^\\\[\](){}|*+?]+", re.DOTALL)
"""An escape, what opens a class with a `]` that is in it, a sign, or letters without a meaning."""
_COUNT = re.compile(r"\{\s*+(\d*+)\s*+(?:,\s*+(\d*+)\s*+)?+\}")


def check_expression(text: str, *, what: str = "a regex") -> None:
    """Raises RequestError where it is nested too deeply, or has too many alternatives or
    repetitions. What is no expression at all is left to the library.

    Args:
        what: it is called so.
    """
    reading = _Reading(what)
    at = num_tokens = 0
    while (found := _TOKEN.search(text, at)) is not None:
        at = found.end()
        num_tokens += 1
        if num_tokens > MOST_TOKENS:
            raise _refused(what, f"has at most {MOST_TOKENS} signs")
        if not reading.takes(found[0]) or found[0] != "{":
            continue
        if (count := _COUNT.match(text, found.start())) is not None:
            at = count.end()
            reading.count(count[1], count[2])


class _Reading:
    """How far an expression has been read.

    Each open group keeps the largest count within it; what closes last may be repeated as a whole.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._open: list[int] = [1]  # for each open group, how often its inside repeats something
        self._last = 1  # the same of what was read last
        self._class_depth = 0
        self._num_alternatives = self._num_repeats = 0

    def takes(self, token: str) -> bool:
        """Take a token; whether it is one of its own here and no letter of a class."""
        if token[0] == "[":
            self._class_depth += 1
            self._check_depth()
        elif token == "]":
            self._class_depth = max(0, self._class_depth - 1)
            self._last = 1
        elif self._class_depth:
            return False
        elif token == "(":
            self._open.append(1)
            self._check_depth()
        elif token == ")":
            if len(self._open) > 1:
                self._last = self._open.pop()
                self._open[-1] = max(self._open[-1], self._last)
        elif token == "|":
            self._num_alternatives += 1
            if self._num_alternatives >= MOST_ALTERNATIVES:
                raise _refused(self._what, f"has at most {MOST_ALTERNATIVES} alternatives")
        elif token in "*+?{":
            self._num_repeats += 1
            if self._num_repeats > MOST_REPEATS:
                raise _refused(self._what, f"has at most {MOST_REPEATS} repetitions")
        else:
            self._last = 1
        return True

    def count(self, least: str, most: str | None) -> None:
        """What was read last is repeated so often."""
        times = max(_number(least), _number(most or ""))
        self._last *= max(1, times)
        self._open[-1] = max(self._open[-1], self._last)
        if self._last > MOST_TIMES:
            told = f"repeats nothing more than {MOST_TIMES} times, counts in each other multiplied"
            raise _refused(
                self._what, told, got=self._last, remedy="repeat less, or without a limit: *"
            )

    def _check_depth(self) -> None:
        depth = len(self._open) - 1 + self._class_depth
        if depth > DEEPEST_GROUPS:
            raise _refused(self._what, f"has at most {DEEPEST_GROUPS} groups within each other")


def _refused(
    what: str, told: str, *, got: object = "more", remedy: str = "make it simpler"
) -> RequestError:
    return RequestError(f"{what} {told}", got=got, remedy=remedy)


def _number(digits: str) -> int:
    """As large as matters: Python reads long numbers in quadratic time."""
    return int(digits or "0") if len(digits) < 10 else 10**9
