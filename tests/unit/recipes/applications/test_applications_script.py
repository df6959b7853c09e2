"""Translators that read Chinese of both scripts as one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from task_files import Make  # type: ignore[import-not-found]

from homespun.core import ConfigError
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import PairWriter
from homespun.recipes.serve import EngineWish
from homespun.recipes.serve.rewriting import rewriter_seat, served_rewriter

QUICK = {
    "width": "32", "layers": "1", "epochs": "2", "dropout": "0", "tokens": "512",
    "smoothing": "0", "beams": "2", "pieces": "600", "context": "40", "known": "2",
}  # fmt: skip
WHO = [("我們", "我们", "we"), ("他們", "他们", "they"), ("老師", "老师", "the teacher")]
DOES = [("說", "说", "say"), ("愛", "爱", "love"), ("買", "买", "buy"), ("賣", "卖", "sell")]
WHAT = [("書", "书", "books"), ("馬", "马", "horses"), ("車", "车", "cars"), ("魚", "鱼", "fish")]


def rows() -> list[dict[str, str]]:
    """Sentences of both scripts by turns."""
    parts = [(who, does, what) for who in WHO for does in DOES for what in WHAT]
    return [
        {
            "source": "".join(word[at % 2] for word in words),
            "target": " ".join(word[2] for word in words),
        }
        for at, words in enumerate(parts)
    ]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("script")
    data = folder / "p.jsonl"
    data.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()), encoding="utf-8"
    )
    options = {**QUICK, "script": "simplified"}
    learn_application(Asked("translate", data, folder / "en", options=options))
    return folder / "en"


def test_both_scripts_are_read_alike_by_apply_and_the_server(learned: Path) -> None:
    writer = open_application(learned).learned
    assert isinstance(writer, PairWriter)
    one, other = Pair("老師愛馬", ("x",)), Pair("老师爱马", ("x",))
    assert writer.pairs([one]) == writer.pairs([other])
    said = writer.answer([one, other])
    assert said[0] == said[1] != ""
    assert writer.are_cut([one, other]) == [False, False]
    served = served_rewriter(learned, "en", rewriter_seat(learned, EngineWish()))
    encoded = [served.tokenizer.encode(pair.source).tolist() for pair in (one, other)]
    assert encoded[0] == encoded[1] == [*writer.pairs([one])[0][0], writer.end_id]


def test_what_is_learned_and_remembered_is_in_one_script(learned: Path) -> None:
    kept = (learned / "model" / "memory.jsonl").read_text("utf-8")
    assert "们" in kept
    assert "們" not in kept
    writer = open_application(learned).learned
    assert isinstance(writer, PairWriter)
    assert writer.recall is not None
    (both, same) = writer.recall.alike(["老师爱马", "老师爱马"], 2)
    assert both == same


def test_targets_are_learned_and_judged_in_it_too(make: Make, tmp_path: Path) -> None:
    turned = [{"source": row["target"], "target": row["source"]} for row in rows()]
    options = {**QUICK, "known": "0", "epochs": "40", "script": "traditional"}
    out = tmp_path / "zh"
    told = learn_application(
        Asked("translate", make("p.jsonl", turned), out, options=options, judge_baselines=False)
    )
    writer = open_application(out).learned
    said = "".join(writer.answer([Pair(row["source"]) for row in turned]))
    assert set(said) & set("們師說愛買賣書馬車魚")
    assert not set(said) & set("们师说爱买卖书马车鱼")
    kept = [
        json.loads(line)
        for line in (out / "predictions.jsonl").read_text("utf-8").split("\n")
        if line
    ]
    right = "".join(json.dumps(row["right"], ensure_ascii=False) for row in kept)
    assert set(right) & set("們師說愛買賣書馬車魚")
    assert not set(right) & set("们师说爱买卖书马车鱼")
    assert any("traditional characters" in note for note in told["notes"])


def test_the_same_text_in_both_scripts_never_lies_on_both_sides_of_a_split(
    make: Make, tmp_path: Path
) -> None:
    both = [
        {"source": "".join(word[at] for word in (who, does, what)), "target": f"{who[2]} {does[2]}"}
        for who in WHO
        for does in DOES
        for what in WHAT
        for at in (0, 1)
    ]
    options = {**QUICK, "known": "0", "epochs": "0.1", "script": "simplified"}
    told = learn_application(
        Asked(
            "translate",
            make("p.jsonl", both[::2]),
            tmp_path / "en",
            test=make("t.jsonl", both[1::2]),
            options=options,
            judge_baselines=False,
        )
    )
    assert told["test_rows_seen_in_training"] == len(both) // 2


def test_a_script_that_is_none_is_refused(make: Make) -> None:
    data = make("p.jsonl", rows())
    with pytest.raises(ConfigError, match="no such script"):
        learn_application(Asked("translate", data, data.parent / "o", options={"script": "runes"}))
