"""The chat page in a real browser, before a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_stage import Place, chromium, serving_page

from homespun.core import Message
from homespun.core.files import read_jsonl
from homespun.serving import ServerConfig, hash_of

KEY = "hs-0123456789abcdef"
OTHER_CHOICES = ("right", "tie", "both_bad")
SLOW = "slowly: " + "one step after the other " * 40


def first(messages: list[Message]) -> str:
    """Says what was asked; a few words make it slow, fail, speak Chinese or write markdown."""
    asked = messages[-1].content
    if "slow" in asked:
        return SLOW
    if "fail" in asked:
        return "fail: not a word more"
    if "code" in asked:
        return "slowly: Look:\n\n```python\nprint(1)\n```\n\n1. **one**\n   - two"
    if "中文" in asked:
        return "好的。"
    return f"You said: {asked}"


def second(messages: list[Message]) -> str:
    return f"The other says: {messages[-1].content}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("page")
    with serving_page({"first": first, "second": second}, folder) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Opened:
    """A window with the page, in a browser that knows nothing of earlier ones."""

    def __init__(self, browser: Any, place: Place, **wish: Any) -> None:
        self.address = place.address
        self.context = browser.new_context(**{"locale": "en-US", **wish})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(place.address)

    def forget(self) -> Opened:
        """Make the browser know nothing, without the cost of a new one."""
        self.page.goto(f"{self.address}page/icon.svg")
        self.page.evaluate(
            """() => {
              localStorage.clear();
              sessionStorage.clear();
              return new Promise(done => {
                const request = indexedDB.deleteDatabase('homespun');
                request.onsuccess = request.onerror = request.onblocked = done;
              });
            }"""
        )
        self.page.goto(self.address)
        return self

    def ready(self) -> Opened:
        self.page.wait_for_selector("#model option", state="attached")
        return self

    def send(self, text: str) -> None:
        self.page.fill("#draft", text)
        self.page.press("#draft", "Enter")

    def ask(self, text: str) -> None:
        """Send a message and wait for the answer's end."""
        before = self.page.locator(".turn.question").count()
        self.send(text)
        self.page.wait_for_function(
            "before => document.querySelectorAll('.turn.question').length > before"
            " && !document.querySelector('.running') && document.querySelector('#stop').hidden",
            arg=before,
        )

    def answers(self) -> list[str]:
        return list(self.page.locator(".answer-text").all_inner_texts())

    def answer(self) -> str:
        return self.answers()[-1]


@pytest.fixture(scope="module")
def window(browser: Any, place: Place) -> Opened:
    return Opened(browser, place)


@pytest.fixture
def opened(window: Opened) -> Iterator[Opened]:
    yield window.forget().ready()
    assert window.errors == []


def test_an_answer_comes_as_it_is_written_and_stops_when_told_to(
    opened: Opened, place: Place
) -> None:
    page, engine = opened.page, place.engines["first"]
    before = engine.num_cancelled
    opened.send("slow please")
    page.wait_for_function("() => document.querySelector('.answer-text').innerText.length > 20")
    assert page.locator("#stop").is_visible()
    assert page.locator(".running").get_attribute("aria-busy") == "true"
    seen = opened.answer()
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped by you.")
    assert SLOW.startswith(seen.rstrip())
    assert len(opened.answer()) < len(SLOW)
    page.wait_for_selector("#send:not([hidden])")
    while engine.rows:  # the engine hears of it within a step
        page.wait_for_timeout(10)
    assert engine.num_cancelled == before + 1
    opened.ask("and then?")
    assert opened.answer() == "You said: and then?"


def test_answering_again_and_editing_grow_branches_and_lose_nothing(
    opened: Opened, place: Place
) -> None:
    page, heard = opened.page, place.engines["first"].heard
    opened.ask("apples")
    opened.ask("pears")
    page.locator(".regenerate").last.click()
    page.wait_for_selector(".answer .switcher >> text=2 / 2")
    assert [message.content for message in heard[-1]] == [
        "apples",
        "You said: apples",
        "pears",
    ]
    page.locator(".edit").first.click()
    page.fill(".editor", "plums")
    page.press(".editor", "Enter")
    page.wait_for_selector("text=You said: plums")
    assert [message.content for message in heard[-1]] == ["plums"]
    assert opened.answers() == ["You said: plums"]
    page.locator(".question .before").click()
    assert opened.answers() == ["You said: apples", "You said: pears"]
    page.locator(".answer .before").click()
    assert page.locator(".answer .place").inner_text() == "1 / 2"
    page.reload()
    page.wait_for_selector("text=You said: pears")
    assert page.locator(".place").all_inner_texts() == ["1 / 2", "1 / 2"]


# What a browser does with a transaction that is under way when its page goes shows with one that
# takes long: megabytes beside the conversation.
BALLAST = """megabytes => new Promise(done => {
  indexedDB.open("homespun", 1).onsuccess = ({ target: { result: database } }) => {
    const transaction = database.transaction("conversations", "readwrite");
    const table = transaction.objectStore("conversations");
    table.getAll().onsuccess = ({ target: { result: [conversation] } }) =>
      table.put({ ...conversation, ballast: "x".repeat(megabytes * 1e6) });
    transaction.oncomplete = () => done(database.close());
  };
})"""


def test_what_is_chosen_just_before_the_page_goes_is_kept(opened: Opened) -> None:
    page = opened.page
    opened.ask("apples")
    page.locator(".regenerate").last.click()
    page.wait_for_selector(".answer .switcher >> text=2 / 2")
    page.wait_for_selector("#send:not([hidden])")
    page.evaluate(BALLAST, 60)
    page.reload()
    shown = []
    for button in [".before", ".after"] * 3:
        page.wait_for_selector(f".answer {button}")
        page.evaluate("button => document.querySelector(button).click()", f".answer {button}")
        page.reload()
        shown.append(page.locator(".answer .place").inner_text())
    assert shown == ["1 / 2", "2 / 2"] * 3


def test_who_works_by_keyboard_keeps_a_place_where_a_button_goes(opened: Opened) -> None:
    page = opened.page

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id"))

    opened.ask("apples")
    page.keyboard.press("Alt+n")
    opened.send("slow please")
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped by you.")
    page.locator(".regenerate").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:not([hidden])")
    assert focused() == "stop"
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:not([hidden])")
    assert focused() == "send"
    page.locator(".entry", has_text="apples").locator(".delete").focus()
    page.keyboard.press("Enter")
    page.locator("#delete-dialog [value=ok]").focus()
    page.keyboard.press("Enter")
    page.locator(".entry", has_text="apples").wait_for(state="detached")
    assert focused() == "new-conversation"


@pytest.mark.slow
def test_conversations_are_kept_named_saved_and_removed(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    opened.ask("the first of all")
    page.keyboard.press("Alt+n")
    opened.ask("quite another")
    assert page.locator(".entry-title").all_inner_texts() == ["quite another", "the first of all"]
    page.locator(".rename").first.click()
    page.fill(".rename-field", "renamed 名")
    page.press(".rename-field", "Enter")
    with page.expect_download() as saved:
        page.click("#export-all")
    path = tmp_path / "saved.json"
    saved.value.save_as(path)
    file = json.loads(path.read_text("utf-8"))
    assert {one["title"] for one in file["conversations"]} == {"renamed 名", "the first of all"}
    entry = page.locator(".entry", has_text="first of all")
    entry.hover()
    entry.locator(".delete").click()
    page.click("#delete-dialog [value=ok]")
    page.locator(".entry", has_text="first of all").wait_for(state="detached")
    page.reload()
    page.wait_for_selector(".entry-title")
    assert page.locator(".entry-title").all_inner_texts() == ["renamed 名"]
    page.set_input_files("#import-file", path)
    page.wait_for_function("() => document.querySelectorAll('.entry').length === 3")
    page.locator(".entry-title", has_text="first of all").click()
    assert opened.answers() == ["You said: the first of all"]
    page.set_input_files(
        "#import-file",
        {"name": "x.json", "mimeType": "application/json", "buffer": b'{"format": "other"}'},
    )
    page.wait_for_selector("#banner >> text=no conversations that can be read")


@pytest.mark.slow
def test_settings_reach_the_server(opened: Opened, place: Place) -> None:
    page, engine = opened.page, place.engines["first"]
    page.keyboard.press("Alt+s")
    page.fill("#system", "Be brief.")
    page.fill("#sampling [name=temperature]", "0.5")
    page.fill("#sampling [name=max_tokens]", "9")
    page.fill("#sampling [name=seed]", "7")
    page.fill("#sampling [name=min_p]", "5")  # too much: the page keeps it in its range
    page.press("#sampling [name=min_p]", "Tab")
    assert float(page.input_value("#sampling [name=min_p]")) < 1
    page.fill("#sampling [name=min_p]", "")
    opened.ask("a long story")
    settings = engine.asked[-1][1]
    assert (settings.temperature, settings.max_tokens, settings.seed) == (0.5, 9, 7)
    assert (settings.top_p, settings.min_p) == (0.95, 0.0)
    assert [message.role for message in engine.heard[-1]] == ["system", "user"]
    assert "Temperature 0.5" in page.locator(".figures").inner_text()
    page.wait_for_selector("text=The answer reached its longest length.")
    page.wait_for_function(
        "() => /^\\d+ of 4,096 tokens$/.test(document.querySelector('#count').innerText)"
    )
    page.click("#reset-sampling")
    page.locator(".regenerate").click()
    page.wait_for_selector("text=2 / 2")
    assert engine.asked[-1][1].max_tokens > 9
    assert engine.asked[-1][1].seed != 7


@pytest.mark.parametrize(
    "choice", ["left", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHER_CHOICES)]
)
def test_a_comparison_is_blind_and_its_outcome_saved(
    opened: Opened, place: Place, choice: str
) -> None:
    page = opened.page
    num_before = len(list(read_jsonl(place.preferences))) if place.preferences.exists() else 0
    page.keyboard.press("Alt+c")
    opened.ask("which?")
    shown = page.locator(".columns .answer-text").all_inner_texts()
    assert sorted(shown) == ["The other says: which?", "You said: which?"]
    assert page.locator(".columns .who").all_inner_texts() == ["Left", "Right"]
    assert not re.search("first|second", page.locator(".pair").inner_html())
    page.click(f"[data-choice={choice}]")
    page.wait_for_selector(".pair", state="detached")
    records = list(read_jsonl(place.preferences))
    assert len(records) == num_before + 1
    record = records[-1]
    assert (record["choice"], record["schema_version"]) == (choice, 1)
    assert [record["left"]["text"], record["right"]["text"]] == shown
    names = {"You said: which?": "first", "The other says: which?": "second"}
    assert [record["left"]["model"], record["right"]["model"]] == [names[text] for text in shown]
    assert record["prompt"] == [{"role": "user", "content": "which?"}]
    assert isinstance(record["left"]["settings"]["seed"], int)
    assert opened.answer() == (shown[1] if choice == "right" else shown[0])
    assert page.locator(".who").last.inner_text() == names[opened.answer()]


@pytest.mark.slow
def test_a_comparison_may_be_left_open_but_not_forgotten(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Alt+c")
    opened.ask("which?")
    opened.send("go on")
    page.wait_for_selector("#banner >> text=First say which")
    assert page.input_value("#draft") == "go on"
    page.click("[data-choice=skip]")
    page.wait_for_selector(".pair", state="detached")
    page.keyboard.press("Alt+c")
    page.press("#draft", "Enter")
    page.wait_for_selector("text=You said: go on")


@pytest.mark.slow
def test_the_language_can_be_switched_and_is_remembered(opened: Opened) -> None:
    page = opened.page
    opened.ask("中文")
    page.click("#language")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.inner_text("#send") == "发送"
    assert page.get_attribute("#draft", "placeholder") == "写下你的消息"
    assert page.get_attribute(".regenerate", "aria-label") == "重新回答"
    page.reload()
    page.wait_for_selector(".regenerate")
    assert page.inner_text("#send") == "发送"
    page.keyboard.press("Alt+s")
    left_over = page.evaluate(
        """() => [...document.querySelectorAll('button, label, h2, [aria-label], option')]
            .map(one => `${one.innerText ?? ''} ${one.ariaLabel ?? ''} ${one.title ?? ''}`)
            .filter(text => /[a-z]{4}/i.test(text))"""
    )
    allowed = ("English", "Homespun", "first", "second", "Top ", "Min ", "token")
    assert [text for text in left_over if not any(word in text for word in allowed)] == []
    page.click("#language")
    assert page.inner_text("#send") == "Send"


@pytest.mark.slow
@pytest.mark.parametrize(("locale", "send"), [("zh-CN", "发送"), ("en-GB", "Send"), ("fr", "Send")])
def test_the_language_is_first_the_browsers(
    browser: Any, place: Place, locale: str, send: str
) -> None:
    found = Opened(browser, place, locale=locale)
    found.page.wait_for_selector(f"#send >> text={send}")
    found.context.close()


@pytest.mark.slow
def test_why_this_word_shows_what_else_was_likely(opened: Opened) -> None:
    page = opened.page
    opened.ask("中文")
    page.click(".why")
    assert page.locator(".token").all_inner_texts() == ["好", "的", "。"]
    page.locator(".token").first.click()
    assert "3 tokens make this character" in page.inner_text("#pane-why")
    assert page.locator(".why-token").count() == 3
    shares = page.locator(".why-token").first.locator(".bar-share").all_inner_texts()
    assert shares[0] == "60%"
    assert "was the likeliest, at 60%" in page.inner_text("#pane-why")
    assert page.locator(".why-token").first.locator(".others .bar-share").count() == 1
    width = page.locator(".is-chosen .bar-fill").first.evaluate("one => one.style.inlineSize")
    assert float(width.rstrip("%")) == pytest.approx(60.05, abs=0.1)
    page.keyboard.press("ArrowRight")
    assert page.locator(".token.picked").inner_text() == "的"
    page.keyboard.press("End")
    assert page.locator(".token.picked").inner_text() == "。"
    page.click(".why")
    assert opened.answer() == "好的。"


@pytest.mark.slow
def test_markdown_is_shown_and_code_can_be_copied(browser: Any, place: Place) -> None:
    found = Opened(browser, place, permissions=["clipboard-read", "clipboard-write"]).ready()
    page = found.page
    found.ask("code")
    assert page.inner_text(".answer-text figcaption span") == "python"
    assert page.inner_text(".answer-text ol > li > div strong") == "one"
    assert page.inner_text(".answer-text ol ul li") == "two"
    page.click(".code-copy")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "print(1)"
    piece_by_piece = page.inner_html(".answer-text").replace("Copied", "Copy")
    page.reload()
    page.wait_for_selector(".answer-text figure")
    assert page.inner_html(".answer-text") == piece_by_piece
    found.context.close()
    assert found.errors == []


@pytest.mark.slow
def test_composing_chinese_does_not_send(opened: Opened) -> None:
    page = opened.page
    page.fill("#draft", "ni hao")
    for wish in ("isComposing: true", "keyCode: 229"):
        page.evaluate(
            f"""document.querySelector('#draft').dispatchEvent(new KeyboardEvent('keydown',
                {{key: 'Enter', bubbles: true, cancelable: true, {wish}}}))"""
        )
    assert page.input_value("#draft") == "ni hao"
    page.focus("#draft")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    assert page.locator(".turn").count() == 0
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.answer .regenerate")
    assert page.inner_text(".question-text") == "ni hao\nsecond line"


@pytest.mark.slow
def test_errors_are_told_in_plain_words(opened: Opened, place: Place) -> None:
    page = opened.page
    opened.ask("fail now")
    assert "Something went wrong in the server." in page.inner_text(".failure")
    assert "the numbers are not finite" in page.inner_text(".failure")
    page.keyboard.press("Alt+n")
    page.fill("#draft", "x" * 5000)
    page.wait_for_selector("#count.over")
    page.press("#draft", "Enter")
    page.wait_for_selector("text=too long for the model's window, even alone")
    assert "4096" in page.inner_text(".failure .detail")


@pytest.mark.slow
def test_a_conversation_goes_on_where_the_window_is_full(opened: Opened, place: Place) -> None:
    page, heard = opened.page, place.engines["first"].heard
    for letter in "abc":
        opened.ask(letter * 900)
    assert page.locator(".failure").count() == 0
    assert [message.content[:1] for message in heard[-1]] == ["b", "Y", "c"]
    assert page.locator("text=that it did not read: 2.").count() == 1
    page.fill("#draft", "d" * 900)
    page.wait_for_selector("#count.near >> text=the earliest messages will be left out")
    opened.ask("e" * 2500)  # leaves room for nothing else
    assert [message.content[:1] for message in heard[-1]] == ["e"]
    page.reload()
    page.wait_for_selector("text=that it did not read: 6.")
    page.click("#comparing")
    opened.ask("f" * 100)
    assert page.locator("text=that it did not read: 8.").count() == 2
    page.get_by_role("button", name="Both bad").click()
    page.wait_for_selector("text=that it did not read: 8.")
    while not place.preferences.exists() or "fff" not in place.preferences.read_text():
        page.wait_for_timeout(10)
    saved = list(read_jsonl(place.preferences))[-1]
    assert [message["content"][:1] for message in saved["prompt"]] == ["f"]


@pytest.mark.slow
def test_a_conversation_goes_on_beyond_the_most_messages(opened: Opened, place: Place) -> None:
    """Of short ones the window may hold more than the server takes."""
    nodes = {
        str(at): {
            "id": str(at),
            "parent": str(at - 1) if at else None,
            "children": [str(at + 1)] if at < 299 else [],
            "role": "assistant" if at % 2 else "user",
            "content": "b" if at % 2 else "a",
        }
        for at in range(300)
    }
    told = {"title": "long", "nodes": nodes, "roots": ["0"], "chosen": {}}
    file = {"format": "homespun-conversations", "schema": 1, "conversations": [told]}
    data = json.dumps(file).encode()
    opened.page.set_input_files(
        "#import-file", {"name": "x.json", "mimeType": "application/json", "buffer": data}
    )
    opened.page.wait_for_function("() => document.querySelectorAll('.turn').length === 300")
    opened.page.fill("#draft", "c")
    opened.page.wait_for_selector("#count.near >> text=the earliest messages will be left out")
    opened.ask("c")
    assert opened.page.locator(".failure").count() == 0
    assert len(place.engines["first"].heard[-1]) == ServerConfig().most_messages - 1
    assert opened.page.locator("text=that it did not read: 46.").count() == 1


@pytest.mark.slow
def test_a_conversation_goes_on_beyond_what_the_server_takes(browser: Any, tmp_path: Path) -> None:
    """And says so, whatever the model's window."""
    with serving_page({"first": first}, tmp_path, window=65_536, most_body_bytes=4096) as place:
        found = Opened(browser, place).ready()
        page, engine = found.page, place.engines["first"]
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.post_data or ""))
        found.ask("a" * 1000)
        found.ask("b" * 600)
        assert page.locator("text=did not read").count() == 0
        page.fill("#draft", "é" * 400)
        page.wait_for_selector("#count.near >> text=the earliest messages will be left out")
        found.ask("é" * 400)
        note = "larger than the server takes at once; messages at the beginning"
        assert page.locator(f"text={note}").count() == 1
        assert page.locator("text=that the model did not read: 2.").count() == 1
        assert [message.content[:1] for message in engine.heard[-1]] == ["b", "Y", "é"]
        num_heard = len(engine.heard)
        page.fill("#draft", "c" * 5000)
        found.ask("c" * 5000)  # alone too large
        assert "This is larger than the server takes at once." in page.inner_text(".failure")
        assert len(engine.heard) == num_heard
        assert max(len(text.encode()) for text in asked) <= 4096  # was not even sent
        page.reload()
        page.wait_for_selector(f"text={note}")
        found.context.close()
        assert found.errors == []


@pytest.mark.slow
def test_without_its_server_the_page_waits_and_comes_back(opened: Opened) -> None:
    page = opened.page
    opened.context.set_offline(True)
    try:
        opened.ask("hello?")
        assert "does not answer" in page.inner_text(".failure")
        assert "does not answer" in page.inner_text("#banner")
    finally:
        opened.context.set_offline(False)
    page.wait_for_selector("#banner", state="hidden")
    page.click(".failure button")
    page.wait_for_selector("text=You said: hello?")


def kept_messages(page: Any) -> list[dict[str, Any]]:
    """All messages that the browser keeps, in the order they were made in."""
    found = page.evaluate(
        """() => new Promise((resolve, reject) => {
          const request = indexedDB.open('homespun', 1);
          request.onerror = reject;
          request.onsuccess = () => {
            const all = request.result.transaction('conversations').objectStore('conversations');
            const kept = all.getAll();
            kept.onsuccess = () => {
              request.result.close();
              resolve(kept.result.flatMap(one => Object.values(one.nodes)));
            };
          };
        })"""
    )
    return sorted(found, key=lambda node: node["created"])


@pytest.mark.slow
def test_two_windows_that_answer_in_one_conversation_keep_what_both_said(window: Opened) -> None:
    found = window.forget().ready()
    errors: list[str] = []
    found.ask("hello")
    other = found.context.new_page()
    other.on("pageerror", lambda error: errors.append(str(error)))
    try:
        other.goto(window.address)
        other.wait_for_selector(".answer-text:has-text('You said: hello')")
        found.send("a slow one")
        found.page.wait_for_selector(".running")
        other.fill("#draft", "quick")
        other.press("#draft", "Enter")
        other.wait_for_selector(".answer-text:has-text('You said: quick')")
        assert found.page.locator(".running").count()  # it still writes, and saves after the other
        found.page.wait_for_function("() => !document.querySelector('.running')")
        for page in (found.page, other):
            page.wait_for_function(
                """() => new Promise(resolve => {
                  const request = indexedDB.open('homespun', 1);
                  request.onsuccess = () => {
                    const all = request.result.transaction('conversations');
                    const kept = all.objectStore('conversations').getAll();
                    kept.onsuccess = () => {
                      request.result.close();
                      resolve(kept.result.length === 1 && Object.values(kept.result[0].nodes).every(
                        node => node.role === 'user' || node.finish === 'stop'));
                    };
                  };
                })"""
            )
        nodes = kept_messages(found.page)
        texts = [node["content"] for node in nodes]
        assert len(nodes) == 6
        assert {"hello", "a slow one", "quick", "You said: quick"} <= set(texts)
        assert SLOW.strip() in {text.strip() for text in texts}
        asked = next(node for node in nodes if node["content"] == "quick")
        assert asked["id"] in next(n for n in nodes if n["id"] == asked["parent"])["children"]
        assert not errors
        assert not found.errors
    finally:
        other.close()


@pytest.mark.slow
def test_a_key_is_asked_for_and_forgotten_with_the_tab(browser: Any, tmp_path: Path) -> None:
    keys = {"mine": hash_of(KEY)}
    with serving_page({"first": first}, tmp_path, keys=keys) as locked:
        found = Opened(browser, locked)
        page = found.page
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", KEY)
        page.click("#key-dialog [value=ok]")
        found.ready()
        found.ask("open?")
        assert found.answer() == "You said: open?"
        assert page.evaluate("JSON.stringify(localStorage)").find(KEY) < 0
        other = found.context.new_page()
        other.goto(locked.address)
        other.wait_for_selector("#key-dialog[open]")
        found.context.close()


@pytest.mark.slow
def test_who_asks_without_a_key_is_asked_for_it_and_keeps_the_message(
    browser: Any, tmp_path: Path
) -> None:
    keys = {"mine": hash_of(KEY)}
    with serving_page({"first": first}, tmp_path, keys=keys) as locked:
        found = Opened(browser, locked)
        page = found.page
        page.wait_for_selector("#key-dialog[open]")
        page.click("#key-dialog [value=cancel]")
        page.wait_for_selector("#key-dialog", state="hidden")
        found.send("a long thought")
        page.wait_for_selector("#key-dialog[open]")
        assert page.locator("#banner").is_hidden()  # not that there is no model
        page.fill("#key", KEY)
        page.click("#key-dialog [value=ok]")
        found.ready()
        assert page.input_value("#draft") == "a long thought"
        found.context.close()
        assert found.errors == []


NO_STORAGE = """Object.defineProperty(window, 'sessionStorage', {
  get() { throw new DOMException('not here', 'SecurityError'); },
});"""


@pytest.mark.slow
def test_a_key_is_used_where_a_browser_keeps_nothing(browser: Any, tmp_path: Path) -> None:
    keys = {"mine": hash_of(KEY)}
    with serving_page({"first": first}, tmp_path, keys=keys) as locked:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.add_init_script(NO_STORAGE)
        page.goto(locked.address)
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", KEY)
        page.click("#key-dialog [value=ok]")
        page.wait_for_selector("#model option", state="attached")
        assert page.locator("#key-dialog[open]").count() == 0
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["hs-fedcba9876543210", "密钥-0123456789abcdef", "hs-0\u200b123"])
def test_a_wrong_key_is_told_as_such_and_not_as_a_server_that_is_gone(
    wrong: str, browser: Any, tmp_path: Path
) -> None:
    keys = {"mine": hash_of(KEY)}
    with serving_page({"first": first}, tmp_path, keys=keys) as locked:
        found = Opened(browser, locked)
        page = found.page
        page.wait_for_selector("#key-dialog[open]")
        assert page.locator("#key-wrong").is_hidden()
        page.fill("#key", wrong)
        page.click("#key-dialog [value=ok]")
        page.wait_for_selector("#key-wrong:visible")
        assert page.inner_text("#key-wrong") == "The server does not know this key."
        assert page.locator("#banner").is_hidden()
        page.fill("#key", KEY)
        page.click("#key-dialog [value=ok]")
        found.ready()
        page.click("#open-panel")
        page.click("#enter-key")
        assert page.locator("#key-wrong").is_hidden()
        found.context.close()
        assert found.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 768, 1440])
def test_nothing_sticks_out_and_everything_has_a_name(
    browser: Any, place: Place, width: int
) -> None:
    found = Opened(browser, place, viewport={"width": width, "height": 640}).ready()
    page = found.page
    found.ask("code")
    found.ask("x" * 300)
    page.keyboard.press("Alt+s")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate("(m => m.scrollWidth - m.clientWidth)(document.querySelector('main'))") <= 0
    )
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, [role=tab]')]
            .filter(one => !one.closest('[aria-hidden=true], [hidden], .hidden')
                && one.ariaHidden !== 'true'
                && !(one.ariaLabel || one.innerText?.trim() || one.labels?.length))
            .map(one => one.outerHTML)"""
    )
    assert nameless == []
    if width == 320:  # the panel lies over the page, which cannot be reached then
        assert page.evaluate("document.activeElement.id") == "tab-settings"
        assert page.evaluate("document.querySelector('.middle').inert")
        page.keyboard.press("Escape")
        assert page.locator("#panel").is_hidden()
        assert not page.evaluate("document.querySelector('.middle').inert")
    found.context.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "first_told"), [(320, "false"), (1440, "true")])
def test_whether_the_conversations_are_listed_is_told(
    browser: Any, place: Place, width: int, first_told: str
) -> None:
    found = Opened(browser, place, viewport={"width": width, "height": 640}).ready()
    page = found.page

    def told() -> str:
        is_seen = str(page.locator("#shelf").is_visible()).lower()
        assert page.get_attribute("#open-shelf", "aria-expanded") == is_seen
        return is_seen

    assert told() == first_told
    page.click("#open-shelf")
    assert told() != first_told
    found.context.close()


@pytest.mark.slow
def test_the_keyboard_alone_suffices(opened: Opened) -> None:
    page = opened.page
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("#shortcuts-dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#shortcuts-dialog:not([open])", state="attached")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    page.wait_for_selector(".regenerate")
    page.keyboard.press("Alt+e")
    assert page.evaluate("document.activeElement.className") == "editor"
    page.keyboard.press("Escape")
    assert page.locator(".editor").count() == 0
    assert "edit" in page.evaluate("document.activeElement.className")
    page.keyboard.press("Alt+r")
    page.wait_for_selector("text=2 / 2")
    page.wait_for_function("() => document.querySelector('#announcer').innerText.includes('typed')")


@pytest.mark.slow
def test_light_and_dark_follow_the_system_or_the_switch(browser: Any, place: Place) -> None:
    found = Opened(browser, place, color_scheme="dark")
    page = found.page
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.click("#theme")
    light = page.evaluate(back)
    assert (dark, light) == ("rgb(23, 24, 27)", "rgb(251, 250, 246)")
    page.reload()
    assert page.evaluate(back) == light
    page.click("#theme")
    assert page.evaluate(back) == dark
    found.context.close()
