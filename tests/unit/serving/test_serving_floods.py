"""Requests in which everything is wrong: the first thing is told, and nobody gathers the rest.

A body of 4 MB has room for a million items. Each error of each of the forms that a field may have
takes half a kilobyte and some microseconds of the loop that serves everybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError
from serving_fakes import chat, fake_model, running

from homespun.serving import Preference, ServerConfig
from homespun.serving.errors import ApiError
from homespun.serving.http.body import check_json
from homespun.serving.openai.chat import ChatRequest
from homespun.serving.openai.completions import CompletionRequest
from homespun.serving.openai.embeddings import EmbeddingRequest
from homespun.serving.openai.listing import TokenizeRequest
from homespun.serving.openai.moderations import ModerationRequest
from homespun.serving.openai.responses import ResponseRequest

NUM = 2000
MOST_TOLD = 16
MANY = {f"k{i}": {} for i in range(NUM)}
ANSWER = {"model": "m", "settings": {}, "text": "", "finish_reason": "stop"}
ASKS = {"messages": [{"role": "user", "content": "a"}]}
MODELS: tuple[type[BaseModel], ...] = (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    ModerationRequest,
    Preference,
    ResponseRequest,
    TokenizeRequest,
)


def said(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": "a", **fields}]}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (CompletionRequest, {"prompt": [{}] * NUM}),
        (CompletionRequest, {"prompt": [[{}] * NUM]}),
        (CompletionRequest, {"prompt": [[{}]] * NUM}),
        (CompletionRequest, {"prompt": "a", "stop": [1] * NUM}),
        (CompletionRequest, {"prompt": "a", "stop_token_ids": ["a"] * NUM}),
        (CompletionRequest, {"prompt": "a", "logit_bias": dict.fromkeys(map(str, range(NUM)), "")}),
        (CompletionRequest, {"prompt": "a", "structured_outputs": {"choice": [1] * NUM}}),
        (CompletionRequest, {"prompt": "a", **MANY}),
        (ChatRequest, {"messages": [1] * NUM}),
        (ChatRequest, {"messages": [{}] * NUM}),
        (ChatRequest, said(content=[{}] * NUM)),
        (ChatRequest, said(tool_calls=[{}] * NUM)),
        (ChatRequest, said(annotations=[{}] * NUM)),
        (ChatRequest, said(**MANY)),
        (ChatRequest, {**ASKS, "tools": [{}] * NUM}),
        (ChatRequest, {**ASKS, "modalities": ["audio"] * NUM}),
        (ChatRequest, {**ASKS, "chat_template_kwargs": MANY}),
        (ChatRequest, {**ASKS, "stream_options": MANY}),
        (ChatRequest, {**ASKS, "tool_choice": MANY}),
        (ResponseRequest, {"input": [1] * NUM}),
        (ResponseRequest, {"input": [{"role": "user", "content": [{}] * NUM}]}),
        (ResponseRequest, {"input": [{"type": "reasoning", "content": [{}] * NUM}]}),
        (ResponseRequest, {"input": "a", "include": [1] * NUM}),
        (ResponseRequest, {"input": "a", "metadata": MANY}),
        (ResponseRequest, {"input": "a", "tools": [{}] * NUM}),
        (EmbeddingRequest, {"input": [{}] * NUM}),
        (ModerationRequest, {"input": [1] * NUM}),
        (TokenizeRequest, {"messages": [{}] * NUM}),
        (Preference, {"prompt": [{}] * NUM}),
        (Preference, {"left": {**ANSWER, "settings": MANY}}),
        (Preference, MANY),
    ],
)
def test_of_much_that_is_wrong_little_is_gathered(
    model: type[BaseModel], body: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as told:
        model.model_validate(body)
    assert told.value.error_count() <= MOST_TOLD


def lists_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Lists whose items can be wrong, within pydantic's own description of a model."""
    if isinstance(schema, dict):
        if schema.get("type") == "list" and schema.get("items_schema", {}).get("type") != "any":
            yield schema
        for value in schema.values():
            yield from lists_in(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from lists_in(value)


@pytest.mark.parametrize("model", MODELS)
def test_no_list_of_a_request_gathers_what_is_wrong(model: type[BaseModel]) -> None:
    found = [
        schema for schema in lists_in(model.__pydantic_core_schema__) if "items_schema" in schema
    ]
    assert found
    assert [schema for schema in found if not schema.get("fail_fast")] == []


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with running(fake_model()) as server, server.client() as found:
        yield found


PART, TOOL = {"type": "text", "text": ""}, {"type": "function", "function": {"name": "a"}}
CALL = {"id": "a", "type": "function", "function": {"name": "a", "arguments": "{}"}}
OBJECTS = ServerConfig().most_objects


@pytest.mark.parametrize(
    ("url", "change"),
    [
        ("/v1/chat/completions", {"messages": ASKS["messages"] * OBJECTS}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [PART] * OBJECTS}]}),
        ("/v1/chat/completions", {**said(tool_calls=[CALL] * (OBJECTS // 2))}),
        ("/v1/chat/completions", {**ASKS, "tools": [TOOL] * (OBJECTS // 2)}),
        ("/v1/responses", {"input": ASKS["messages"] * OBJECTS}),
        ("/tokenize", {"messages": ASKS["messages"] * OBJECTS}),
        ("/v1/completions", {"prompt": [[1]] * OBJECTS}),
        ("/v1/embeddings", {"input": [[1]] * OBJECTS}),
    ],
)
def test_of_a_million_things_that_are_right_too_many_are_refused(
    client: httpx2.Client, url: str, change: dict[str, Any]
) -> None:
    answer = client.post(url, json={"model": chat()["model"]} | change)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "too_many_objects"
    assert f"JSON objects and lists, and {OBJECTS} are the most;" in error["message"]
    assert "leave the earliest messages out" in error["message"]


def test_objects_beyond_the_most_are_counted_and_not_read() -> None:
    check_json(b"[{},{},[]]", deepest=4, most_objects=4)
    with pytest.raises(ApiError, match="holds 5 JSON objects and lists, and 4 are the most"):
        check_json(b"[{},{},[], {} and no JSON after that", deepest=4, most_objects=4)


def test_brackets_in_texts_are_no_objects() -> None:
    texts = ["[[[[", "\\", '"[{', "\\\\[", '\\"{', "{" * 100, "[\n\t", '["\\", "[", {"']
    check_json(json.dumps(texts).encode(), deepest=4, most_objects=1)
    check_json(json.dumps(texts, ensure_ascii=False).encode(), deepest=4, most_objects=1)
    with pytest.raises(ApiError, match="holds 4 JSON objects and lists"):
        check_json(json.dumps([*texts, [], {"{": []}]).encode(), deepest=4, most_objects=1)


def test_an_object_of_too_many_entries_is_told(client: httpx2.Client) -> None:
    body = chat() | {"logit_bias": {str(number): 1 for number in range(OBJECTS + 1)}}
    error = client.post("/v1/chat/completions", json=body).json()["error"]
    assert error["code"] == "too_many_objects"
    assert f"has {OBJECTS + 1} entries, and {OBJECTS} are the most" in error["message"]


@pytest.mark.parametrize("long", ["9" * 400, "-" + "7" * 400])
def test_numbers_of_too_many_digits_are_found_among_others(long: str) -> None:
    check_json(f'[1, "{"5" * 900}", {long}]'.encode(), deepest=4, most_objects=4)
    with pytest.raises(ApiError, match="a number has 401 digits"):
        check_json(f"[1, 20, {long}0, 3]".encode(), deepest=4, most_objects=4)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": [{"role": "user", "content": "a"}, 1, {}]}, "messages.1", "valid dictionary"),
        ({"logit_bias": {"1": 2, "5": "x", "6": "y"}}, "logit_bias.5", "valid number"),
        ({"logit_bias": {"1": 2, "5": True}}, "logit_bias.5", "valid number"),
        ({"chat_template_kwargs": MANY}, "chat_template_kwargs", f"has {NUM} entries, and 16 are"),
        (MANY, None, f"there are {NUM + 2} fields, and 100 are more than any has"),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(
    client: httpx2.Client, change: dict[str, Any], param: str | None, says: str
) -> None:
    error = client.post("/v1/chat/completions", json=chat() | change).json()["error"]
    assert error["param"] == param
    assert says in error["message"]
