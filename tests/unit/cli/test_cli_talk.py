"""The conversation: commands, stopping an answer, forgetting."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from homespun.cli.talk import Talk
from homespun.cli.talk.reading import (
    PipeReader,
    TerminalReader,
    make_session,
    open_reader,
    read_message,
    usable,
)
from homespun.core import CheckpointError, Message, RequestError, SamplingSettings, TokenLogprob


class Echo:
    """A session that repeats what it is told, and records what it was asked."""

    def __init__(self) -> None:
        self.notice = ""
        self.asked: list[tuple[str, int]] = []
        self.closed = False
        self.system: str | None = None
        self.turns: list[Message] = []
        self.calls: list[str] = []

    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]:
        if text == "fails":
            return self._fail()
        if text == "too long":
            raise RequestError("the message fills the window", remedy="say less")
        self.asked.append((text, settings.seed))
        self.notice = "1 earlier turn dropped" if text == "forget" else ""
        return self._answer(text)

    def _fail(self) -> Iterator[str]:
        yield "well"
        raise CheckpointError("the model's outputs are not finite numbers")

    def _answer(self, text: str) -> Iterator[str]:
        try:
            yield "you said "
            if text == "stop me":
                raise KeyboardInterrupt
            yield text
            self.turns += [Message("user", text), Message("assistant", f"you said {text}")]
        finally:
            self.closed = True

    @property
    def messages(self) -> list[Message]:
        first = [] if self.system is None else [Message("system", self.system)]
        return [*first, *self.turns]

    def restore(self, messages: Sequence[Message]) -> None:
        self.calls.append("restore")
        self.turns = [message for message in messages if message.role != "system"]

    def explain(self, num_top: int) -> list[TokenLogprob]:
        if not self.asked:
            raise RequestError("there is no answer to explain yet", remedy="ask something first")
        top = ((104, -0.1), (10, -3.0), (20320, -9.9))[:num_top]
        return [TokenLogprob(104, -0.1, top), TokenLogprob(20320, -9.9, top)]

    def reset(self) -> None:
        self.calls.append("reset")
        self.turns = []

    def undo(self) -> bool:
        self.calls.append("undo")
        del self.turns[-2:]
        return len(self.calls) < 3


def converse(monkeypatch: pytest.MonkeyPatch, text: str) -> Echo:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    session = Echo()
    Talk(session, SamplingSettings(seed=5), token_bytes=lambda token: chr(token).encode()).loop()
    return session


def test_each_turn_is_answered_until_the_input_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "hello\n\n你好\n")
    assert [text for text, _ in session.asked] == ["hello", "你好"]
    assert "you said hello\nyou said 你好\n" in capsys.readouterr().out


def test_what_the_model_says_is_written_into_a_pipe_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(monkeypatch, "a\tb\x07\n")
    assert "you said a\tb\x07\n" in capsys.readouterr().out


def test_each_turn_has_a_seed_of_its_own_that_the_first_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert converse(monkeypatch, "a\na\n/seed 40\na\n").asked == [("a", 5), ("a", 6), ("a", 40)]


def test_commands_are_obeyed_and_not_sent_to_the_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "/reset\n/undo\n/undo\n/seed x\n/dance\n/help\n/quit\nhello\n")
    assert session.asked == []
    assert session.calls == ["reset", "undo", "undo"]
    told = capsys.readouterr().out
    for words in ("is undone", "nothing to undo", "whole number", "no /dance", "/seed N"):
        assert words in told


def test_ctrl_c_stops_the_answer_and_not_the_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "stop me\nhello\n")
    assert [text for text, _ in session.asked] == ["stop me", "hello"]
    assert session.closed
    assert "you said \n(stopped)" in capsys.readouterr().out


def test_a_refused_message_is_explained_and_the_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "too long\nhello\n")
    captured = capsys.readouterr()
    assert captured.err == "error: the message fills the window; say less\n"
    assert [text for text, _ in session.asked] == ["hello"]


def test_a_dropped_turn_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(monkeypatch, "forget\n")
    assert "(1 earlier turn dropped)" in capsys.readouterr().out


def test_an_answer_that_fails_in_its_middle_is_explained_and_the_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "fails\nhello\n")
    captured = capsys.readouterr()
    assert captured.err == "error: the model's outputs are not finite numbers\n"
    assert "well\n" in captured.out
    assert [text for text, _ in session.asked] == ["hello"]


def test_messages_of_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'one \\\ntwo\n"""\n\n/three\n  四\n"""\n"""five\nsix"""\nlast\\\n'
    asked = [text for text, _ in converse(monkeypatch, text).asked]
    assert asked == ["one \ntwo", "\n/three\n  四", "five\nsix", "last"]
    assert [t for t, _ in converse(monkeypatch, '"""\nnever\nends\n').asked] == ["never\nends"]


def test_what_stands_between_quotes_is_for_the_model_whatever_it_begins_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '"""\n/etc/passwd:\nwhat is it?\n"""\n"""/quit"""\n"""\n/help'
    asked = [text for text, _ in converse(monkeypatch, text).asked]
    assert asked == ["/etc/passwd:\nwhat is it?", "/quit", "/help"]


def test_the_last_answer_is_given_again_with_another_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "/retry\nhello\n/retry\n")
    assert session.asked == [("hello", 5), ("hello", 6)]
    assert [message.content for message in session.turns] == ["hello", "you said hello"]
    assert "nothing to answer again" in capsys.readouterr().out


def test_settings_are_changed_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(
        monkeypatch,
        "/set\n/set temperature=0.5, top-k=40 min_p=0.1\n/set heat=1\n/set top_k=much\n"
        "/set temperature=-1\n/set\n",
    )
    captured = capsys.readouterr()
    assert "(max_tokens=200, temperature=0.8, top_k=0, top_p=0.95, seed=5)" in captured.out
    changed = "(max_tokens=200, temperature=0.5, top_k=40, top_p=0.95, min_p=0.1, seed=5)"
    assert captured.out.count(changed) == 2
    for told in ("no setting 'heat'", "top_k must be a whole number", "temperature must be"):
        assert told in captured.err


def test_who_the_model_is_can_be_said_and_unsaid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "/system\n/system Be kind.\n/system\n/system -\n")
    assert session.system is None
    told = capsys.readouterr().out
    assert "(system: nothing)" in told
    assert "(system: Be kind.)" in told
    assert told.count("that is what the model is told") == 1
    assert "(the model is not told who it is from here on)" in told


def test_a_conversation_is_saved_and_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a talk.json"
    converse(monkeypatch, f"你好\n/save {path}\n/save {path}\n")
    session = converse(monkeypatch, f"/load {path}\n")
    assert session.turns == [Message("user", "你好"), Message("assistant", "you said 你好")]
    assert "(1 turn loaded)" in capsys.readouterr().out
    (tmp_path / "other.json").write_text("[1]")
    converse(monkeypatch, f"/save\n/load {tmp_path}/none\n/save {tmp_path}/other.json\n")
    captured = capsys.readouterr().err
    assert captured.count("error: ") == 3
    assert "other.json is not a saved conversation; name one that /save wrote" in captured
    assert f"there is no file {tmp_path}/none; name one that /save wrote" in captured
    assert (tmp_path / "other.json").read_text() == "[1]"  # another's file is left alone
    for content in (b"To be", b"\xff\xfe"):
        (tmp_path / "play.txt").write_bytes(content)
        converse(monkeypatch, f"/load {tmp_path}/play.txt\n")
        said = capsys.readouterr().err
        assert "play.txt is not valid JSON: " in said
        assert said.endswith("; name one that /save wrote\n")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("~nobody-of-this-name/talk.json", "there is no home folder for ~nobody-of-this-name"),
        ("n" * 300, "File name too long while looking for "),
        ("a\0b", "a file's name has no zero bytes"),
        ("talk.json/inside", "talk.json/inside"),
    ],
)
@pytest.mark.parametrize("command", ["/save", "/load"])
def test_a_file_that_cannot_be_does_not_end_the_conversation(
    command: str,
    path: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.json").write_text("{}")
    session = converse(monkeypatch, f"hello\n{command} {path}\nagain\n")
    assert [text for text, _ in session.asked] == ["hello", "again"]
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said


def test_a_file_that_is_closed_to_us_does_not_end_the_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    session = converse(monkeypatch, "/load /root/talk.json\nhello\n")
    assert [text for text, _ in session.asked] == ["hello"]
    assert "not allowed while looking for /root/talk.json; " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["/seed", "/why"])
def test_a_number_of_thousands_of_digits_does_not_end_the_conversation(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, f"hello\n{command} {'9' * 5000}\nagain\n")
    assert [text for text, _ in session.asked] == ["hello", "again"]
    assert "give a whole number" in capsys.readouterr().out


def test_after_the_highest_seed_comes_the_lowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    session = Echo()
    Talk(session, SamplingSettings(seed=2**63 - 1)).loop()
    assert session.asked == [("one", 2**63 - 1), ("two", 0)]


def test_ctrl_c_stops_a_command_and_not_the_conversation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(Echo):
        def explain(self, num_top: int) -> list[TokenLogprob]:
            raise KeyboardInterrupt

        def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]:
            if len(self.asked) == 1:  # the first answer, told again
                self.asked.append((text, settings.seed))
                raise KeyboardInterrupt
            return super().ask(text, settings)

    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/why\n/retry\nagain\n"))
    session = Stopped()
    reader = PipeReader()
    monkeypatch.setattr(reader, "at_terminal", True)
    talk = Talk(session, SamplingSettings(), token_bytes=lambda token: b"", reader=reader)
    talk.loop()
    assert [text for text, _ in session.asked] == ["hello", "hello", "again"]
    assert [message.content for message in session.turns][::2] == ["hello", "again"]
    assert capsys.readouterr().out.count("\n(stopped)\n") == 2


def test_ctrl_c_ends_questions_that_come_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Echo):
        def explain(self, num_top: int) -> list[TokenLogprob]:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/why\nagain\n"))
    session = Stopped()
    with pytest.raises(KeyboardInterrupt):
        Talk(session, SamplingSettings(), token_bytes=lambda token: b"").loop()
    assert [text for text, _ in session.asked] == ["hello"]


def test_why_shows_what_else_was_likely(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converse(monkeypatch, "/why\nhello\n/why 2\n/why much\n")
    captured = capsys.readouterr()
    assert "no answer to explain" in captured.err
    lines = [line.split() for line in captured.out.splitlines()]
    assert ["h", "90%", "⏎", "5.0%", "你", "<0.1%"] in lines
    assert ["你", "<0.1%", "h", "90%", "⏎", "5.0%"] in lines
    assert "whole number" in captured.out


def test_the_next_message_waits_for_the_ctrl_c_of_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(Echo):
        def _answer(self, text: str) -> Iterator[str]:
            for number in range(100):
                if number == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield f"{number} "

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nagain\n"))
    Talk(Slow(), SamplingSettings()).loop()
    told = capsys.readouterr().out
    assert told.count("0 1 2 3 \n(stopped)") == 2
    assert "4" not in told
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_stays_where_another_one_is_stopped_before_it_begins(
    times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(Echo):
        def _answer(self, text: str) -> Iterator[str]:
            said = ""
            try:
                for _ in range(times if len(self.asked) == 2 else 0):  # while the prompt is read
                    os.kill(os.getpid(), signal.SIGINT)
                for piece in (f"answer {len(self.asked)}", ", the rest of it"):
                    said += piece
                    yield piece
            finally:
                if said:  # as `ChatSession` keeps what was said so far
                    self.turns += [Message("user", text), Message("assistant", said)]

    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/retry\n"))
    session = Slow()
    Talk(session, SamplingSettings()).loop()
    assert [text for text, _ in session.asked] == ["hello", "hello"]
    kept = [message.content for message in session.turns]
    assert kept == ["hello", "answer 1, the rest of it"]
    assert "(stopped)\n(the answer before stays)\n" in capsys.readouterr().out


def test_another_answer_that_is_stopped_in_its_middle_takes_the_place_of_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(Echo):
        def _answer(self, text: str) -> Iterator[str]:
            said = [f"answer {len(self.asked)}"]
            try:
                yield said[0]
                if len(self.asked) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                said.append(" and more")
                yield said[1]
                said.append(" to the end")
                yield said[2]
            finally:
                self.turns += [Message("user", text), Message("assistant", "".join(said))]

    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/retry\n"))
    session = Slow()
    Talk(session, SamplingSettings()).loop()
    assert [message.content for message in session.turns] == ["hello", "answer 2 and more"]
    assert "before stays" not in capsys.readouterr().out


def typed(keys: str | bytes, history: Path | None = None) -> list[str]:
    """The messages that a person at a terminal has sent by these keys."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    found = []
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_bytes(keys if isinstance(keys, bytes) else keys.encode())
        reader = TerminalReader(make_session(history))
        try:
            while True:
                found.append(read_message(reader).text)
        except EOFError:
            return found


CTRL_D, CTRL_C, ALT_ENTER, UP, LEFT, BACKSPACE = (
    "\x04",
    "\x03",
    "\x1b\r",
    "\x1b[A",
    "\x1b[D",
    "\x7f",
)


def test_a_terminal_edits_lines_of_any_script() -> None:
    assert typed(f"你们{BACKSPACE}好\r" + CTRL_D) == ["你好"]
    assert typed(f"好{LEFT}你\r" + CTRL_D) == ["你好"]
    assert typed(f"one{ALT_ENTER}two\r" + CTRL_D) == ["one\ntwo"]
    assert typed("\x1b[200~pasted\nlines\x1b[201~\r" + CTRL_D) == ["pasted\nlines"]
    assert typed("/un\t\r" + CTRL_D) == ["/undo"]
    with pytest.raises(KeyboardInterrupt):
        typed("half a thought" + CTRL_C)


def test_what_a_terminal_of_another_encoding_sends_is_text_all_the_same(tmp_path: Path) -> None:
    found = typed("你好".encode("gbk") + b"?\r\x04", tmp_path / "chat_history")
    assert [text.encode().decode() for text in found] == ["\ufffd\ufffd\ufffd\ufffd?"]


def test_what_was_typed_is_there_the_next_time_unless_that_is_not_wanted(tmp_path: Path) -> None:
    history = tmp_path / "state" / "chat_history"
    assert typed("什么\r" + CTRL_D, history) == ["什么"]
    assert history.stat().st_mode & 0o777 == 0o600
    assert typed(f"{UP}\r" + CTRL_D, history) == ["什么"]
    assert typed(f"{UP}x\r" + CTRL_D) == ["x"]
    (tmp_path / "file").write_text("")
    assert usable(tmp_path / "file" / "chat_history") is None
    assert typed("still\r" + CTRL_D, tmp_path / "file" / "chat_history") == ["still"]


def test_a_pipe_is_read_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n"))
    reader = open_reader(history=None)
    assert not reader.at_terminal
    assert read_message(reader) == ("a", False)
    with pytest.raises(EOFError):
        read_message(reader)
