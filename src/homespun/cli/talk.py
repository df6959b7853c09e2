"""The conversation at the terminal.

A person types, the model answers as it thinks. Ctrl-C stops an answer and keeps the
conversation; Ctrl-D leaves. Lines that begin with "/" are for the program, not the model.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Protocol

from homespun.cli.terminal import err, out, say, visible
from homespun.core.sampling import SamplingSettings

HELP = """/help        this list
/reset       forget the conversation
/undo        take back the last question and its answer
/seed N      answer with seed N from here on
/quit        leave, as Ctrl-D does
Ctrl-C stops an answer."""


class Session(Protocol):
    """What a conversation needs; `homespun.inference.ChatSession` is one."""

    notice: str

    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]: ...
    def reset(self) -> None: ...
    def undo(self) -> bool: ...


class Talk:
    """The read-and-answer loop.

    Args:
        session: holds the conversation.
        settings: how answers are sampled; the seed goes up by one each turn, so that the same
            question asked twice may be answered differently, and a conversation still repeats.
    """

    def __init__(self, session: Session, settings: SamplingSettings) -> None:
        self._session = session
        self._settings = settings

    def loop(self) -> None:
        """Until /quit or Ctrl-D."""
        say("Ask something. /help lists the commands, Ctrl-D leaves.", "dim")
        while True:
            try:
                line = _read_line()
            except EOFError:
                say()
                return
            except KeyboardInterrupt:
                say("\n(Ctrl-D leaves)", "dim")
                continue
            if not line.strip():
                continue
            if line.startswith("/"):
                if not self.obey(line):
                    return
            else:
                self.answer(line)

    def obey(self, line: str) -> bool:
        """Do a slash command. False means leave."""
        command, _, argument = line.strip().partition(" ")
        if command in ("/quit", "/exit"):
            return False
        if command == "/reset":
            self._session.reset()
            say("(the conversation is forgotten)", "dim")
        elif command == "/undo":
            undone = self._session.undo()
            say("(the last turn is undone)" if undone else "(there is nothing to undo)", "dim")
        elif command == "/seed":
            if argument.strip().isascii() and argument.strip().isdigit():
                self._settings = dataclasses.replace(self._settings, seed=int(argument) % 2**63)
                say(f"(seed {self._settings.seed})", "dim")
            else:
                say("(give a whole number, as in /seed 7)", "dim")
        elif command == "/help":
            say(HELP, "dim")
        else:
            say(f"(there is no {command}; /help lists the commands)", "dim")
        return True

    def answer(self, line: str) -> None:
        """Stream one answer. Errors of the request are said, and the conversation goes on."""
        from homespun.core import RequestError

        console = out()
        try:
            pieces = self._session.ask(line, self._settings)
        except RequestError as error:
            err().print(f"error: {visible(str(error))}", style="red", soft_wrap=True)
            return
        try:
            for piece in pieces:
                console.print(visible(piece), end="", soft_wrap=True)
                sys.stdout.flush()
            say()
        except KeyboardInterrupt:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            say("\n(stopped)", "dim")
        self._settings = dataclasses.replace(self._settings, seed=self._settings.seed + 1)
        if self._session.notice:
            say(f"({self._session.notice})", "dim")


def _read_line() -> str:
    if sys.stdin.isatty():
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (line editing and history in input())
        return input("› ")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
