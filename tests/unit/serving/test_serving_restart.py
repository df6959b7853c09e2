"""A process that computes ends, or an engine in it fails: errors at once, then another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving_fakes import Running, chat, fake_model, running, until

from homespun.core import ConfigError, SamplingSettings, parse_config
from homespun.serving import ApiError, EngineWorker, ProcessDesk, ServerConfig
from homespun.serving.computing.messages import Ask, Drop, News, Work

URL = "/v1/chat/completions"
CHILD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from serving_engines import opened
from homespun.serving import serve_desk
serve_desk(opened)
"""


def open_desk(job: dict[str, Any], **wish: Any) -> ProcessDesk:
    limits = ServerConfig(**({"restart_pause_seconds": 0.01} | wish))
    return ProcessDesk(
        [sys.executable, "-c", CHILD], job, job.get("names", ["fake"]), limits=limits
    )


@contextlib.contextmanager
def served(job: dict[str, Any], **wish: Any) -> Iterator[tuple[Running, ProcessDesk]]:
    desk = open_desk(job, **wish)
    try:
        assert desk.facts == "opened"
        models = [fake_model(name) for name in job.get("names", ["fake"])]
        config = ServerConfig(drain_seconds=0)
        with running(*models, desk=desk, config=config) as server:
            yield server, desk
    finally:
        desk.stop()


def kill(desk: ProcessDesk) -> None:
    os.kill(desk.process_id, signal.SIGKILL)


def is_ready(client: httpx2.Client) -> bool:
    return client.get("/ready").status_code == 200


def number(client: httpx2.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


def test_a_process_that_is_killed_under_load_is_followed_by_another() -> None:
    job = {"seconds": 0.01, "says": "x" * 500, "sleeps": 2.0, "most_rows": 4, "window": 1024}
    with served(job) as (server, desk), server.client() as client:
        worker = server.server.serving.worker
        first = desk.process_id

        def ask(at: int) -> httpx2.Response:
            body = chat(max_tokens=400, stream=at % 2 == 0)
            with server.client() as own:
                return own.post(URL, json=body)

        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(ask, at) for at in range(16)]
            until(lambda: worker.num_open("fake") == 16 and worker.numbers("fake").num_running == 4)
            time.sleep(0.1)  # streams have begun
            kill(desk)
            answers = [each.result() for each in asked]
        num_not_again = 0
        for answer in answers:
            if answer.status_code == 200:  # a stream that had begun
                assert "[DONE]" not in answer.text
                error = json.loads(answer.text.strip().split("data: ")[-1])["error"]
            elif answer.status_code == 500:  # of those that were computed it may be the fault
                assert answer.headers["x-should-retry"] == "false"
                error = answer.json()["error"]
                num_not_again += 1
            else:
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0
                error = answer.json()["error"]
            assert error["type"] == "server_error"
            assert error["code"] in ("model_error", "model_unavailable")
        assert num_not_again <= 4
        # The other one opens its models: two seconds.
        assert not worker.open_tickets
        for path in ("/health", "/ready"):
            told = client.get(path)
            assert told.status_code == 503
            assert told.headers["Retry-After"]
            assert "being started again" in told.json()["error"]["message"]
        assert number(client, 'homespun:model_broken{model_name="fake"}') == 1
        refused = client.post(URL, json=chat())
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        until(lambda: is_ready(client), 20)
        assert client.get("/health").status_code == 200
        assert desk.process_id != first
        assert client.post(URL, json=chat(max_tokens=5)).status_code == 200
        assert number(client, "homespun:engine_restarts_total") == 1
        assert number(client, 'homespun:model_broken{model_name="fake"}') == 0
        assert worker.numbers("fake").num_running == 0


def test_after_three_times_it_is_left_as_it_is_and_that_is_told() -> None:
    with served({}) as (server, desk), server.client() as client:
        for time_of in range(3):
            assert client.post(URL, json=chat()).status_code == 200
            kill(desk)
            until(lambda: not is_ready(client))
            until(lambda: is_ready(client), 20)
            assert desk.num_restarts == time_of + 1
        kill(desk)
        until(lambda: desk.given_up)
        until(lambda: not is_ready(client))
        for path in ("/health", "/ready"):
            told = client.get(path)
            assert told.status_code == 503
            assert "Retry-After" not in told.headers
            message = told.json()["error"]["message"]
            assert "ended with status -9" in message
            assert "started 3 times in 10 minutes before; it is not started again" in message
        refused = client.post(URL, json=chat())
        assert refused.status_code == 503
        assert "Retry-After" not in refused.headers
        assert number(client, "homespun:engine_restarts_total") == 3


def test_what_was_long_ago_does_not_count() -> None:
    limits = {"most_restarts": 1, "restart_window_seconds": 0.5}
    with served({}, **limits) as (server, desk), server.client() as own:
        for _ in range(2):
            kill(desk)
            until(lambda: not is_ready(own))
            until(lambda: is_ready(own), 20)
            time.sleep(0.6)
        assert desk.num_restarts == 2
        assert not desk.given_up


def test_when_the_time_is_over_it_is_begun_again() -> None:
    limits = {"most_restarts": 1, "restart_window_seconds": 2.0}
    with served({}, **limits) as (server, desk), server.client() as client:
        kill(desk)
        until(lambda: desk.num_restarts == 1 and is_ready(client), 20)
        desk._begun[0] = time.monotonic()  # however long it took to begin
        kill(desk)
        until(lambda: desk.given_up)
        told = client.get("/ready").json()["error"]["message"]
        assert "it was started once in 2 seconds before" in told
        until(lambda: is_ready(client), 20)
        assert desk.num_restarts == 2
        assert client.post(URL, json=chat(max_tokens=5)).status_code == 200


def test_it_may_never_be_begun_again() -> None:
    with served({}, most_restarts=0, restart_window_seconds=0.2) as (server, desk):
        kill(desk)
        until(lambda: desk.given_up)
        time.sleep(0.5)  # longer than the time that is looked at
        assert desk.num_restarts == 0
        assert not desk.is_alive
        with server.client() as client:
            told = client.get("/health").json()["error"]["message"]
        assert told.endswith("ended with status -9; it is not started again")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"most_restarts": -1}, "most_restarts"),
        ({"most_restarts": 1.5}, "most_restarts"),
        ({"restart_window_seconds": 0}, "restart_window_seconds"),
        ({"restart_pause_seconds": -1}, "restart_pause_seconds"),
        ({"restart_pause_seconds": 5, "restart_window_seconds": 40}, "at most 4, a tenth of"),
        ({"handshake_seconds": 0}, "handshake_seconds"),
        ({"deepest_json": 100_000}, "deepest_json"),
    ],
)
def test_settings_that_cannot_be_are_told(values: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(ServerConfig, values, where="limits.json")


def test_an_engine_that_fails_has_the_process_started_again() -> None:
    job = {"names": ["fake", "other"], "seconds": 0.005, "says": "x" * 40}
    with served(job, most_restarts=1) as (server, desk), server.client() as client:
        first = client.post(URL, json=chat("fail"))
        assert first.status_code == 500
        assert first.headers["x-should-retry"] == "false"
        assert first.json()["error"]["code"] == "model_error"
        until(lambda: desk.num_restarts == 1 and is_ready(client), 20)
        for name in ("fake", "other"):
            assert client.post(URL, json=chat() | {"model": name}).status_code == 200
        # Once more is too often: the process goes on with the models that are sound.
        again = client.post(URL, json=chat("fail"))
        assert again.status_code == 500
        assert again.headers["x-should-retry"] == "false"
        refused = client.post(URL, json=chat())
        assert refused.status_code == 503
        assert "Retry-After" not in refused.headers
        assert client.post(URL, json=chat() | {"model": "other"}).status_code == 200
        told = client.get("/ready").json()["error"]["message"]
        assert told.startswith("an engine has failed, and it was started once")
        assert number(client, 'homespun:model_broken{model_name="other"}') == 0
        assert desk.num_restarts == 1


def test_models_that_cannot_be_opened_again_are_tried_so_often_and_no_more(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with served({"crash_where": str(trap)}) as (server, desk), server.client() as client:
        trap.touch()
        kill(desk)
        until(lambda: desk.given_up, 20)
        assert desk.num_restarts == 3
        told = client.get("/ready").json()["error"]["message"]
        assert "could not be opened again" in told
        assert "exit status" not in told  # that is for the log


def test_it_stops_while_another_is_begun() -> None:
    with served({"sleeps": 0.0}) as (_, desk):
        desk._job = b'{"sleeps": 60}\n'  # the next one would take its time
        first = desk.process_id
        kill(desk)
        until(lambda: desk.process_id != first)
        begun = time.monotonic()
        desk.stop()
        assert time.monotonic() - begun < 5
        assert not desk.is_alive


def test_the_new_one_begins_nothing_that_the_old_one_was_asked() -> None:
    desk = open_desk({"seconds": 0.01, "says": "x" * 200})
    assert desk.facts == "opened"
    told: list[News] = []
    heard = threading.Event()

    def listen(news: News) -> None:
        told.append(news)
        if news.broken:
            heard.set()

    desk.start(listen)
    desk.put(Ask(1, "fake", [1], SamplingSettings(max_tokens=200), b""))
    until(lambda: any(news.said for news in told))
    kill(desk)
    assert heard.wait(5)
    until(lambda: any(news.mended == ["fake"] for news in told), 20)
    since = len(told)
    desk.put(Ask(2, "fake", [1], SamplingSettings(max_tokens=5), b""))
    until(lambda: any(said[-1].is_last for news in told[since:] for _, said in news.said))
    assert {number for news in told[since:] for number, _ in news.said} == {2}
    desk.stop()


def test_what_is_asked_before_the_end_is_known_is_dropped_again() -> None:
    """A request may be put when the process is gone and nobody was told yet: the next one may get
    it."""

    class Lone:
        is_alive, num_restarts, given_up = True, 0, ""

        def __init__(self) -> None:
            self.work: list[Work] = []

        def start(self, listener: Callable[[News], None]) -> None:
            self.tell = listener

        def put(self, work: Work) -> None:
            self.work.append(work)

        def stop(self) -> None: ...

    async def run() -> None:
        desk = Lone()
        worker = EngineWorker({"fake": fake_model().engine}, desk)
        worker.start(asyncio.get_running_loop())
        (ticket,) = worker.submit("fake", [[1]], SamplingSettings(), salt=b"")
        desk.tell(News(broken=["fake"]))
        await ticket.something.wait()
        with pytest.raises(ApiError, match="failed on this request"):
            ticket.take()
        assert [type(work) for work in desk.work] == [Ask, Drop]
        with pytest.raises(ApiError):
            worker.submit("fake", [[1]], SamplingSettings(), salt=b"")
        desk.tell(News(mended=["fake"]))
        await asyncio.sleep(0.01)
        assert len(worker.submit("fake", [[1]], SamplingSettings(), salt=b"")) == 1

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["embeddings", "completions"])
def test_other_requests_end_with_the_same_error(kind: str) -> None:
    body: dict[str, Any] = {"model": "fake", "prompt": "ab", "max_tokens": 200}
    with served({"seconds": 0.01, "says": "x" * 200}) as (server, desk):
        worker = server.server.serving.worker
        path = "/v1/completions"
        if kind == "embeddings":
            path, body = "/v1/embeddings", {"model": "fake", "input": ["ab"] * 2000}
        found: list[httpx2.Response] = []

        def ask() -> None:
            with server.client() as client:
                found.append(client.post(path, json=body))

        asking = threading.Thread(target=ask)
        os.kill(desk.process_id, signal.SIGSTOP)  # it does not answer any more
        asking.start()
        until(lambda: worker.num_open("fake") == 1)
        kill(desk)
        asking.join(10)
        assert [answer.status_code for answer in found] == [500]
        assert found[0].headers["x-should-retry"] == "false"
