"""The requests that Open WebUI sends to a server of this kind, as its backend and its settings
make them: a list of models, streamed chats, its tasks beside them, tools in a loop, embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from serving_fakes import ByteTokenizer, FakeEngine, Running, fake_model, running

from homespun.core import ChatTokens, Message

URL = "/v1/chat/completions"
# With ENABLE_FORWARD_USER_INFO_HEADERS, and a key though none is asked for here.
HEADERS = {
    "Authorization": "Bearer sk-none",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "%E5%BC%A0%E4%B8%89",
    "X-OpenWebUI-User-Id": "b1c6",
    "X-OpenWebUI-User-Email": "zhang@example.com",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "5f0e",
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather_get",
        "description": "No description available.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City. Possible values: Ulm, Bonn"},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["city"],
        },
    },
}


def asked(messages: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    return {"stream": False, "model": "fake", "messages": [*messages], **more}


def lines(server: Running, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream, read line by line as Open WebUI does."""
    with (
        server.client(headers=HEADERS) as client,
        client.stream("POST", URL, json=body) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert "text/event-stream" in answer.headers["content-type"]
        told = [line[5:].strip() for line in answer.iter_lines() if line.startswith("data:")]
    assert told[-1] == "[DONE]"
    return [json.loads(line) for line in told[:-1]]


def test_models_are_listed_for_its_picker_and_its_test_of_a_connection() -> None:
    with running() as server, server.client(headers=HEADERS) as client:
        found = client.get("/v1/models").json()
    assert [one["id"] for one in found["data"]] == ["fake"]
    assert "error" not in found
    assert found["data"][0]["owned_by"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream_options": {"include_usage": True}},
        # What can be set of a model or a chat, with the types that its code gives it.
        {
            "temperature": 0.8,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.0,
            "max_tokens": 100,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "seed": 42,
            "stop": ["###", "\n\n\n"],
            "logit_bias": {"104": -100},
            "response_format": {"type": "text"},
            "stream_options": {"include_usage": True},
        },
    ],
)
def test_a_chat_streams_as_it_reads_it(more: dict[str, Any]) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "User Context:\n\nBe kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "<think>\nhm\n</think>\nHello"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "And you?"},
    ]
    with running() as server:
        chunks = lines(server, asked(messages, **more) | {"stream": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello, world!"
    counted = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(counted) == ("stream_options" in more)


@pytest.mark.parametrize(
    "most", [{}, {"max_tokens": 1000}, {"max_completion_tokens": 1000}, {"max_tokens": 50}]
)
def test_its_tasks_beside_a_chat_are_answered_whole(most: dict[str, Any]) -> None:
    task = '### Task:\nGenerate a concise title.\n### Output:\nJSON format: { "title": "…" }'
    engine = FakeEngine('{ "title": "🙂 Greeting" }')
    with running(fake_model(engine=engine)) as server, server.client(headers=HEADERS) as client:
        found = client.post(URL, json=asked([{"role": "user", "content": task}], **most))
    assert found.status_code == 200
    message = found.json()["choices"][0]["message"]
    assert json.loads(message["content"]) == {"title": "🙂 Greeting"}


def test_a_task_that_does_not_fit_the_window_is_refused_and_the_chat_goes_on() -> None:
    task = [{"role": "user", "content": "### Task:\n" + "word " * 200}]
    with running() as server, server.client(headers=HEADERS) as client:
        found = client.post(URL, json=asked(task))
        assert found.status_code == 400
        error = found.json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert "256" in error["message"]
        assert client.post(URL, json=asked([{"role": "user", "content": "Hi"}])).is_success


def test_tools_in_a_loop_come_back_as_they_were_streamed() -> None:
    call = '{"name": "weather_get", "arguments": {"city": "Ulm"}}'
    engine = FakeEngine(f"I look.\n<tool_call>\n{call}\n</tool_call>", window=2000)
    question = {"role": "user", "content": "Weather in Ulm?"}
    with running(fake_model(engine=engine)) as server:
        body = asked([question], tools=[TOOL], stream_options={"include_usage": True})
        chunks = lines(server, body | {"stream": True})
        # It puts the pieces of a call together by their index, and sends them as they are.
        calls: dict[int, dict[str, Any]] = {}
        for chunk in chunks:
            for choice in chunk["choices"]:
                for piece in choice["delta"].get("tool_calls", []):
                    assert piece["index"] not in calls
                    assert json.loads(piece["function"]["arguments"]) == {"city": "Ulm"}
                    calls[piece["index"]] = piece
        assert list(calls) == [0]
        history = [
            question,
            {"role": "assistant", "content": "I look.", "tool_calls": [*calls.values()]},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": '{"degrees": 7}'},
        ]
        again = lines(server, body | {"stream": True, "messages": history})
    assert again
    read = bytes(token for token in engine.asked[-1][0] if token < 256).decode()
    assert '<tool_response>\n{"degrees": 7}\n</tool_response>' in read
    assert f"I look.\n<tool_call>\n{call}\n</tool_call>" in read


def test_documents_are_embedded_in_batches() -> None:
    body = {"input": ["one", "zwei", "三"], "model": "fake"}
    with running() as server, server.client(headers=HEADERS) as client:
        found = client.post("/v1/embeddings", json=body).json()
    assert [len(one["embedding"]) for one in found["data"]] == [2, 2, 2]


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("reasoning_effort", "high", "reasoning_effort"),
        ("metadata", {"chat_id": "5f0e"}, "metadata"),
        ("repeat_last_n", 64, "repeat_last_n"),
        (
            "chat_template_kwargs",
            {"enable_thinking": False},
            "chat_template_kwargs.enable_thinking",
        ),
        ("tool_servers", [], "tool_servers"),
    ],
)
def test_what_may_be_set_and_means_nothing_here_is_refused_by_name(
    field: str, value: Any, param: str
) -> None:
    body = asked([{"role": "user", "content": "Hi"}], **{field: value})
    with running() as server, server.client(headers=HEADERS) as client:
        found = client.post(URL, json=body)
    assert found.status_code == 400
    assert found.json()["error"]["param"] == param


def test_pictures_are_refused_by_name() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    parts = [{"type": "text", "text": "What is it?"}, picture]
    with running() as server, server.client(headers=HEADERS) as client:
        found = client.post(URL, json=asked([{"role": "user", "content": parts}]))
    assert found.status_code == 400
    assert found.json()["error"]["param"].startswith("messages.0.content")


class Switched(ByteTokenizer):
    """Its template asks whether to think."""

    thinks = knows_reasoning = True
    chat_options = frozenset({"enable_thinking"})

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        options: Mapping[str, bool | str] | None = None,
    ) -> ChatTokens:
        ids = super().encode_chat(messages, add_generation_prompt=add_generation_prompt).ids
        if (options or {}).get("enable_thinking") is False:
            ids = (*ids, *self.encode("<think>\n\n</think>\n\n").tolist())
        return ChatTokens(ids, (False,) * len(ids))


def test_thoughts_are_turned_off_by_a_parameter_of_the_model() -> None:
    engine = FakeEngine("<think>a</think>b")
    body = asked([{"role": "user", "content": "Hi"}])
    model = fake_model(engine=engine, tokenizer=Switched())
    with running(model) as server, server.client() as client:
        message = client.post(URL, json=body).json()["choices"][0]["message"]
        assert (message["reasoning_content"], message["content"]) == ("a", "b")
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        message = client.post(URL, json=body | off).json()["choices"][0]["message"]
        assert message["content"] == "<think>a</think>b"  # there was no place for thoughts
        assert "reasoning_content" not in message
        counts = []
        for more in ({}, off):
            whole = {"model": "fake", "messages": body["messages"], **more}
            counts.append(client.post("/tokenize", json=whole).json()["count"])
        assert counts[1] > counts[0]
        wrong = client.post("/tokenize", json={"model": "fake", "prompt": "Hi", **off})
        assert wrong.json()["error"]["param"] == "chat_template_kwargs"
        wrong = client.post(URL, json=body | {"chat_template_kwargs": {"enable_thinking": 1}})
        assert wrong.json()["error"]["param"].startswith("chat_template_kwargs")
