"""Stories that end, poems that keep their form, code that parses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from homespun.core import ConfigError, RequestError
from homespun.recipes.writing import longest_code, poem_regex, write


@dataclass
class Said:
    text: str
    finish_reason: str


class Scripted:
    """A run that says its lines one after another, and remembers how it was asked."""

    def __init__(self, *said: Said) -> None:
        self.said, self.asked = list(said), list[dict[str, Any]]()

    def generate(self, prompt: str, **settings: Any) -> Said:
        self.asked.append(settings)
        return self.said[len(self.asked) - 1]


def test_a_story_is_written_until_it_ends() -> None:
    run = Scripted(Said(" and on", "length"), Said(" they lived.", "stop"))
    found = write(run, "story", prompt="So", seed=7)  # type: ignore[arg-type]
    assert (found.text, found.tries, found.holds) == ("So they lived.", 2, True)
    assert [asked["seed"] for asked in run.asked] == [7, 8]
    endless = Scripted(*[Said("…", "length")] * 3)
    assert write(endless, "story", tries=3).holds is False  # type: ignore[arg-type]


def test_code_is_cut_where_it_stops_parsing() -> None:
    assert longest_code("x = 1\ny = (\nz") == "x = 1"
    assert longest_code("def f():\n    return 1\n\nclass") == "def f():\n    return 1\n"
    assert longest_code("def f(") == ""
    assert longest_code('x = "\\d"\n1 is 1\n(') == 'x = "\\d"\n1 is 1'  # nobody is warned of it
    run = Scripted(Said("(:", "length"), Said("():\n    return 2\nif", "length"))
    found = write(run, "code", prompt="def f")  # type: ignore[arg-type]
    assert (found.text, found.tries, found.holds) == ("def f():\n    return 2", 2, True)


def test_a_poems_form_is_an_expression_of_what_is_left() -> None:
    whole = re.compile(poem_regex("5x4", ""))
    assert whole.fullmatch("床前明月光，疑是地上霜。举头望明月，低头思故乡。")
    assert not whole.fullmatch("床前明月光，疑是地上霜。举头望明月，低头思故。")
    rest = re.compile(poem_regex("5x4", "床前明月光，疑是"))
    assert rest.fullmatch("地上霜。举头望明月，低头思故乡。")
    assert re.fullmatch(poem_regex(None, ""), "one line\nand two\nand three\nfour")
    # Lines that a prompt has are of the four.
    assert re.fullmatch(poem_regex(None, "one line\nand "), "two\nand three\nfour")
    assert not re.fullmatch(poem_regex(None, "one line\nand "), "two\nthree\nfour\nfive")
    assert re.fullmatch(poem_regex(None, "窗前\n看海\n听雨\n"), "入梦")
    with pytest.raises(RequestError, match="has 4 lines, and the prompt more"):
        poem_regex(None, "one\ntwo\nthree\nfour\nfive")
    run = Scripted(Said("月光。", "stop"))
    assert write(run, "poem", prompt="明", form="4x1").holds  # type: ignore[arg-type]
    assert run.asked[0]["constraint"].kind == "regex"


def test_wrong_forms_are_told() -> None:
    for form in ("5", "5x", "0x4", "axb"):
        with pytest.raises(ConfigError, match="LENGTHxLINES"):
            poem_regex(form, "")
    with pytest.raises(RequestError, match="at character 3"):
        poem_regex("5x4", "床前a")
    with pytest.raises(RequestError, match="as long as the poem"):
        poem_regex("1x1", "床，床")
    with pytest.raises(ConfigError, match="did you mean 'poem'"):
        write(Scripted(), "poems")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="1 to 20"):
        write(Scripted(), "story", tries=0)  # type: ignore[arg-type]
