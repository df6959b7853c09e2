"""The page of a learned task: whole, closed to the network, and of what results.json says."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from homespun.core import DataError
from homespun.reports.task import render_task, wording_list, write_task_report


def measure(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "low": value - 0.05, "high": value + 0.05, "num": 40,
            "signature": "kind:labels"}  # fmt: skip


def results(**changes: Any) -> dict[str, Any]:
    return {
        "task": "classify",
        "method": "linear",
        "rows": {"train": 300, "dev": 40, "test": 40},
        "test_from": "a tenth of the file, held out",
        "test_rows_seen_in_training": 0,
        "learning_seconds": 3.2,
        "answering_seconds": 0.1,
        "measures": [measure("accuracy", 0.8), measure("macro F1", 0.79)],
        "extra": {"unanswerable refused": 0.85},
        "notes": ["A note."],
        "classes": [
            {"label": "坏<b>", "precision": 0.7, "recall": 0.9, "f1": 0.79, "num_gold": 20,
             "num_predicted": 25}
        ],
        "confusion": {"labels": ["坏<b>", "good"], "counts": [[18, 2], [6, 14]]},
        "baselines": [
            {
                "method": "majority",
                "measures": [measure("accuracy", 0.5)],
                "difference": {"value": 0.3, "low": 0.2, "high": 0.4, "p": 0.001, "signature": "t"},
            }
        ],
        "errors": [
            {"row": 7, "asked": "<script>x</script> 好", "right": {"label": "good"},
             "answer": {"label": "坏<b>", "confidence": [0.6]}, "value": 0.0}
        ],
        **changes,
    }  # fmt: skip


RECORD = {"data": "reviews.csv", "seed": 0}


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def test_the_page_says_what_the_results_say() -> None:
    page = render_task(results(), RECORD, name="mine")
    tags = Tags(page)
    assert tags.open == []
    for words in (
        "Accuracy 0.800 on 40 rows it has not seen: better than every baseline.",
        "reviews.csv", "0.75 to 0.85", "majority", "+0.3", "A note.", "unanswerable refused",
        "坏<b>", "<script>x</script> 好", "held out",
    ):  # fmt: skip
        assert words in tags.text, words
    assert re.findall(r'shade-(\d)">(\d+)<', page) == [
        ("8", "18"),
        ("1", "2"),
        ("3", "6"),
        ("6", "14"),
    ]


def test_text_stays_text_and_nothing_is_loaded() -> None:
    page = render_task(results(), RECORD, name="mine")
    assert "script" not in Tags(page).seen
    assert not re.search(r'(?:src|href)="(?!data:,|#)', page)
    assert "default-src 'none'" in page


def test_mistakes_are_marked_with_their_language() -> None:
    page = render_task(results(), RECORD, name="mine")
    assert '<td lang="zh" dir="auto">&lt;script&gt;x&lt;/script&gt; 好</td>' in page
    assert '<td lang="" dir="auto">good</td>' in page


def test_what_is_better_by_being_less_is_better_by_a_number_above_zero() -> None:
    fewer = results(less_is_better=True, measures=[measure("bits per byte", 1.5)])
    fewer["baselines"][0]["difference"].update(value=-0.3, low=-0.4, high=-0.2)
    text = Tags(render_task(fewer, RECORD, name="mine")).text
    assert "1.500 on 40 rows it has not seen: better than every baseline." in text
    assert "Ours is better by" in text
    assert "+0.3" in text
    assert "0.2 to 0.4" in text
    fewer["baselines"][0]["difference"].update(low=None, high=None, p=None)
    assert "+0.3" in Tags(render_task(fewer, RECORD, name="mine")).text


def test_a_p_value_of_another_test_is_told() -> None:
    assert "exchanged" not in Tags(render_task(results(), RECORD, name="mine")).text
    alike = results(notes=["Counted as `case:lc`."])
    alike["baselines"][0]["difference"]["signature"] = "kind:labels|test:randomisation|draws:1000"
    page = render_task(alike, RECORD, name="mine")
    assert "against majority, where all its redraws are alike, p is that of answers exch" in page
    assert "Counted as <code>case:lc</code>." in page


def test_classes_that_have_no_room_are_counted() -> None:
    (row,) = results()["classes"]
    text = Tags(render_task(results(classes=[row] * 63), RECORD, name="mine")).text
    assert "3 more classes are in results.json." in text
    assert "more classes" not in Tags(render_task(results(), RECORD, name="mine")).text


def test_doubts_are_told() -> None:
    worse = results()
    worse["baselines"][0]["difference"]["low"] = -0.1
    page = render_task({**worse, "test_rows_seen_in_training": 3}, RECORD, name="mine")
    assert "not surely better than majority" in page
    assert "3 of the rows it was judged on were learned from as well" in page
    assert wording_list(["a", "b", "c"]) == "a, b and c"


def test_a_page_with_little_to_say_is_whole(tmp_path: Path) -> None:
    few = results(baselines=[], classes=[], confusion=None, errors=[], notes=[], extra={})
    few["measures"][0]["low"] = few["measures"][0]["high"] = None
    (tmp_path / "results.json").write_text(json.dumps(few))
    (tmp_path / "application.json").write_text(json.dumps(RECORD))
    page = write_task_report(tmp_path).read_text("utf-8")
    assert Tags(page).open == []
    assert "Nothing." in page
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DataError, match="no whole results"):
        write_task_report(tmp_path)


@pytest.mark.parametrize(
    ("told", "record", "says"),
    [
        ({"measures": [{}]}, RECORD, r"got no 'name'"),
        ({"measures": {"accuracy": 0.9}}, RECORD, r"got no 0"),
        ({"measures": ["accuracy"]}, RECORD, "got "),
        (results(measures=[{**measure("accuracy", 0.8), "value": "high"}]), RECORD, "got "),
        (results(confusion={"labels": ["a"], "counts": []}), RECORD, "got "),
        (results(baselines=[{"method": "majority", "measures": []}]), RECORD, "got no 'difference"),
        (results(classes=["good"]), RECORD, "got "),
        (results(rows=None), RECORD, "got "),
        (results(errors=[7]), RECORD, "got "),
        (results(extra=[1]), RECORD, "got "),
        (results(), {"seed": 0}, "got .*'data'"),
    ],
)
def test_files_of_something_else_are_told_in_one_sentence(
    told: Any, record: Any, says: str, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("the page before")
    (tmp_path / "results.json").write_text(json.dumps(told))
    (tmp_path / "application.json").write_text(json.dumps(record))
    with pytest.raises(
        DataError, match=rf"not what a learned task writes \({says}.*\); learn the task again"
    ):
        write_task_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "the page before"
