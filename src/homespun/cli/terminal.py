"""What reaches the terminal: UTF-8, colours only where wanted, numbers as people write them."""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_NO_WIDTH = 100_000
"""Columns of what is no terminal: nothing is cut or broken there."""


def open_streams() -> None:
    """Have three standard streams, in UTF-8. One that was closed, as services may start a program,
    is /dev/null: else the next file that is opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for the rest of the process
    use_utf8()


def use_utf8() -> None:
    """Make the three standard streams UTF-8 whatever the locale says.

    What cannot be written or read (half of a surrogate pair, a stray byte) becomes a replacement
    character, so that printing a model's text can never end the program.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(encoding="utf-8", errors="replace")


def out() -> Console:
    """Where results go. Colours on a terminal, none in a pipe or under NO_COLOR. Tables have to fit
    a terminal, or COLUMNS where that is set, and are whole elsewhere."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _NO_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def err() -> Console:
    """Where progress and errors go, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(text: str = "", style: str = "") -> None:
    """One line of result. It is left to the terminal to wrap, so that pipes get it whole."""
    out().print(visible(text), style=style, soft_wrap=True)


def table(name: str, *numbers: str, title: str = "") -> Table:
    """A table whose first column stays whole, followed by right-aligned columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    made.add_column(name, no_wrap=True)
    for number in numbers:
        made.add_column(number, justify="right")
    return made


def fits(made: Table) -> bool:
    """Whether the terminal is wide enough for the table with nothing cut or broken."""
    console = out()
    wide = console.options.update(max_width=_NO_WIDTH)
    return console.measure(made, options=wide).maximum <= console.width


def say_below(text: str, *, indent: int = 2) -> None:
    """More about the line before: indented, broken between words where the terminal ends."""
    from rich.padding import Padding
    from rich.text import Text

    out().print(Padding(Text(visible(text)), (0, 0, 0, indent), expand=False))


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def visible(text: str) -> str:
    """`text` with control characters spelled out: a file name must not steer the terminal. Spaces
    of any width stay, as those that Chinese paragraphs begin with, and so does what joins emoji."""
    return "".join(c if _is_harmless(c) else c.encode("unicode_escape").decode() for c in text)


def write_answer(text: str) -> None:
    """What a model wrote, with nothing around it and at once: as it is into a file or a pipe,
    `visible` on a terminal."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def write_prompt(text: str) -> None:
    """What a model goes on from, before what it writes; on a terminal told apart from that."""
    if sys.stdout.isatty():
        out().print(visible(text), style="dim", end="", soft_wrap=True)
    else:
        write_answer(text)


def _is_harmless(character: str) -> bool:
    return (
        character.isprintable()
        or character in "\n\t\u200c\u200d"
        or unicodedata.category(character) == "Zs"
    )


def bytes_text(count: float) -> str:
    """1536 -> "1.5 kB"; decimal units, as disks are sold."""
    from homespun.core import numbers

    return numbers.bytes_text(count)


def count_text(count: float) -> str:
    """1234567 -> "1.2 M"; below ten thousand in full."""
    from homespun.core.numbers import scaled

    if abs(count) < 10_000:
        return f"{count:,.0f}"
    return scaled(count, ("", "k", "M", "G", "T"))


def seconds_text(seconds: float) -> str:
    """How long, to two units: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
