"""JSON schemas: how deep they are, how many parts they have, and where their references lead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from homespun.core.constraints.expression import check_expression
from homespun.core.errors import RequestError

DEEPEST_SCHEMA = 64
MOST_PARTS = 2000
"""Objects and lists of a schema. Of 5,000 properties compiling took 1.3 s."""
MOST_LEVELS = 1000
"""Of the schema and of all that references lead to, one upon the other: so deep may whoever follows
them be. Compiling ended the process at 2,100 to 3,000 with a stack of 8 MB."""
_BRACKET = re.compile(r'"(?:\\.|[^"\\])*+"?|[\[{]|[\]}]', re.DOTALL)


def check_schema(text: str) -> None:
    """Raises RequestError where a schema is nested too deeply, has too many parts, or references
    that lead too deep or back to themselves; or is not JSON.

    Args:
        text: the schema.
    """
    _check_brackets(text)
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("the schema is not JSON", got=str(error), remedy="correct it") from error
    if not isinstance(schema, dict | bool):
        raise RequestError(
            "a schema is a JSON object", got=type(schema).__name__, remedy="correct it"
        )
    check_parts(schema)


def check_parts(schema: Any) -> int:
    """The same of a schema that has been read, however deep it is. Returns its levels, with those
    of what references lead to."""
    depths, references, num_parts = _measured(schema)
    if num_parts > MOST_PARTS:
        raise RequestError(
            f"a schema has at most {MOST_PARTS} objects and lists",
            got=num_parts,
            remedy="make it smaller",
        )
    deepest = depths.get(id(schema), 0)
    if deepest > DEEPEST_SCHEMA:
        raise _too_deep(deepest)
    levels = deepest
    for reference in references:
        target = _target(schema, reference)
        # What is not found here is found by its name, or by nobody: it may be all of the schema.
        levels += depths.get(id(target), deepest)
    if levels > MOST_LEVELS:
        raise RequestError(
            f"a schema and all that its references lead to have at most {MOST_LEVELS} levels",
            got=levels,
            remedy="take references apart, or send fewer definitions",
        )
    ending: set[str] = set()
    for reference in references:
        ending |= _followed(schema, reference, ending)
    return levels


def _check_brackets(text: str) -> None:
    """Counted before it is parsed: a parser may not survive what a counter does."""
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        bracket = found[0]
        if len(bracket) == 1:
            depth += 1 if bracket in "[{" else -1
            deepest = max(deepest, depth)
            if deepest > DEEPEST_SCHEMA:
                raise _too_deep("more")


def _too_deep(got: object) -> RequestError:
    return RequestError(
        f"a schema is at most {DEEPEST_SCHEMA} levels deep", got=got, remedy="flatten it"
    )


def _measured(schema: Any) -> tuple[dict[int, int], list[str], int]:
    """How deep each object and list is, by its id; the references in it, each once; how many
    objects and lists there are. Patterns are checked on the way."""
    found: list[Any] = []  # each before all that is in it
    waiting = [schema]
    references: dict[str, None] = {}
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict | list):
            continue
        found.append(value)
        if isinstance(value, dict):
            references.update(dict.fromkeys(_references(value)))
            _check_patterns(value)
        waiting.extend(_inside(value))
    depths: dict[int, int] = {}
    for value in reversed(found):
        depths[id(value)] = 1 + max((depths.get(id(one), 0) for one in _inside(value)), default=0)
    return depths, list(references), len(found)


def _inside(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value


def _references(value: dict[str, Any]) -> Iterator[str]:
    for key in ("$ref", "$dynamicRef", "$recursiveRef"):
        reference = value.get(key)
        if isinstance(reference, str):
            yield reference


def _check_patterns(value: dict[str, Any]) -> None:
    if isinstance(pattern := value.get("pattern"), str):
        check_expression(pattern, what="a pattern of the schema")
    if isinstance(by_pattern := value.get("patternProperties"), dict):
        for pattern in by_pattern:
            check_expression(pattern, what="a pattern of the schema")


def _target(schema: Any, reference: str) -> Any:
    """Where `#/a/b` leads; None where it leads nowhere, or names something."""
    first, *steps = unquote(reference).split("/")
    if first != "#":
        return None
    value = schema
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 6:
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value


def _followed(schema: Any, first: str, ending: set[str]) -> set[str]:
    """References that lead from one to the next, up to something that says more or to one of those
    that are `ending` so. Raises RequestError where they lead back to one of themselves."""
    seen: set[str] = set()
    reference: Any = first
    while isinstance(reference, str) and reference not in ending:
        if reference in seen:
            raise RequestError(
                "a $ref of the schema leads back to itself, with nothing on the way",
                got=first,
                remedy="let it lead to an object that says something",
            )
        seen.add(reference)
        target = _target(schema, reference)
        reference = target.get("$ref") if isinstance(target, dict) else None
    return seen
