"""`response_format` together with tools: an answer is a call, or JSON of the format."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_fakes import END_OF_TEXT, END_OF_TURN, ByteTokenizer, FakeEngine, chat, fake_model
from serving_fakes import running as a_server

from homespun.core import Constraint
from homespun.inference.sampling import compile_constraint
from homespun.serving.openai.calling.calls import CallReader
from homespun.serving.openai.calling.tools import Tool, Toolbox
from homespun.serving.openai.chat import ChatRequest

URL = "/v1/chat/completions"
CITY = {"city": {"type": "string"}, "days": {"type": "integer"}}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": CITY,
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NODES: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "walk",
        "parameters": {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"river": {"type": "string"}},
    "required": ["river"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "river", "schema": SCHEMA}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "伯尔尼"}}\n</tool_call>'
WALK = '<tool_call>{"name": "walk", "arguments": {"next": {"next": null}}}</tool_call>'
RIVER = '{"river": "Aare"}'
TRAP = json.dumps({"river": CALL}, ensure_ascii=False)


def toolbox(choice: Any = None, **more: Any) -> Toolbox:
    return Toolbox([Tool.model_validate(tool) for tool in (WEATHER, NODES)], choice, **more)


def fits(constraint: Constraint, text: str) -> bool:
    """Whether an engine bound so could write `text` and end there."""
    state = compile_constraint(constraint, ByteTokenizer(), frozenset({END_OF_TEXT, END_OF_TURN}))
    for byte in text.encode():
        if state.is_complete or not state.allowed()[byte]:
            return False
        state.take(byte)
    return state.is_complete or bool(state.allowed()[END_OF_TURN])


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        (RIVER, True),
        (TRAP, True),
        (CALL, True),
        (WALK, True),
        (f"{CALL}\n{WALK}", True),
        (f"{CALL}\n", True),
        ("", False),
        ("The river is the Aare.", False),
        ('{"river": 1}', False),
        ('{"lake": "Thun"}', False),
        (RIVER + CALL, False),
        (CALL + RIVER, False),
        (CALL.replace("city", "town"), False),
        (CALL.replace("weather", "whether"), False),
        (CALL.removesuffix("</tool_call>"), False),
        (RIVER.replace(" ", " " * 16), True),
        (RIVER.replace(" ", " " * 17), False),
    ],
)
def test_an_answer_is_calls_or_json_of_the_format(text: str, fitting: bool) -> None:
    assert fits(toolbox().either(SCHEMA), text) is fitting


def test_without_leave_for_several_calls_there_is_one() -> None:
    constraint = toolbox(parallel=False).either(SCHEMA)
    assert fits(constraint, CALL)
    assert fits(constraint, f"{CALL}\n")
    assert not fits(constraint, f"{CALL}\n{WALK}")


@pytest.mark.parametrize("choice", [None, "auto", "none", "required", "weather"])
def test_each_choice_binds_as_it_says(choice: str | None) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    body = chat(tools=[WEATHER, NODES], response_format=FORM)
    body |= {"tool_choice": named if choice == "weather" else choice}
    request = ChatRequest.model_validate(body)
    box = toolbox(request.tool_choice)
    constraint = request.constraint(box)
    assert constraint is not None
    assert fits(constraint, RIVER) is (choice in (None, "auto", "none"))
    assert fits(constraint, CALL) is (choice in (None, "auto"))
    assert fits(constraint, '{"name": "walk", "arguments": {"next": null}}') is (
        choice == "required"
    )
    assert fits(constraint, '{"city": "Bern"}') is (choice == "weather")
    # Any text where no format is asked for.
    free = ChatRequest.model_validate(body | {"response_format": {"type": "text"}})
    assert (free.constraint(box) is None) is (choice in (None, "auto", "none"))


def test_a_call_within_json_is_text_wherever_it_is_cut() -> None:
    for cut in range(len(TRAP) + 1):
        reader = CallReader(toolbox(), is_either=True)
        parts = [reader.push(""), reader.push(TRAP[:cut]), reader.push(TRAP[cut:]), reader.finish()]
        assert "".join(part.text for part in parts) == TRAP
        assert reader.num_calls == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("says", "content", "names"),
    [
        (RIVER, RIVER, []),
        (TRAP, TRAP, []),
        (f"{CALL}\n{WALK}", "", ["weather", "walk"]),
    ],
)
def test_the_client_gets_either(says: str, content: str, names: list[str], stream: bool) -> None:
    engine = FakeEngine(says, window=2048)
    body = chat(tools=[WEATHER, NODES], response_format=FORM, stream=stream)
    with a_server(fake_model(engine=engine)) as server, server.client() as client:
        answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    ((_, settings, _),) = engine.asked
    assert settings.constraint == toolbox().either(SCHEMA)
    if stream:
        lines = [line for line in answer.text.split("\n\n") if line.startswith("data: {")]
        chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines]
        message: dict[str, Any] = {
            "content": "".join(chunk["delta"].get("content", "") for chunk in chunks),
            "tool_calls": [c for chunk in chunks for c in chunk["delta"].get("tool_calls", [])],
        }
        reason = chunks[-1]["finish_reason"]
    else:
        choice = answer.json()["choices"][0]
        message, reason = choice["message"], choice["finish_reason"]
    assert (message["content"] or "") == content
    assert [call["function"]["name"] for call in message.get("tool_calls", [])] == names
    assert reason == ("tool_calls" if names else "stop")
