"""How sentences are cut for measures of translation: `13a`, `zh`, `char` and `none`.

13a is that of NIST's mteval-v13a, which WMT has used since 2013; zh is WMT's for Chinese: single
Chinese characters and full-width signs, the rest as in 13a. Both are told in words in Post (2018),
section 2.2; a test shows that they cut as sacrebleu does. Where its zh means the rare characters of
extension B (U+20000 on), it in fact takes the signs from U+2001 on, quotation marks among them;
since scores must compare, so does ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from homespun.core import ConfigError

CutName = Literal["13a", "zh", "char", "none"]

_ALWAYS_APART = re.compile(r"""([{|}~\[\\\]^_`!"#$%&()*+:;<=>?@/])""")
# Full stops and commas go with digits on both sides ("3.14"), a dash with a letter before it.
_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_HAN_AND_SIGNS = re.compile(
    "(["
    "\u2001-\u2a6d"  # dashes, quotation marks, arrows, signs
    "\u2e80-\u2fdf\u2ff0-\u303f"  # radicals, description of characters, punctuation
    "\u3100-\u312f\u31a0-\u31bf\u31c0-\u31ef"  # Zhuyin, strokes
    "\u3200-\u4db5\u4e00-\u9fbb"  # enclosed and squared signs, extension A, Han
    "\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9"  # compatibility
    "\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef"  # vertical and full-width forms
    "])"
)


def cutter(name: CutName) -> Callable[[str], list[str]]:
    """The function from a sentence to its tokens.

    Raises:
        ConfigError: there is none of that name.
    """
    cutters: dict[str, Callable[[str], list[str]]] = {
        "13a": cut_13a,
        "zh": cut_zh,
        "char": cut_characters,
        "none": lambda text: text.split(),
    }
    if name not in cutters:
        raise ConfigError("unknown tokenisation", got=name, remedy=f"take one of {list(cutters)}")
    return cutters[name]


def cut_13a(text: str) -> list[str]:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, sign in _ENTITIES:
            text = text.replace(entity, sign)
    return _cut_western(f" {text} ")


def cut_zh(text: str) -> list[str]:
    return _cut_western(_HAN_AND_SIGNS.sub(r" \1 ", text.strip()))


def cut_characters(text: str) -> list[str]:
    """Every character but white space."""
    return list("".join(text.split()))


def _cut_western(text: str) -> list[str]:
    text = _ALWAYS_APART.sub(r" \1 ", text)
    text = _AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()
