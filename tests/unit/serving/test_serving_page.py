"""The chat page as the server gives it: files, headers, keys, and what the files may not hold."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest
from serving_fakes import fake_model, running

from homespun.cli.commands.using import chat as command
from homespun.serving import (
    KeyRing,
    Preference,
    PreferenceLog,
    ServerConfig,
    build_page,
    hash_of,
)
from homespun.serving.page import PAGE_HEADERS, read_page

ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "src" / "homespun" / "serving" / "web"
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
KEY = "hs-0123456789abcdef"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    yield from _client({})


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx2.Client]:
    """Of a server that asks for a key."""
    yield from _client({"mine": hash_of(KEY)})


def _client(keys: dict[str, str]) -> Iterator[httpx2.Client]:
    router, is_public = build_page(None)
    with (
        running(fake_model(), keys=KeyRing(keys), extra=[router], is_public=is_public) as server,
        server.client() as found,
    ):
        yield found


@pytest.fixture(scope="module")
def words() -> dict[str, dict[str, str]]:
    return read_words()


def read_words() -> dict[str, dict[str, str]]:
    text = (WEB / "js" / "strings.js").read_text("utf-8")
    return dict(json.loads(text[text.index("{") :].rstrip().rstrip(";")))


def test_every_file_is_served_as_what_it_is(client: httpx2.Client) -> None:
    page = read_page()
    assert len(page) == len(FILES)
    for path in page:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.content == page[path].data
        assert answer.headers["content-type"] == page[path].kind
        for name, value in PAGE_HEADERS.items():
            assert answer.headers.get_list(name) == [value], (path, name)


def test_the_page_may_load_from_its_own_server_alone_and_run_nothing_inline() -> None:
    rules = dict(
        rule.strip().split(" ", 1) for rule in PAGE_HEADERS["Content-Security-Policy"].split(";")
    )
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert rules["default-src"] == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}


def test_a_file_that_is_known_is_not_sent_again(client: httpx2.Client) -> None:
    first = client.get("/page/js/main.js")
    again = client.get("/page/js/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/page/js/main.js", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    head = client.head("/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/index.html",
        "/page/js",
        "/page/..%2fpage.py",
        "/page/%2e%2e/page.py",
        "/page//etc/passwd",
        "//page/js/main.js",
        "/page/js/main.js/",
        "/PAGE/js/main.js",
        "/page/js\\main.js",
    ],
)
def test_other_addresses_lead_nowhere(client: httpx2.Client, path: str) -> None:
    answer = client.get(client.base_url.copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert b"def " not in answer.content


def test_files_need_no_key_and_everything_else_does(locked: httpx2.Client) -> None:
    for path in read_page():
        assert locked.get(path).status_code == 200
    for path in ("/page/config", "/v1/models"):
        assert locked.get(path).status_code == 401
        assert locked.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert locked.post("/page/preferences", json={}).status_code == 401


def test_pages_of_other_sites_are_refused(client: httpx2.Client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    answer = client.post("/page/preferences", json={}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_the_page_is_told_what_it_may_ask_for(client: httpx2.Client) -> None:
    told = client.get("/page/config").json()
    asked = {"temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "logprobs"}
    assert asked <= set(told["fields"])
    assert told["keeps_preferences"] is False
    assert told["most_alternatives"] > 0
    assert told["most_body_bytes"] == ServerConfig().most_body_bytes
    text = (WEB / "js" / "controls.js").read_text("utf-8")
    controls = set(re.findall(r'name: "(\w+)"', text))
    assert controls <= set(told["fields"])
    assert set(told["defaults"]) == controls - {"max_tokens", "seed"}
    # As a conversation at the terminal, so that a model is the same in both.
    at_terminal = inspect.signature(command).parameters
    for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"):
        assert told["defaults"][name] == at_terminal[name].default


def test_a_wheel_holds_every_file_of_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["homespun"]
    for path in FILES:
        name = f"serving/web/{path.relative_to(WEB)}"
        assert any(fnmatch(name, pattern.replace("**/", "*")) for pattern in patterns), name


# ---- what the files hold


def test_both_languages_say_the_same_things(words: dict[str, dict[str, str]]) -> None:
    assert set(words) == {"en", "zh"}
    assert list(words["en"]) == list(words["zh"])
    for key, english in words["en"].items():
        chinese = words["zh"][key]
        assert english.strip()
        assert chinese.strip()
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key


KEPT = {
    # key of what is kept: what the page calls it, in English and Chinese
    "prompt": (("whole conversation", "system prompt"), ("整个对话", "系统提示")),
    "left": (("both answers", "settings"), ("两个回答", "设置")),
    "right": (("both answers", "settings"), ("两个回答", "设置")),
    "choice": (("Your choice",), ("你的选择",)),
    "judge": (("name of your key",), ("密钥名称",)),
    # Nothing of a person.
    "schema_version": ((), ()),
    "id": ((), ()),
    "time": ((), ()),
    "language": ((), ()),
}


def test_all_that_is_kept_with_a_choice_is_told_before_it_is_made(
    words: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "preferences.jsonl"
    answer = {"model": "m", "settings": {}, "text": "t", "finish_reason": "stop"}
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    given = {"schema_version": 1, "prompt": prompt, "choice": "left"}
    choice = Preference.model_validate({**given, "left": answer, "right": answer})
    PreferenceLog(path).append(choice, judge="anna")
    kept = json.loads(path.read_text("utf-8"))
    assert kept.keys() == KEPT.keys()
    for language, number in (("en", 0), ("zh", 1)):
        for told in KEPT.values():
            for word in told[number]:
                assert word in words[language]["compare_kept"]


def test_every_word_is_used_and_every_used_word_is_there(words: dict[str, dict[str, str]]) -> None:
    html = (WEB / "index.html").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in SCRIPTS if path.name != "strings.js")
    used = set(re.findall(r'data-(?:text|label|placeholder)="(\w+)"', html))
    used |= set(re.findall(r'\bt\("(\w+)"', code))
    assert used - set(words["en"]) == set()
    named = set(re.findall(r'"(\w+)"', code))
    prefixes = tuple(re.findall(r"t\(`(\w+_)\$", code)) + tuple(re.findall(r"\? `(\w+_)\$", code))
    hints = {f"{name}_hint" for name in named}
    unused = [
        key
        for key in words["en"]
        if key not in used | named | hints and not key.startswith(prefixes)
    ]
    assert unused == []


def test_no_script_makes_elements_or_code_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|parseFromString|"
        r"createContextualFragment|\beval\b|new Function|srcdoc|setHTML|javascript:"
    )
    found = {
        path.name: match.group()
        for path in SCRIPTS
        if (match := forbidden.search(path.read_text("utf-8")))
    }
    assert found == {}


def test_nothing_is_loaded_from_elsewhere() -> None:
    address = re.compile(r"(?:https?:)?//[\w.-]+\.\w+")
    for path in FILES:
        text = path.read_text("utf-8")
        text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        code = "\n".join(line.split("// ")[0] for line in text.splitlines())
        assert address.search(code) is None, path.name
        assert "@import" not in text
        assert "url(" not in text


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed((WEB / "index.html").read_text("utf-8"))
    return parser.found


Elements = list[tuple[str, dict[str, str | None]]]


def test_the_document_has_no_inline_script_or_style(elements: Elements) -> None:
    for tag, attributes in elements:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_what_refers_to_an_element_finds_it(elements: Elements) -> None:
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    refers = ("for", "aria-controls", "aria-labelledby", "aria-describedby")
    for _, attributes in elements:
        for name in refers:
            for target in (attributes.get(name) or "").split():
                assert target in ids, (name, target)
    code = "\n".join(path.read_text("utf-8") for path in SCRIPTS)
    assert set(re.findall(r'byId\("([\w-]+)"\)', code)) - set(ids) == set()


def test_every_control_of_the_document_has_a_name(elements: Elements) -> None:
    labelled = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    inside_labels = {"model", "system", "key"}
    for tag, attributes in elements:
        if tag == "button":
            assert attributes.get("data-text") or attributes.get("data-label"), attributes
        if tag in ("input", "textarea", "select") and "hidden" not in attributes:
            assert attributes["id"] in labelled | inside_labels, attributes


def test_text_stands_out_from_what_is_behind_it() -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1 at least; 1.4.11: 3 to 1 for edges of controls."""
    css = (WEB / "css" / "base.css").read_text("utf-8")
    colours = {
        name: (light, dark)
        for name, light, dark in re.findall(r"--(\w[\w-]*): light-dark\((#\w{6}), (#\w{6})\)", css)
    }
    for theme in (0, 1):
        for paper in ("paper", "raised"):
            for ink in ("ink", "quiet", "madder", "indigo", "bad"):
                assert contrast(colours[ink][theme], colours[paper][theme]) >= 4.5, (ink, paper)
            assert contrast(colours["edge"][theme], colours[paper][theme]) >= 3
        for strong in ("indigo", "bad"):
            assert contrast(colours["on-strong"][theme], colours[strong][theme]) >= 4.5


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_reckoned_rightly() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
