"""Computing in a process of its own: the same answers, and an end of it that nobody hangs on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from serving_fakes import (
    FakeEngine,
    Running,
    chat,
    connected,
    fake_model,
    raw_request,
    running,
    until,
)

from homespun.core import (
    CheckpointError,
    Completion,
    ConfigError,
    Constraint,
    RequestError,
    RunError,
    SamplingSettings,
    TokenLogprob,
)
from homespun.serving import ProcessDesk, ServedEngine, ServerConfig
from homespun.serving.computing.messages import Ask, Drop, Embed, Ended, News, Numbers, Said
from homespun.serving.computing.rounds import Rounds
from homespun.serving.computing.wire import news_line, read_news, read_work, work_line

URL = "/v1/chat/completions"
HERE = Path(__file__).parent
CHILD = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from serving_engines import opened
from homespun.serving import serve_desk
serve_desk(opened)
"""


def open_desk(job: dict[str, Any]) -> ProcessDesk:
    return ProcessDesk([sys.executable, "-c", CHILD], job, ["fake"])


@contextlib.contextmanager
def served(job: dict[str, Any]) -> Iterator[tuple[Running, ProcessDesk]]:
    desk = open_desk(job)
    try:
        assert desk.facts == "opened"
        config = ServerConfig(drain_seconds=0)
        with running(fake_model(), desk=desk, config=config) as server:
            yield server, desk
    finally:
        desk.stop()


def spoken(stream: str) -> str:
    events = [json.loads(part) for part in stream.split("data: ")[1:] if "[DONE]" not in part]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


def test_a_process_answers_as_a_thread_does() -> None:
    asked = chat(logprobs=True, top_logprobs=2, n=2)
    with running(fake_model()) as server, server.client() as client:
        by_thread = client.post(URL, json=asked).json()
        streamed = client.post(URL, json=chat(stream=True)).text
    with served({}) as (server, _), server.client() as client:
        by_process = client.post(URL, json=asked).json()
        assert by_process["choices"] == by_thread["choices"]
        assert by_process["usage"] == by_thread["usage"]
        again = client.post(URL, json=chat(stream=True)).text
        assert spoken(again) == spoken(streamed) == "Hello, world!"
        assert again.endswith("data: [DONE]\n\n")
        vectors = client.post("/v1/embeddings", json={"input": ["abc", "de"]}).json()
        assert [one["embedding"][0] for one in vectors["data"]] == [4.0, 3.0]
        assert 'kv_cache_usage_perc{model_name="fake"} 0.0' in client.get("/metrics").text


def test_who_goes_away_is_dropped_in_the_other_process_too() -> None:
    with served({"seconds": 0.01, "says": "x" * 500}) as (server, _):
        worker = server.server.serving.worker
        with connected(server, raw_request(chat())):
            until(lambda: worker.numbers("fake").num_running == 1)
        until(lambda: worker.numbers("fake").num_running == 0, 1.0)
        assert not worker.open_tickets


def test_what_an_engine_prints_disturbs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    job = {"prints": "a line of somebody's library"}
    with served(job) as (server, _), server.client() as client:
        assert client.post(URL, json=chat()).status_code == 200
    assert "a line of somebody's library" in capfd.readouterr().err


def test_signals_to_stop_are_for_who_listens() -> None:
    with served({}) as (server, desk), server.client() as client:
        os.kill(desk.process_id, signal.SIGINT)
        os.kill(desk.process_id, signal.SIGTERM)
        time.sleep(0.1)
        assert client.post(URL, json=chat()).status_code == 200


def test_it_ends_with_its_owner() -> None:
    owner = f"""
import sys, time
from homespun.serving import ProcessDesk
desk = ProcessDesk([sys.executable, "-c", {CHILD!r}], {{}}, ["fake"])
assert desk.facts == "opened"
print(desk.process_id, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert psutil.pid_exists(child)
        process.kill()
    until(lambda: not psutil.pid_exists(child))


def test_it_is_ended_at_once_while_it_opens_models() -> None:
    desk = open_desk({"sleeps": 60})
    begun = time.monotonic()
    desk.stop()
    assert not desk.is_alive
    assert time.monotonic() - begun < 5


def test_why_models_cannot_be_opened_is_told_where_they_were_asked_for() -> None:
    desk = open_desk({"error": "there is no such model"})
    with pytest.raises(ConfigError, match="there is no such model; name another"):
        _ = desk.facts
    desk.stop()
    desk = open_desk({"crash": True})
    with pytest.raises(RunError, match="ended before it had opened"):
        _ = desk.facts
    desk.stop()


def test_messages_are_the_same_after_the_wire() -> None:
    settings = SamplingSettings(
        temperature=0.1 + 0.2,
        seed=2**63 - 1,
        stop=("\ud800", "中\n"),
        logit_bias=((3, -1.5), (4, float("inf"))),
        constraint=Constraint(kind="choice", choices=("a", "b")),
        logprobs=2,
    )
    for work in (
        Ask(1, "a\nb", [1, 2], settings, b"\x00\xff"),
        Ask(2, "m", [0], SamplingSettings(), b"", is_whole=True),
        Embed(3, "m", [[1, 2], [3]]),
        Drop(4),
    ):
        line = work_line(work)
        assert line.count(b"\n") == 1
        assert read_work(line) == work
    logprobs = (TokenLogprob(5, -0.1, ((5, -0.1), (6, float("-inf")))),)
    done = Completion("é\n", (5,), "stop", 3, 0.25, logprobs, 2, -0.1, logprobs)
    plain = Completion("", (), "length", 1, 0.0)
    error = CheckpointError("the states are not finite", remedy="take another")
    news = News(
        [1],
        [[2, 3.5]],  # type: ignore[list-item]
        [
            (1, [Said(0, "é\n", (5,), logprobs, done, None, False, logprobs)]),
            (
                2,
                [Said(1, "", (), (), plain, None, True), Said(0, "a", (1,), (), None, None, False)],
            ),
        ],
        [(3, [0.1, -0.2])],
        [Ended(4), Ended(5, is_dropped=True), Ended(6, is_fault=True)],
        ["m"],
        {"m": Numbers(1, 2, 3, 4, 5, 6, 7, 8)},
    )
    again = read_news(news_line(news))
    assert [tuple(pair) for pair in again.said] == news.said
    assert [tuple(pair) for pair in again.vectors] == news.vectors
    for name in ("begun", "admitted", "ended", "broken", "numbers"):
        assert getattr(again, name) == getattr(news, name)
    failed = News(
        said=[(1, [Said(0, "", (), (), None, error, True)])], ended=[Ended(2, RequestError("no"))]
    )
    again = read_news(news_line(failed))
    ((_, (said,)),) = again.said
    assert isinstance(said.error, CheckpointError)
    assert str(said.error) == "the states are not finite; take another"
    assert isinstance(again.ended[0].error, RequestError)


def test_of_a_whole_answer_its_first_tokens_are_told_and_then_all_of_it() -> None:
    found: dict[int, list[Said]] = {1: [], 2: [], 3: []}

    def tell(news: News) -> bool:
        for number, said in news.said:
            found[number] += said
        return True

    rounds = Rounds({"fake": cast(ServedEngine, FakeEngine("Hello!"))}, tell)
    thread = threading.Thread(target=rounds.run)
    thread.start()
    settings = SamplingSettings(num_answers=2, logprobs=1, prompt_logprobs=True)
    rounds.put(Ask(1, "fake", [1, 2], settings, b"", is_whole=True))
    rounds.put(Ask(2, "fake", [1, 2], settings, b""))
    rounds.put(Ask(3, "fake", [1], SamplingSettings(max_tokens=1), b"", is_whole=True))
    until(lambda: all(said and said[-1].is_last for said in found.values()))
    rounds.stop()
    thread.join(5)
    assert len(found[2]) == 2 * (6 + 1)
    for answer in range(2):
        first, last = (one for one in found[1] if one.answer == answer)
        whole = [one for one in found[2] if one.answer == answer][-1].completion
        assert first == Said(answer, "", tuple(b"H"), (), None, None, False)
        assert last == Said(answer, "", tuple(b"ello!"), (), whole, None, last.is_last)
    assert [one.token_ids for one in found[3]] == [tuple(b"H"), ()]
    assert rounds._held == {}


def test_who_left_while_their_constraint_was_compiled_is_never_begun() -> None:
    may_go_on = threading.Event()

    class Slow(FakeEngine):
        def check(self, prompt_ids: Any, settings: SamplingSettings) -> list[int]:
            may_go_on.wait(5)
            return list(prompt_ids)

    engine = Slow()
    told: list[News] = []
    rounds = Rounds({"fake": cast(ServedEngine, engine)}, lambda news: told.append(news) or True)
    thread = threading.Thread(target=rounds.run)
    thread.start()
    bound = SamplingSettings(constraint=Constraint(kind="regex", text="a+"))
    rounds.put(Ask(1, "fake", [1], bound, b""))
    rounds.put(Ask(2, "fake", [1], bound, b""))
    rounds.put(Ask(3, "fake", [1], SamplingSettings(), b""))  # does not wait for them
    until(lambda: any(3 in news.begun for news in told))
    rounds.put(Drop(1))
    until(lambda: any(end.number == 1 and end.is_dropped for news in told for end in news.ended))
    may_go_on.set()
    until(lambda: any(2 in news.begun for news in told))
    rounds.stop()
    thread.join(5)
    assert not any(1 in news.begun for news in told)
    assert len(engine.asked) == 2


def test_a_constraint_that_cannot_be_is_compiled_once_and_told_to_who_asked() -> None:
    class Refusing(FakeEngine):
        num_checks = 0

        def check(self, prompt_ids: Any, settings: SamplingSettings) -> list[int]:
            self.num_checks += 1
            raise RequestError("it is too large")

        def submit(self, prompt_ids: Any, settings: SamplingSettings, *, salt: bytes) -> int:
            raise AssertionError("it would be compiled again")

    engine = Refusing()
    with running(fake_model(engine=engine)) as server, server.client() as client:
        body = chat() | {"structured_outputs": {"regex": "a+"}}
        answer = client.post(URL, json=body)
        assert answer.status_code == 400
        assert "it is too large" in answer.json()["error"]["message"]
        assert engine.num_checks == 1
        # It is no answer that failed.
        assert 'request_success_total{finished_reason="error"' not in client.get("/metrics").text


def test_news_that_are_not_understood_end_the_process_and_nobody_waits() -> None:
    desk = ProcessDesk(
        [sys.executable, "-c", "print('[1, null]'); print('[nonsense]'); input(); input()"],
        {},
        ["fake"],
    )
    assert desk.facts == 1
    told: list[News] = []
    desk.start(told.append)
    until(lambda: any(news.broken == ["fake"] for news in told))
    until(lambda: desk.given_up)  # others told the same
    assert not desk.is_alive
    assert desk.num_restarts == 3
    desk.stop()
