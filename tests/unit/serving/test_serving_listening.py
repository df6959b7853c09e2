"""Where a server listens, and why it cannot."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, cast

import pytest
from serving_fakes import fake_model, running

from homespun.core import RunError
from homespun.serving import ServedEngine, Server, ThreadDesk, check_free, create_app
from homespun.serving.http import open_sockets

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))


def refused(number: int) -> Any:
    """What `socket.create_server` does where the system says so."""

    def create_server(address: tuple[str, int], **_: object) -> socket.socket:
        raise OSError(number, f"{os.strerror(number)} (while attempting to bind on {address!r})")

    return create_server


def test_a_port_in_use_is_told_and_another_advised() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(RunError) as told,
    ):
        check_free("127.0.0.1", port := other.getsockname()[1])
    assert str(told.value) == (
        f"cannot listen on 127.0.0.1:{port} (got Address already in use); another program may use "
        "that port; choose another with --port"
    )


def test_a_name_that_nobody_has_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RunError, match=r"got Name or service not known.*--host") as told:
        check_free("modles.example", 8000)
    assert "--port" not in str(told.value)


def test_an_address_of_another_machine_is_no_port_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_server", refused(errno.EADDRNOTAVAIL))
    with pytest.raises(RunError, match=r"got Cannot assign requested address.*--host") as told:
        check_free("192.0.2.1", 8000)
    assert "--port" not in str(told.value)


def test_a_port_of_the_administrator_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_server", refused(errno.EACCES))
    with pytest.raises(RunError, match=r"on \[::1\]:80 \(got Permission denied\); low ports are"):
        check_free("::1", 80)


def test_what_no_host_can_be_called_is_told() -> None:
    with pytest.raises(RunError, match=r"'a\.\.b' is no name of a host; give --host"):
        check_free("a..b", 8000)


def test_the_network_of_a_local_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of one network (fe80::…%eth0) is none without it."""
    asked: list[Any] = []

    def create_server(address: Any, **_: object) -> socket.socket:
        asked.append(address)
        return socket.socket()

    place = ("fe80::1", 8000, 0, 2)
    found = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", place)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found])
    monkeypatch.setattr(socket, "create_server", create_server)
    check_free("fe80::1%eth0", 8000)
    assert asked == [place]


def test_what_is_free_stays_so() -> None:
    check_free("127.0.0.1", 0)
    (opened,) = open_sockets("127.0.0.1", 0)
    port = opened.getsockname()[1]
    opened.close()
    check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


def test_of_the_addresses_of_a_name_those_are_taken_that_this_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_server = socket.create_server

    def without_v6(address: Any, *, family: int, backlog: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no such address")
        return create_server(address, family=family, backlog=backlog)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [V6, V4])
    monkeypatch.setattr(socket, "create_server", without_v6)
    (opened,) = open_sockets("localhost", 0)
    with opened:
        assert opened.family == socket.AF_INET
        assert not opened.getblocking()


def test_a_server_on_a_port_in_use_ends_with_the_reason() -> None:
    with running(fake_model()) as first, pytest.raises(RunError, match="Address already in use"):
        server_at(first.port).run()


def test_a_server_whose_worker_cannot_start_does_not_blame_the_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadDesk, "start", start)
    server = server_at(0)
    with pytest.raises(RunError, match="the server could not be started; the machine may have"):
        server.run()


def server_at(port: int) -> Server:
    model = fake_model()
    app = create_app([model], ThreadDesk({"fake": cast(ServedEngine, model.engine)}))
    return Server(app, host="127.0.0.1", port=port)
