"""The page before a model that writes one text from another, beside one that chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from page_stage import chromium
from serving_fakes import ByteTokenizer, FakeEngine, fake_model, running

from homespun.core import ChatTokens, Message, SamplingSettings
from homespun.core.files import read_jsonl
from homespun.serving import PreferenceLog, Rewriting, ServerConfig, build_page

END = 256


class SourceBytes(ByteTokenizer):
    """Of a conversation its last message, and a mark behind it."""

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.array([*text.encode(), END], np.uint32)

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        ids = tuple(self.encode(messages[-1].content).tolist())
        return ChatTokens(ids, (False,) * len(ids))


class Shouting(FakeEngine):
    """Writes what it reads in capitals."""

    def submit(self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes) -> int:
        number = super().submit(prompt_ids, settings, salt=salt)
        self.rows[number].text = bytes(prompt_ids[:-1]).decode().upper().encode()
        return number


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Shouting, Path]]:
    engine = Shouting(window=256)
    log = tmp_path_factory.mktemp("page") / "preferences.jsonl"
    router, is_public = build_page(PreferenceLog(log))
    with running(
        fake_model("chats"),
        fake_model("loud", engine, tokenizer=SourceBytes(), rewrites=Rewriting(5, 1.0)),
        config=ServerConfig(drain_seconds=0),
        extra=[router],
        is_public=is_public,
    ) as server:
        yield f"{server.url}/", engine, log


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, place: tuple[str, Shouting, Path]) -> Iterator[Any]:
    context = browser.new_context(locale="en-US")
    found = context.new_page()
    found.set_default_timeout(20_000)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(place[0])
    found.wait_for_selector("#model option", state="attached")
    yield found
    context.close()
    assert errors == []


def ask(page: Any, text: str) -> None:
    before = page.locator(".turn.question").count()
    page.fill("#draft", text)
    page.press("#draft", "Enter")
    page.wait_for_function(
        "before => document.querySelectorAll('.turn.question').length > before"
        " && !document.querySelector('.running') && document.querySelector('#stop').hidden",
        arg=before,
    )


def test_a_translator_gets_the_last_message_and_nothing_else(
    page: Any, place: tuple[str, Shouting, Path]
) -> None:
    engine = place[1]
    page.keyboard.press("Alt+s")
    page.fill("#system", "Be brief.")  # for the one that chats
    assert page.is_hidden("#rewrites-note")
    page.select_option("#model", "loud")
    assert page.is_hidden("#system")
    assert "reads your last message" in page.inner_text("#rewrites-note")
    assert page.locator("#sampling [name=frequency_penalty]").count() == 0
    ask(page, "good day")
    assert page.locator(".answer-text").last.inner_text() == "GOOD DAY"
    ids, settings, _ = engine.asked[-1]
    assert bytes(ids[:-1]) == b"good day"
    assert (settings.beams, settings.temperature) == (5, 0.0)  # as it was taught
    assert settings.logprobs is None
    assert page.locator(".why").count() == 0
    assert "seed" not in page.locator(".figures").last.inner_text()
    page.fill("#sampling [name=temperature]", "0.5")
    page.press("#sampling [name=temperature]", "Tab")
    ask(page, "再见 then")
    assert page.locator(".answer-text").last.inner_text() == "再见 THEN"
    ids, settings, _ = engine.asked[-1]
    assert bytes(ids[:-1]).decode() == "再见 then"
    assert (settings.beams, settings.temperature) == (0, 0.5)
    page.click("#language")
    assert "只读你的最后一条消息" in page.inner_text("#rewrites-note")
    page.select_option("#model", "chats")
    assert page.is_visible("#system")
    assert page.input_value("#system") == "Be brief."


@pytest.mark.slow
def test_the_counter_and_comparisons_know_what_is_read(
    page: Any, place: tuple[str, Shouting, Path]
) -> None:
    page.select_option("#model", "loud")
    ask(page, "one")
    page.fill("#draft", "four")
    page.wait_for_function(
        "() => document.querySelector('#count').innerText.startsWith('5 of 256')"
    )
    page.fill("#draft", "")
    page.keyboard.press("Alt+c")
    ask(page, "two")
    assert page.locator(".columns .answer-text").all_inner_texts().count("TWO") == 1
    page.click("[data-choice=tie]")
    page.wait_for_selector(".pair", state="detached")
    (record,) = read_jsonl(place[2])
    names = {record[side]["model"]: record[side]["settings"] for side in ("left", "right")}
    assert set(names) == {"chats", "loud"}
    assert "top_p" in names["chats"]
    assert "top_p" not in names["loud"]
