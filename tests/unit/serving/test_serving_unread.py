"""What is sent and not read, by a transport that stands for the reader."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from serving_fakes import fake_model

from homespun.serving import Server, ServerConfig, ThreadDesk, create_app


class Reader:
    """A transport to somebody who leaves `num_left` bytes of all that is sent."""

    def __init__(self, num_left: int) -> None:
        self.num_left = num_left
        self.told = b""
        self.is_closed = self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.told += data

    def get_write_buffer_size(self) -> int:
        return self.num_left

    def get_extra_info(self, name: str) -> None: ...
    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:  # a real one, too, waits for what is left
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True


@pytest.mark.parametrize("close", ["", "Connection: close\r\n"])
@pytest.mark.parametrize("num_left", [0, 1000])
def test_who_leaves_the_end_of_an_answer_unread_is_cut_off(num_left: int, close: str) -> None:
    async def read() -> Reader:
        app = create_app([fake_model()], ThreadDesk({}), config=ServerConfig(write_seconds=0.1))
        server = Server(app, host="127.0.0.1", port=0)
        server.config.load()
        reader = Reader(num_left)
        connection = server.config.http_protocol_class(
            config=server.config, server_state=server.server_state, app_state={}
        )
        connection.connection_made(cast(asyncio.Transport, reader))
        request = f"GET /nothing HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"
        connection.data_received(request.encode())
        await asyncio.sleep(0.05)
        assert reader.told.startswith(b"HTTP/1.1 404")
        assert not reader.is_aborted
        await asyncio.sleep(0.2)
        cast(asyncio.Protocol, reader.protocol).connection_lost(ConnectionResetError())
        return reader

    reader = asyncio.run(read())
    assert reader.is_aborted == (num_left > 0)
    assert reader.is_closed == (num_left > 0 or bool(close))
