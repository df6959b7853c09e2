"""Tools: what the model is told, what it is bound to, and which calls are calls."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from serving_fakes import ByteTokenizer, FakeEngine, chat, fake_model, running

from homespun.core import ChatTokens, Message
from homespun.serving import ApiError
from homespun.serving.openai.calling.calls import CallReader, fits
from homespun.serving.openai.calling.tools import NamedFunction, NamedTool, Tool, Toolbox

URL = "/v1/chat/completions"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How the weather is.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
TICK = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'


def box(choice: Any = None, **more: Any) -> Toolbox:
    return Toolbox([Tool.model_validate(tool) for tool in (WEATHER, CLOCK)], choice, **more)


def read(
    text: str, tools: Toolbox, cuts: tuple[int, ...] = ()
) -> tuple[str, list[tuple[str, Any]]]:
    """What is told of a text that comes in pieces."""
    reader = CallReader(tools)
    parts = [text[a:b] for a, b in itertools.pairwise((0, *cuts, len(text)))]
    said = [reader.push(part) for part in parts] + [reader.finish()]
    calls = [call for item in said for call in item.calls]
    assert [call.index for call in calls] == list(range(len(calls)))
    told = [call.value["function"] for call in calls]
    return "".join(item.text for item in said), [
        (one["name"], json.loads(one["arguments"])) for one in told
    ]


BERN = ("weather", {"city": "Bern"})


@pytest.mark.parametrize(
    ("text", "told", "calls"),
    [
        ("plain text <tool", "plain text <tool", []),
        ("a < b, a <t> b ", "a < b, a <t> b ", []),
        (CALL, "", [BERN]),
        (f"Let me see.\n\n{CALL}\n", "Let me see.", [BERN]),
        (f"{CALL}\n{TICK}", "", [BERN, ("clock", {})]),
        (f"{CALL} and then {TICK} done", "and thendone", [BERN, ("clock", {})]),
        (CALL.removesuffix("\n</tool_call>"), "", [BERN]),
        (CALL.replace("city", "town"), CALL.replace("city", "town"), []),
        (CALL.replace("weather", "whether"), CALL.replace("weather", "whether"), []),
        ("<tool_call>{broken</tool_call> yes", "<tool_call>{broken</tool_call> yes", []),
        ('<tool_call>{"name": "clock"', '<tool_call>{"name": "clock"', []),
        (f"<tool_call>x</tool_call>{TICK}", "<tool_call>x</tool_call>", [("clock", {})]),
        # What no answer in JSON can hold is no call, or the answer could not be sent.
        (CALL.replace("Bern", "\\ud800"), CALL.replace("Bern", "\\ud800"), []),
        (TICK.replace("{}", '{"a": NaN}'), TICK.replace("{}", '{"a": NaN}'), []),
        (TICK.replace("{}", '{"a": 1e999}'), TICK.replace("{}", '{"a": 1e999}'), []),
    ],
)
def test_calls_are_found_wherever_the_text_is_cut(
    text: str, told: str, calls: list[tuple[str, Any]]
) -> None:
    assert read(text, box()) == (told, calls)
    for cut in range(1, len(text)):
        assert read(text, box(), (cut,)) == (told, calls)
    assert read(text, box(), tuple(range(1, len(text)))) == (told, calls)


def test_without_leave_for_several_only_the_first_is_a_call() -> None:
    assert read(CALL + TICK, box(parallel=False)) == (TICK, [BERN])


def test_nothing_is_a_call_where_none_may_be() -> None:
    assert read(CALL, box("none")) == (CALL, [])
    assert box("none").described == []


def test_a_call_that_is_required_is_bound_to_the_schemas() -> None:
    constraint = box("required").constraint()
    assert constraint is not None
    forms = json.loads(constraint.text)["anyOf"]
    assert [form["properties"]["name"]["const"] for form in forms] == ["weather", "clock"]
    assert read('{"name": "clock", "arguments": {}}', box("required")) == ("", [("clock", {})])
    cut_off = '{"name": "clo'
    assert read(cut_off, box("required")) == (cut_off, [])


def test_a_named_tool_has_its_arguments_alone_written() -> None:
    named = Tool.model_validate(WEATHER)
    chosen = NamedTool(type="function", function=NamedFunction(name="weather"))
    constraint = box(chosen).constraint()
    assert constraint is not None
    assert json.loads(constraint.text) == named.function.parameters
    assert read('{"city": "Bern"}', box(chosen)) == ("", [BERN])


def test_references_within_a_schema_still_lead_there() -> None:
    parameters = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}},
        "$defs": {"place": {"type": "string"}},
    }
    tool = Tool.model_validate(
        {"type": "function", "function": {"name": "go", "parameters": parameters}}
    )
    constraint = Toolbox([tool], "required").constraint()
    assert constraint is not None
    assert '"$ref": "#/anyOf/0/properties/arguments/$defs/place"' in constraint.text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "nonsense"}}, "required": ["a"]},
        {"$ref": "#"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"type": "string", "pattern": "("}}},
        {"properties": {"a": {"type": "string", "pattern": r"^(a+)+$"}}},
    ],
)
def test_schemas_that_are_traps_fit_nothing(schema: dict[str, Any]) -> None:
    begun = time.monotonic()
    assert not fits({"a": "a" * 40 + "!"}, schema)
    assert time.monotonic() - begun < 5


def nested(depth: int) -> dict[str, Any]:
    """A schema of little text that asks for ten to the power of `depth` checks."""
    parts: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 10} for at in range(depth)
    }
    return {"$defs": parts | {f"d{depth}": {"type": "object"}}, "$ref": "#/$defs/d0"}


SLOW = "^(a|a)*(a|a)*(a|a)*$"


@pytest.mark.parametrize(
    "schema",
    [
        nested(8),
        # Another dialect would bring its own expressions, without a limit.
        {
            "properties": {
                "a": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": SLOW}
            }
        },
        {"properties": {"a": {"anyOf": [{"pattern": f"{SLOW}{at}"} for at in range(400)]}}},
        {"$ref": "#"},
    ],
)
def test_a_schema_cannot_keep_the_server_busy(schema: dict[str, Any]) -> None:
    begun = time.monotonic()
    assert not fits({"a": "a" * 40 + "!"}, schema)
    assert time.monotonic() - begun < 5  # a hundredth of what it would take


def test_items_are_compared_with_all_others_at_once() -> None:
    unique = {"uniqueItems": True}
    begun = time.monotonic()
    assert fits([*range(20_000), *map(str, range(20_000))], unique)
    assert not fits([*range(20_000), *map(str, range(20_000)), "0"], unique)
    assert time.monotonic() - begun < 5
    for items in ([1, 1.0], [{"a": 1, "b": [2]}, {"b": [2], "a": 1}], [None, None], [[], []]):
        assert not fits(items, unique)
        assert fits(items, {"uniqueItems": False})
    for items in ([1, True], [0, False, None, "", [], {}], [[1], [True]], [{"a": 1}, {"a": "1"}]):
        assert fits(items, unique)


def test_work_is_counted_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)  # as if nothing took any time
    assert not fits({"a": "a"}, nested(8))
    assert fits({"a": "a"}, nested(3))  # a thousand checks


def test_what_collects_garbage_between_two_checks_loses_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = iter([0.0, 0.0, 0.4])
    monkeypatch.setattr(time, "thread_time", lambda: next(late, 0.4))
    assert fits({"city": "Bern"}, WEATHER["function"]["parameters"])
    monkeypatch.setattr(time, "thread_time", itertools.count(step=0.6).__next__)
    assert not fits({"city": "Bern"}, WEATHER["function"]["parameters"])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": [WEATHER] * 2}, "tools"),
        ({"tools": [WEATHER, {"type": "web_search"}]}, "tools.1.type"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {"type": "function", "function": {"name": "clock"}},
            },
            "tool_choice",
        ),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        (
            {"tools": [WEATHER], "response_format": {"type": "json_schema"}},
            "response_format.json_schema",
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "a", "parameters": {"patternProperties": {}}},
                    }
                ]
            },
            "tools",
        ),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(change: dict[str, Any], param: str) -> None:
    with running(fake_model(engine=FakeEngine(window=2000))) as server, server.client() as client:
        answer = client.post(URL, json=chat() | change)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param


def test_too_many_tools_are_refused() -> None:
    tool = Tool.model_validate(CLOCK)
    with pytest.raises(ApiError, match="65 tools"):
        Toolbox([tool] * 65, None)


@pytest.mark.parametrize("arguments", ["{", '{"a": "\\ud800"}', '{"a": NaN}', "[" * 9000])
def test_arguments_of_calls_that_are_not_json_are_refused(arguments: str) -> None:
    function = {"name": "clock", "arguments": arguments}
    asked = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}
    asked["tool_calls"][0]["function"] = function  # type: ignore[index]
    result = {"role": "tool", "tool_call_id": "1", "content": "noon"}
    with running(fake_model(engine=FakeEngine(window=90_000))) as server, server.client() as client:
        messages = [*chat()["messages"], asked, result]
        answer = client.post(URL, json=chat(tools=[CLOCK]) | {"messages": messages})
        assert answer.status_code == 400
        param = "messages.1.tool_calls.0.function.arguments"
        assert answer.json()["error"]["param"] == param


def test_a_conversation_with_tools_goes_round() -> None:
    engine = FakeEngine(f"Let me see.\n{CALL}", window=4000, kv_capacity=16_000)
    with running(fake_model(engine=engine)) as server, server.client() as client:
        tools = [WEATHER, CLOCK]
        answer = client.post(URL, json=chat("How is it?", tools=tools)).json()["choices"][0]
        assert answer["finish_reason"] == "tool_calls"
        message = answer["message"]
        assert message["content"] == "Let me see."
        (call,) = message["tool_calls"]
        assert call["type"] == "function"
        assert json.loads(call["function"]["arguments"]) == {"city": "Bern"}
        first = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
        assert '"name": "weather"' in first
        assert "How the weather is." in first
        result = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
        question = {"role": "user", "content": "How is it?"}
        body = chat(tools=tools, stream=True) | {"messages": [question, message, result]}
        text = client.post(URL, json=body).text
        then = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
        assert then == f"{first}Let me see.\n{CALL}<tool_response>\nsunny\n</tool_response>"
        chunks = [json.loads(part[6:]) for part in text.split("\n\n")[:-2]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Let me see."
        (told,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
        assert told[0]["index"] == 0
        assert told[0]["function"] == call["function"]
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        stray = body | {"messages": [question, result]}
        error = client.post(URL, json=stray).json()["error"]
        assert error["param"] == "messages.1.tool_call_id"


def test_a_template_that_knows_tools_is_handed_them() -> None:
    class Knowing(ByteTokenizer):
        knows_tools = True

        def encode_chat(
            self,
            messages: Sequence[Message],
            *,
            add_generation_prompt: bool = False,
            tools: Sequence[Any] = (),
        ) -> ChatTokens:
            told = [Message("system", json.dumps(list(tools))), *messages]
            return super().encode_chat(told, add_generation_prompt=add_generation_prompt)

    engine = FakeEngine(window=2000)
    model = fake_model(engine=engine, tokenizer=Knowing())
    with running(model) as server, server.client() as client:
        assert client.post(URL, json=chat("Hi", tools=[WEATHER])).status_code == 200
    read_ids = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
    assert read_ids == json.dumps([WEATHER]) + "Hi"
