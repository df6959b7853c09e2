"""Requests come and go: who waits, who is refused, what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import httpx2
import pytest
from serving_engines import WINDOW, FakeOutput
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

from homespun.core import CheckpointError, Completion, SamplingSettings
from homespun.serving import EngineWorker, ServerConfig, Serving
from homespun.serving.computing import Said, Work
from homespun.serving.computing.desk import Listener
from homespun.serving.tickets import Ticket
from homespun.serving.turnstile import Turnstile

URL = "/v1/chat/completions"


class IdleDesk:
    """Takes everything, and tells of nothing."""

    num_restarts, given_up, is_alive = 0, "", True

    def start(self, listener: Listener) -> None: ...
    def put(self, work: Work) -> None: ...
    def stop(self) -> None: ...


def serving(server: Running) -> Serving:
    return server.server.serving


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prefill", [0.0, 0.2])
def test_who_goes_away_frees_their_place(stream: bool, prefill: float) -> None:
    engine = FakeEngine("x" * 200, seconds=0.01, prefill=prefill)
    with running(fake_model(engine=engine)) as server:
        with connected(server, raw_request(chat(stream=stream))):
            until(lambda: engine.rows)
        until(lambda: not engine.rows and not serving(server).worker.open_tickets, 1.0)
        assert engine.num_cancelled == 1


def test_who_waits_in_the_queue_and_goes_away_is_forgotten() -> None:
    engine = FakeEngine("x" * 200, seconds=0.01, most_rows=1)
    with running(fake_model(engine=engine)) as server:
        with connected(server, raw_request(chat(stream=True))):
            until(lambda: len(engine.rows) == 1)
            with connected(server, raw_request(chat())):
                until(lambda: len(engine.rows) == 2)
            until(lambda: len(engine.rows) == 1, 1.0)
        until(lambda: not engine.rows, 1.0)


def test_more_requests_than_may_wait_are_told_to_come_again() -> None:
    engine = FakeEngine("x" * 200, seconds=0.01)
    config = ServerConfig(most_waiting=2, retry_seconds=7, drain_seconds=0)
    with running(fake_model(engine=engine), config=config) as server, server.client() as client:
        with connected(server, raw_request(chat())), connected(server, raw_request(chat())):
            until(lambda: len(engine.rows) == 2)
            answer = client.post(URL, json=chat())
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "7"
            assert answer.json()["error"]["type"] == "rate_limit_error"
            # Nothing was read of it: it need not even be a request.
            headers = {"Content-Type": "application/json"}
            assert client.post(URL, content=b"{", headers=headers).status_code == 429
            assert client.get("/v1/models").status_code == 200
        until(lambda: not serving(server).worker.open_tickets)
        engine.seconds = 0
        assert client.post(URL, json=chat()).status_code == 200


def test_a_refusal_under_overload_waits_for_nothing_and_arrives_whole() -> None:
    engine = FakeEngine("x" * 200, seconds=0.01)
    config = ServerConfig(most_waiting=1, drain_seconds=0)
    with (
        running(fake_model(engine=engine), config=config) as server,
        connected(server, raw_request(chat())),
    ):
        until(lambda: engine.rows)
        whole = raw_request(chat())
        head, body = whole[:-9], whole[-9:]
        with connected(server, head) as connection:  # refused before the rest is there
            told = connection.recv(65536)
            assert told.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"\r\nRetry-After: 2\r\n" in told
            assert b"\r\nConnection: close\r\n" in told
            named, _, rest = told.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(rest)}".encode() in named
            assert json.loads(rest)["error"]["code"] == "busy"
            connection.sendall(body)
            assert connection.recv(65536) == b""
        with server.client() as client:  # a first request each, so none is refused elsewhere
            counted = 'homespun:request_refused_total{status="429"} 1.0'
            assert counted in client.get("/metrics").text
        # Nobody is refused for what cannot be told yet, or is no question to a model.
        with connected(server, whole[:20]) as connection:
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
        with server.client() as client:
            assert client.get("/health").status_code == 200
            assert client.post("/tokenize", json={"model": "fake", "prompt": "a"}).is_success
        until(lambda: len(server.server.server_state.connections) == 1)


def test_requests_are_admitted_by_the_tokens_they_may_hold() -> None:
    engine = FakeEngine("x" * 200, seconds=0.01, kv_capacity=100)
    config = ServerConfig(queue_windows=2.0, drain_seconds=0)
    with (
        running(fake_model(engine=engine), config=config) as server,
        server.client() as client,
        connected(server, raw_request(chat(max_tokens=150))),  # with its prompt 155 of 200
    ):
        until(lambda: engine.rows)
        assert client.post(URL, json=chat(max_tokens=41)).status_code == 429
        assert client.post(URL, json=chat(max_tokens=20, n=2)).status_code == 429
        assert client.post(URL, json=chat(max_tokens=40)).status_code == 200


def test_short_requests_may_wait_for_some_seconds_and_long_ones_are_fewer() -> None:
    def num_taken(num_tokens: int) -> int:
        limits = ServerConfig()
        worker = EngineWorker(
            {"fake": FakeEngine(window=2048, kv_capacity=16_384)},
            IdleDesk(),
            most_waiting=limits.most_waiting,
            queue_windows=limits.queue_windows,
            expected_answer=limits.expected_answer,
        )
        settings = SamplingSettings(max_tokens=num_tokens)
        for num in range(1000):
            if worker.refusal("fake", 12 + num_tokens) is not None:
                return num
            worker.submit("fake", [[1] * 12], settings, salt=b"")
        raise AssertionError("nobody was refused")

    assert num_taken(48) == 512  # two to three seconds of a small model
    assert num_taken(1000) == 4 * 16_384 // 1012


def test_prompts_of_one_request_are_taken_together_or_not_at_all() -> None:
    engine = FakeEngine("x" * 20, seconds=0.01, kv_capacity=100)
    config = ServerConfig(queue_windows=2.0, drain_seconds=0)
    four = {"model": "fake", "prompt": ["a"] * 4, "max_tokens": 60}
    with running(fake_model(engine=engine), config=config) as server, server.client() as client:
        # More than there is room for, but coming again would not help it.
        assert client.post("/v1/completions", json=four).status_code == 200
        with connected(server, raw_request(chat(max_tokens=20))):
            until(lambda: engine.rows)
            asked = len(engine.asked)
            assert client.post("/v1/completions", json=four).status_code == 429
            assert len(engine.asked) == asked


def test_an_answer_that_may_be_long_is_not_expected_to_be() -> None:
    engine = FakeEngine("x" * 200, seconds=0.01, kv_capacity=WINDOW)
    config = ServerConfig(queue_windows=2.0, expected_answer=20, drain_seconds=0)
    with (
        running(fake_model(engine=engine), config=config) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(12):  # each might fill the window
            stack.enter_context(connected(server, raw_request(chat())))
        until(lambda: len(engine.rows) == 12)


def test_models_are_apart() -> None:
    slow, quick = FakeEngine("x" * 200, seconds=0.005), FakeEngine("quick")
    models = [fake_model("fake", slow), fake_model("other", quick)]
    with (
        running(*models) as server,
        server.client() as client,
        connected(server, raw_request(chat())),
    ):
        until(lambda: slow.rows)
        answer = client.post(URL, json=chat() | {"model": "other"}).json()
        assert answer["model"] == "other"
        assert answer["choices"][0]["message"]["content"] == "quick"
        assert slow.rows


def test_an_engine_that_fails_takes_down_its_model_and_nothing_else() -> None:
    bad, good = FakeEngine(), FakeEngine()
    bad.fail = ValueError("at 0xdeadbeef in /usr/lib/secret.py")
    models = [fake_model("bad", bad), fake_model("good", good)]
    with running(*models) as server, server.client() as client:
        first = client.post(URL, json=chat() | {"model": "bad"})
        assert first.status_code == 500
        assert first.json()["error"]["code"] == "model_error"
        assert "0x" not in first.text
        assert "secret" not in first.text
        second = client.post(URL, json=chat() | {"model": "bad"})
        assert second.status_code == 503
        assert "retry-after" not in second.headers  # a thread's engine does not come back
        assert client.post(URL, json=chat() | {"model": "good"}).status_code == 200
        assert client.get("/health").status_code == 503
        assert "is not started again" in client.get("/ready").text


def test_an_answer_that_fails_ends_a_stream_with_an_error() -> None:
    class Failing(FakeEngine):
        def step(self):  # type: ignore[no-untyped-def]
            found = super().step()
            if len(found) and found[0].token_ids == (ord("w"),):
                error = CheckpointError("the outputs of /home/me/model are not finite")
                (number,) = self.rows
                del self.rows[number]
                return [found[0]._replace(error=error, is_last=True)]
            return found

    with running(fake_model(engine=Failing())) as server, server.client() as client:
        text = client.post(URL, json=chat(stream=True)).text
        assert "[DONE]" not in text
        last = httpx2.Response(200, text=text.strip().split("data: ")[-1]).json()
        assert last["error"]["type"] == "server_error"
        assert "/home" not in text
        whole = client.post(URL, json=chat())
        assert whole.status_code == 500
        assert not serving(server).worker.open_tickets


def test_requests_that_are_checked_count_as_waiting_and_slow_bodies_do_not() -> None:
    engine = FakeEngine("x" * 20)
    config = ServerConfig(most_waiting=2, drain_seconds=0)
    with running(fake_model(engine=engine), config=config) as server, server.client() as client:
        head = raw_request(chat())[:-5]
        with connected(server, head), connected(server, head), connected(server, head):
            assert client.post(URL, json=chat()).status_code == 200
        inside = serving(server).inside
        with inside(URL), inside(URL), inside("/v1/models"):
            assert serving(server).num_inside == 2
            assert client.post(URL, json=chat()).status_code == 429
            assert client.get("/v1/models").status_code == 200
        assert client.post(URL, json=chat()).status_code == 200
        assert serving(server).num_inside == 0


def test_a_whole_answer_wakes_nobody_before_its_end() -> None:
    async def wakes(*, whole: bool) -> int:
        ticket = Ticket(1, "fake", 1, 1)
        ticket.is_whole = whole
        woken = 0
        for at in range(5):
            ticket.something.clear()
            ticket.put([Said(0, "a", (at,), (), None, None, False)])
            woken += ticket.something.is_set()
        done = Completion("aaaaa", (0, 1, 2, 3, 4), "stop", 1, 0.1)
        ticket.put([Said(0, "", (), (), done, None, True)])
        ticket.end()
        assert ticket.something.is_set()
        assert ticket.completions() == [done]
        return woken

    assert asyncio.run(wakes(whole=True)) == 0
    assert asyncio.run(wakes(whole=False)) == 5


def test_an_error_of_one_prompt_does_not_wait_for_the_others() -> None:
    class Failing(FakeEngine):
        def step(self):  # type: ignore[no-untyped-def]
            found = super().step()
            if len(self.rows) < 2:
                return found
            number = max(self.rows)
            del self.rows[number]
            error = CheckpointError("the outputs are not finite")
            kept = [one for one in found if one.request_id != number]
            return [*kept, FakeOutput(number, 0, error=error, is_last=True)]

    engine = Failing("x" * 200, seconds=0.01)
    with running(fake_model(engine=engine)) as server, server.client() as client:
        body = {"model": "fake", "prompt": ["a", "b"], "max_tokens": 150}
        begun = time.monotonic()
        assert client.post("/v1/completions", json=body).status_code == 500
        assert time.monotonic() - begun < 1.0
        until(lambda: not engine.rows)


def test_a_few_pass_the_turnstile_in_a_round_in_the_order_in_which_they_came() -> None:
    async def passed() -> list[list[int]]:
        turnstile = Turnstile(2)
        through: list[int] = []
        rounds: list[list[int]] = []

        async def come(number: int) -> None:
            await turnstile.wait()
            through.append(number)

        tasks = [asyncio.create_task(come(number)) for number in range(5)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            rounds.append(list(through))
        return rounds

    rounds = asyncio.run(passed())
    assert rounds[-1] == [0, 1, 2, 3, 4]
    sizes = [len(each) for each in rounds]
    assert all(later - earlier <= 2 for earlier, later in zip([0, *sizes], sizes, strict=False))


class Counted:
    """Awaits something, and counts how often whoever waits was put to sleep."""

    def __init__(self, awaited: Coroutine[Any, Any, None]) -> None:
        self._awaited = awaited
        self.num = 0

    def __await__(self) -> Iterator[Any]:
        for value in self._awaited.__await__():
            self.num += 1
            yield value


def test_who_waits_at_the_turnstile_is_woken_once_and_leaves_no_gap_when_gone() -> None:
    async def passed() -> tuple[list[int], list[int]]:
        turnstile = Turnstile(2)
        through: list[int] = []
        waits = [Counted(turnstile.wait()) for _ in range(40)]

        async def come(number: int) -> None:
            await waits[number]
            through.append(number)

        tasks = [asyncio.create_task(come(number)) for number in range(40)]
        await asyncio.sleep(0)
        for number in range(4, 30):
            tasks[number].cancel()
        await asyncio.sleep(0)
        gone = len(through)
        for _ in range(10):
            await asyncio.sleep(0)
        assert gone < 14 == len(through)  # two a round of those that are left
        return through, [wait.num for wait in waits]

    through, slept = asyncio.run(passed())
    assert through == [*range(4), *range(30, 40)]
    assert slept == [0, 0, *[1] * 38]
