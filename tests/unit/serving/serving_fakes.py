"""A model without torch, and a real server in a thread, for the tests of this room."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import httpx2
import numpy as np
from numpy.typing import NDArray
from serving_engines import FakeEngine

from homespun.core import (
    ChatTokens,
    Message,
)
from homespun.serving import (
    ServedEngine,
    ServedModel,
    Server,
    ServerConfig,
    ThreadDesk,
    TlsFiles,
    create_app,
)

END_OF_TEXT, END_OF_TURN, FIRST_ROLE = 256, 257, 258
ROLES = ("system", "user", "assistant")


class ByteTokenizer:
    """Every byte is a token; five more are control tokens."""

    vocab_size = 261
    end_of_text_id = END_OF_TEXT
    end_of_turn_id = END_OF_TURN
    start_ids = (END_OF_TEXT,)

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b""

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        ids: list[int] = []
        for message in messages:
            ids += [FIRST_ROLE + ROLES.index(message.role), *self.encode(message.content).tolist()]
            ids.append(END_OF_TURN)
        if add_generation_prompt:
            ids.append(FIRST_ROLE + 2)
        return ChatTokens(tuple(ids), (False,) * len(ids))


def fake_model(name: str = "fake", engine: FakeEngine | None = None, **wish: Any) -> ServedModel:
    parts: dict[str, Any] = {
        "tokenizer": ByteTokenizer(),
        "can_chat": True,
        "created": 1,
        "control_names": {END_OF_TURN: "<|end|>"},
    }
    return ServedModel(name=name, engine=engine or FakeEngine(), **(parts | wish))


class Running(NamedTuple):
    """A server that listens."""

    server: Server
    port: int
    thread: threading.Thread
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def client(self, **wish: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=20, trust_env=False, **wish)


@contextlib.contextmanager
def running(*models: ServedModel, tls: TlsFiles | None = None, **wish: Any) -> Iterator[Running]:
    """A server on a free port, stopped at the end."""
    started = threading.Event()
    ports: list[int] = []

    def on_start(port: int) -> None:
        ports.append(port)
        started.set()

    wish.setdefault("config", ServerConfig(drain_seconds=0))
    served = list(models) or [fake_model()]
    wish.setdefault(
        "desk", ThreadDesk({model.name: cast(ServedEngine, model.engine) for model in served})
    )
    on_drain = wish.pop("on_drain", lambda num_requests: None)
    app = create_app(served, **wish)
    server = Server(app, host="127.0.0.1", port=0, on_start=on_start, on_drain=on_drain, tls=tls)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(10)
        yield Running(server, ports[0], thread, "http" if tls is None else "https")
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Any, seconds: float = 5.0) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.002)


def chat(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **more}


def raw_request(
    body: Any,
    *,
    path: str = "/v1/chat/completions",
    host: str = "localhost",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A request as it goes over the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@contextlib.contextmanager
def connected(server: Running, data: bytes = b"") -> Iterator[socket.socket]:
    """A connection that has sent `data`, and is closed at the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        yield connection
