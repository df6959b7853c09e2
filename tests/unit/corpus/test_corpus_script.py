"""Chinese in one script, whatever it comes in."""

from __future__ import annotations

import sys

import pytest

from homespun.core import ConfigError
from homespun.corpus import SCRIPTS, in_script


def test_words_decide_which_character_is_meant() -> None:
    assert in_script(["發現頭髮", "乾燥的乾坤"], "simplified") == ["发现头发", "干燥的乾坤"]
    assert in_script(["发现头发"], "traditional") == ["發現頭髮"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_all_else_stays_and_twice_is_as_once(script: str) -> None:
    text = "Hello,\n\tWorld 你\u3000好 😀 \x00 １２ かな é"
    (once,) = in_script([text], script)
    assert once == text
    (chinese,) = in_script(["臺灣的软件裡有頭髮"], script)
    assert in_script([chinese], script) == [chinese]
    assert in_script([], script) == []


def test_another_script_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no such script.*take simplified or traditional"):
        in_script(["好"], "runes")


def test_without_opencc_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.cli.errors import explain
    from homespun.corpus import script

    script._converter.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        in_script(["好"], "simplified")
    sentence = "the package opencc is not installed; install it with `pip install 'homespun[zh]'`"
    assert explain(caught.value).sentence == sentence
