"""Numbers and texts read well, and no text disturbs the page."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.reports import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (8_123_456, "8.12 MB"),
        (410_000, "410 kB"),
        (None, "–"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (99_960_000, "100 MB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert wording.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"),
        (0.0312, "3.1%"),
        (0.0004, "under 0.1%"),
        (0.25, "25%"),
        (-0.02, "-2.0%"),
        (None, "–"),
    ],
)
def test_shares(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_328_512, "1.33 million"),
        (4096, "4,096"),
        (2.5e9, "2.5 billion"),
        (999_400_000, "999 million"),
        (999_700_000, "1 billion"),
        (999_400, "999,400"),
        (3e12, "3,000 billion"),
    ],
)
def test_large_counts(value: float, text: str) -> None:
    assert wording.short_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.04, "3.0 s"), (48, "48 s"), (391, "6 min 31 s"), (None, "–")]
)
def test_durations(value: float | None, text: str) -> None:
    assert wording.duration(value) == text


def test_controls_become_pictures_and_line_ends_stay() -> None:
    assert wording.clean("a\x00\x1b[31m\tb\nc\x7f") == "a␀␛[31m\tb\nc␡"


def test_marks_that_turn_the_direction_of_writing_are_shown() -> None:
    assert wording.clean("ab\u202ecd") == "ab[U+202E]cd"


@given(st.text(st.characters(codec=None, categories=None)))
def test_cleaned_text_can_always_be_written(text: str) -> None:
    wording.clean(text).encode("utf-8")


def test_the_command_can_be_pasted_into_a_shell() -> None:
    asked = {"command": "spin", "source": "my docs; rm", "minutes": 0.5, "steps": None, "x_y": True}
    words = wording.command_words(asked, seed=3, name="a")
    assert " ".join(words) == ("homespun spin 'my docs; rm' --minutes 0.5 --x-y --seed 3 --name a")


def test_the_command_uses_the_command_line_s_own_words() -> None:
    asked = {"command": "spin", "source": "a", "language": "auto"}
    assert wording.command_words(asked, seed=0, name="a") == ["homespun", "spin", "a", "--name a"]
    asked["language"] = "zh"
    assert "--lang zh" in wording.command_words(asked, seed=0, name="a")


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        (
            {
                "command": "spin",
                "source": "a",
                "set": ["optimizer.kind=adamw", "train.ema.kind=ema"],
            },
            "homespun spin a --set optimizer.kind=adamw --set train.ema.kind=ema --name b",
        ),
        (
            {"command": "import", "model": "hub:a/b", "context": 512, "source": "my texts"},
            "homespun import hub:a/b --context 512 --text 'my texts' --name b",
        ),
        (
            {"command": "continue", "parent": "a", "source": "new", "replay": 0.25},
            "homespun continue a new --replay 0.25 --name b",
        ),
        (
            {"command": "extend vocabulary", "parent": "a", "source": "old", "vocab": 4096},
            "homespun extend vocabulary a --vocab 4096 --name b",
        ),
        (
            {"command": "average", "parent": "a", "parts": ["step-00000005", "step-00000009"]},
            "homespun average a --last 2 --name b",
        ),
        (
            {"command": "average", "parent": "a", "parts": ["a", "/old runs/a"]},
            "homespun average a '/old runs/a' --name b",
        ),
        (
            {"command": "average", "parent": "a", "parts": ["a", "c"], "weights": [0.25, 0.75]},
            "homespun average a c --weights 0.25,0.75 --name b",
        ),
    ],
)
def test_the_command_is_one_that_can_be_given_again(asked: dict[str, Any], command: str) -> None:
    assert " ".join(wording.command_words(asked, seed=0, name="b")) == command


def test_chinese_is_told_from_other_text() -> None:
    assert wording.text_language("say 你好") == "zh"
    assert wording.text_language("hello") == ""
