"""What a person types. At a terminal `prompt_toolkit` edits lines, remembers them and knows how
wide characters are; from a pipe lines are taken as they come."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from homespun.cli.terminal import interactive

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

FENCE = '"""'


class Reader(Protocol):
    """Where messages come from.

    Attributes:
        at_terminal: a person edits them.
    """

    at_terminal: bool

    def line(self, *, more: bool = False) -> str:
        """The next line, without its end; with `more` one that goes on a message.

        Raises:
            EOFError: there are no more. KeyboardInterrupt: the person gave this one up.
        """
        ...


class Typed(NamedTuple):
    """What was typed.

    Attributes:
        text: the message.
        is_quoted: it stood between three quotes: all of it is for the model, whatever it begins
            with.
    """

    text: str
    is_quoted: bool = False


def read_message(reader: Reader) -> Typed:
    """The next message: a line; several, each but the last ending in a backslash; or all between
    two lines of three quotes.

    Raises:
        As `Reader.line`. A message that the input ends in is given as it is.
    """
    line = reader.line()
    if line.lstrip().startswith(FENCE):
        return Typed(_fenced(reader, line.lstrip().removeprefix(FENCE)), is_quoted=True)
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        try:
            lines.append(reader.line(more=True))
        except EOFError:
            break
    return Typed("\n".join(lines))


def _fenced(reader: Reader, first: str) -> str:
    lines = [first] if first else []
    while not (lines and lines[-1].rstrip().endswith(FENCE)):
        try:
            lines.append(reader.line(more=True))
        except EOFError:
            return "\n".join(lines)
    last = lines.pop().rstrip().removesuffix(FENCE)
    return "\n".join([*lines, last] if last else lines)


class PipeReader:
    """Lines of standard input."""

    at_terminal = False

    def line(self, *, more: bool = False) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")


class TerminalReader:
    """Lines that a person edits.

    Args:
        session: of prompt_toolkit.
    """

    at_terminal = True

    def __init__(self, session: PromptSession[str]) -> None:
        self._session = session

    def line(self, *, more: bool = False) -> str:
        return _sound(self._session.prompt("… " if more else "› "))


class PlainTerminalReader:
    """Lines of a terminal that can do nothing, such as an editor's."""

    at_terminal = True

    def line(self, *, more: bool = False) -> str:
        return input("… " if more else "› ")


def _sound(text: str) -> str:
    """Without what is half a character: bytes that are no UTF-8, as a terminal of another encoding
    sends them, arrive as lone surrogates. The model reads them so anyway; no file takes one."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def open_reader(*, history: Path | None) -> Reader:
    """What suits where standard input comes from.

    Args:
        history: file of what was typed before; None to remember nothing beyond this conversation.
    """
    if not interactive():
        return PipeReader()
    if os.environ.get("TERM") in ("dumb", None):
        return PlainTerminalReader()
    return TerminalReader(make_session(history))


def history_file() -> Path | None:
    """Where what was typed is remembered: of this user alone. None where there is no home."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(state or Path.home() / ".local" / "state") / "homespun" / "chat_history"
    except RuntimeError:
        return None


def make_session(history: Path | None) -> PromptSession[str]:
    """Enter sends, Alt-Enter begins a new line, pasted lines stay together."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output.color_depth import ColorDepth
    from prompt_toolkit.shortcuts import CompleteStyle

    from homespun.cli.talk.commands import COMMANDS

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    path = None if history is None else usable(history)
    return PromptSession(
        history=InMemoryHistory() if path is None else FileHistory(str(path)),
        key_bindings=keys,
        completer=WordCompleter(list(COMMANDS), sentence=True),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        prompt_continuation="… ",
        # NO_COLOR, an empty one aside: https://no-color.org
        color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        enable_open_in_editor=False,
    )


def usable(path: Path) -> Path | None:
    """`path`, made where it is not there, readable to nobody else; None where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return None
    return path
