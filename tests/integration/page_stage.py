"""The stage for the chat page: a real server, engines that say what a test wants, a browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving_engines import FakeOutput
from serving_fakes import (
    END_OF_TURN,
    FIRST_ROLE,
    ROLES,
    FakeEngine,
    fake_model,
    running,
)

from homespun.core import Completion, HomespunError, Message, SamplingSettings, TokenLogprob
from homespun.serving import KeyRing, PreferenceLog, ServerConfig, build_page

BURST = 256  # tokens an answer gets in a step
PAUSE = 0.004  # seconds a token where an answer comes slowly
Script = Callable[[list[Message]], str]


def conversation(prompt_ids: Sequence[int]) -> list[Message]:
    """What `serving_fakes.ByteTokenizer` made ids of."""
    messages: list[Message] = []
    start = 0
    for at, token in enumerate(prompt_ids):
        if token >= FIRST_ROLE:
            start = at
        elif token == END_OF_TURN:
            text = bytes(prompt_ids[start + 1 : at]).decode()
            messages.append(Message(ROLES[prompt_ids[start] - FIRST_ROLE], text))  # type: ignore[arg-type]
    return messages


class ScriptedEngine(FakeEngine):
    """Says what `script` says to a conversation, a byte a token.

    What begins with "slowly: " comes token by token with pauses; what begins with "fail: " breaks.
    """

    def __init__(self, script: Script, *, window: int) -> None:
        super().__init__(window=window, kv_capacity=16 * window)
        self.script = script
        self.heard: list[list[Message]] = []
        self.texts: dict[int, bytes] = {}

    def submit(self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes) -> int:
        number = super().submit(prompt_ids, settings, salt=salt)
        self.heard.append(conversation(prompt_ids))
        self.texts[number] = self.script(self.heard[-1]).encode()[: settings.max_tokens]
        return number

    def step(self) -> list[FakeOutput]:
        return [self._more(number) for number in list(self.rows)]

    def _more(self, number: int) -> FakeOutput:
        row, text = self.rows[number], self.texts[number]
        is_slow = text.startswith((b"slowly: ", b"fail: "))
        at = row.written.get(0, 0)
        end = min(len(text), at + (1 if is_slow else BURST))
        row.written[0] = end
        if is_slow:
            time.sleep(PAUSE)
        if text.startswith(b"fail: ") and at >= 6:
            del self.rows[number]
            error = HomespunError("the numbers are not finite", remedy="train anew")
            return FakeOutput(number, 0, error=error, is_last=True)
        before, now = (text[:to].decode("utf-8", "ignore") for to in (at, end))
        ids = tuple(text[at:end])
        logprobs = () if row.settings.logprobs is None else tuple(map(_logprob, ids))
        if end < len(text):
            return FakeOutput(number, 0, now[len(before) :], ids, logprobs)
        del self.rows[number]
        reason: Any = "length" if len(text) == row.settings.max_tokens else "stop"
        done = Completion(now, tuple(text), reason, row.num_prompt, 0.1)
        return FakeOutput(number, 0, now[len(before) :], ids, logprobs, done, None, True)


def _logprob(token: int) -> TokenLogprob:
    """Six in ten for the token, the rest for four others."""
    others = tuple((other, -2.5 - other / 500) for other in (65, 66, 67, 68) if other != token)
    return TokenLogprob(token, -0.51, ((token, -0.51), *others))


class Place(NamedTuple):
    """A server that runs: where, and what is behind it."""

    address: str
    port: int
    engines: Mapping[str, ScriptedEngine]
    preferences: Path


@contextmanager
def serving_page(
    scripts: Mapping[str, Script],
    folder: Path,
    *,
    keys: Mapping[str, str] | None = None,
    window: int = 4096,
    most_body_bytes: int = ServerConfig().most_body_bytes,
) -> Iterator[Place]:
    """The page, with models that follow `scripts`."""
    engines = {name: ScriptedEngine(script, window=window) for name, script in scripts.items()}
    preferences = folder / "preferences.jsonl"
    router, is_public = build_page(PreferenceLog(preferences))
    with running(
        *(fake_model(name, engine) for name, engine in engines.items()),
        config=ServerConfig(drain_seconds=0, queue_windows=64, most_body_bytes=most_body_bytes),
        keys=KeyRing(keys or {}),
        extra=[router],
        is_public=is_public,
    ) as server:
        yield Place(f"{server.url}/", server.port, engines, preferences)


def find_chromium() -> str | None:
    """Debian's browser, or the one that $HOMESPUN_CHROMIUM names."""
    named = os.environ.get("HOMESPUN_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window. The test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_chromium()
    if path is None:
        pytest.skip("there is no chromium on this machine; on Debian: apt install chromium")
    with playwright.sync_playwright() as driver:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        options = ["--no-sandbox"] if is_root else []
        browser = driver.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()
