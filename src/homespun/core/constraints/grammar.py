"""Grammars in Lark's notation, and the schemas and expressions that are embedded in them."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from homespun.core.constraints.expression import check_expression
from homespun.core.constraints.schema import check_parts
from homespun.core.errors import RequestError

DEEPEST_GRAMMAR = 64
MOST_RULES = 500
"""Each may be in the one before, and whoever follows them goes as deep. Compiling ended the process
at 2,000 to 3,000 rules with a stack of 8 MB."""
MOST_LEVELS = 1000
"""Rules, groups within each other in each of them, and levels of schemas, all upon each other."""
MOST_TOKENS = 20_000
MOST_SYMBOLS = 5000
"""Names, texts and expressions. Of 10,000 that may be left out compiling took 1.1 s."""
_TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*+"?'  # a text
    r"|//[^\n]*|\#[^\n]*"  # a comment
    r"|/(?P<expression>(?:\\.|[^/\\\n])*+)/?"
    r"|(?P<json>%json\b)"
    r"|(?P<open>[\[({])|(?P<close>[\])}])"
    r"|(?P<bar>\|)"
    r"|(?P<name>[A-Za-z_]\w*)"
)
_SPACE = re.compile(r"\s*+")
# Rules begin lines, and so may other things: there are never more rules than are counted.
_RULE = re.compile(r"^[ \t]*+[?!]*+[A-Za-z_][^\n:]*+:", re.MULTILINE)
# All of these take what they have taken for good: tried again from every place, as expressions are
# by themselves, a text of 64 kB could take minutes.


def check_grammar(text: str) -> None:
    """Raises RequestError where a grammar is nested too deeply, has too many rules or symbols, or
    something embedded in it does.

    Args:
        text: the grammar, in Lark's notation.
    """
    if text.lstrip()[:1] == "{":
        raise RequestError(
            "a grammar is in Lark's notation", got=text[:20], remedy='as in start: "yes" | "no"'
        )
    begins = [found.start() for found in _RULE.finditer(text)]
    if len(begins) > MOST_RULES:
        raise _refused(f"has at most {MOST_RULES} rules", len(begins))
    reading = _Reading(begins)
    at = num_tokens = 0
    while (found := _TOKEN.search(text, at)) is not None:
        at = found.end()
        num_tokens += 1
        if num_tokens > MOST_TOKENS:
            raise _refused(f"has at most {MOST_TOKENS} signs", "more")
        reading.go_to(found.start())
        if found["json"]:
            levels, at = _read_json(text, at)
            reading.add(levels)
        elif found["expression"] is not None:
            check_expression(found["expression"], what="an expression of the grammar")
        reading.take(found)


class _Reading:
    """How far a grammar has been read.

    Args:
        begins: where its rules begin.
    """

    def __init__(self, begins: Sequence[int]) -> None:
        self._begins = deque(begins)
        self._num_levels = len(begins)
        self._depth = self._deepest = self._num_symbols = 0

    def go_to(self, at: int) -> None:
        """Whether a rule begins up to there: brackets do not reach from one into another."""
        if not self._begins or at < self._begins[0]:
            return
        while self._begins and at >= self._begins[0]:
            self._begins.popleft()
        self._close()

    def take(self, found: re.Match[str]) -> None:
        if found["open"]:
            self._depth += 1
            self._deepest = max(self._deepest, self._depth)
            if self._depth > DEEPEST_GRAMMAR:
                raise _refused(f"is at most {DEEPEST_GRAMMAR} levels deep", "more")
        elif found["close"]:
            self._depth -= 1
        elif found["name"] or found["expression"] or found[0][0] == '"':
            self._num_symbols += 1
            if self._num_symbols > MOST_SYMBOLS:
                raise _refused(f"has at most {MOST_SYMBOLS} names, texts and expressions", "more")
        self.add(0)

    def add(self, levels: int) -> None:
        """Levels of what is embedded."""
        self._num_levels += levels
        if self._num_levels + self._deepest > MOST_LEVELS:
            told = f"has at most {MOST_LEVELS} rules, groups in each other and levels of schemas"
            raise _refused(told, "more")

    def _close(self) -> None:
        self._num_levels += self._deepest
        self._depth = self._deepest = 0


def _read_json(text: str, at: int) -> tuple[int, int]:
    """The levels of the schema that begins there, and where it ends. Raises as `check_schema`."""
    space = _SPACE.match(text, at)
    assert space is not None
    try:
        schema: Any
        schema, end = json.JSONDecoder().raw_decode(text, space.end())
    except RecursionError:
        raise _refused(f"is at most {DEEPEST_GRAMMAR} levels deep", "more") from None
    except ValueError as error:
        raise RequestError(
            "a schema of the grammar is not JSON", got=str(error), remedy="correct it"
        ) from error
    return check_parts(schema), end


def _refused(told: str, got: object) -> RequestError:
    return RequestError(f"a grammar {told}", got=got, remedy="make it simpler")
