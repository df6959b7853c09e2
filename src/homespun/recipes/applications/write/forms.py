"""The form that texts have, whether one keeps it, and where a text's beginning ends."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from homespun.core import ConfigError, RequestError, did_you_mean
from homespun.recipes.writing import (
    KINDS,
    form_of,
    longest_code,
    nearest_form,
    parses,
    poem_regex,
)

EVEN = "even"
"""A poem whose lines are all as long as one another, however long."""
_MOST_LOOKED_AT = 1000
_USUAL = 0.8
"""Share of texts from which on all are held to what these have in common."""
_CODE_SIGN = re.compile(r"^\s*(def |class |import |from \w|return\b|for .*:|if .*:|\w+ = )", re.M)
_FIRST_LINE = re.compile(r"[^\n，。！？；]*[\n，。！？；]")
_WORD = re.compile(r"\s*(?:[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+)")
_NUM_WORDS, _BEGINNING = 8, 0.5
"""Words that begin a text, and how much of it they are at most: something is left to write."""


class Form(NamedTuple):
    """Attributes:
    kind: one of `KINDS`.
    lines: of a poem, LENGTHxLINES, `EVEN`, or "" for four lines of any length.
    """

    kind: str
    lines: str = ""

    @property
    def wanted(self) -> str:
        """What keeping it means, as a measure is called."""
        if self.kind == "code":
            return "parses as Python"
        if self.kind == "poem":
            return f"keeps {self.lines}" if self.lines not in ("", EVEN) else "keeps its form"
        return "ends by itself"

    def regex_form(self, tried: str) -> str | None:
        """What `poem_regex` calls it; where lines have any length, that of what was tried before.

        Raises:
            RequestError: nothing tells the length of a line.
        """
        if self.lines != EVEN:
            return self.lines or None
        nearest = nearest_form(tried)
        if nearest is None:
            raise RequestError(
                "what was tried has no lines of Chinese characters", remedy="try once more freely"
            )
        return nearest

    def is_kept(self, text: str, *, has_ended: bool) -> bool:
        """Whether `text` keeps it.

        Args:
            has_ended: it was not cut where nothing more could be written.
        """
        if self.kind == "code":
            # What was cut has half a line at its end, which says nothing of the rest.
            whole = text if has_ended else text.rpartition("\n")[0]
            return bool(whole.strip()) and parses(whole)
        if not has_ended:
            return False
        if self.kind == "story":
            return bool(text.strip())
        if self.lines == EVEN:
            return form_of(text) is not None
        if self.lines:
            return form_of(text) == self.lines
        return re.fullmatch(poem_regex(None, ""), text.strip()) is not None

    def mended(self, text: str, before: str) -> str | None:
        """The part of a text that keeps the form, beyond `before`; None where there is none."""
        if self.kind != "code":
            return None
        code = longest_code(text)
        return code if code.strip() and len(code) > len(before.rstrip()) else None


def form_asked(kind: str, lines: str, texts: Sequence[str]) -> Form:
    """The form the user named, else what most of `texts` have: code where they parse, a poem where
    lines are even, else a story.

    Raises:
        ConfigError: there is no such kind, or `lines` is no form or of something that has none.
    """
    if kind and kind not in KINDS:
        raise ConfigError(f"there is no kind '{kind}'", remedy=did_you_mean(kind, list(KINDS)))
    if lines and lines != EVEN:
        poem_regex(lines, "")  # says what is wrong
    if lines and kind not in ("", "poem"):
        raise ConfigError(f"a {kind} has no form of lines", got=lines, remedy="take --kind poem")
    if lines:
        return Form("poem", lines)
    some = texts[:: max(1, len(texts) // _MOST_LOOKED_AT)]
    least = max(1.0, _USUAL * len(some))
    forms = Counter(found for found in map(form_of, some) if found is not None)
    usual = ""
    if sum(forms.values()) >= least:
        form, num = forms.most_common(1)[0]
        usual = form if num >= least else EVEN
    if kind in ("", "poem") and usual:
        return Form("poem", usual)
    if kind:
        return Form(kind)
    code = sum(bool(_CODE_SIGN.search(text)) and parses(text) for text in some)
    return Form("code" if code >= least else "story")


def beginning(text: str) -> str:
    """The first line of a text, or its first words where that is half of it and more."""
    most = int(_BEGINNING * len(text))
    line = _FIRST_LINE.match(text)
    if line is not None and line[0].strip() and len(line[0]) <= most:
        return line[0]
    ends = [found.end() for found in islice(_WORD.finditer(text), _NUM_WORDS)]
    return text[: max((end for end in ends if end <= most), default=most)]
