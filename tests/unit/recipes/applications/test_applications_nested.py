"""Questions within passages, as SQuAD and CMRC 2018 have them: as rows, learned from, answered."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from task_files import Make  # type: ignore[import-not-found]

from homespun.core import DataError
from homespun.recipes.applications import (
    Asked,
    answered,
    find_application,
    learn_application,
    open_application,
)
from homespun.recipes.applications.reading import RowReader, read_examples
from homespun.recipes.applications.rows import read_rows

RIVER = "The Tamar rises near Woolley. It reaches the sea at Plymouth."
ENGLISH: Mapping[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "Tamar",
            "paragraphs": [
                {
                    "context": RIVER,
                    "qas": [
                        {
                            "id": "1",
                            "question": "Where does it reach the sea?",
                            "answers": [
                                {"text": "Plymouth", "answer_start": RIVER.index("Plymouth")},
                                {"text": "at Plymouth", "answer_start": RIVER.index("at Ply")},
                            ],
                            "is_impossible": False,
                        },
                        {
                            "id": "2",
                            "question": "How long is it?",
                            "answers": [],
                            "plausible_answers": [{"text": "near Woolley", "answer_start": 16}],
                            "is_impossible": True,
                        },
                    ],
                },
                {"context": "Nobody asks of this.", "qas": []},
            ],
        },
        {"title": "nothing yet", "paragraphs": []},
    ],
}
LAKE = "青海湖位于青海省，湖水面积约四千平方公里。青海湖是咸水湖。"
CHINESE: Mapping[str, Any] = {
    "version": "v1.0",
    "data": [
        {
            "title": "青海湖",
            "id": "DEV_0",
            "paragraphs": [
                {
                    "id": "DEV_0",
                    "context": LAKE,
                    "qas": [
                        {
                            "question": "青海湖在哪里？",
                            "id": "DEV_0_QUERY_0",
                            "answers": [
                                {"text": "青海省", "answer_start": 5},
                                {"text": "位于青海省", "answer_start": 3},
                            ],
                        },
                        {"question": " ", "id": "DEV_0_QUERY_1", "answers": []},
                    ],
                }
            ],
        }
    ],
}
CHINESE_RAW = [
    {
        "context_id": "TRIAL_0",
        "context_text": LAKE,
        "title": "青海湖",
        "qas": [
            {"query_id": "Q0", "query_text": "青海湖是什么湖？", "answers": ["咸水湖", "咸水湖"]}
        ],
    }
]


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def test_squads_form_is_questions_with_and_without_an_answer(tmp_path: Path) -> None:
    path = written(tmp_path / "dev.json", ENGLISH)
    one, two = read_examples(find_application("answer"), path, RowReader())
    assert (one.question, one.passage) == ("Where does it reach the sea?", RIVER)
    assert one.answers == ("Plymouth", "at Plymouth")
    assert one.start == RIVER.index("Plymouth")
    assert (two.question, two.passage, two.answers) == ("How long is it?", RIVER, ())
    # The second of two equal words can be the one that was meant.
    twice = "A fox saw a fox."
    asked = {"question": "What was seen?", "answers": [{"text": "fox", "answer_start": 12}]}
    written(path, {"data": [{"paragraphs": [{"context": twice, "qas": [asked]}]}]})
    assert read_examples(find_application("answer"), path, RowReader())[0].start == 12
    # Names that a user gives are those of the file.
    names = {"passage": "context", "question": "question", "answers": "answers"}
    assert len(read_examples(find_application("answer"), path, RowReader(names))) == 1


def test_both_chinese_forms_are_read(tmp_path: Path) -> None:
    task = find_application("answer")
    (one,) = read_examples(task, written(tmp_path / "dev.json", CHINESE), RowReader())
    assert (one.question, one.passage) == ("青海湖在哪里？", LAKE)
    assert (one.answers, one.start) == (("青海省", "位于青海省"), 5)
    (raw,) = read_examples(task, written(tmp_path / "trial.json", CHINESE_RAW), RowReader())
    assert (raw.question, raw.passage) == ("青海湖是什么湖？", LAKE)
    assert (raw.answers, raw.start) == (("咸水湖",), -1)


def test_nested_json_is_read_a_line_at_a_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = read_rows(written(tmp_path / "a.json", ENGLISH))
    articles = [json.dumps(article) for article in ENGLISH["data"][:1]]
    (tmp_path / "a.jsonl").write_text("\n".join(articles))
    assert read_rows(tmp_path / "a.jsonl") == wanted
    passages = [json.dumps(passage) for passage in ENGLISH["data"][0]["paragraphs"][::-1]]
    (tmp_path / "b.jsonl").write_text("\n".join(passages))
    # A passage alone does not know its article.
    assert [{**row, "title": "Tamar"} for row in read_rows(tmp_path / "b.jsonl")] == wanted
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ENGLISH) + "\n"))
    assert read_rows(Path("-"), with_gold=False) == wanted


def test_questions_without_words_stay_where_they_are_only_answered(tmp_path: Path) -> None:
    path = written(tmp_path / "dev.json", CHINESE)
    assert [row["question"] for row in read_rows(path)] == ["青海湖在哪里？"]
    kept = [row["question"] for row in read_rows(path, with_gold=False)]
    assert kept == ["青海湖在哪里？", " "]


def test_other_lists_of_objects_are_left_alone(tmp_path: Path) -> None:
    poems = [{"title": "a", "paragraphs": ["one", "two"]}, {"title": "b", "paragraphs": []}]
    assert read_rows(written(tmp_path / "poems.json", poems)) == poems
    row = {"text": "x", "data": [{"n": 1}], "qas": [], "paragraphs": [{"text": "y"}]}
    assert read_rows(written(tmp_path / "rows.json", {"data": [row]})) == [row]


@pytest.mark.parametrize(
    ("article", "lacks"),
    [
        ({"title": "no passages"}, "context"),
        ({"paragraphs": "text"}, "paragraphs"),
        ({"paragraphs": [{"context": "text"}]}, "qas"),
        ({"paragraphs": [{"qas": [{"question": "who?"}]}]}, "context"),
        ({"paragraphs": [{"context": "text", "qas": ["who?"]}]}, "qas"),
    ],
)
def test_parts_that_lack_something_are_told(
    tmp_path: Path, article: Mapping[str, Any], lacks: str
) -> None:
    path = written(tmp_path / "dev.json", {"data": [*ENGLISH["data"], article]})
    with pytest.raises(DataError, match=f"dev.json .* one of its parts has no {lacks}"):
        read_rows(path)


def test_a_file_of_squads_form_is_learned_from_and_answered(make: Make, tmp_path: Path) -> None:
    def article(n: int) -> dict[str, Any]:
        context = f"Room {n} is red. Its key hangs in hall {n}."
        hall = {"text": f"hall {n}", "answer_start": context.index("hall")}
        asked = [
            {"question": f"In which hall hangs its key, hall {n}?", "answers": [hall]},
            {"question": f"Who sleeps in room {n}?", "answers": [], "is_impossible": True},
        ]
        return {"title": str(n), "paragraphs": [{"context": context, "qas": asked}]}

    data = written(tmp_path / "train.json", {"data": [article(n) for n in range(30)]})
    out = tmp_path / "out"
    told = learn_application(Asked("answer", data, out, method="overlap", judge_baselines=False))
    assert sum(told["rows"].values()) == 60
    assert "unanswerable refused" in told["extra"]
    asked = article(3)
    for question in asked["paragraphs"][0]["qas"]:
        question.pop("answers")
        question.pop("is_impossible", None)
    found = list(
        answered(open_application(out), written(tmp_path / "new.json", {"data": [asked]}), {})
    )
    assert [row["asked"] for row in found] == [
        "In which hall hangs its key, hall 3?",
        "Who sleeps in room 3?",
    ]
    assert found[0]["answer"] == "Its key hangs in hall 3."
    with pytest.raises(DataError, match="no column for the answer"):
        read_examples(find_application("answer"), tmp_path / "new.json", RowReader())
