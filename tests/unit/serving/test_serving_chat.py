"""Chat answers: whole, streamed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from serving_fakes import FakeEngine, chat, fake_model, running

from homespun.serving import ServerConfig

URL = "/v1/chat/completions"
HELLO = "Hello, world!"


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine(HELLO)


@pytest.fixture(scope="module")
def client(engine: FakeEngine) -> Iterator[httpx2.Client]:
    with (
        running(fake_model(engine=engine), fake_model("mute", can_chat=False)) as server,
        server.client() as client,
    ):
        yield client


def events(text: str) -> list[Any]:
    """What stands in a stream, `[DONE]` as it is."""
    found = []
    for part in text.split("\n\n")[:-1]:
        assert part.startswith("data: ")
        body = part.removeprefix("data: ")
        found.append(body if body == "[DONE]" else json.loads(body))
    return found


def test_an_answer_has_openais_shape(client: httpx2.Client) -> None:
    answer = client.post(URL, json=chat()).json()
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": HELLO, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["index"] == 0
    assert answer["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": len(HELLO),
        "total_tokens": 5 + len(HELLO),
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def test_a_stream_is_the_same_text_in_pieces(client: httpx2.Client) -> None:
    answer = client.post(URL, json=chat(stream=True, stream_options={"include_usage": True}))
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(answer.text)
    assert last == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content", "") for delta in deltas) == HELLO
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(HELLO)
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_log_probabilities_have_openais_shape(client: httpx2.Client) -> None:
    body = chat(logprobs=True, top_logprobs=2, max_tokens=2)
    (choice,) = client.post(URL, json=body).json()["choices"]
    first, second = choice["logprobs"]["content"]
    assert first == {
        "token": "H",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [
            {"token": "H", "logprob": -0.5, "bytes": [72]},
            {"token": "I", "logprob": -1.5, "bytes": [73]},
        ],
    }
    assert second["token"] == "e"
    assert choice["finish_reason"] == "length"
    chunks = events(client.post(URL, json=body | {"stream": True}).text)[:-1]
    told = [
        entry
        for chunk in chunks
        for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    assert told == [first, second]


def test_several_answers_are_told_apart(client: httpx2.Client) -> None:
    answer = client.post(URL, json=chat(n=3)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] == 3 * len(HELLO)
    texts = {0: "", 1: "", 2: ""}
    for chunk in events(client.post(URL, json=chat(n=3, stream=True)).text)[:-1]:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert set(texts.values()) == {HELLO}


def test_settings_reach_the_engine(client: httpx2.Client, engine: FakeEngine) -> None:
    body = chat(
        temperature=0.3,
        top_p=0.5,
        top_k=7,
        min_p=0.1,
        seed=11,
        stop=["or", "x"],
        logit_bias={"65": -5, "66": 2.5},
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        repetition_penalty=1.2,
        max_completion_tokens=40,
        response_format={"type": "json_object"},
    )
    answer = client.post(URL, json=body).json()
    assert answer["choices"][0]["message"]["content"] == "Hello, w"
    _, settings, _ = engine.asked[-1]
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (
        0.3,
        0.5,
        7,
        0.1,
    )
    assert (settings.seed, settings.stop, settings.max_tokens) == (11, ("or", "x"), 40)
    assert settings.logit_bias == ((65, -5), (66, 2.5))
    assert (settings.presence_penalty, settings.frequency_penalty) == (0.5, -0.5)
    assert settings.repetition_penalty == 1.2
    assert settings.constraint is not None
    assert json.loads(settings.constraint.text) == {"type": "object"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"foo": 1}, "foo"),
        ({"audio": {}}, "audio"),
        ({"Foo": 1}, "Foo"),
        ({"str": 1}, "str"),
        ({"body": 1}, "body"),
        ({"a[b]": 1}, "a[b]"),
        ({"stream_options": {"Foo": 1}}, "stream_options.Foo"),
        ({"x" * 100_000: 1}, "x" * 499 + "…"),
        ({"store": True}, "store"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": 10**6}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 261}, "top_logprobs"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": "x" * 65}, "stop"),
        ({"logit_bias": {"foo": 0}}, "logit_bias"),
        ({"logit_bias": {"261": 0}}, "logit_bias"),
        ({"logit_bias": {str(i): 0 for i in range(301)}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"seed": 2**63}, "seed"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream_options": {"foo": 1}}, "stream_options.foo"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x", "name": "<|im_end|>"}]}, "messages.0.name"),
        ({"messages": [{"role": "user", "content": "x"}] * 257}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 256}]}, "messages"),
        ({"model": "nobody"}, "model"),
        ({"model": "mute"}, "model"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    client: httpx2.Client, change: dict[str, Any], param: str
) -> None:
    answer = client.post(URL, json=chat() | change)
    assert answer.status_code == (404 if change.get("model") == "nobody" else 400)
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert "None" not in error["message"]


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(client: httpx2.Client) -> None:
    messages = [{"role": "user", "content": "x" * 253}]
    error = client.post(URL, json=chat() | {"messages": messages}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "256 tokens" in error["message"]
    assert "window of 'fake' holds 256" in error["message"]


@pytest.mark.parametrize(
    ("url", "field"), [(URL, "messages"), ("/tokenize", "messages"), ("/v1/responses", "input")]
)
def test_too_many_messages_are_told_apart_from_other_refusals(
    client: httpx2.Client, url: str, field: str
) -> None:
    """So that a program can leave out the earliest ones and ask again."""
    messages = [{"role": "user", "content": "a"}] * (ServerConfig().most_messages + 1)
    answer = client.post(url, json={"model": chat()["model"], field: messages})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("too_many_messages", field)


def test_what_the_engine_refuses_is_refused_before_a_stream_begins(client: httpx2.Client) -> None:
    body = chat(stream=True, structured_outputs={"regex": '"impossible"'})
    answer = client.post(URL, json=body)
    assert answer.status_code == 400
    assert "regex" in answer.json()["error"]["message"]


def test_seeds_differ_unless_they_are_given(client: httpx2.Client, engine: FakeEngine) -> None:
    for _ in range(3):
        client.post(URL, json=chat())
    assert len({settings.seed for _, settings, _ in engine.asked[-3:]}) == 3


def test_parts_of_text_and_an_answer_sent_back_are_taken(
    client: httpx2.Client, engine: FakeEngine
) -> None:
    first = client.post(URL, json=chat()).json()["choices"][0]["message"]
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": parts},
        first,
        {"role": "user", "content": "c"},
    ]
    assert client.post(URL, json=chat() | {"messages": messages}).status_code == 200
    ids = engine.asked[-1][0]
    assert ids[0] == 258
    assert bytes(token for token in ids if token < 256) == b"be briefab" + HELLO.encode() + b"c"


def test_what_is_null_is_not_there() -> None:
    nothing = dict.fromkeys(("metadata", "reasoning_effort", "functions", "top_p", "tools"))
    with running(fake_model()) as server, server.client() as client:
        assert client.post(URL, json=chat(**nothing)).status_code == 200
        assert client.post(URL, json=chat(reasoning_effort="low")).status_code == 400
        both = {"max_tokens": 5, "max_completion_tokens": 5}
        assert client.post(URL, json=chat(**both)).status_code == 200
        assert client.post(URL, json=chat(**both | {"max_tokens": 4})).status_code == 400
        asked = {"model": "fake", "input": "a", "tools": [], "include": [], "metadata": None}
        assert client.post("/v1/responses", json=asked).status_code == 200


def test_a_share_of_nothing_leaves_the_likeliest() -> None:
    engine = FakeEngine()
    with running(fake_model(engine=engine)) as server, server.client() as client:
        assert client.post(URL, json=chat(top_p=0)).status_code == 200
    assert 0 < engine.asked[0][1].top_p < 1e-6
