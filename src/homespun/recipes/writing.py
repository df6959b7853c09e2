"""Writing with a form: stories that end, poems of so many lines, code that parses."""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError, Constraint, RequestError, did_you_mean

if TYPE_CHECKING:
    from homespun.recipes.run import Run

KINDS = ("story", "poem", "code")
_HAN = "[\u4e00-\u9fff]"
_FORM = re.compile(r"(\d{1,2})x(\d{1,2})")
_LINE = re.compile(f"{_HAN}+")
_BETWEEN_LINES = re.compile(r"[，。！？；、：\s]+")
_MOST_TRIES = 20
_USUAL_LINES, _USUAL_LINE = 4, r"[^\n]{2,60}"
"""Of a poem without a form."""


class Written(NamedTuple):
    """Attributes:
    text: the prompt and what was written behind it.
    tries: how many were written until one held.
    holds: whether it keeps its form: ends by itself, has its lines, parses.
    """

    text: str
    tries: int
    holds: bool


def write(
    run: Run,
    kind: str,
    *,
    prompt: str = "",
    form: str | None = None,
    tries: int = 5,
    max_tokens: int = 300,
    temperature: float = 0.8,
    seed: int = 0,
) -> Written:
    """Write until something holds, or the last thing that did not.

    A story holds when it ends by itself. A poem is held to its form while it is written: "5x4" is
    four lines of five Chinese characters, as a 五言绝句 has, "7x8" eight of seven; without a
    form it is four lines of any length. Code (Python) is cut after its last line up to which it
    parses, and holds when that is not the prompt alone; nothing of it is run.

    Args:
        run: a model that goes on with text.
        kind: one of `KINDS`.
        prompt: what it begins with.
        form: of a poem, LENGTHxLINES.
        tries: at most, each from another seed.
        max_tokens, temperature, seed: of each.

    Raises:
        ConfigError: another kind, or a form that is none. RequestError: tries are out of range, or
            the prompt does not fit into the form.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no kind '{kind}'", remedy=did_you_mean(kind, list(KINDS)))
    if not 1 <= tries <= _MOST_TRIES:
        raise RequestError(f"there must be 1 to {_MOST_TRIES} tries", got=tries, remedy="take 5")
    settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    if kind == "poem":
        settings["constraint"] = Constraint(kind="regex", text=poem_regex(form, prompt))
    written = Written(prompt, 0, holds=False)
    for number in range(1, tries + 1):
        found = run.generate(prompt, seed=(seed + number - 1) % 2**63, **settings)
        text = prompt + found.text
        if kind == "code":
            text = longest_code(text)
            holds = len(text) > len(prompt.rstrip()) and bool(text.strip())
        else:
            holds = found.finish_reason == "stop"
        written = Written(text, number, holds)
        if holds:
            break
    return written


def poem_regex(form: str | None, prompt: str) -> str:
    """What may follow `prompt` in a poem of this form: commas behind odd lines, full stops behind
    even ones.

    Raises:
        ConfigError: the form is not LENGTHxLINES. RequestError: the prompt is no beginning of it,
            or of more lines than a poem has without a form.
    """
    if form is None:
        breaks = _USUAL_LINES - 1 - prompt.count("\n")
        if breaks < 0:
            raise RequestError(
                f"a poem without a form has {_USUAL_LINES} lines, and the prompt more",
                got=prompt,
                remedy="shorten it, or give the poem a form",
            )
        return rf"({_USUAL_LINE}\n){{{breaks}}}{_USUAL_LINE}" if breaks else _USUAL_LINE
    match = _FORM.fullmatch(form)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ConfigError(
            "a poem's form is LENGTHxLINES", got=form, remedy="as in 5x4, four lines of five"
        )
    length, lines = int(match[1]), int(match[2])
    marks = ["，" if line % 2 == 0 else "。" for line in range(lines)]
    whole = [part for mark in marks for part in (*([None] * length), mark)]
    if len(prompt) >= len(whole):
        raise RequestError("the prompt is as long as the poem", got=prompt, remedy="shorten it")
    for place, (letter, wanted) in enumerate(zip(prompt, whole, strict=False)):
        fits = letter == wanted if wanted is not None else bool(re.fullmatch(_HAN, letter))
        if not fits:
            raise RequestError(
                f"the prompt is no beginning of a {form} poem at character {place + 1}",
                got=letter,
                remedy="write Chinese characters, ， behind odd lines and 。 behind even ones",
            )
    rest = whole[len(prompt) :]
    return "".join(_HAN if part is None else part for part in rest)


def form_of(poem: str) -> str | None:
    """LENGTHxLINES of Chinese lines of one length, whatever marks or line breaks stand between
    them; None of other text."""
    lines = [line for line in _BETWEEN_LINES.split(poem.strip()) if line]
    lengths = {len(line) for line in lines}
    if len(lengths) != 1 or not all(_LINE.fullmatch(line) for line in lines):
        return None
    return f"{lengths.pop()}x{len(lines)}"


def nearest_form(poem: str) -> str | None:
    """LENGTHxLINES of the first line and of as many pairs of lines as a poem has, or tried to have;
    None where the first line is not Chinese, or so long that no form has it."""
    lines = [line for line in _BETWEEN_LINES.split(poem.strip()) if line]
    form = f"{len(lines[0])}x{2 * ((len(lines) + 1) // 2)}" if lines else ""
    return form if _FORM.fullmatch(form) and _LINE.fullmatch(lines[0]) else None


def longest_code(text: str) -> str:
    """The beginning of `text`, in whole lines, that is Python; "" where no line is."""
    lines = text.splitlines()
    for stop in range(len(lines), 0, -1):
        code = "\n".join(lines[:stop])
        if parses(code):
            return code
    return ""


def parses(code: str) -> bool:
    """Whether `code` is Python. Nothing of it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes, say: it is Python all the same
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
