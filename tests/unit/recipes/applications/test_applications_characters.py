"""Taggers that were learned from single characters are given single characters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from task_files import Make, tagged  # type: ignore[import-not-found]

from homespun.core import Tagged
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.applications.applying import Opened
from homespun.recipes.applications.tag import Segment, Sentence, Tag
from homespun.recipes.applications.tag.classic import are_characters
from homespun.recipes.tagging import LearnedTagger

KEPT_IN = {"crf": "scheme.json", "encoder": "encoder.json"}


def characters() -> list[Mapping[str, Any]]:
    """Names of two kinds, a character a token."""
    rows: list[Mapping[str, Any]] = []
    for person in ("王明", "李红", "张三"):
        for verb in ("去", "在", "到过"):
            for place in ("北京", "上海", "广州"):
                for end in ("。", "！"):
                    tags = ["B-PER", "I-PER", *["O"] * len(verb), "B-LOC", "I-LOC", "O"]
                    rows.append({"tokens": list(person + verb + place + end), "tags": tags})
    return rows


@pytest.mark.parametrize("method", ["crf", "encoder"])
def test_text_is_parted_into_characters_whatever_spaces_it_has(
    make: Make, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "out"
    options = {"epochs": "0.1"} if method == "encoder" else {}
    learn_application(
        Asked("tag", make("c.jsonl", characters()), out, method=method, options=options,
              judge_baselines=False)
    )  # fmt: skip
    learned: Any = open_application(out).learned
    assert learned.finds_spans
    texts = ["王明去 Oslo  写 代码", "王明在北京。", "\n李红 到过\t上海\n"]
    asked = make("ask.jsonl", [{"tokens": text} for text in texts])
    rows = list(answered(open_application(out), asked, {}))
    assert [row["tokens"] for row in rows] == [list("".join(text.split())) for text in texts]
    assert [row["asked"] for row in rows] == [" ".join(text.split()) for text in texts]
    assert all(len(row["tags"]) == len(row["tokens"]) for row in rows)
    # A list is taken as it is.
    listed = make("list.jsonl", [{"tokens": ["王明", "去", "Oslo"]}])
    (row,) = answered(open_application(out), listed, {})
    assert row["tokens"] == ["王明", "去", "Oslo"]
    # A folder of before does not say what its tokens were, and is used as it was.
    path = out / "model" / KEPT_IN[method]
    record = json.loads(path.read_text("utf-8"))
    assert record.pop("characters") is True
    path.write_text(json.dumps(record), "utf-8")
    first, *_ = answered(open_application(out), asked, {})
    assert first["tokens"] == texts[0].split()


def test_names_of_characters_are_found_between_spaces_and_keep_them(
    make: Make, tmp_path: Path
) -> None:
    rows = characters()
    # One foreign name of two words, its letters apart.
    rows += [
        {"tokens": [*person, "去", *"OldYork", "。"],
         "tags": ["B-PER", "I-PER", "O", "B-LOC", *["I-LOC"] * 6, "O"]}
        for person in ("王明", "李红", "张三", "王三", "李明")
    ]  # fmt: skip
    out = tmp_path / "out"
    learn_application(Asked("tag", make("c.jsonl", rows), out, method="crf", judge_baselines=False))
    tagger = LearnedTagger(open_application(out))
    assert tagger.tagged(["王明 去北京。", "李红 去 Old York 。", "张三在上海！"]) == [
        [Tagged("王明", "PER"), Tagged("北京", "LOC")],
        [Tagged("李红", "PER"), Tagged("Old York", "LOC")],
        [Tagged("张三", "PER"), Tagged("上海", "LOC")],
    ]


def test_words_stay_words(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    learn_application(
        Asked("tag", make("w.jsonl", tagged()), out, method="crf", judge_baselines=False)
    )
    assert json.loads((out / "model" / "scheme.json").read_text())["characters"] is False
    tagger = LearnedTagger(open_application(out))
    assert tagger.tagged(["Eve Smith saw Rome today"]) == [
        [Tagged("Eve Smith", "PER"), Tagged("Rome", "LOC")]
    ]


@pytest.mark.parametrize(("finds_spans", "wanted"), [(True, []), (False, ["he", "came"])])
def test_texts_without_a_name_have_none(finds_spans: bool, wanted: list[str]) -> None:
    """Though what was found in them, O and nothing else, could be parts of speech as well."""

    class Outside:
        def answer(self, examples: Sequence[Sentence]) -> list[tuple[str, ...]]:
            return [("O",) * len(example.tokens) for example in examples]

    learned: Any = Outside()
    learned.finds_spans = finds_spans
    (found,) = LearnedTagger(Opened(Tag(), learned)).tagged(["he came"])
    assert found == [Tagged(word, "O") for word in wanted]


def test_a_segmenter_stays_one(make: Make, tmp_path: Path) -> None:
    rows = [{"text": f"他看第{n}本书。", "words": f"他 看 第{n} 本 书 。"} for n in range(30)]
    out = tmp_path / "out"
    learn_application(
        Asked("segment", make("s.jsonl", rows), out, method="crf", judge_baselines=False)
    )
    opened = open_application(out)
    assert isinstance(opened.task, Segment)
    assert LearnedTagger(opened).tagged(["他 看书。"])[0][0] == Tagged("他", "word")


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (list("我在北京。"), True),
        (["科0", "技1", "很0", "好1"], True),
        (list("わたしは東京"), True),
        (["我们", "在", "北京", "。"], False),
        (["the", "cat", "sat", "."], False),
        ([], False),
    ],
)
def test_tokens_that_are_characters_are_known(tokens: list[str], wanted: bool) -> None:
    assert are_characters([Sentence(tuple(tokens))]) == wanted
