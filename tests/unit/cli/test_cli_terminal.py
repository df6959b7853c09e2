"""How numbers, sizes and durations are written, and what may reach a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from homespun.cli.terminal import (
    bytes_text,
    count_text,
    out,
    say,
    seconds_text,
    table,
    use_utf8,
    visible,
    write_answer,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (725, "12 min"),
        (3600, "1 h"),
        (7810, "2 h 10 min"),
        (7199, "2 h"),
    ],
)
def test_durations_are_written_to_two_units(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1536, "1.5 kB"), (999_600, "1.0 MB"), (25e9, "25.0 GB")],
)
def test_sizes_are_written_in_decimal_units(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(7512, "7,512"), (12_345, "12.3 k"), (1_234_567, "1.2 M"), (0, "0")]
)
def test_small_counts_are_written_in_full(count: float, text: str) -> None:
    assert count_text(count) == text


def test_control_characters_are_spelled_out() -> None:
    assert visible("a\x1b[31mb\x07\nc\t中文 😀") == "a\\x1b[31mb\\x07\nc\t中文 😀"


def test_spaces_of_chinese_paragraphs_and_joined_emoji_are_left_as_they_are() -> None:
    text = "\u3000\u3000他在河边。\xa0👩\u200d🌾"
    assert visible(text) == text
    assert visible("\u202eevil\u2028\ufeff") == "\\u202eevil\\u2028\\ufeff"


@pytest.mark.parametrize(("at_terminal", "told"), [(True, "中\\x1b[2J\n"), (False, "中\x1b[2J\n")])
def test_an_answer_alone_does_not_steer_a_terminal(
    monkeypatch: pytest.MonkeyPatch, at_terminal: bool, told: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: at_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    write_answer("中\x1b[2J\n")
    assert stream.getvalue() == told


def test_a_line_of_result_is_not_broken_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 100)
    assert capsys.readouterr().out == "word " * 100 + "\n"


def test_a_table_is_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = table("name", "parameters", "bits/byte")
    shown.add_column("stage", no_wrap=True)
    name = "a-run-of-a-long-name-" * 5
    shown.add_row(name, "1.2 M + 3.4 M n-grams", "1.234", "pretrain")
    out().print(shown)
    row = next(line for line in capsys.readouterr().out.splitlines() if "a-run" in line)
    assert row.split() == [name, "1.2", "M", "+", "3.4", "M", "n-grams", "1.234", "pretrain"]


def test_brackets_in_text_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    say("[red]list[int][/red] :smile:")
    assert capsys.readouterr().out == "[red]list[int][/red] :smile:\n"


def test_output_is_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    use_utf8()
    say("中文 half\udce4")
    sys.stdout.flush()
    assert raw.getvalue().decode() == "中文 half\\udce4\n"
