"""Ramps as people write them, and what a plan makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from homespun.core import ConfigError, RunDirectory
from homespun.core.processes import Place
from homespun.recipes import measure
from homespun.recipes.scale import propose, ramped
from homespun.recipes.scale.ask import Ask
from homespun.recipes.scale.options import Text
from homespun.recipes.scale.ramped import check_ramp, parse_ramp


@pytest.mark.parametrize(
    "text", ["0.3:4x128,0.7:8x256", "1:1x2", "0.5:1x64,0.25:2x128,0.25:8x64,sqrt"]
)
def test_a_ramp_is_what_it_says(text: str) -> None:
    ramp = parse_ramp(text)
    assert ramp is not None
    parts = [f"{phase.share:g}:{phase.rows}x{phase.context}" for phase in ramp.phases]
    assert ",".join([*parts, *(["sqrt"] if ramp.rate == "sqrt" else [])]) == text
    assert parse_ramp(text.replace(",", " , ")) == ramp
    assert parse_ramp(None) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "parts like 0.3:4x128"),
        ("sqrt", "parts like 0.3:4x128"),
        ("0.3:4x128;0.7:8x256", "parts like 0.3:4x128"),
        ("1:4x", "parts like 0.3:4x128"),
        ("1:-4x8", "parts like 0.3:4x128"),
        ("1:4x128,", "parts like 0.3:4x128"),
        ("一:4x128", "parts like 0.3:4x128"),
        ("１:４x128", "parts like 0.3:4x128"),
        ("0:4x128,1:4x128", "a share above 0"),
        ("1:0x128", "a row at least"),
        ("1:4x1", "two tokens"),
        ("1:999999x999999", "65,536 tokens at most"),
        ("2:4x128", "a share above 0"),
        ("0.3:4x128,0.6:8x256", "add up to 1 .got 0.9"),
        ("0.5:4x96,0.5:4x256", "divide the longest, 256 .got 96"),
    ],
)
def test_a_ramp_that_cannot_be_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        parse_ramp(text)
    assert "\n" not in str(error.value)


def test_every_process_has_a_row_of_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = parse_ramp("0.5:1x64,0.5:4x64")
    assert ramp is not None
    check_ramp(ramp, num_tokens=66)
    with pytest.raises(ConfigError, match="has 65 tokens and a row of the ramp 64"):
        check_ramp(ramp, num_tokens=65)
    monkeypatch.setattr(ramped, "process_place", lambda: Place(0, 2, 0, 2))
    with pytest.raises(ConfigError, match="each of 2 processes needs a row"):
        check_ramp(ramp, num_tokens=66)


def test_the_speed_of_a_ramp_is_that_of_its_parts_by_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int, int]] = []

    def rate(
        config: Any, *, rows: int, parts: int, context: int, seconds: float, beside: Any
    ) -> float:
        asked.append((rows, parts, context))
        assert seconds == 1.0
        return 1000.0 if context == 128 else 250.0

    monkeypatch.setattr(measure, "tokens_per_second", rate)
    ramp = parse_ramp("0.75:4x128,0.25:8x256")
    nothing: Any = None
    found = measure.ramped_rate(nothing, measure.StepLoad(8, ramp=ramp), seconds=2.0)
    assert asked == [(4, 1, 128), (8, 1, 256)]
    # Of four steps three take 0.512 s for 512 tokens, one takes 8.192 s for 2,048.
    assert found == pytest.approx((3 * 512 + 2048) / (3 * 0.512 + 8.192))
    asked.clear()
    load = measure.StepLoad(8, parts=4, ramp=ramp)  # to fit into memory
    measure.ramped_rate(nothing, load, seconds=2.0)
    assert asked == [(4, 4, 128), (8, 4, 256)]
    assert load.at_once == 2


def test_steps_of_a_ramp_are_planned_by_its_tokens() -> None:
    ramp = parse_ramp("0.3:4x128,0.7:8x256")
    run = RunDirectory(Path("nowhere"))
    ask = Ask(run, Text(10**6, 3.0), "bpe", 512, 256, "64x3", None, 400, ramp=ramp)
    chosen = propose.decide_by_steps(ask, "portable").taken.chosen
    assert chosen.tokens == 120 * 4 * 128 + 280 * 8 * 256
    assert chosen.epochs == chosen.tokens / 10**6
    assert ask.rows(1.0) == 8
    assert ask._replace(ramp=None).tokens_in_steps() == 400 * 8 * 256
