"""The text of Markdown files: without what stands there for programs, the marks themselves left."""

from __future__ import annotations

import re
from array import array

_FRONT_MATTER = {
    "---": re.compile(r"\A---[ \t]*\n(.{0,20000}?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL),
    "+++": re.compile(r"\A\+\+\+[ \t]*\n(.{0,20000}?\n)\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL),
}
# What a line of YAML or TOML at the left margin may be; what goes on from one is indented. A name
# of YAML may hold nearly anything ("og:title", "@id", "title (en)"): without quotation marks it is
# none here that begins as Markdown does or has what parts a sentence.
_QUOTED = r"""(?:"[^"\n]{1,80}"|'[^'\n]{1,80}')"""
_PLAIN = r"""[^\s#*>|`+!\[(<:"'“‘「『《—-][^\n,;!?，。；！？“”「」]{0,80}?"""
_FRONT_KEY = {
    "---": re.compile(rf"(?:{_QUOTED}|{_PLAIN}|<<)[ \t]*:(?:\s|$)"),
    "+++": re.compile(rf"(?:{_QUOTED}|[\w./ -]{{1,60}})[ \t]*=|\["),
}
_TOML_LINES = re.compile(r"""=[ \t]*(\"{3}|'{3}).*?\1""", re.DOTALL)
_FRONT_OTHER = re.compile(r"\s|#|-\s|[\]})]|$")
_CODE_OR_COMMENT = re.compile(r"^[ \t]*(?:(`{3,})[^`\n]*|(~{3,})[^\n]*)$|(`+)|<!--", re.MULTILINE)
_TICKS = re.compile("`+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def markdown_text(text: str) -> str:
    """Markdown without a header of YAML or TOML and without comments."""
    pattern = _FRONT_MATTER.get(text[:3])
    header = pattern.match(text) if pattern else None
    if header and _is_front_matter(header[1], text[:3]):
        text = text[header.end() :]
    return _without_comments(text)


def _is_front_matter(between: str, rule: str) -> bool:
    """Whether what stands between two rules is keys and values throughout: a text may begin with a
    rule as well, and have a colon somewhere before the next one."""
    if rule == "+++":  # strings of several lines have these at the margin as well
        between = _TOML_LINES.sub("=", between)
    lines, key = between.split("\n"), _FRONT_KEY[rule]
    keys = [bool(key.match(line)) for line in lines]
    return any(keys) and all(
        is_key or _FRONT_OTHER.match(line) for line, is_key in zip(lines, keys, strict=True)
    )


def _without_comments(text: str) -> str:
    """A comment that is shown, in code, stays; what begins like one and never ends is none.

    In time that grows with the text: an expression would look for an end anew from each beginning.
    """
    if "<!--" not in text:
        return text
    spans = _CodeSpans(text)
    parts: list[str] = []
    kept = at = 0
    while found := _CODE_OR_COMMENT.search(text, at):
        if fence := found[1] or found[2]:
            at = _end_of_fence(text, found.end(), fence)
        elif found[3]:
            at = spans.end(found.start(), found.end())
        else:
            end = text.find("-->", found.start() + 4)
            if end < 0:
                break
            parts.append(text[kept : found.start()])
            kept = at = end + 3
    return "".join([*parts, text[kept:]])


def _end_of_fence(text: str, at: int, fence: str) -> int:
    """A fence that is not closed goes to the end of the text."""
    closing = re.compile(rf"^[ \t]*{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
    found = closing.search(text, at)
    return found.end() if found else len(text)


class _CodeSpans:
    """Where code within a line ends: at the next run of as many backticks in its paragraph. Asked
    from the beginning of the text to its end, it looks at each place a few times only."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._blank = -1
        self._runs: dict[int, array[int]] = {}  # by their length
        self._passed: dict[int, int] = {}
        for run in _TICKS.finditer(text):
            self._runs.setdefault(len(run[0]), array("q")).append(run.start())

    def end(self, start: int, end: int) -> int:
        """The end of the code that the run of backticks from `start` to `end` begins, or `end`
        where it begins none."""
        runs, number = self._runs[end - start], self._passed.get(end - start, 0)
        while number < len(runs) and runs[number] < end:
            number += 1
        self._passed[end - start] = number
        if number == len(runs):
            return end
        if self._blank < end:
            found = _BLANK_LINE.search(self._text, end)
            self._blank = found.start() if found else len(self._text)
        return runs[number] + end - start if runs[number] < self._blank else end
