"""What a model thinks before it answers: told apart, and handed back to its template."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from serving_fakes import ByteTokenizer, FakeEngine, chat, fake_model, running

from homespun.core import ChatTokens, Message
from homespun.serving.openai.calling.thoughts import ThoughtReader

URL = "/v1/chat/completions"
THOUGHT = "<think>\n他问好。\n\nI greet <them>.\n</think>\n\nHello 你!\n"
PARTS = ("他问好。\n\nI greet <them>.", "Hello 你!\n")


class Thinking(ByteTokenizer):
    """Its template writes thoughts.

    Args:
        opening: what the template puts where the answer begins.
    """

    knows_reasoning = thinks = True

    def __init__(self, opening: str = "") -> None:
        self.opening = opening

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        written = [
            Message(one.role, f"<think>{one.reasoning}</think>{one.content}")
            if one.reasoning
            else one
            for one in messages
        ]
        ids = super().encode_chat(written, add_generation_prompt=add_generation_prompt).ids
        ids = (*ids, *self.encode(self.opening).tolist())
        return ChatTokens(ids, (False,) * len(ids))


def read(text: str, cuts: Sequence[int] = (), *, has_begun: bool = False) -> tuple[str, str]:
    reader = ThoughtReader(may_think=True, has_begun=has_begun)
    parts = [text[a:b] for a, b in itertools.pairwise((0, *cuts, len(text)))]
    found = [reader.push(part) for part in parts] + [reader.finish()]
    return "".join(one.reasoning for one in found), "".join(one.text for one in found)


@pytest.mark.parametrize(
    ("text", "reasoning", "said"),
    [
        (THOUGHT, *PARTS),
        (f"\n\n{THOUGHT}", *PARTS),
        ("<think>\n\n</think>\n\nHi", "", "Hi"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>no end </thin", "no end </thin", ""),
        ("<think>a < b </b> \n\n c</think>", "a < b </b> \n\n c", ""),
        ("No thoughts <think>at all</think>", "", "No thoughts <think>at all</think>"),
        (" <thin ice", "", " <thin ice"),
        ("<thi", "", "<thi"),
        ("", "", ""),
    ],
)
def test_thoughts_are_told_apart_wherever_the_text_is_cut(
    text: str, reasoning: str, said: str
) -> None:
    assert read(text) == (reasoning, said)
    for cut in range(1, len(text)):
        assert read(text, [cut]) == (reasoning, said)
    assert read(text, range(1, len(text))) == (reasoning, said)


def test_thoughts_that_the_prompt_has_begun() -> None:
    text = THOUGHT.removeprefix("<think>")
    assert read(text, has_begun=True) == PARTS
    assert read(text, range(1, len(text)), has_begun=True) == PARTS


def test_thoughts_come_as_soon_as_they_are_certain() -> None:
    reader = ThoughtReader(may_think=True)
    assert reader.push("<think>\nab") == ("ab", "")
    assert reader.push("cd </") == ("cd", "")
    assert reader.push("think> \n") == ("", "")
    assert reader.push("x\n") == ("", "x\n")


class Cutting(Thinking):
    """Its template cuts thoughts off what was said, and is told of none."""

    knows_reasoning = False


def asked(body: dict[str, Any], engine: FakeEngine, tokenizer: ByteTokenizer) -> dict[str, Any]:
    """Message and finish reason, the same streamed and not."""
    found = []
    model = fake_model(engine=engine, tokenizer=tokenizer)
    with running(model) as server, server.client() as client:
        whole = client.post(URL, json=body).json()["choices"][0]
        message = whole["message"]
        found.append(
            {
                "reasoning": message.get("reasoning_content", ""),
                "content": message["content"] or "",
                "calls": [one["function"]["name"] for one in message.get("tool_calls", [])],
                "reason": whole["finish_reason"],
            }
        )
        text = client.post(URL, json=body | {"stream": True}).text
        chunks = [json.loads(one[6:])["choices"][0] for one in text.split("\n\n")[:-2]]
        deltas = [chunk["delta"] for chunk in chunks]
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        found.append(
            {
                "reasoning": "".join(delta.get("reasoning_content", "") for delta in deltas),
                "content": "".join(delta.get("content", "") for delta in deltas),
                "calls": [one["function"]["name"] for one in calls],
                "reason": chunks[-1]["finish_reason"],
            }
        )
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("tokenizer", "says", "reasoning", "content"),
    [
        (Thinking(), THOUGHT, *PARTS),
        (Thinking("<think>\n"), THOUGHT.removeprefix("<think>\n"), *PARTS),
        (Thinking("<think>\n\n</think>\n\n"), THOUGHT, "", THOUGHT),
        (ByteTokenizer(), THOUGHT, "", THOUGHT),
        (Thinking(), "Hello!", "", "Hello!"),
    ],
)
def test_the_client_gets_them_apart(
    tokenizer: ByteTokenizer, says: str, reasoning: str, content: str
) -> None:
    found = asked(chat(), FakeEngine(says), tokenizer)
    assert (found["reasoning"], found["content"]) == (reasoning, content)
    assert found["reason"] == "stop"


def test_thoughts_that_are_cut_off_are_no_answer() -> None:
    found = asked(chat(max_tokens=20), FakeEngine("<think>" + "a" * 60), Thinking())
    assert found == {"reasoning": "a" * 13, "content": "", "calls": [], "reason": "length"}


def test_calls_within_thoughts_are_none() -> None:
    call = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    tools = [{"type": "function", "function": {"name": "clock"}}]
    engine = FakeEngine(f"<think>{call}</think>{call}", window=2048)
    found = asked(chat(tools=tools), engine, Thinking())
    assert found == {"reasoning": call, "content": "", "calls": ["clock"], "reason": "tool_calls"}


def test_an_answer_whose_form_is_given_has_no_thoughts() -> None:
    body = chat(response_format={"type": "json_object"})
    found = asked(body, FakeEngine('{"a": 1}'), Thinking("<think>\n"))
    assert (found["reasoning"], found["content"]) == ("", '{"a": 1}')


def test_what_was_thought_goes_back_to_the_template_or_is_refused() -> None:
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning_content": "他问好"},
        {"role": "user", "content": "Again"},
    ]
    engine = FakeEngine("Hello")
    thinking = fake_model("thinking", engine, tokenizer=Thinking())
    own = FakeEngine("Hello")
    cutting = fake_model("cutting", own, tokenizer=Cutting())
    with running(thinking, cutting, fake_model("plain")) as server, server.client() as client:
        body = {"model": "thinking", "messages": talk}
        assert client.post(URL, json=body).status_code == 200
        written = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
        assert written == "Hi<think>他问好</think>HelloAgain"
        counted = client.post("/tokenize", json=body).json()
        assert counted["count"] == len(engine.asked[-1][0])
        refused = client.post(URL, json=body | {"model": "plain"})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "messages.1.reasoning_content"
        for nothing in ("", None):
            talk[1]["reasoning_content"] = nothing  # type: ignore[assignment]
            assert client.post(URL, json=body | {"model": "plain"}).status_code == 200
        talk[1]["reasoning_content"] = "他问好"
        assert client.post(URL, json={"model": "cutting", "messages": talk}).status_code == 200
        written = bytes(token for token in own.asked[-1][0] if token < 256).decode()
        assert "<think>\n他问好\n</think>\n\nHello" in written
        talk[0]["reasoning_content"] = "people do not tell"
        refused = client.post(URL, json=body)
        assert refused.json()["error"]["param"] == "messages.0.reasoning_content"


RESPONSES = "/v1/responses"


def responded(
    body: dict[str, Any], engine: FakeEngine, tokenizer: ByteTokenizer
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The response, the same streamed and not but for its ids and time, and its events."""
    model = fake_model(engine=engine, tokenizer=tokenizer)
    with running(model) as server, server.client() as client:
        whole = client.post(RESPONSES, json=body).json()
        text = client.post(RESPONSES, json=body | {"stream": True}).text
    data = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    events = [json.loads(one) for one in data]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    ended = events[-1]["response"]
    for named in (whole, ended, *whole["output"], *ended["output"]):
        assert named.pop("id")
    for value in (whole, ended):
        del value["created_at"]
    assert ended == whole
    return whole, events


def grown(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that the events tell of, put together from what each adds."""
    items: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(items)
            items.append({**event["item"], "content": []})
        elif kind == "content_part.added":
            items[event["output_index"]]["content"].append(event["part"])
        elif kind.endswith("_text.delta"):
            part = items[event["output_index"]]["content"][event["content_index"]]
            assert part["type"] == kind.removesuffix(".delta")
            assert event["item_id"] == items[event["output_index"]]["id"]
            part["text"] += event["delta"]
            if "logprobs" in part:
                part["logprobs"] = part["logprobs"] + event["logprobs"]
        elif kind.endswith("_text.done"):
            part = items[event["output_index"]]["content"][event["content_index"]]
            assert event["text"] == part["text"]
        elif kind == "output_item.done":
            item = items[event["output_index"]]
            assert item["content"] == event["item"]["content"]
            items[event["output_index"]] = event["item"]
    for item in items:
        item.pop("id", None)
    return items


@pytest.mark.parametrize(
    ("tokenizer", "says", "reasoning", "content"),
    [
        (Thinking(), THOUGHT, *PARTS),
        (Thinking("<think>\n"), THOUGHT.removeprefix("<think>\n"), *PARTS),
        (Thinking("<think>\n\n</think>\n\n"), THOUGHT, "", THOUGHT),
        (ByteTokenizer(), THOUGHT, "", THOUGHT),
        (Thinking(), "Hello!", "", "Hello!"),
        (Thinking(), "<think>\n\n</think>\n\nHi", "", "Hi"),
        (Thinking(), "<thi", "", "<thi"),
        (Thinking(), "", "", ""),
    ],
)
def test_a_response_has_its_thoughts_in_an_item_of_their_own(
    tokenizer: ByteTokenizer, says: str, reasoning: str, content: str
) -> None:
    body = {"input": "a", "include": ["message.output_text.logprobs"]}
    whole, events = responded(body, FakeEngine(says), tokenizer)
    assert grown(events) == whole["output"]
    *thoughts, message = whole["output"]
    assert (message["type"], message["content"][0]["text"]) == ("message", content)
    told = bytes(entry["bytes"][0] for entry in message["content"][0]["logprobs"]).decode()
    assert told.lstrip() == content.lstrip()  # white space after thoughts is no text
    if reasoning:
        assert [one["content"] for one in thoughts] == [
            [{"type": "reasoning_text", "text": reasoning}]
        ]
        assert (thoughts[0]["type"], thoughts[0]["summary"]) == ("reasoning", [])
    else:
        assert not thoughts
    counted = whole["usage"]["output_tokens_details"]["reasoning_tokens"]
    assert counted == whole["usage"]["output_tokens"] - len(told.encode())
    assert (counted > 0) == (told != says)


def test_a_response_that_is_cut_off_in_its_thoughts_has_no_message() -> None:
    engine = FakeEngine("<think>" + "a" * 60)
    whole, events = responded({"input": "a", "max_output_tokens": 20}, engine, Thinking())
    assert grown(events) == whole["output"]
    (thought,) = whole["output"]
    assert (thought["content"][0]["text"], thought["status"]) == ("a" * 13, "incomplete")
    assert whole["status"] == "incomplete"
    assert whole["usage"]["output_tokens_details"]["reasoning_tokens"] == 20


def test_the_items_of_a_response_go_back_as_they_came() -> None:
    engine = FakeEngine(THOUGHT)
    thinking = fake_model("thinking", engine, tokenizer=Thinking())
    cut = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "cut"}]}
    hi, again = {"role": "user", "content": "Hi"}, {"role": "user", "content": "Again"}
    with running(thinking, fake_model("plain")) as server, server.client() as client:
        first = client.post(RESPONSES, json={"model": "thinking", "input": [hi]}).json()
        talk = [hi, *first["output"], again, cut, again]
        assert client.post(RESPONSES, json={"model": "thinking", "input": talk}).status_code == 200
        written = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
        of_first = f"<think>{PARTS[0]}</think>{PARTS[1]}"
        assert written == f"Hi{of_first}Again<think>cut</think>Again"
        refused = client.post(RESPONSES, json={"model": "plain", "input": talk})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input.1")
        wrong = {**cut, "encrypted_content": "x"}
        refused = client.post(RESPONSES, json={"model": "thinking", "input": [wrong, hi]})
        assert refused.json()["error"]["param"] == "input.0.encrypted_content"
