"""Patterns of a user's own, by which the oldest tagger knows words it has not met."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from task_files import Make  # type: ignore[import-not-found]

from homespun.core import ConfigError, DataError
from homespun.recipes.applications import Asked, answered, learn_application, open_application


def learn(data: Path, out: Path, patterns: Path) -> None:
    options = {"patterns": str(patterns)}
    learn_application(
        Asked("tag", data, out, method="rules", options=options, judge_baselines=False)
    )


def rows() -> list[Mapping[str, Any]]:
    return [
        {"tokens": f"{word} costs {number}", "tags": "NOUN VERB NUM"}
        for word in ("bread", "tea", "米饭", "salt")
        for number in ("one", "two", "三")
    ]


def test_a_pattern_tags_words_that_were_not_met(make: Make, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns.txt"
    patterns.write_text("\ufeff[A-Z]{2}\\d+\tCODE\r\n\n第.+号\tCODE\n", "utf-8")
    learn(make("d.jsonl", rows()), tmp_path / "out", patterns)
    patterns.unlink()  # what was learned needs it no more
    asked = make("a.jsonl", [{"tokens": ["AB12", "costs", "第五号", "two"]}])
    (row,) = answered(open_application(tmp_path / "out"), asked, {})
    assert row["tags"] == ["CODE", "VERB", "CODE", "NUM"]


def test_patterns_of_spans_are_in_the_users_scheme(make: Make, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns.txt"
    patterns.write_text("[A-Z]{2}\\d+\tB-CODE\n")
    spans = [
        {"tokens": ["I", "saw", name, "there"], "tags": ["O", "O", "B-PER", "O"]}
        for name in ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Joe", "Kim")
    ]
    learn(make("d.jsonl", spans), tmp_path / "out", patterns)
    asked = make("a.jsonl", [{"tokens": ["I", "saw", "AB12", "there"]}])
    (row,) = answered(open_application(tmp_path / "out"), asked, {})
    assert row["tags"] == ["O", "O", "B-CODE", "O"]


@pytest.mark.parametrize(
    ("line", "error", "told"),
    [
        ("[A-Z]+ CODE", DataError, "line 2 of .* is not a pattern and a tag"),
        ("[A-Z]+\t", DataError, "line 2 of .* is not a pattern and a tag"),
        ("[A-Z\tCODE", ConfigError, "no regular expression"),
    ],
)
def test_a_wrong_pattern_is_told(
    make: Make, tmp_path: Path, line: str, error: type[Exception], told: str
) -> None:
    patterns = tmp_path / "patterns.txt"
    patterns.write_text(f"\\d+\tNUM\n{line}\n")
    with pytest.raises(error, match=told):
        learn(make("d.jsonl", rows()), tmp_path / "out", patterns)
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        learn(make("d.jsonl", rows()), tmp_path / "out2", tmp_path / "nowhere.txt")
