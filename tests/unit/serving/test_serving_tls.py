"""https: page and API behind a certificate, and files that are none."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import httpx2
import pytest
from serving_fakes import Running, chat, fake_model, running, until

from homespun.cli import main
from homespun.core import ConfigError, RunError
from homespun.serving import (
    KeyRing,
    PreferenceLog,
    ServedEngine,
    Server,
    ServerConfig,
    ThreadDesk,
    TlsFiles,
    build_page,
    create_app,
    hash_of,
    tls_files,
)

URL = "/v1/chat/completions"
KEY = "a-key-of-sixteen-letters"


def made(folder: Path, name: str, *more: str) -> TlsFiles:
    """A certificate that vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates for the tests are made by openssl, which is not here")
    files = TlsFiles(folder / f"{name}.pem", folder / f"{name}-key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj /CN=test"
    words = [*command.split(), *(more or ("-nodes",)), "-addext", "subjectAltName=IP:127.0.0.1"]
    words += ["-keyout", str(files.key), "-out", str(files.certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return made(tmp_path_factory.mktemp("tls"), "own")


def test_page_and_api_are_served_over_https(files: TlsFiles, tmp_path: Path) -> None:
    page, is_public = build_page(PreferenceLog(tmp_path / "preferences.jsonl"))
    trust = ssl.create_default_context(cafile=files.certificate)
    keys = KeyRing({"anna": hash_of(KEY)})
    with (
        running(
            fake_model(),
            tls=tls_files(*files),
            extra=[page],
            is_public=is_public,
            keys=keys,
        ) as server,
        server.client(verify=trust) as client,
    ):
        assert client.get("/health").status_code == 200
        assert "<title>" in client.get("/").text
        assert client.post(URL, json=chat()).status_code == 401
        client.headers["Authorization"] = f"Bearer {KEY}"
        own = {"Origin": server.url}
        answer = client.post(URL, json=chat(), headers=own).json()
        assert answer["choices"][0]["message"]["content"] == "Hello, world!"
        foreign = client.post(URL, json=chat(), headers={"Origin": "https://other.example"})
        assert foreign.status_code == 403
        with client.stream("POST", URL, json=chat(stream=True)) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        told = [json.loads(line[6:])["choices"][0]["delta"] for line in lines[:-1]]
        assert "".join(delta.get("content", "") for delta in told) == "Hello, world!"


def test_who_does_not_trust_the_certificate_or_speaks_http_gets_nothing(files: TlsFiles) -> None:
    with running(fake_model(), tls=files) as server:
        with server.client() as client, pytest.raises(httpx2.ConnectError, match="CERTIFICATE"):
            client.get("/health")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        trust = ssl.create_default_context(cafile=files.certificate)
        with server.client(verify=trust) as client:
            assert client.get("/health").status_code == 200


def test_an_overload_is_told_over_https_too(files: TlsFiles) -> None:
    trust = ssl.create_default_context(cafile=files.certificate)
    with running(fake_model(), tls=files) as server:
        server.server.serving.is_draining = True  # the door refuses before HTTP is parsed
        with server.client(verify=trust) as client:
            answer = client.post(URL, json=chat())
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        server.server.serving.is_draining = False
        until(lambda: not server.server.serving.worker.open_tickets)


def test_long_bodies_and_many_clients_come_through(files: TlsFiles) -> None:
    trust = ssl.create_default_context(cafile=files.certificate)
    text = "羊" * 300_000
    with running(fake_model(), tls=files) as server:

        def ask(at: int) -> int:
            with server.client(verify=trust) as client:
                body = chat(text) if at % 2 else chat()
                return client.post(URL, json=body).status_code

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(24)))
        assert found == [200, 400] * 12  # the long ones do not fit the window


def test_who_agrees_on_https_and_then_is_silent_is_too_slow(files: TlsFiles) -> None:
    trust = ssl.create_default_context(cafile=files.certificate)
    config = ServerConfig(header_seconds=0.3, drain_seconds=0)
    with (
        running(fake_model(), tls=files, config=config) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as slow,
    ):
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_neither_file_means_http(files: TlsFiles) -> None:
    assert tls_files(None, None) is None
    assert tls_files(*files) == files


def test_each_wrong_file_is_told_in_a_sentence(files: TlsFiles, tmp_path: Path) -> None:
    other, locked = made(tmp_path, "other"), made(tmp_path, "locked", "-passout", "pass:secret")
    text = tmp_path / "text.pem"
    text.write_text("no certificate\n")
    absent = tmp_path / "absent.pem"
    cases = [
        (files.certificate, None, "got the certificate alone"),
        (None, files.key, "got the key alone"),
        (absent, files.key, f"the TLS certificate {absent} cannot be read"),
        (files.certificate, absent, f"the TLS key {absent} cannot be read"),
        (tmp_path, files.key, f"the TLS certificate {tmp_path} cannot be read"),
        (text, files.key, f"{text} is no certificate"),
        (files.key, files.key, f"{files.key} is no certificate"),
        (files.certificate, text, f"{text} is no private key"),
        (files.certificate, files.certificate, f"{files.certificate} is no private key"),
        (files.certificate, other.key, f"the key {other.key} does not belong to"),
        (locked.certificate, locked.key, "locked with a passphrase"),
    ]
    for certificate, key, told in cases:
        with pytest.raises(ConfigError) as caught:
            tls_files(certificate, key)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_command_says_what_is_wrong_before_it_opens_a_model(
    files: TlsFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "no-such-run", "--tls-certificate", str(files.certificate)]) != 0
    assert "--tls-key" in capsys.readouterr().err


def num_connections(server: Running) -> int:
    return len(server.server.server_state.connections)


def opened(server: Running) -> socket.socket:
    """A connection that says nothing."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_who_opens_a_connection_and_says_nothing_is_gone_soon(files: TlsFiles) -> None:
    config = ServerConfig(handshake_seconds=0.3, header_seconds=60, drain_seconds=0)
    trust = ssl.create_default_context(cafile=files.certificate)
    with running(fake_model(), tls=files, config=config) as server:
        with opened(server) as silent, opened(server) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a beginning
            until(lambda: num_connections(server) == 2)  # counted before TLS is agreed on
            assert silent.recv(1000) == b""  # closed by the server, long before this times out
            assert half.recv(1000) == b""
        until(lambda: num_connections(server) == 0)
        with server.client(verify=trust) as client:
            assert client.get("/health").status_code == 200


def test_silent_connections_take_places_and_others_are_told_so(files: TlsFiles) -> None:
    config = ServerConfig(most_connections=3, handshake_seconds=30, drain_seconds=0)
    trust = ssl.create_default_context(cafile=files.certificate)
    with running(fake_model(), tls=files, config=config) as server, ExitStack() as stack:
        silent = [stack.enter_context(opened(server)) for _ in range(3)]
        until(lambda: num_connections(server) == 3)
        with server.client(verify=trust) as client:
            refused = client.get("/health")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        until(lambda: num_connections(server) == 3)
        silent[0].close()
        until(lambda: num_connections(server) == 2)
        with server.client(verify=trust) as client:
            assert client.get("/health").status_code == 200


def test_far_above_the_limit_connections_are_closed_unheard(files: TlsFiles) -> None:
    config = ServerConfig(most_connections=2, handshake_seconds=30, drain_seconds=0)
    with running(fake_model(), tls=files, config=config) as server, ExitStack() as stack:
        silent = [stack.enter_context(opened(server)) for _ in range(60)]
        # 2, and at most 32 for a second; of the others nothing is kept.
        assert silent[-1].recv(1000) == b""
        assert num_connections(server) <= 2 + 32
        for connection in silent[2:]:
            assert connection.recv(1000) == b""
        until(lambda: num_connections(server) == 2)


def test_a_server_with_silent_connections_stops_at_once(files: TlsFiles) -> None:
    config = ServerConfig(handshake_seconds=600, drain_seconds=0)
    with ExitStack() as stack:
        with running(fake_model(), tls=files, config=config) as server:
            silent = [stack.enter_context(opened(server)) for _ in range(5)]
            until(lambda: num_connections(server) == 5)
        for connection in silent:
            assert connection.recv(1000) == b""


def test_a_port_in_use_is_told_for_https_too(files: TlsFiles) -> None:
    with running(fake_model()) as first:
        models = [fake_model()]
        desk = ThreadDesk({"fake": cast(ServedEngine, models[0].engine)})
        other = Server(create_app(models, desk), host="127.0.0.1", port=first.port, tls=files)
        with pytest.raises(RunError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            other.run()
