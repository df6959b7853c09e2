"""Asks, answers, and does what lines that begin with "/" say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from homespun.cli.talk import saved, settings
from homespun.cli.talk.commands import COMMANDS, SAME, help_text
from homespun.cli.talk.reading import PipeReader, Reader, read_message
from homespun.cli.talk.stopping import ctrl_c_asks
from homespun.cli.terminal import err, out, say, visible, write_answer

if TYPE_CHECKING:
    from homespun.core import Message, SamplingSettings, TokenLogprob

OTHERS = 3
"""How many other tokens /why shows."""
SEEDS = 2**63
MOST_DIGITS = 18
"""Of a number that is typed: as many are below `SEEDS`."""


class Session(Protocol):
    """What a conversation needs; `homespun.inference.ChatSession` is one."""

    notice: str
    system: str | None

    @property
    def messages(self) -> list[Message]: ...
    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]: ...
    def reset(self) -> None: ...
    def undo(self) -> bool: ...
    def restore(self, messages: Sequence[Message]) -> None: ...
    def explain(self, num_top: int) -> list[TokenLogprob]: ...


class Talk:
    """The read-and-answer loop.

    Args:
        session: holds the conversation.
        settings: how answers are sampled; the seed goes up by one each turn, so that the same
            question asked twice may be answered differently, and a conversation still repeats.
        reader: where messages come from; standard input as it comes where None.
        token_bytes: of the tokenizer; without it there is no /why.
    """

    def __init__(
        self,
        session: Session,
        settings: SamplingSettings,
        *,
        reader: Reader | None = None,
        token_bytes: Callable[[int], bytes] | None = None,
    ) -> None:
        self._session = session
        self._settings = settings
        self._reader = PipeReader() if reader is None else reader
        self._token_bytes = token_bytes
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": self._help,
            "/new": self._new,
            "/undo": self._undo,
            "/retry": self._retry,
            "/system": self._system,
            "/set": self._set,
            "/seed": self._seed,
            "/why": self._why,
            "/save": self._save,
            "/load": self._load,
        }
        assert {*self._commands, "/quit"} == COMMANDS.keys()

    def loop(self) -> None:
        """Until /quit or Ctrl-D."""
        say("Ask something. /help lists the commands, Ctrl-D leaves.", "dim")
        while True:
            try:
                message, is_quoted = read_message(self._reader)
            except EOFError:
                say()
                return
            except KeyboardInterrupt:
                if not self._reader.at_terminal:
                    raise
                say("\n(Ctrl-D leaves)", "dim")
                continue
            if not message.strip():
                continue
            try:
                if is_quoted or not message.startswith("/"):
                    self.answer(message)
                elif not self.obey(message):
                    return
            except KeyboardInterrupt:  # before an answer has begun, or in a command such as /why
                if not self._reader.at_terminal:  # nobody could leave otherwise
                    raise
                say("\n(stopped)", "dim")

    def obey(self, line: str) -> bool:
        """Do a slash command. False means leave."""
        from homespun.core import HomespunError, did_you_mean

        command, _, argument = line.strip().partition(" ")
        command = SAME.get(command, command)
        if command == "/quit":
            return False
        if command not in self._commands:
            say(f"(there is no {command}; {did_you_mean(command, list(COMMANDS))})", "dim")
            return True
        try:
            self._commands[command](argument.strip())
        except HomespunError as error:
            _explain(error)
        return True

    def answer(self, line: str) -> bool:
        """Stream one answer. Errors are said, and the conversation goes on; False then, and where
        it was stopped before anything had been said."""
        from homespun.core import HomespunError

        try:
            pieces = self._session.ask(line, self._settings)
        except HomespunError as error:
            _explain(error)
            return False
        try:
            with ctrl_c_asks() as is_asked:
                is_stopped, is_said = _print_until(pieces, is_asked)
        except HomespunError as error:
            say()
            _explain(error)
            return False
        say("\n(stopped)" if is_stopped else "", "dim")
        seed = (self._settings.seed + 1) % SEEDS
        self._settings = dataclasses.replace(self._settings, seed=seed)
        if self._session.notice:
            say(f"({self._session.notice})", "dim")
        return is_said or not is_stopped

    def _help(self, argument: str) -> None:
        say(help_text(at_terminal=self._reader.at_terminal), "dim")

    def _new(self, argument: str) -> None:
        self._session.reset()
        say("(the conversation is forgotten)", "dim")

    def _undo(self, argument: str) -> None:
        undone = self._session.undo()
        say("(the last turn is undone)" if undone else "(there is nothing to undo)", "dim")

    def _retry(self, argument: str) -> None:
        before = self._session.messages
        if not before or before[-1].role != "assistant":
            say("(there is nothing to answer again)", "dim")
            return
        self._session.undo()
        is_answered = False
        try:
            is_answered = self.answer(before[-2].content)
        finally:
            if not is_answered:
                self._session.restore(before)
                say("(the answer before stays)", "dim")

    def _system(self, argument: str) -> None:
        if not argument:
            say(f"(system: {self._session.system or 'nothing'})", "dim")
            return
        self._session.system = None if argument == "-" else argument
        if argument == "-":
            say("(the model is not told who it is from here on)", "dim")
        else:
            say("(that is what the model is told from here on)", "dim")

    def _set(self, argument: str) -> None:
        self._settings = settings.changed(self._settings, argument)
        say(f"({settings.shown(self._settings)})", "dim")

    def _seed(self, argument: str) -> None:
        seed = _whole(argument)
        if seed is None:
            say(f"(give a whole number of {MOST_DIGITS} digits at most, as in /seed 7)", "dim")
            return
        self._settings = dataclasses.replace(self._settings, seed=seed)
        say(f"(seed {seed})", "dim")

    def _why(self, argument: str) -> None:
        from homespun.cli.talk.why import why_table

        if self._token_bytes is None:
            say("(that cannot be told here)", "dim")
            return
        num_others = _whole(argument) if argument else OTHERS
        if num_others is None:
            say("(give a whole number, as in /why 5)", "dim")
            return
        # One more, since the token that was chosen is mostly among them.
        tokens = self._session.explain(num_others + 1)
        out().print(why_table(tokens, self._token_bytes, num_others))

    def _save(self, argument: str) -> None:
        say(f"(saved in {saved.save(self._session.messages, argument)})", "dim")

    def _load(self, argument: str) -> None:
        self._session.restore(saved.load(argument))
        num = sum(message.role == "user" for message in self._session.messages)
        say(f"({num} {'turn' if num == 1 else 'turns'} loaded)", "dim")


def _whole(argument: str) -> int | None:
    """A whole number; None where it is none, or has more digits than anybody means."""
    is_number = argument.isascii() and argument.isdigit() and len(argument) <= MOST_DIGITS
    return int(argument) if is_number else None


def _print_until(pieces: Iterator[str], is_asked: Callable[[], bool]) -> tuple[bool, bool]:
    """Print pieces as they come; whether they were stopped, and whether any had come by then."""
    is_said = False
    try:
        for piece in pieces:
            # One that was on its way when it was asked to stop is no answer.
            is_said = is_said or not is_asked()
            write_answer(piece)
            if is_asked():
                break
        else:
            return False, is_said
    except KeyboardInterrupt:
        pass
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
    return True, is_said


def _explain(error: Exception) -> None:
    err().print(f"error: {visible(str(error))}", style="red", soft_wrap=True)
