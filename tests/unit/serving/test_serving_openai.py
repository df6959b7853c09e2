"""OpenAI's own Python client, and the answers it does not look at closely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pydantic
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from serving_engines import WINDOW
from serving_fakes import (
    FakeEngine,
    Running,
    fake_model,
    running,
    until,
)

from homespun.serving import Moderation
from homespun.serving.metrics import TokenTimes
from homespun.serving.openai.sse import event

HELLO = "Hello, world!"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine(HELLO)


@pytest.fixture(scope="module")
def server(engine: FakeEngine) -> Iterator[Running]:
    def moderate(text: str) -> Moderation:
        return Moderation({"rude": 0.9 if "!" in text else 0.1}, {"rude": "!" in text})

    caller = fake_model("caller", FakeEngine('{"city": "Bern"}', window=2048))
    with running(fake_model(engine=engine), caller, moderator=moderate) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with (
        httpx2.Client(trust_env=False, timeout=20) as plain,
        openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="none", http_client=plain, max_retries=0
        ) as found,
    ):
        yield found


@pytest.fixture
def plain(server: Running) -> Iterator[httpx2.Client]:
    with server.client() as found:
        yield found


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake", "caller"]
    assert client.models.retrieve("fake").owned_by == "homespun"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_chat_and_its_stream_say_the_same(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fake", messages=MESSAGES, seed=3)
    assert answer.choices[0].message.content == HELLO
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(HELLO)
    stream = client.chat.completions.create(
        model="fake", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == HELLO
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens


def test_the_clients_own_stream_reader_follows(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="fake", messages=MESSAGES) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content == HELLO


def test_completions_of_several_prompts(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="fake", prompt=["a", "bc"], n=2, max_tokens=5, logprobs=2
    )
    assert [choice.text for choice in answer.choices] == ["Hello"] * 4
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == list("Hello")
    assert logprobs.text_offset == [0, 1, 2, 3, 4]
    assert logprobs.top_logprobs is not None
    assert logprobs.top_logprobs[0] == {"H": -0.5, "I": -1.5}
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2 + 3
    assert answer.usage.completion_tokens == 20


def test_completions_stream_and_echo(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="fake", prompt="ab", echo=True)
    assert whole.choices[0].text == "ab" + HELLO
    stream = client.completions.create(model="fake", prompt="ab", echo=True, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "ab" + HELLO
    assert chunks[-1].choices[0].finish_reason == "stop"
    logged = client.completions.create(
        model="fake", prompt=[7, 8], stream=True, logprobs=0, max_tokens=4
    )
    offsets = [
        at
        for chunk in logged
        if chunk.choices[0].logprobs
        for at in chunk.choices[0].logprobs.text_offset or []
    ]
    assert offsets == [0, 1, 2, 3]


def test_no_tokens_asked_for_are_none_written(client: openai.OpenAI) -> None:
    whole = client.completions.create(
        model="fake", prompt=["ab", "c"], max_tokens=0, best_of=0, echo=True
    )
    assert [choice.text for choice in whole.choices] == ["ab", "c"]
    assert {choice.finish_reason for choice in whole.choices} == {"length"}
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (5, 0)
    stream = client.completions.create(
        model="fake",
        prompt="ab",
        max_tokens=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    first, last = list(stream)
    assert first.choices[0].text == ""
    assert first.choices[0].finish_reason == "length"
    assert last.usage is not None
    assert last.usage.total_tokens == 3


def test_embeddings_come_as_the_client_asks_for_them(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="fake", input=["abc", "d"])  # base64 by itself
    assert [item.embedding for item in answer.data] == [[4.0, 0.5], [2.0, 0.5]]
    assert answer.usage.prompt_tokens == 6
    numbers = client.embeddings.create(model="fake", input=[[1, 2]], encoding_format="float")
    assert numbers.data[0].embedding == [2.0, 0.5]
    short = client.embeddings.create(model="fake", input="abc", dimensions=1)
    assert short.data[0].embedding == [1.0]  # the first of them, of length 1
    with pytest.raises(openai.BadRequestError, match="2 dimensions"):
        client.embeddings.create(model="fake", input="a", dimensions=3)


def test_what_fills_events_up_is_drawn_anew_for_each() -> None:
    ends = len(b"data: \n\n")
    found = [event({"a": "x" * num}, padded=True) for num in range(20)]
    assert {(len(one) - ends) % 64 for one in found} == {0}
    assert event({"a": 1}, padded=True) != event({"a": 1}, padded=True)


def test_events_of_one_length_do_not_tell_how_long_a_token_is(
    plain: httpx2.Client, client: openai.OpenAI
) -> None:
    body: dict[str, Any] = {"model": "fake", "stream": True}
    body["stream_options"] = {"include_obfuscation": True}
    for path, more in (
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/responses", {"input": "a"}),
    ):
        lines = plain.post(path, json=body | more).text.splitlines()
        events = [line[6:] for line in lines if line.startswith("data: {")]
        padded = [event for event in events if "obfuscation" in json.loads(event)]
        assert padded
        assert all(len(event.encode()) % 64 == 0 for event in padded)
    stream = client.chat.completions.create(
        model="fake",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_obfuscation": True},
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == HELLO


def test_participants_have_names(engine: FakeEngine, plain: httpx2.Client) -> None:
    named = [{"role": "user", "content": "Hi", "name": "anna"}]
    written = [{"role": "user", "content": "anna: Hi"}]
    for messages in (named, written):
        body = {"model": "fake", "messages": messages}
        assert plain.post("/v1/chat/completions", json=body).is_success
    assert engine.asked[-1][0] == engine.asked[-2][0]


def test_a_model_is_named_where_there_are_several(plain: httpx2.Client) -> None:
    answer = plain.post("/v1/completions", json={"prompt": "a"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
    assert "name one of fake, caller" in answer.json()["error"]["message"]
    with running(fake_model()) as server, server.client() as alone:
        answered = alone.post("/v1/completions", json={"prompt": "a"}).json()
        assert answered["model"] == "fake"
        assert alone.post("/v1/responses", json={"input": "a"}).json()["model"] == "fake"
        assert alone.post("/v1/embeddings", json={"input": "a"}).is_success


def test_a_tool_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="caller",
        messages=MESSAGES,
        tools=[{"type": "function", "function": {"name": "w", "parameters": {}}}],
        tool_choice={"type": "function", "function": {"name": "w"}},
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert json.loads(calls[0].function.arguments) == {"city": "Bern"}
    assert answer.choices[0].finish_reason == "tool_calls"


def test_responses_and_their_events(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="fake", input="Hi", instructions="Be brief.")
    assert answer.output_text == HELLO
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.output_tokens == len(HELLO)
    events = list(client.responses.create(model="fake", input="Hi", stream=True))
    assert [event.type for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == HELLO
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == HELLO
    cut = client.responses.create(model="fake", input=MESSAGES, max_output_tokens=2)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_a_format_of_a_response_binds_the_answer(client: openai.OpenAI, engine: FakeEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form: Any = {"type": "json_schema", "name": "thing", "schema": schema}
    client.responses.create(model="fake", input="Hi", text={"format": form})
    constraint = engine.asked[-1][1].constraint
    assert constraint is not None
    assert json.loads(constraint.text) == schema


def test_moderations_are_what_the_moderator_says(client: openai.OpenAI) -> None:
    answer = client.moderations.create(input=["fine", "rude!"])
    assert [result.flagged for result in answer.results] == [False, True]


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fake", messages=MESSAGES, temperature=9)
    assert caught.value.param == "temperature"
    assert caught.value.request_id is not None
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 65}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 9, "n": 8}, "prompt"),
        ("/v1/completions", {"prompt": "a", "best_of": 10**6}, "best_of"),
        ("/v1/completions", {"prompt": "a", "n": 3, "best_of": 2}, "best_of"),
        ("/v1/completions", {"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        (
            "/v1/completions",
            {"prompt": ["a" * 200] * 64, "echo": True, "logprobs": 20, "max_tokens": 1},
            "prompt",
        ),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
        ("/v1/completions", {"prompt": [261]}, "prompt"),
        ("/v1/completions", {"prompt": [-1]}, "prompt"),
        ("/v1/completions", {"prompt": [[]]}, "prompt.0"),
        ("/v1/completions", {"prompt": [1] * 256}, "prompt"),
        ("/v1/completions", {"prompt": "x" * 300_000}, "prompt"),
        ("/v1/embeddings", {"input": ["a"] * 2049}, "input"),
        ("/v1/embeddings", {"input": "x" * 256}, "input"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ("/v1/responses", {"input": "a", "previous_response_id": "x"}, "previous_response_id"),
        ("/v1/responses", {"input": "a", "store": True}, "store"),
        ("/v1/responses", {"input": "a", "tools": [{"type": "web_search"}]}, "tools"),
        ("/v1/responses", {"input": "a", "n": 2}, "n"),
        ("/v1/responses", {"input": [{"role": "user", "content": "a"}] * 257}, "input"),
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "prompt"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(
    plain: httpx2.Client, path: str, body: dict[str, Any], param: str
) -> None:
    answer = plain.post(path, json={"model": "fake"} | body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_text_is_cut_into_tokens(plain: httpx2.Client) -> None:
    body = {"model": "fake", "prompt": "abc", "return_token_strs": True}
    assert plain.post("/tokenize", json=body).json() == {
        "count": 4,
        "max_model_len": 256,
        "tokens": [256, 97, 98, 99],
        "token_strs": ["", "a", "b", "c"],
    }
    chatted = plain.post("/tokenize", json={"model": "fake", "messages": MESSAGES}).json()
    assert chatted["count"] == 5


def test_metrics_have_vllms_names(plain: httpx2.Client, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="fake", messages=MESSAGES, max_tokens=4)
    text = plain.get("/metrics").text
    for name in (
        "num_requests_running",
        "num_requests_waiting",
        "kv_cache_usage_perc",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
        "num_preemptions_total",
        "prompt_tokens_total",
        "generation_tokens_total",
        "time_to_first_token_seconds_bucket",
        "inter_token_latency_seconds_bucket",
        "e2e_request_latency_seconds_bucket",
        "request_decode_time_seconds_bucket",
        "request_queue_time_seconds_bucket",
        "request_prefill_time_seconds_bucket",
        "request_inference_time_seconds_bucket",
        "request_prompt_tokens_bucket",
        "request_generation_tokens_bucket",
    ):
        assert f"vllm:{name}{{" in text
    assert 'vllm:request_success_total{finished_reason="length",model_name="fake"}' in text


def test_times_that_are_counted_together_are_as_if_they_came_one_by_one() -> None:
    bounds = (0.001, 0.01, 1)
    one_by_one, together = CollectorRegistry(), CollectorRegistry()
    slow = Histogram("seconds", "Told.", ("model_name",), registry=one_by_one, buckets=bounds)
    fast = TokenTimes("seconds", "Told.", bounds)
    together.register(fast)
    for model, seconds, num in (("a", 0.01, 3), ("b", 2.0, 2), ("a", 0.25, 1), ("a", 0.0, 4)):
        fast.observe(model, seconds, num)
        for _ in range(num):
            slow.labels(model).observe(seconds)

    def lines(registry: CollectorRegistry) -> list[str]:
        text = generate_latest(registry).decode()
        return [line for line in text.splitlines() if "_created" not in line]

    assert lines(together) == lines(one_by_one)
    assert 'seconds_bucket{le="0.01",model_name="a"} 7.0' in lines(together)


def test_refusals_are_counted_by_their_status(plain: httpx2.Client) -> None:
    def counted(status: int) -> float:
        name = rf'^homespun:request_refused_total{{status="{status}"}} (\S+)$'
        found = re.search(name, plain.get("/metrics").text, re.M)
        return float(found[1]) if found else 0.0

    before = counted(400), counted(404), counted(413)
    plain.post("/v1/completions", json={"model": "fake", "prompt": "x", "best_of_all": 1})
    plain.post("/v1/completions", json={"model": "nobody", "prompt": "x"})
    plain.post("/v1/completions", content=b" " * (1 << 23), headers={"Content-Type": "x"})
    assert (counted(400), counted(404), counted(413)) == tuple(n + 1 for n in before)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "whole", "event"),
    [
        (
            "/v1/chat/completions",
            {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2},
            openai.types.chat.ChatCompletion,
            openai.types.chat.ChatCompletionChunk,
        ),
        (
            "/v1/completions",
            {"prompt": "x", "logprobs": 2},
            openai.types.Completion,
            openai.types.Completion,
        ),
        (
            "/v1/responses",
            {"input": "x"},
            openai.types.responses.Response,
            openai.types.responses.ResponseStreamEvent,
        ),
    ],
)
def test_answers_and_events_have_the_form_of_openais_types(
    plain: httpx2.Client, path: str, body: dict[str, Any], whole: Any, event: Any, streamed: bool
) -> None:
    asked = {"model": "fake", **body, "stream": streamed}
    if streamed and path != "/v1/responses":
        asked["stream_options"] = {"include_usage": True}
    answer = plain.post(path, json=asked)
    assert answer.status_code == 200
    texts = [answer.text]
    if streamed:
        texts = [t for t in re.findall(r"^data: (.*)$", answer.text, re.M) if t != "[DONE]"]
        assert len(texts) >= 2  # pieces that wait for a slow loop are sent as one
    schema = pydantic.TypeAdapter(event if streamed else whole)
    for text in texts:
        found = json.loads(text)
        for choice in found.get("choices", ()) if path == "/v1/completions" else ():
            # Null until the last event, as OpenAI sends it and its type does not say.
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        schema.validate_python(found)
    with pytest.raises(pydantic.ValidationError):
        schema.validate_python({"object": "nothing of the kind"})


def test_the_parts_of_a_requests_time_add_up() -> None:
    """One answer at a time, so the second request waits for a place."""
    body = {"model": "fake", "prompt": "x", "max_tokens": 8}
    slow = fake_model(engine=FakeEngine(seconds=0.01, most_rows=1))
    with running(slow) as server, httpx2.Client(trust_env=False, base_url=server.url) as plain:
        with ThreadPoolExecutor() as two:
            list(two.map(lambda _: plain.post("/v1/completions", json=body), range(2)))
        text = plain.get("/metrics").text
    found = dict(re.findall(r"^vllm:(\w+_(?:sum|count))\{.*\} (\S+)$", text, re.M))

    def sum_of(name: str) -> float:
        assert found[f"{name}_count"] == "2.0"
        return float(found[f"{name}_sum"])

    queue, prefill = sum_of("request_queue_time_seconds"), sum_of("request_prefill_time_seconds")
    assert queue > 8 * 0.01  # what the other's eight tokens took
    assert prefill >= 2 * 0.01
    assert queue + prefill == pytest.approx(sum_of("time_to_first_token_seconds"))
    whole = queue + sum_of("request_inference_time_seconds")
    assert whole == pytest.approx(sum_of("e2e_request_latency_seconds"))


def test_an_encoder_makes_vectors_and_nothing_else() -> None:
    encoder = fake_model("words", can_chat=False, can_write=False)
    with running(fake_model(), encoder) as server, server.client() as client:
        told = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
        assert (told["words"]["can_write"], told["fake"]["can_write"]) == (False, True)
        for path, body in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ("/v1/completions", {"prompt": "a"}),
            ("/v1/responses", {"input": "a"}),
        ):
            answer = client.post(path, json={"model": "words"} | body)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "model_cannot_write"
        whole = {"model": "words", "input": "x" * (WINDOW - 1)}  # and the mark before it
        assert client.post("/v1/embeddings", json=whole).is_success
        answer = client.post("/v1/embeddings", json=whole | {"input": "x" * WINDOW})
        assert answer.status_code == 400
        assert f"has {WINDOW + 1} tokens, and 'words' reads {WINDOW}" in answer.text


def test_texts_are_embedded_together_unless_somebody_waits() -> None:
    engine = FakeEngine(seconds=0.01, kv_capacity=4096)
    texts = {"model": "fake", "input": ["a" * 40] * 150}
    with running(fake_model(engine=engine)) as server, server.client() as client:
        assert len(client.post("/v1/embeddings", json=texts).json()["data"]) == 150
        assert engine.embedded == [99, 51]  # of 41 tokens each
        engine.embedded.clear()
        with ThreadPoolExecutor(1) as pool:
            prompt = {"model": "fake", "prompt": "a", "max_tokens": 13}
            writing = pool.submit(client.post, "/v1/completions", json=prompt)
            until(lambda: engine.has_work)
            assert client.post("/v1/embeddings", json=texts).is_success
            assert writing.result().is_success
        assert engine.embedded[0] == 1
        assert sum(engine.embedded) == 150
