"""An engine without torch, and what opens some in a process of its own, which starts quickly as
nothing of the web is loaded here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from homespun.core import (
    Completion,
    ConfigError,
    HomespunError,
    RequestError,
    SamplingSettings,
    TokenLogprob,
)

if TYPE_CHECKING:
    from homespun.serving import ServedEngine

WINDOW = 256


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

    return {name: cast("ServedEngine", Printing(**job)) for name in names}, "opened"
