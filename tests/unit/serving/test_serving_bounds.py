"""Schemas, expressions and grammars that are too deep or large: 400 before anything is queued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from serving_fakes import FakeEngine, chat, fake_model, running

URL = "/v1/chat/completions"
MANY = 10_000
ENGINE = FakeEngine()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with running(fake_model(engine=ENGINE)) as server, server.client() as found:
        yield found


def chain(num: int = 900) -> dict[str, Any]:
    """A schema of definitions, each in the one before: few levels of JSON, many of meaning."""
    each = {f"a{n}": {"properties": {"x": {"$ref": f"#/$defs/a{n + 1}"}}} for n in range(num)}
    return {"$ref": "#/$defs/a0", "$defs": each | {f"a{num}": {"type": "string"}}}


def circle() -> dict[str, Any]:
    ways = {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    return {"$ref": "#/$defs/a", "$defs": ways}


def rules() -> str:
    lines = [f"r{at}: r{at + 1}" for at in range(3000)]
    return "\n".join(["start: r0", *lines, 'r3000: "a"'])


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def tool(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    one = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return {"tools": [one], **more}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "references": ({"response_format": form(chain())}, "response_format"),
    "a circle": ({"response_format": form(circle())}, "response_format"),
    "a pattern": ({"response_format": form({"pattern": "(" * MANY})}, "response_format"),
    "a tool": (tool(chain(), tool_choice="required"), "tools"),
    "a named tool": (
        tool(circle(), tool_choice={"type": "function", "function": {"name": "f"}}),
        "tools",
    ),
    "a tool beside a form": (
        tool(circle(), response_format=form({"type": "object"})),
        "response_format",
    ),
    "json": ({"structured_outputs": {"json": chain()}}, "structured_outputs"),
    "regex": ({"structured_outputs": {"regex": "(" * MANY + ")" * MANY}}, "structured_outputs"),
    "many": ({"structured_outputs": {"regex": "a|" * MANY}}, "structured_outputs"),
    "choice": ({"structured_outputs": {"choice": ["a"] * MANY}}, "structured_outputs"),
    "grammar": (
        {"structured_outputs": {"grammar": "start: " + "(" * MANY + ")" * MANY}},
        "structured_outputs",
    ),
    "rules": ({"structured_outputs": {"grammar": rules()}}, "structured_outputs"),
    "long": ({"structured_outputs": {"grammar": "#" * 70_000}}, "structured_outputs"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_in_a_sentence_and_nobody_is_asked(client: httpx2.Client, name: str) -> None:
    body, param = CASES[name]
    before = len(ENGINE.asked)
    answer = client.post(URL, json=chat(**body))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, "invalid_constraint")
    assert "(got " in error["message"]
    assert len(error["message"]) < 400
    assert len(ENGINE.asked) == before


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
def test_the_other_addresses_tell_it_too(client: httpx2.Client, path: str) -> None:
    body: dict[str, Any] = {"prompt": "a", "structured_outputs": {"json": chain()}}
    param = "structured_outputs"
    if path == "/v1/responses":
        text = {"format": {"type": "json_schema", "name": "x", "schema": chain()}}
        body, param = {"input": "a", "text": text}, "text.format"
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("kind", ["[", '{"a":'])
def test_what_is_nested_in_the_body_is_refused_with_the_body(
    client: httpx2.Client, kind: str
) -> None:
    levels = MANY // 2  # more are too many, however they lie
    schema = kind * levels + "1" + {"[": "]"}.get(kind, "}") * levels
    body = json.dumps(chat(structured_outputs={"json": {"const": "HERE"}}))
    data = body.replace('"HERE"', schema).encode()
    answer = client.post(URL, content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "too_deep"


def test_arguments_of_a_call_may_be_anything(client: httpx2.Client) -> None:
    """As a text they are no part of the body's nesting."""
    for depth in (900, 950, 990, MANY):
        nested = "[" * depth + "]" * depth
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": nested}}
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "b"},
        ]
        answer = client.post(URL, json={"messages": messages})
        assert answer.status_code == 400, depth  # not JSON, or longer than the window


def test_what_people_send_is_still_taken(client: httpx2.Client) -> None:
    for body in (
        {"response_format": form({"type": "object", "properties": {"名": {"type": "string"}}})},
        {"structured_outputs": {"regex": r"\d{3}-\d{4}"}},
        {"structured_outputs": {"choice": ["是", "否"]}},
        {"structured_outputs": {"grammar": 'start: "a" start | "b"'}},
        {"structured_outputs": {"json": chain(100)}},
    ):
        assert client.post(URL, json=chat(**body)).status_code == 200
