"""Models that write one text from another, behind the API: what they read, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from serving_fakes import ByteTokenizer, FakeEngine, fake_model, running, until

from homespun.core import ChatTokens, Message
from homespun.serving import Rewriting, ServerConfig, build_page

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
END = 256


class SourceBytes(ByteTokenizer):
    """As such models read: a prefix before, a mark behind, and of a conversation its end."""

    start_ids: tuple[int, ...] = ()  # type: ignore[assignment]

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.array([*b"> ", *text.encode(), END], np.uint32)

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        ids = tuple(self.encode(messages[-1].content).tolist())
        return ChatTokens(ids, (False,) * len(ids))


ENGINE = FakeEngine("Guten Tag", window=64)
GREEDY = FakeEngine("好", window=64)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    parts: dict[str, Any] = {"tokenizer": SourceBytes()}
    models = (
        fake_model("fake"),
        fake_model("de", ENGINE, rewrites=Rewriting(5, 0.8), **parts),
        fake_model("zh", GREEDY, rewrites=Rewriting(1, 1.0), **parts),
    )
    page, is_public = build_page(None)
    with (
        running(*models, extra=[page], is_public=is_public) as server,
        server.client() as found,
    ):
        yield found


def source(text: str) -> list[int]:
    return SourceBytes().encode(text).tolist()  # type: ignore[no-any-return]


def said(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": "de", "messages": [{"role": "user", "content": text}], **more}


def answered(client: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_the_last_message_is_what_is_read(client: httpx2.Client) -> None:
    body = said("Good day", max_tokens=50)
    body["messages"][:0] = [
        {"role": "user", "content": "An earlier text"},
        {"role": "assistant", "content": "Ein früherer Text"},
    ]
    found = answered(client, CHAT, body)
    assert found["choices"][0]["message"]["content"] == "Guten Tag"
    assert found["choices"][0]["finish_reason"] == "stop"
    ids, settings, _ = ENGINE.asked[-1]
    assert ids == source("Good day")
    assert found["usage"]["prompt_tokens"] == len(ids)
    assert found["usage"]["completion_tokens"] == len("Guten Tag")
    assert settings.max_tokens == 50


def test_it_searches_as_it_was_taught_where_nobody_asks_for_a_draw(client: httpx2.Client) -> None:
    neutral = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "repetition_penalty": 1,
        "logit_bias": {},
        "top_p": 1,
        "top_k": 0,
        "response_format": {"type": "text"},
        "tool_choice": "none",
        "seed": 3,
    }
    for body in (said(), said(**neutral), said(n=5)):
        answered(client, CHAT, body)
        settings = ENGINE.asked[-1][1]
        assert (settings.beams, settings.length_penalty, settings.temperature) == (5, 0.8, 0.0)
    assert settings.num_answers == 5
    answered(client, CHAT, said() | {"model": "zh"})
    assert GREEDY.asked[-1][1].beams == 0  # tells each token as it comes
    assert GREEDY.asked[-1][1].temperature == 0.0


@pytest.mark.parametrize(
    ("wish", "temperature"),
    [({"temperature": 0.7, "top_p": 0.9}, 0.7), ({"temperature": 0}, 0.0), ({"top_k": 3}, 1.0)],
)
def test_a_temperature_or_a_filter_draws(
    client: httpx2.Client, wish: dict[str, Any], temperature: float
) -> None:
    answered(client, CHAT, said(**wish, n=3, seed=7, stop=["Tag"]))
    settings = ENGINE.asked[-1][1]
    assert settings.beams == 0
    assert settings.temperature == temperature
    assert settings.top_p == wish.get("top_p", 1.0)
    assert settings.top_k == wish.get("top_k", 0)
    assert (settings.num_answers, settings.seed, settings.stop) == (3, 7, ("Tag",))


def test_log_probabilities_are_of_what_is_drawn(client: httpx2.Client) -> None:
    found = answered(client, CHAT, said(temperature=0, logprobs=True, top_logprobs=2))
    assert len(found["choices"][0]["logprobs"]["content"]) == len("Guten Tag")
    assert refused(client, CHAT, said(logprobs=True))["param"] == "logprobs"


def test_completions_take_texts_and_ids_and_write_to_the_end(client: httpx2.Client) -> None:
    texts = ["Good day", "你好"]
    found = answered(client, COMPLETIONS, {"model": "de", "prompt": texts})
    assert [choice["text"] for choice in found["choices"]] == ["Guten Tag"] * 2
    assert [ids for ids, _, _ in ENGINE.asked[-2:]] == [source(text) for text in texts]
    assert ENGINE.asked[-1][1].max_tokens > 1000  # not OpenAI's sixteen
    cut = answered(client, "/tokenize", {"model": "de", "prompt": "Good day"})
    assert (cut["tokens"], cut["max_model_len"]) == (source("Good day"), 64)
    answered(client, COMPLETIONS, {"model": "de", "prompt": cut["tokens"], "max_tokens": 4})
    assert ENGINE.asked[-1][0] == source("Good day")
    assert ENGINE.asked[-1][1].max_tokens == 4


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_answers_are_streamed_with_their_usage(
    client: httpx2.Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ENGINE, "seconds", 0.05)  # so long that what comes is sent before the next
    body = said(temperature=0) if path == CHAT else {"model": "de", "prompt": "Hello"}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", path, json=body) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    choices = [event["choices"][0] for event in events if event["choices"]]
    texts = [one.get("text") or one.get("delta", {}).get("content") or "" for one in choices]
    assert "".join(texts) == "Guten Tag"
    assert len([text for text in texts if text]) > 1
    assert choices[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"]["prompt_tokens"] == len(source("Hello"))


def test_responses_too(client: httpx2.Client) -> None:
    found = answered(client, RESPONSES, {"model": "de", "input": "Hello"})
    assert found["output"][0]["content"][0]["text"] == "Guten Tag"
    assert ENGINE.asked[-1][0] == source("Hello")
    nothing = {"instructions": "", "tools": [], "tool_choice": "auto"}
    answered(client, RESPONSES, {"model": "de", "input": "Hello", **nothing})
    body = {"model": "de", "input": "Hello", "instructions": "Be brief."}
    assert refused(client, RESPONSES, body)["param"] == "instructions"
    body = {"model": "de", "input": [{"role": "developer", "content": "x"}]}
    assert refused(client, RESPONSES, body)["param"] == "input.0.role"


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"repetition_penalty": 1.1}, "repetition_penalty"),
        ({"logit_bias": {"65": 1}}, "logit_bias"),
        ({"min_tokens": 2}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"stop_token_ids": [65]}, "stop_token_ids"),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "structured_outputs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [TOOL]}, "tools"),
        ({"n": 6}, "n"),
        ({"formality": "polite"}, "formality"),
    ],
)
@pytest.mark.parametrize("temperature", [None, 0.5])
def test_what_it_has_not_is_refused_by_name(
    client: httpx2.Client, wish: dict[str, Any], param: str, temperature: float | None
) -> None:
    if param == "n" and temperature is not None:
        return  # drawn answers may be as many as those of other models
    num = len(ENGINE.asked)
    error = refused(client, CHAT, said(**wish, temperature=temperature))
    assert error["param"] == param
    assert len(ENGINE.asked) == num


@pytest.mark.parametrize(
    ("wish", "param"),
    [({"echo": True}, "echo"), ({"suffix": "x"}, "suffix"), ({"best_of": 3}, "best_of")],
)
def test_completions_refuse_theirs(client: httpx2.Client, wish: dict[str, Any], param: str) -> None:
    body = {"model": "de", "prompt": "Hello", **wish}
    assert refused(client, COMPLETIONS, body)["param"] == param
    answered(client, COMPLETIONS, {"model": "de", "prompt": "Hello", "best_of": 1, "echo": False})


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([("system", "Into French."), ("user", "Hi")], "messages.0.role"),
        ([("user", "Hi"), ("developer", "Into French."), ("user", "Hi")], "messages.1.role"),
        ([("user", "Hi"), ("assistant", "Tag")], "messages.1.role"),
        ([("user", " \n")], "messages"),
        ([("user", "")], "messages"),
        ([("user", "x" * 62)], "messages"),
    ],
)
def test_conversations_it_cannot_answer(
    client: httpx2.Client, messages: list[tuple[str, str]], param: str
) -> None:
    told = [{"role": role, "content": text} for role, text in messages]
    error = refused(client, CHAT, {"model": "de", "messages": told})
    assert error["param"] == param


def test_other_words_than_the_users_own_are_not_translated(client: httpx2.Client) -> None:
    named = said()
    named["messages"][0]["name"] = "anna"
    assert refused(client, CHAT, named)["param"] == "messages.0.name"
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body = said()
    body["messages"] += [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    assert refused(client, CHAT, body)["param"] == "messages.2.role"


def test_what_is_too_long_is_told_with_both_numbers(client: httpx2.Client) -> None:
    answered(client, CHAT, said("x" * 61))  # what is written takes nothing of the window
    for body, path in ((said("x" * 62), CHAT), ({"model": "de", "prompt": "x" * 62}, COMPLETIONS)):
        error = refused(client, path, body)
        assert error["code"] == "context_length_exceeded"
        assert "has 65 tokens, and 'de' reads 64" in error["message"]
    error = refused(client, COMPLETIONS, {"model": "de", "prompt": [65] * 65})
    assert error["code"] == "context_length_exceeded"
    error = refused(client, COMPLETIONS, {"model": "de", "prompt": " "})
    assert "nothing for 'de' to read" in error["message"]


def test_who_rewrites_is_listed(client: httpx2.Client) -> None:
    told = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert {name: one["rewrites"] for name, one in told.items()} == {
        "fake": False,
        "de": True,
        "zh": True,
    }
    assert told["de"]["can_chat"]
    assert told["de"]["can_write"]
    assert not told["de"]["can_fill"]


def test_the_page_is_told_what_such_models_take(client: httpx2.Client) -> None:
    told = client.get("/page/config").json()
    fields = set(told["rewriting_fields"])
    assert {"temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "n", "stop"} <= fields
    assert fields < set(told["fields"])
    body = {"frequency_penalty": 1, "repetition_penalty": 2, "logprobs": True, "tools": [TOOL]}
    for name in body:
        assert name not in fields


def test_a_client_that_goes_away_is_let_go_of() -> None:
    engine = FakeEngine("slow" * 20, seconds=0.02, window=64)
    model = fake_model("de", engine, tokenizer=SourceBytes(), rewrites=Rewriting(5, 1.0))
    with running(model) as server, server.client() as client:
        with client.stream("POST", CHAT, json=said(temperature=0, stream=True)) as answer:
            next(answer.iter_lines())
        until(lambda: engine.num_cancelled == 1)
        assert not engine.rows


def test_beams_count_in_what_may_wait() -> None:
    """A search of five beams holds five rows: so many fewer may wait."""
    engine = FakeEngine("slow" * 20, seconds=0.02, window=64, kv_capacity=64 * 5)
    model = fake_model("de", engine, tokenizer=SourceBytes(), rewrites=Rewriting(5, 1.0))
    config = ServerConfig(drain_seconds=0, queue_windows=1.0)
    with (
        running(model, config=config) as server,
        server.client() as client,
        client.stream("POST", CHAT, json=said(stream=True)) as answer,
    ):
        next(answer.iter_lines())
        late = client.post(CHAT, json=said())
        assert late.status_code == 429
        assert "retry-after" in late.headers
