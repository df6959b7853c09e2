"""Prompts that are scored: `echo` with `logprobs`, as lm-eval's local-completions asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from serving_fakes import END_OF_TEXT, END_OF_TURN, FakeEngine, Running, fake_model, running

from homespun.core import TokenLogprob
from homespun.serving.openai.logprobs import chat_logprobs, response_logprobs

HELLO = "Hé, 你!"
URL = "/v1/completions"


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine(HELLO)


@pytest.fixture(scope="module")
def server(engine: FakeEngine) -> Iterator[Running]:
    with running(fake_model(engine=engine)) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[httpx2.Client]:
    with server.client() as found:
        yield found


def asked(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(URL, json={"model": "fake", "echo": True, "logprobs": 1} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def streamed(client: httpx2.Client, **body: Any) -> dict[int, dict[str, Any]]:
    """Texts and log probabilities by the index of the answer, put together."""
    whole = {"model": "fake", "echo": True, "logprobs": 1, "stream": True} | body
    found: dict[int, dict[str, Any]] = {}
    with client.stream("POST", URL, json=whole) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines.pop() == "data: [DONE]"
    for line in lines:
        for choice in json.loads(line.removeprefix("data: "))["choices"]:
            one = found.setdefault(choice["index"], {"text": "", "logprobs": None})
            one["text"] += choice["text"]
            one["finish_reason"] = choice["finish_reason"]
            new = choice["logprobs"]
            if new is not None:
                old = one["logprobs"]
                one["logprobs"] = (
                    new if old is None else {name: old[name] + new[name] for name in new}
                )
    return found


def check_places(text: str, logprobs: dict[str, Any]) -> None:
    """Each token that is whole characters stands in the text where its place says."""
    places = logprobs["text_offset"]
    assert all(a <= b for a, b in pairwise(places))
    for token, place in zip(logprobs["tokens"], places, strict=True):
        if "\ufffd" not in token and not token.startswith("<|"):
            assert text[place : place + len(token)] == token


def test_a_character_that_is_broken_off_has_a_place_of_its_own(client: httpx2.Client) -> None:
    (choice,) = asked(client, prompt=[0xE5, *b"ab", 0xE5], max_tokens=0)["choices"]
    assert choice["text"] == "\ufffdab\ufffd"
    assert choice["logprobs"]["text_offset"] == [0, 1, 2, 3]


@pytest.mark.parametrize("max_tokens", [0, 1, 5, 40])
@pytest.mark.parametrize("prompt", ["a 好 b", [END_OF_TEXT, *"é好".encode(), END_OF_TURN, 0xE5]])
def test_a_prompt_is_told_with_its_log_probabilities(
    client: httpx2.Client, prompt: str | list[int], max_tokens: int
) -> None:
    found = asked(client, prompt=prompt, max_tokens=max_tokens)
    ids = [END_OF_TEXT, *prompt.encode()] if isinstance(prompt, str) else prompt
    (choice,) = found["choices"]
    logprobs = choice["logprobs"]
    num_written = min(max_tokens, len(HELLO.encode()))
    assert {len(each) for each in logprobs.values()} == {len(ids) + num_written}
    assert logprobs["token_logprobs"] == [None, *[-0.25] * (len(ids) - 1), *[-0.5] * num_written]
    assert logprobs["top_logprobs"][0] is None
    assert logprobs["top_logprobs"][1] == {logprobs["tokens"][1]: -0.25}
    check_places(choice["text"], logprobs)
    data = bytes(token for token in ids if token < 256).decode("utf-8", "replace")
    assert choice["text"].startswith(data)
    if num_written:
        assert logprobs["text_offset"][len(ids)] == len(data)
    assert found["usage"]["completion_tokens"] == num_written
    whole = streamed(client, prompt=prompt, max_tokens=max_tokens)
    assert whole == {0: {key: choice[key] for key in ("text", "logprobs", "finish_reason")}}


def test_a_character_of_several_tokens_has_one_place(client: httpx2.Client) -> None:
    (choice,) = asked(client, prompt="x好y", max_tokens=0)["choices"]
    assert choice["text"] == "x好y"
    assert choice["logprobs"]["text_offset"] == [0, 0, 1, 1, 1, 2]
    (choice,) = asked(client, prompt=[100], echo=False, max_tokens=9)["choices"]
    assert choice["text"] == HELLO
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2, 3, 4, 4, 4, 5]
    assert choice["logprobs"]["token_logprobs"][0] == -0.5


@pytest.mark.parametrize("max_tokens", [0, 2])
def test_each_answer_to_each_prompt_tells_its_prompt(
    client: httpx2.Client, max_tokens: int
) -> None:
    body = {"prompt": ["ab", "好"], "n": 2, "max_tokens": max_tokens, "logprobs": 0}
    found = asked(client, **body)["choices"]
    written = "Hé"[:max_tokens] if max_tokens < 2 else "H"
    assert [choice["text"] for choice in found] == [
        *[f"ab{written}"] * 2,
        *[f"好{written}"] * 2,
    ]
    for choice in found:
        assert choice["logprobs"]["token_logprobs"][0] is None
        assert choice["logprobs"]["top_logprobs"][1] == {}
        check_places(choice["text"], choice["logprobs"])
    several = streamed(client, **body)
    for choice in found:
        assert several[choice["index"]]["text"] == choice["text"]
        assert several[choice["index"]]["logprobs"] == choice["logprobs"]


def test_the_engine_is_asked_for_one_token_that_may_be_the_end(
    client: httpx2.Client, engine: FakeEngine
) -> None:
    """lm-eval leaves out the last token, whatever it is: it takes it for one behind the prompt."""
    engine.asked.clear()
    asked(client, prompt="a", max_tokens=1)
    asked(client, prompt="a", max_tokens=0, n=2)
    asked(client, prompt="a", max_tokens=5)
    asked(client, prompt="a", max_tokens=1, echo=False)
    settings = [one for _, one, _ in engine.asked]
    assert [one.prompt_logprobs for one in settings] == [True, True, True, False]
    assert [one.ignore_end for one in settings] == [True, True, False, False]
    assert [one.num_answers for one in settings] == [1, 1, 1, 1]


def test_lm_eval_reads_what_it_looks_for(client: httpx2.Client) -> None:
    """The way lm-eval's `LocalCompletionsAPI.parse_logprobs` reads an answer."""
    prompts = [[*b"abcd"], [*b"efg"]]
    body = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234}
    found = asked(client, prompt=prompts, **body)
    for choice, prompt, context in zip(found["choices"], prompts, (2, 1), strict=True):
        values = choice["logprobs"]["token_logprobs"][context:-1]
        tops = choice["logprobs"]["top_logprobs"][context:-1]
        assert values == [-0.25] * (len(prompt) - context)
        assert all(value == max(top.values()) for value, top in zip(values, tops, strict=True))


INCLUDE = {"include": ["message.output_text.logprobs"], "top_logprobs": 2, "input": "a"}


def test_responses_tell_log_probabilities_where_they_are_included(client: httpx2.Client) -> None:
    answer = client.post("/v1/responses", json=INCLUDE).json()
    told = answer["output"][0]["content"][0]["logprobs"]
    assert answer["top_logprobs"] == 2
    assert [entry["bytes"] for entry in told] == [[byte] for byte in HELLO.encode()]
    assert [entry["logprob"] for entry in told] == [-0.5] * len(HELLO.encode())
    assert [entry["token"] for entry in told[0]["top_logprobs"]] == ["H", "I"]
    without = client.post("/v1/responses", json={"input": "a"}).json()
    assert without["output"][0]["content"][0]["logprobs"] == []


def test_control_tokens_have_the_bytes_that_each_description_wants() -> None:
    served: Any = SimpleNamespace(
        tokenizer=SimpleNamespace(token_bytes=lambda token: b"a" if token == 1 else b""),
        control_names={2: "<|end|>"},
    )
    found = [TokenLogprob(1, -0.5, ((1, -0.5), (2, -2.0)))]
    (of_chat,) = chat_logprobs(served, found)["content"]
    (of_response,) = response_logprobs(served, found)
    assert [entry["bytes"] for entry in of_chat["top_logprobs"]] == [[97], None]
    assert [entry["bytes"] for entry in of_response["top_logprobs"]] == [[97], []]
    many = found * 1000  # written in pieces
    whole = json.loads(b"".join(response_logprobs(served, many).pieces))
    assert whole == [of_response] * 1000


def test_streamed_responses_tell_as_much(client: httpx2.Client) -> None:
    events = []
    with client.stream("POST", "/v1/responses", json=INCLUDE | {"stream": True}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    whole = events[-1]["response"]["output"][0]["content"][0]
    assert "".join(event["delta"] for event in deltas) == whole["text"] == HELLO
    assert [entry for event in deltas for entry in event["logprobs"]] == whole["logprobs"]
    (done,) = (event for event in events if event["type"] == "response.output_text.done")
    assert done["logprobs"] == whole["logprobs"]
    assert len(whole["logprobs"]) == len(HELLO.encode())
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 21, "include": INCLUDE["include"]}, "top_logprobs"),
        ({"include": ["file_search_call.results"]}, "include.0"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_responses_do_not_have_is_refused_by_name(
    client: httpx2.Client, body: dict[str, Any], param: str
) -> None:
    answer = client.post("/v1/responses", json={"input": "a", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
