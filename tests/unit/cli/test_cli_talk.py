"""The conversation: commands, stopping an answer, forgetting."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from homespun.cli.talk import Talk
from homespun.core import RequestError, SamplingSettings


class Echo:
    """A session that repeats what it is told, and records what it was asked."""

    def __init__(self) -> None:
        self.notice = ""
        self.asked: list[tuple[str, int]] = []
        self.closed = False
        self.calls: list[str] = []

    def ask(self, text: str, settings: SamplingSettings) -> Iterator[str]:
        if text == "too long":
            raise RequestError("the message fills the window", remedy="say less")
        self.asked.append((text, settings.seed))
        self.notice = "1 earlier turn dropped" if text == "forget" else ""
        return self._answer(text)

    def _answer(self, text: str) -> Iterator[str]:
        try:
            yield "you said "
            if text == "stop me":
                raise KeyboardInterrupt
            yield text
        finally:
            self.closed = True

    def reset(self) -> None:
        self.calls.append("reset")

    def undo(self) -> bool:
        self.calls.append("undo")
        return len(self.calls) < 3


def converse(monkeypatch: pytest.MonkeyPatch, text: str) -> Echo:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    session = Echo()
    Talk(session, SamplingSettings(seed=5)).loop()
    return session


def test_each_turn_is_answered_until_the_input_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = converse(monkeypatch, "hello\n\n你好\n")
    assert [text for text, _ in session.asked] == ["hello", "你好"]
    assert "you said hello\nyou said 你好\n" in capsys.readouterr().out


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
