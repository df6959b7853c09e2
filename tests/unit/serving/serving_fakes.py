"""A model without torch, and a real server in a thread, for the tests of this room."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import httpx2
import numpy as np
from numpy.typing import NDArray

from homespun.core import (
    ChatTokens,
    Completion,
    ConfigError,
    HomespunError,
    Message,
    RequestError,
    SamplingSettings,
    TokenLogprob,
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

WINDOW = 256
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


class FakeOutput(NamedTuple):
    request_id: int
    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    completion: Completion | None = None
    error: HomespunError | None = None
    is_last: bool = False
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


class FakeStats(NamedTuple):
    num_running: int
    num_waiting: int
    num_blocks: int = 100
    num_free_blocks: int = 100
    num_prompt_tokens: int = 7
    num_cached_tokens: int = 3
    num_tokens: int = 0
    num_preempted: int = 0


@dataclass
class _Row:
    text: bytes
    settings: SamplingSettings
    prompt: tuple[int, ...]
    written: dict[int, int] = field(default_factory=dict)

    @property
    def num_prompt(self) -> int:
        return len(self.prompt)


class FakeEngine:
    """Says `says` to everything, a byte a step; `seconds` a step, `prefill` before the first.

    Attributes:
        asked: prompts, settings and salts, as they came.
        fail: what the next step raises.
        embedded: how many texts were embedded together.
    """

    def __init__(
        self,
        says: str = "Hello, world!",
        *,
        seconds: float = 0.0,
        prefill: float = 0.0,
        window: int = WINDOW,
        kv_capacity: int = 4 * WINDOW,
        most_rows: int = 8,
        width: int = 2,
    ) -> None:
        self.says = says.encode()
        self.seconds = seconds
        self.prefill = prefill
        self.window = window
        self.kv_capacity = kv_capacity
        self.most_rows = most_rows
        self.width = width
        self.notice = ""
        self.asked: list[tuple[list[int], SamplingSettings, bytes]] = []
        self.fail: Exception | None = None
        self.rows: dict[int, _Row] = {}
        self.num_cancelled = 0
        self.embedded: list[int] = []
        self.most_embedded = 4096
        self._next = 0
        self._new: deque[int] = deque()
        self._placed: list[int] = []

    @property
    def has_work(self) -> bool:
        return bool(self.rows)

    @property
    def stats(self) -> FakeStats:
        running = min(self.most_rows, len(self.rows))
        return FakeStats(running, len(self.rows) - running, num_free_blocks=100 - running)

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        if len(prompt_ids) >= self.window:
            raise RequestError("the prompt does not fit")
        return list(prompt_ids)

    def submit(self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes) -> int:
        if settings.constraint is not None and settings.constraint.text == '"impossible"':
            raise RequestError("the regex cannot be used as a constraint")
        self.asked.append((list(prompt_ids), settings, salt))
        self._next += 1
        text = self.says
        for stop in settings.stop:
            text = text.split(stop.encode())[0]
        self.rows[self._next] = _Row(text, settings, tuple(prompt_ids))
        self._new.append(self._next)
        return self._next

    def step(self) -> list[FakeOutput]:
        if self.fail is not None:
            raise self.fail
        time.sleep(self.seconds)
        if self._new and self.prefill:
            time.sleep(self.prefill)
        self._new.clear()
        self._placed += [n for n in list(self.rows)[: self.most_rows] if not self.rows[n].written]
        found: list[FakeOutput] = []
        for number in list(self.rows)[: self.most_rows]:
            row = self.rows[number]
            for index in range(row.settings.num_answers):
                found += self._advanced(number, row, index)
        return found

    def _advanced(self, number: int, row: _Row, index: int) -> Iterator[FakeOutput]:
        at = row.written.get(index, 0)
        whole = row.text[: row.settings.max_tokens]
        if at > len(whole):
            return
        row.written[index] = at + 1
        if at == len(whole):
            ended = len(whole) == len(row.text)
            done = Completion(
                whole.decode("utf-8", "ignore"),
                tuple(whole),
                "stop" if ended else "length",
                row.num_prompt,
                0.1,
                self._logprobs(row, whole),
                2,
                prompt_logprobs=self._of_prompt(row) if row.settings.prompt_logprobs else None,
            )
            is_last = all(
                row.written.get(i, 0) > len(whole) for i in range(row.settings.num_answers)
            )
            if is_last:
                del self.rows[number]
            yield FakeOutput(number, index, completion=done, is_last=is_last)
            return
        new = whole[at : at + 1]
        told = [whole[:end].decode("utf-8", "ignore") for end in (at, at + 1)]
        yield FakeOutput(
            number,
            index,
            told[1].removeprefix(told[0]),
            tuple(new),
            self._logprobs(row, new) or (),
            prompt_logprobs=self._of_prompt(row) if at == 0 else (),
        )

    def _of_prompt(self, row: _Row) -> tuple[TokenLogprob, ...]:
        if not row.settings.prompt_logprobs:
            return ()
        num = row.settings.logprobs or 0
        return tuple(
            TokenLogprob(token, -0.25, tuple((token, -0.25 - i) for i in range(num)))
            for token in row.prompt[1:]
        )

    def _logprobs(self, row: _Row, text: bytes) -> tuple[TokenLogprob, ...] | None:
        num = row.settings.logprobs
        if num is None:
            return None
        return tuple(
            TokenLogprob(byte, -0.5, tuple((byte + i, -0.5 - i) for i in range(num)))
            for byte in text
        )

    def admitted(self) -> list[int]:
        placed, self._placed = self._placed, []
        return placed

    def cancel(self, request_id: int) -> bool:
        found = self.rows.pop(request_id, None) is not None
        self.num_cancelled += found
        return found

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        self.embedded.append(len(prompts))
        return [[float(len(prompt)), 0.5] for prompt in prompts]


def fake_model(name: str = "fake", engine: FakeEngine | None = None, **wish: Any) -> ServedModel:
    parts: dict[str, Any] = {
        "tokenizer": ByteTokenizer(),
        "can_chat": True,
        "created": 1,
        "control_names": {END_OF_TURN: "<|end|>"},
    }
    return ServedModel(name=name, engine=engine or FakeEngine(), **(parts | wish))


def opened(job: dict[str, Any]) -> tuple[dict[str, ServedEngine], object]:
    """What a process of its own opens."""
    if "error" in job:
        raise ConfigError(job["error"], remedy="name another")
    if "crash" in job:
        raise SystemExit(3)
    time.sleep(job.pop("sleeps", 0))
    if Path(job.pop("crash_where", "/nowhere")).exists():
        raise SystemExit(4)
    prints = job.pop("prints", "")
    names = job.pop("names", ["fake"])

    class Printing(FakeEngine):
        def step(self) -> list[FakeOutput]:
            if prints:
                print(prints, flush=True)
            if any(
                bytes(t for t in row.prompt if t < 256) == b"fail" for row in self.rows.values()
            ):
                raise ValueError("an engine's own bug")
            return super().step()

    return {name: cast(ServedEngine, Printing(**job)) for name in names}, "opened"


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
