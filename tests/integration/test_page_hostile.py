"""Whatever a model writes is only ever text: nothing runs, and nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_texts import conversations_file, hostile_texts
from page_stage import Place, chromium, serving_page

from homespun.core import Message

TEXTS = hostile_texts()
# Set before the page's own scripts: what ran, and what the browser had to forbid.
TRAPS = """
window.__ran = [];
window.__forbidden = [];
window.pwned = window.alert = window.confirm = window.prompt = () => window.__ran.push('called');
document.addEventListener('securitypolicyviolation',
    event => window.__forbidden.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
# Everything an answer may consist of.
LOOK = """() => {
  const tags = new Set(('P H3 H4 H5 H6 UL OL LI DIV BLOCKQUOTE PRE CODE FIGURE FIGCAPTION '
    + 'SPAN BUTTON TABLE THEAD TBODY TR TH TD EM STRONG S A BR HR svg path').split(' '));
  const names = new Set(('class dir start href rel target title tabindex role aria-label '
    + 'aria-hidden type scope viewBox d').split(' '));
  const wrong = [];
  for (const one of document.querySelectorAll('.answer-text *')) {
    const attributes = [...one.attributes].map(({name}) => name);
    if (!tags.has(one.tagName) || !attributes.every(name => names.has(name))) {
      wrong.push(one.outerHTML.slice(0, 200));
    }
    if (one.tagName === 'A') {
      if (!/^https?:\\/\\//.test(one.href) || one.protocol === 'javascript:') wrong.push(one.href);
      if (!one.rel.includes('noopener') || one.target !== '_blank') wrong.push(one.outerHTML);
      if (one.username || one.host === location.host) wrong.push(one.href);
    }
  }
  return wrong;
}"""


class Watched:
    """A window whose every request, dialog and violation is noted."""

    def __init__(self, browser: Any, place: Place) -> None:
        self.place = place
        self.context = browser.new_context(locale="en-US")
        self.context.add_init_script(TRAPS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.others: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("page", lambda page: self.others.append("a new window"))
        self.page.on("dialog", lambda dialog: self.others.append(dialog.message))
        self.page.on("pageerror", lambda error: self.others.append(str(error)))
        self.page.goto(place.address)
        self.page.wait_for_selector("#model option", state="attached")

    def is_unharmed(self) -> None:
        assert self.page.evaluate("window.__ran") == []
        assert self.page.evaluate("window.__forbidden") == []
        assert self.others == []
        assert [url for url in self.requests if not url.startswith(self.place.address)] == []
        assert self.page.url == self.place.address


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    def says(messages: list[Message]) -> str:
        return TEXTS[int(messages[-1].content)]

    folder = tmp_path_factory.mktemp("hostile")
    with serving_page({"model": says}, folder, window=1 << 18) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_there_are_enough_of_them() -> None:
    assert len(TEXTS) == 200
    assert sum("pwned()" in text for text in TEXTS) > 100
    assert sum("evil.example" in text for text in TEXTS) > 50


def test_hostile_answers_in_a_file_are_only_text(
    browser: Any, place: Place, tmp_path: Path
) -> None:
    watched = Watched(browser, place)
    page = watched.page
    path = tmp_path / "hostile.json"
    path.write_text(conversations_file(TEXTS), encoding="utf-8")
    page.set_input_files("#import-file", path)
    page.wait_for_function("() => document.querySelectorAll('.entry').length === 10")
    num_answers = 0
    for place_in_list in range(10):
        page.locator(".entry-title").nth(place_in_list).click()
        assert page.evaluate(LOOK) == []
        num_answers += page.locator(".turn.answer").count()
    assert num_answers == 200
    assert page.locator(".entry-title").first.inner_text().startswith("hostile <b onclick=pwned()>")
    watched.is_unharmed()
    watched.context.close()


@pytest.mark.parametrize("text", ["~" * 100_000 + "`", "> " * 50_000, "- " * 50_000, "|-" * 50_000])
def test_a_line_that_was_written_to_be_slow_is_not(browser: Any, place: Place, text: str) -> None:
    watched = Watched(browser, place)
    milliseconds = watched.page.evaluate(
        """async (text) => {
          const {parseBlocks} = await import('/page/js/markdown/blocks.js');
          const begun = performance.now();
          parseBlocks([text, text]);
          return performance.now() - begun;
        }""",
        text,
    )
    assert milliseconds < 1500
    watched.is_unharmed()
    watched.context.close()


@pytest.mark.parametrize("letter", ["\U00020bb7", "字", "a"])
def test_a_title_is_cut_between_letters(browser: Any, place: Place, letter: str) -> None:
    watched = Watched(browser, place)
    title = watched.page.evaluate(
        "async (text) => (await import('/page/js/tree.js')).titleFrom(text)", "b" + letter * 60
    )
    assert title == "b" + letter * 47 + "…"
    watched.context.close()


@pytest.mark.slow
def test_hostile_answers_of_a_model_are_only_text(browser: Any, place: Place) -> None:
    watched = Watched(browser, place)
    page = watched.page
    for number in range(len(TEXTS)):
        page.keyboard.press("Alt+n")
        page.fill("#draft", str(number))
        page.press("#draft", "Enter")
        page.wait_for_function(
            "() => document.querySelector('.turn.answer') && !document.querySelector('.running')"
            " && document.querySelector('#stop').hidden",
            timeout=60_000,
        )
        assert page.locator(".failure").count() == 0, TEXTS[number][:100]
        assert page.evaluate(LOOK) == [], TEXTS[number][:100]
        if page.locator(".why").count():
            page.click(".why")
            assert (
                page.evaluate("document.querySelectorAll('.answer-text script, img').length") == 0
            )
    watched.is_unharmed()
    watched.context.close()


@pytest.mark.slow
def test_the_browser_would_forbid_what_the_page_does_not_do(browser: Any, place: Place) -> None:
    """The second wall, and proof that the traps catch."""
    watched = Watched(browser, place)
    page = watched.page
    refused = page.evaluate(
        """() => {
          const tried = {
            html: () => { document.body.innerHTML = '<img src=x onerror=pwned()>'; },
            code: () => { document.createElement('script').text = 'pwned()'; },
            later: () => { setTimeout('pwned()', 0); },
            handler: () => { document.body.setAttribute('onclick', 'pwned()'); },
          };
          return Object.keys(tried).filter(name => {
            try { tried[name](); return false; } catch { return true; }
          });
        }"""
    )
    assert refused == ["html", "code", "later", "handler"]
    page.evaluate(
        """() => {
          const image = document.createElement('img');
          image.src = 'https://evil.example/x.png';
          document.body.append(image);
          fetch('https://evil.example/').catch(() => {});
        }"""
    )
    for rule in ("require-trusted-types-for", "img-src", "connect-src"):
        page.wait_for_function(
            "rule => window.__forbidden.some(one => one.startsWith(rule))", arg=rule
        )
    assert page.evaluate("window.__ran") == []
    with pytest.raises(AssertionError):
        watched.is_unharmed()
    page.evaluate("pwned()")
    assert page.evaluate("window.__ran") == ["called"]
    watched.context.close()
