"""Before the routes: who may ask, how much, how slowly, and what they are told."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
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

from homespun.core import RunError
from homespun.serving import (
    AccessLog,
    Answered,
    KeyRing,
    ServerConfig,
    hash_of,
)
from homespun.serving.errors import error_body

URL = "/v1/chat/completions"
KEY = "hs-0123456789abcdef"
OTHER = "hs-fedcba9876543210"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    config = ServerConfig(
        most_body_bytes=20_000, header_seconds=0.3, body_seconds=0.3, drain_seconds=0
    )
    with running(config=config) as found:
        yield found


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    keys = KeyRing({"mine": hash_of(KEY), "theirs": hash_of(OTHER)})
    with running(keys=keys) as found:
        yield found


def post(server: Running, data: bytes, kind: str = "application/json") -> httpx2.Response:
    with server.client() as client:
        return client.post(URL, content=data, headers={"Content-Type": kind})


def answered(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe{}", 400, "invalid_json"),
        (b'{"temperature": NaN}', 400, "invalid_json"),
        (b'{"seed": -Infinity}', 400, "invalid_json"),
        (b'{"temperature": 1e999}', 400, "invalid_json"),
        (b'{"model": "a", "model": "b"}', 400, "invalid_json"),
        (b'{"model": "\\ud800"}', 400, "invalid_json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
        (b'{"user":' + b'{"a":' * 33 + b"1" + b"}" * 34, 400, "too_deep"),
        (b'{"user":' + b"[" * 8000 + b"]" * 8000 + b"}", 400, "too_deep"),
        (b" " * 20_001, 413, "too_large"),
        (b"", 400, "missing_field"),
        (b"[]", 400, None),
        (b'"text"', 400, None),
    ],
)
def test_bodies_that_are_none_are_refused(
    server: Running, data: bytes, status: int, code: str | None
) -> None:
    answer = post(server, data)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}


def test_where_one_model_is_served_nobody_has_to_name_it(server: Running) -> None:
    asked: dict[str, dict[str, Any]] = {
        "/tokenize": {"prompt": "a"},
        URL: {"messages": chat()["messages"]},
        "/v1/completions": {"prompt": "a"},
        "/v1/embeddings": {"input": "a"},
        "/v1/responses": {"input": "a"},
    }
    with server.client() as client:
        for path, body in asked.items():
            assert client.post(path, json=body).status_code == 200, path


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "json"])
def test_only_json_is_read(server: Running, kind: str) -> None:
    assert post(server, json.dumps(chat()).encode(), kind).status_code == 415


def test_a_body_that_grows_too_long_is_not_read_to_its_end(server: Running) -> None:
    head = raw_request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with connected(server, head) as connection:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        for _ in range(6):
            connection.sendall(chunk)
        assert b"413" in answered(connection)


@pytest.mark.parametrize("key", [KEY, "hs-of-nobody-at-all"])
def test_who_sends_too_much_is_told_so_and_not_cut_off(locked: Running, key: str) -> None:
    """A connection that is closed with something unread is reset, and the answer is lost."""
    headers = {"Authorization": f"Bearer {key}"}
    head = raw_request(b"", headers=headers).replace(b"Length: 0", b"Length: 8000000")
    begun = time.monotonic()
    with connected(locked, head) as connection:
        connection.sendall(b" " * 8_000_000)
        told = answered(connection)
    assert told.startswith(b"HTTP/1.1 413" if key == KEY else b"HTTP/1.1 401")
    assert b"\r\nconnection: close\r\n" in told.lower()
    assert time.monotonic() - begun < 5


def test_who_is_refused_before_sending_all_is_not_waited_for(server: Running) -> None:
    head = raw_request(b"").replace(b"Length: 0", b"Length: 8000000")
    begun = time.monotonic()
    with connected(server, head) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
        assert time.monotonic() - begun < 0.9  # told at once
        answered(connection)
    assert 0.5 < time.monotonic() - begun < 5


def test_bodies_of_all_requests_together_are_bounded() -> None:
    config = ServerConfig(most_held_bytes=1 << 17, drain_seconds=0)
    whole = json.dumps(chat()).encode()
    with running(fake_model(), config=config) as server:
        big = raw_request(b" " * 100_000 + whole)
        with connected(server, big[:90_000]) as slow:
            time.sleep(0.2)
            answer = post(server, b" " * 60_000 + whole)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert post(server, whole).status_code == 200
            slow.close()
        until(lambda: post(server, b" " * 60_000 + whole).status_code == 200)


@pytest.mark.parametrize("size", ["-1", "1e9", "9" * 30, "0x10"])
def test_lengths_that_are_none_are_refused(server: Running, size: str) -> None:
    head = raw_request(b"").replace(b"Content-Length: 0", f"Content-Length: {size}".encode())
    with connected(server, head) as connection:
        assert answered(connection).split()[1] in (b"400", b"413")


def test_headers_that_are_too_long_are_refused(server: Running) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 1_000_000
    with connected(server) as connection:
        try:
            connection.sendall(head)
            told = answered(connection)
        except (ConnectionResetError, BrokenPipeError):
            told = b"HTTP/1.1 400"
        assert told.startswith(b"HTTP/1.1 400")
    with server.client() as client:
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /v1/chat",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        raw_request(chat())[:-9],
    ],
    ids=["nothing", "line", "headers", "body"],
)
def test_who_sends_too_slowly_is_shown_out(server: Running, beginning: bytes) -> None:
    begun = time.monotonic()
    with connected(server, beginning) as connection:
        for _ in range(3):  # a byte now and then does not help
            time.sleep(0.05)
            connection.sendall(b" " if beginning.endswith(b"\n") else b"x")
        told = answered(connection)
    assert b"408" in told
    assert 0.2 < time.monotonic() - begun < 5


def test_a_second_request_of_a_connection_has_its_own_deadline(server: Running) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def read(connection: socket.socket) -> bytes:
        found = b""
        while not found.endswith(b"}"):
            found += connection.recv(65536)
        return found

    def num_late() -> float:
        with server.client() as client:
            text = client.get("/metrics").text
        found = re.search(r'^homespun:request_refused_total{status="408"} (\S+)$', text, re.M)
        return float(found[1]) if found else 0.0

    before = num_late()
    with connected(server, request) as connection:
        assert b"200 OK" in read(connection)
        time.sleep(0.4)  # idle is no request
        connection.sendall(request)
        assert b"200 OK" in read(connection)
        connection.sendall(b"GET /he")
        assert b"408" in answered(connection)
    assert num_late() == before + 1


def test_who_reads_too_slowly_is_cut_off() -> None:
    engine = FakeEngine("x" * 4000, window=8000, kv_capacity=200_000)
    config = ServerConfig(write_seconds=0.3, drain_seconds=0)
    body = chat(stream=True, n=8, logprobs=True, top_logprobs=20)
    with running(fake_model(engine=engine), config=config) as server:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(raw_request(body))
            until(lambda: engine.asked)
            worker = server.server.serving.worker
            until(lambda: not worker.open_tickets, 10)
            until(lambda: not server.server.server_state.connections, 10)
        with server.client() as client:
            assert client.get("/health").status_code == 200


def test_more_connections_than_there_may_be_are_refused() -> None:
    config = ServerConfig(most_connections=2, drain_seconds=0)
    with running(config=config) as server, connected(server), connected(server):
        until(lambda: len(server.server.server_state.connections) == 2)
        for data in (raw_request(chat()), b""):  # who says nothing is told after a moment
            with connected(server, data) as third:
                told = answered(third)
                assert told.startswith(b"HTTP/1.1 503")
                assert b"Retry-After" in told


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "LOCALHOST:1234"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "localhost/x"}, 400),
        ({"Host": "localhost@evil.example"}, 400),
        ({"Host": ""}, 400),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
    ],
)
def test_only_known_names_of_this_machine_are_answered(
    server: Running, headers: dict[str, str], status: int
) -> None:
    with server.client() as client:
        answer = client.get("/v1/models", headers=headers)
    assert answer.status_code == status
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_other_sites_get_no_leave(server: Running) -> None:
    with server.client() as client:
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        answer = client.options(URL, headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def paths_of(server: Running) -> list[str]:
    """Every path of the route table."""
    app = server.server.app
    own = {getattr(route, "path", "") for route in app.routes}
    return sorted({*own, *app.openapi()["paths"]} - {""})


ODD = [
    "//v1/models",
    "/V1/models",
    "/v1/models/",
    "/v1/%6dodels",
    "/health/",
    "/ready/../v1/models",
]


def test_every_route_but_two_needs_a_key(locked: Running) -> None:
    paths = paths_of(locked)
    assert {"/health", "/metrics", "/openapi.json", "/v1/models", URL} <= set(paths)
    with locked.client() as client:
        for path in [*paths, "/", "/nowhere", *ODD]:
            for method in ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"):
                answer = client.request(method, path.replace("{model}", "fake"))
                if path in ("/health", "/ready"):
                    assert answer.status_code in (200, 405)
                else:
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        f"Bearer {'x' * 9000}",
        f"Bearer {hash_of(KEY)}",
    ],
)
def test_wrong_keys_are_no_keys(locked: Running, given: str) -> None:
    with locked.client() as client:
        answer = client.get("/v1/models", headers={"Authorization": given})
    assert answer.status_code == 401
    assert KEY not in answer.text


def test_a_right_key_opens_and_each_has_a_salt_of_its_own() -> None:
    engine = FakeEngine()
    keys = KeyRing({"mine": hash_of(KEY), "theirs": hash_of(OTHER)})
    with running(fake_model(engine=engine), keys=keys) as server:
        for key, more in ((KEY, {}), (OTHER, {}), (KEY, {}), (KEY, {"user": "anna"})):
            with server.client(headers={"Authorization": f"Bearer {key}"}) as client:
                assert client.post(URL, json=chat(**more)).status_code == 200
    first, second, third, anna = (salt for *_, salt in engine.asked)
    assert first == third
    assert len({first, second, anna, b""}) == 4


def test_a_key_cannot_take_all_places() -> None:
    engine = FakeEngine("x" * 400, seconds=0.01)
    keys = KeyRing({"mine": hash_of(KEY), "theirs": hash_of(OTHER)})
    config = ServerConfig(most_of_a_key=2, drain_seconds=0)
    mine, theirs = ({"Authorization": f"Bearer {key}"} for key in (KEY, OTHER))
    with (
        running(fake_model(engine=engine), keys=keys, config=config) as server,
        server.client() as client,
    ):
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                asked = raw_request(chat(stream=True), headers=mine)
                stack.enter_context(connected(server, asked))
            until(lambda: len(engine.rows) == 2)
            refused = client.post(URL, json=chat(), headers=mine)
            assert refused.status_code == 429
            assert "this key" in refused.text
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/v1/models", headers=mine).status_code == 200
            engine.says = b"Hi"
            assert client.post(URL, json=chat(), headers=theirs).status_code == 200
        # Places are free a moment after the engine has let go of the rows.
        until(lambda: client.post(URL, json=chat(), headers=mine).status_code == 200)


def test_what_goes_wrong_inside_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()

    def submit(*_: Any, **__: Any) -> int:
        raise ValueError("<object at 0x7f00deadbeef> in /home/me/secret.py")

    monkeypatch.setattr(engine, "submit", submit)
    with running(fake_model(engine=engine)) as server, server.client() as client:
        answer = client.post(URL, json=chat())
        assert answer.status_code == 500
        assert "0x" not in answer.text
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("it failed in /home/me/secret.py, line 3", "it failed in …, line 3"),
        ("it failed in '/v1/home/me' and C:\\Users\\me", "it failed in '…' and …"),
        ("<object at 0x7f00deadbeef>\nand more", "<object at …> and more"),
        ("ask /v1/embeddings", "ask /v1/embeddings"),
        ("ask /v1/chat/completions, or a model of /v1/models.", None),
    ],
)
def test_errors_name_addresses_of_the_api_and_no_others(message: str, told: str | None) -> None:
    assert error_body(400, message)["error"]["message"] == (told or message)


def test_a_server_that_is_told_to_stop_lets_answers_finish() -> None:
    engine = FakeEngine("x" * 60, seconds=0.01)
    config = ServerConfig(drain_seconds=10)
    waited_for: list[int] = []
    with (
        running(fake_model(engine=engine), config=config, on_drain=waited_for.append) as server,
        server.client() as client,
    ):
        with connected(server, raw_request(chat(stream=True))) as stream:
            until(lambda: engine.rows)
            server.server.stop()
            assert client.get("/ready").status_code == 503
            assert client.get("/health").status_code == 200
            refused = client.post(URL, json=chat())
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert b"data: [DONE]" in answered(stream)
            assert waited_for == [1]
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_answers_that_take_too_long_to_finish_end_with_an_error() -> None:
    engine = FakeEngine("x" * 200, seconds=0.02)
    config = ServerConfig(drain_seconds=0.2)
    with (
        running(fake_model(engine=engine), config=config) as server,
        connected(server, raw_request(chat(stream=True))) as stream,
    ):
        until(lambda: engine.rows)
        server.server.stop()
        told = answered(stream)
    assert b"the server is stopping" in told
    assert b"[DONE]" not in told
    assert engine.num_cancelled == 1


def test_each_answer_has_a_line_without_texts_and_addresses(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.jsonl"
    keys = KeyRing({"mine": hash_of(KEY)})
    with running(keys=keys, on_answer=AccessLog(path)) as server, server.client() as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.post(URL, json=chat("a secret"), headers=headers).status_code == 200
        assert client.post(URL, json=chat("a secret")).status_code == 401
        path.rename(tmp_path / "older.jsonl")  # as logrotate does
        assert client.get("/health").status_code == 200
        until(path.is_file)
    lines = [(tmp_path / "older.jsonl"), path]
    rows = [json.loads(line) for one in lines for line in one.read_text().splitlines()]
    assert [(row["path"], row["status"], row["caller"]) for row in rows] == [
        (URL, 200, "mine"),
        (URL, 401, ""),
        ("/health", 200, ""),
    ]
    assert all(0 <= row["seconds"] < 60 for row in rows)
    told = (tmp_path / "older.jsonl").read_text()
    assert not any(word in told for word in ("secret", "127.0.0.1", KEY))


def test_a_log_that_cannot_be_written_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RunError):
        AccessLog(tmp_path)
    log = AccessLog(tmp_path / "folder" / "log")
    (tmp_path / "folder" / "log").unlink()
    (tmp_path / "folder").rmdir()
    for _ in range(3):
        log(Answered("GET", "/health", 200, 0.1, ""))
    assert len(caplog.records) == 1
