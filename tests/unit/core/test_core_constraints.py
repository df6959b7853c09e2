"""Constraints of strangers: what is too deep or too large is refused before anything follows it."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest

from homespun.core import Constraint, RequestError
from homespun.core.constraints import check_constraint, check_expression
from homespun.core.sampling import LONGEST_CONSTRAINT

MANY = 10_000


def schema(value: Any) -> Constraint:
    return Constraint(kind="json_schema", text=value if isinstance(value, str) else dumped(value))


def dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def regex(text: str) -> Constraint:
    return Constraint(kind="regex", text=text)


def grammar(text: str) -> Constraint:
    return Constraint(kind="grammar", text=text)


def chain(num: int, one: Any) -> Constraint:
    """Definitions each of which is in the one before."""
    definitions = {f"a{at}": one({"$ref": f"#/$defs/a{at + 1}"}) for at in range(num)}
    return schema({"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{num}": {"type": "string"}}})


def nested(inner: Any, levels: int = 20) -> str:
    return '{"anyOf":[' * levels + dumped(inner) + "]}" * levels


def rules(num: int, name: str) -> Constraint:
    lines = [f"start: {name}0", *(f"{name}{at}: {name}{at + 1}" for at in range(num))]
    return grammar("\n".join([*lines, f'{name}{num}: "a"']))


SOUND = {
    "schema": schema({"type": "object", "properties": {"名": {"type": "string"}}}),
    "tree": schema({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
    "two that lead to each other": schema(
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"properties": {"b": {"$ref": "#/$defs/b"}}},
                "b": {"properties": {"a": {"$ref": "#/$defs/a"}}},
            },
        }
    ),
    "a property called $ref": schema({"properties": {"$ref": {"type": "string"}}}),
    "brackets in a text": schema({"const": "[" * 1000}),
    "150 definitions": chain(150, lambda ref: {"properties": {"x": ref}}),
    "expression": regex(r"(\d{3}-)?\d{4}|[[:alpha:]()*]{2,60}|\(\[\{"),
    "a poem": regex("[一-龥]{7}，" * 8),
    "counts one after the other": regex("a{1000}b{1000}c{1000}" * 20),
    "a class of brackets": regex("[(]" * 500 + r"[]\[(]+"),
    "choice": Constraint(kind="choice", choices=("是", "否")),
    "grammar": grammar(
        'start: greeting " " NAME\ngreeting: "hello" | "你好" // (((\nNAME: /[a-z]+/'
    ),
    "a grammar with a schema": grammar('start: "<" body ">"\nbody: %json {"type": "object"}'),
    "calls itself": grammar('start: "(" start ")" | "x"'),
    "brackets in texts and expressions": grammar(r'start: "((((" A' + '\nA: /[(\\/]{4}/ "\\"((("'),
}

HOSTILE = {
    "schema: nested objects": schema('{"properties":{"a":' * 3000 + "{}" + "}}" * 3000),
    "schema: nested lists": schema('{"const":' + "[" * MANY + "]" * MANY + "}"),
    "schema: never closed": schema("[" * MANY),
    "schema: many parts": schema({"properties": {f"p{at}": {} for at in range(4000)}}),
    "schema: references in properties": chain(900, lambda ref: {"properties": {"x": ref}}),
    "schema: references alone": chain(1800, lambda ref: ref),
    "schema: deep between references": chain(70, lambda ref: json.loads(nested(ref))),
    "schema: by names": schema(
        {
            "$ref": "#a0",
            "$defs": {str(at): {"$anchor": f"a{at}", "$ref": f"#a{at + 1}"} for at in range(900)},
        }
    ),
    "schema: leads to itself": schema({"$ref": "#"}),
    "schema: leads in a circle": schema(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "schema: a pattern": schema({"type": "string", "pattern": "(" * MANY + ")" * MANY}),
    "schema: a pattern as a key": schema({"patternProperties": {"(" * MANY: {}}}),
    "schema: not one": schema("[1]"),
    "schema: no JSON": schema("{"),
    "regex: groups": regex("(" * MANY + "a" + ")" * MANY),
    "regex: groups that are not closed": regex("(" * MANY),
    "regex: repeated groups": regex("(?:" * MANY + "a" + ")*" * MANY),
    "regex: classes": regex("[" * MANY + "a" + "]" * MANY),
    "regex: alternatives": regex("|".join(["a"] * MANY)),
    "regex: nothing or nothing": regex("|" * MANY),
    "regex: optional letters": regex("a?" * MANY),
    "regex: counts of counts": regex("(" * 8 + "a" + "{9})" * 8),
    "regex: counts behind counts": regex("a" + "{9}" * 8),
    "regex: many signs": regex(r"\d" * 20_000),
    "grammar: many signs": grammar("start: a\n" + "|\n" * 25_000),
    "regex: a long count": regex("a{" + "9" * MANY + "}"),
    "choice: many": Constraint(kind="choice", choices=tuple(map(str, range(MANY)))),
    "choice: none": Constraint(kind="choice"),
    "grammar: groups": grammar("start: " + "(" * MANY + '"a"' + ")" * MANY),
    "grammar: options": grammar("start: " + "[" * MANY + '"a"' + "]" * MANY),
    "grammar: alternatives": grammar("start: " + "|".join(['"a"'] * MANY)),
    "grammar: what may be left out": grammar("start: " + "x? " * MANY + '\nx: "a"'),
    "grammar: a chain of rules": rules(3000, "r"),
    "grammar: a chain of terminals": rules(3000, "R"),
    "grammar: a chain of groups": grammar(
        "start: r0\n" + "\n".join(f"r{n}: {'(' * 20}r{n + 1}{')' * 20}" for n in range(250))
    ),
    "grammar: rules on indented lines": grammar("start: a\n" + '  ?a: "x"\n' * 3000),
    "grammar: an expression": grammar("start: /" + "(" * MANY + ")" * MANY + "/"),
    "grammar: a schema": grammar("start: %json " + '{"a":' * MANY + "1" + "}" * MANY),
    "grammar: a schema's references": grammar(
        "start: %json " + chain(900, lambda ref: {"properties": {"x": ref}}).text
    ),
    "grammar: rules and a schema together": grammar(
        rules(400, "r").text.replace('"a"', "%json " + chain(700, lambda ref: ref).text)
    ),
    "grammar: a schema that is none": grammar("start: %json {"),
    "grammar: a schema that leads to itself": grammar('start: %json {"$ref": "#"}'),
    "grammar: the library's own notation": grammar('{"grammars": [{"lark_grammar": "start: A"}]}'),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_people_write_is_taken(name: str) -> None:
    check_constraint(SOUND[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_too_much_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_constraint(HOSTILE[name])
    told = str(caught.value)
    assert "(got " in told  # what, got, remedy
    assert caught.value.remedy
    assert len(told) < 400
    assert "\n" not in told


@pytest.mark.parametrize("name", [*SOUND, *HOSTILE])
def test_no_recursion_of_ours_goes_with_what_is_sent(name: str) -> None:
    """Python's own limit, set to what is open already and little more, is not met."""
    constraint = (SOUND | HOSTILE)[name]
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    before = sys.getrecursionlimit()
    # Some 70 levels are json.loads', which goes no deeper than DEEPEST_SCHEMA.
    sys.setrecursionlimit(depth + 120)
    try:
        with contextlib.suppress(RequestError):
            check_constraint(constraint)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("kind", ["json_schema", "regex", "grammar"])
def test_none_is_longer_than_is_looked_at(kind: Any) -> None:
    with pytest.raises(RequestError, match=str(LONGEST_CONSTRAINT)):
        check_constraint(Constraint(kind=kind, text=" " * (LONGEST_CONSTRAINT + 1)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("grammar", 'start: "' + '\\"' * 32_000),
        ("grammar", "start: /" + "\\/" * 32_000),
        ("grammar", "a" * 65_000),
        ("grammar", " " * 65_000),
        ("grammar", "%json " * 10_000),
        ("json_schema", '"' + '\\"' * 32_000),
        ("regex", "a{" + " " * 65_000),
        ("regex", "a{1," + " " * 65_000),
        ("regex", "\\" * 65_001),
        ("json_schema", chain(990, lambda ref: ref).text),
    ],
)
def test_looking_takes_no_more_than_a_look(kind: Any, text: str) -> None:
    """Expressions that try again from every place would take minutes for these: the test ends."""
    with contextlib.suppress(RequestError):
        check_constraint(Constraint(kind=kind, text=text))


def test_counts_multiply_within_each_other_alone() -> None:
    check_expression("(a{100}b{100}){1000}")
    with pytest.raises(RequestError, match="got 200000"):
        check_expression("(a{200}b{100}){1000}")
    with pytest.raises(RequestError, match="repeats nothing"):
        check_expression("(?:x(?:y{100}z)){1001}")
    check_expression("[{9}{9}{9}{9}{9}{9}{9}]{9}")  # letters of a class
    check_expression(r"\{9}{9}" * 4)
