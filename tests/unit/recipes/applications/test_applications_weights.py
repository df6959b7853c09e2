"""Which step's weights a network keeps: chosen by held-out rows, never by those it is judged on."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from task_files import Make, pairs, reviews  # type: ignore[import-not-found]

from homespun.core import Silent, WorkClock
from homespun.core.files import read_json
from homespun.recipes.applications import Also, Asked, find_application, learn_application
from homespun.recipes.applications.contract import Lesson, Scored
from homespun.recipes.applications.neural.choosing import LEAST, Kept, read_kept, spaced

WORDS = {
    "en": ("fine", "dull", "warm", "cold", "long", "film", "day", "book", "song", "room"),
    "zh": ("很好", "很差", "暖", "冷", "长", "电影", "天", "书", "歌", "房间"),
}


BY_HEART = {"epochs": "30", "rate": "0.02", "width": "16"}
"""Settings of a network that learns its rows by heart."""


def noisy(num: int = 240, language: str = "en") -> list[Mapping[str, Any]]:
    """Labels that have little to do with the texts: there is nothing to learn but by heart."""
    draw = random.Random(0)
    joined = " " if language == "en" else ""
    return [
        {
            "text": joined.join([*draw.choices(WORDS[language], k=6), str(number)]),
            "label": draw.choice(["a", "b"]),
        }
        for number in range(num)
    ]


class Said(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, text: str) -> None:
        self.sentences.append(text)


def looks(stage: Path) -> dict[int, float]:
    """Held-out losses by step."""
    rows = map(json.loads, (stage / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows if row["kind"] == "eval"}


def lesson_of(folder: Path, language: str = "en") -> Lesson[Any]:
    task = find_application("classify")
    examples = [task.example(row) for row in noisy(language=language)]
    folder.mkdir(parents=True, exist_ok=True)
    return Lesson(
        examples[:200],
        examples[200:],
        folder,
        seed=0,
        seconds=None,
        base=None,
        options=BY_HEART,
        clock=WorkClock(folder / "clock.json"),
        progress=Said(),
        score=lambda examples, answers: Scored("accuracy", 0.5),
    )


def held_out_loss(learned: Any, lesson: Lesson[Any]) -> float:
    from homespun.recipes.applications.neural.scoring import dev_loss
    from homespun.training import ClassifyObjective

    evaluate = dev_loss(ClassifyObjective(), learned.examples(lesson.dev))
    with torch.no_grad():
        return float(evaluate(learned.model, 0)["loss"])


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("is_last_better", [False, True])
def test_the_better_answers_decide_and_of_equal_ones_the_loss(
    tmp_path: Path, is_last_better: bool, language: str
) -> None:
    lesson = lesson_of(tmp_path / "model", language)
    asked: list[int] = []

    def score(examples: Any, answers: Any) -> Scored:
        assert list(examples) == list(lesson.dev)
        assert len(answers) == len(examples)
        asked.append(len(examples))
        # The last weights are asked first.
        return Scored("accuracy", float(is_last_better and len(asked) == 1))

    method = find_application("classify").methods["cnn"]()
    learned = method.learn(replace(lesson, score=score))
    losses, kept = looks(lesson.folder / "training"), read_kept(lesson.folder)
    assert kept is not None
    best = min(losses, key=lambda step: (losses[step], step))
    assert losses[kept.last_step] > losses[best] + 0.02, "the loss must have turned"
    assert asked == [40, 40]
    assert kept.step == (kept.last_step if is_last_better else best)
    assert held_out_loss(learned, lesson) == pytest.approx(losses[kept.step], rel=1e-4)
    assert held_out_loss(method.load(lesson.folder), lesson) == held_out_loss(learned, lesson)
    said = lesson.progress.sentences  # type: ignore[attr-defined]
    assert any(kept.sentence in line for line in said)


def test_killed_at_any_time_it_keeps_the_same_weights(tmp_path: Path) -> None:
    from homespun.training.objectives.classify import ClassifyObjective

    method = find_application("classify").methods["cnn"]()
    whole = lesson_of(tmp_path / "whole")
    learned = method.learn(whole)
    weights = (whole.folder / "weights.safetensors").read_bytes()
    kept = read_kept(whole.folder)
    assert kept is not None
    assert kept.step < kept.last_step
    usual = ClassifyObjective.loss
    for count in (1, kept.step, kept.step + 1):
        lesson, left = lesson_of(tmp_path / f"killed-{count}"), [count]

        def stops(self: Any, model: Any, batch: Any, left: list[int] = left) -> Any:
            left[0] -= model.training
            if left[0] < 0:
                raise KeyboardInterrupt
            return usual(self, model, batch)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClassifyObjective, "loss", stops)
            with pytest.raises(KeyboardInterrupt):
                method.learn(lesson)
        again = method.learn(lesson)
        assert (lesson.folder / "weights.safetensors").read_bytes() == weights
        assert read_kept(lesson.folder) == kept
        assert again.answer(lesson.dev) == learned.answer(lesson.dev)


def test_it_is_told_in_report_card_and_results(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = Asked("classify", make("n.jsonl", noisy(300)), out, method="cnn",
                  options=BY_HEART, judge_baselines=False)  # fmt: skip
    told = learn_application(asked)
    weights = told["weights"]
    assert (weights["rows"], weights["is_chosen"]) == (30, True)
    assert weights["score"] == told["measures"][0]["name"]
    assert weights["sentence"] in told["notes"]
    assert f"{weights['last_step']:,}" in weights["sentence"]
    for name in ("README.md", "report.html"):
        text = (out / name).read_text("utf-8")
        assert weights["sentence"] in text
        assert "30 more by which the step was chosen whose weights are kept" in text
    # A second call reads what the first one chose.
    assert learn_application(asked)["weights"] == weights


@pytest.mark.parametrize(
    ("task", "method", "options"),
    [
        ("tag", "lstm", {"width": "16", "pieces": "300"}),
        ("segment", "lstm", {"width": "16", "pieces": "300"}),
        ("pair", "encoder", {}),
        ("answer", "encoder", {"window": "48"}),
        ("embed", "encoder", {}),
        ("translate", "transformer", {"width": "32", "layers": "1", "pieces": "300"}),
        ("summarise", "transformer", {"width": "32", "layers": "1", "pieces": "300"}),
    ],
)
def test_every_network_task_chooses_by_its_held_out_rows(
    make: Make, tmp_path: Path, tiny_bert: Path, task: str, method: str, options: dict[str, str]
) -> None:
    made: dict[str, list[Mapping[str, Any]]] = {
        "tag": [{"tokens": ["Ann", f"x{n}", "left"], "tags": ["B-PER", "O", "O"]}
                for n in range(220)],
        "segment": [{"text": f"我们去{n}上海", "words": f"我们 去{n} 上海"}
                    for n in range(220)],
        "pair": [{"first": f"a day {n}", "second": "a room", "relation": n % 2}
                 for n in range(220)],
        "answer": [{"question": "Who sings?", "passage": f"P{n} sings at noon.",
                    "answers": [f"P{n}"]} for n in range(220)],
        "embed": [{"first": f"{row['text']} {n}", "second": row["text"]}
                  for n in range(3) for row in reviews()],
        "translate": [*pairs(), *({**p, "source": p["source"] + " now"} for p in pairs())],
        "summarise": [{"text": p["source"] + suffix, "summary": p["target"]}
                      for p in pairs() for suffix in (" now", " then")],
    }  # fmt: skip
    if task in ("translate", "summarise"):
        options = {**options, "beams": "1", "context": "48"}
    base = tiny_bert if method == "encoder" else None
    told = learn_application(
        Asked(task, make("d.jsonl", made[task]), tmp_path / "out", method=method, base=base,
              options={**options, "epochs": "2"}, judge_baselines=False)
    )  # fmt: skip
    weights = told["weights"]
    assert weights["is_chosen"]
    assert weights["rows"] == told["rows"]["dev"] >= LEAST
    losses = looks(tmp_path / "out" / "model" / "training")
    config = read_json(tmp_path / "out" / "model" / "training" / "config.json")
    assert config["train"]["best"] is not None
    if weights["score"] is None:
        assert weights["step"] == weights["last_step"] == max(losses)
    else:
        assert weights["score"] == told["measures"][0]["name"]
        is_best = weights["by_best"] >= weights["by_last"]
        assert (weights["step"] < weights["last_step"]) == is_best
    assert any(weights["sentence"] == note for note in told["notes"])


def test_tasks_learned_together_choose_by_all(make: Make, tmp_path: Path, tiny_bert: Path) -> None:
    out = tmp_path / "out"
    also = Also("classify", make("b.jsonl", noisy(250)[:230]))
    told = learn_application(
        Asked("classify", make("a.jsonl", noisy(300)), out, base=tiny_bert, also=[also],
              options={"epochs": "3"}, judge_baselines=False)
    )  # fmt: skip
    other = read_json(out / told["together"][0] / "results.json")
    assert told["weights"] == other["weights"]
    assert told["weights"]["rows"] == 23
    few = Also("classify", make("c.jsonl", reviews()))
    told = learn_application(
        Asked("classify", make("a.jsonl", noisy(300)), tmp_path / "few", base=tiny_bert,
              also=[few], options={"epochs": "2"}, judge_baselines=False)
    )  # fmt: skip
    assert not told["weights"]["is_chosen"]


def test_few_rows_choose_nothing_and_it_is_said(make: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = Asked("classify", make("f.jsonl", noisy(100)), out, method="cnn",
                  options={"epochs": "20", "rate": "0.01"}, judge_baselines=False)  # fmt: skip
    said = Said()
    told = learn_application(asked, progress=said)
    weights = Kept(**told["weights"])
    assert (weights.step, weights.rows, weights.is_chosen) == (weights.last_step, 10, False)
    assert f"10 held-out rows are too few to choose others by ({LEAST} are needed)" in (
        weights.sentence
    )
    assert weights.sentence in said.sentences
    assert weights.sentence in (out / "README.md").read_text("utf-8")


def test_what_is_read_once_keeps_the_last_weights(make: Make, tmp_path: Path) -> None:
    asked = Asked("classify", make("n.jsonl", noisy(300)), tmp_path / "out", method="cnn",
                  options={"epochs": "1"}, judge_baselines=False)  # fmt: skip
    weights = learn_application(asked)["weights"]
    assert weights["step"] == weights["last_step"]
    assert "no row was learned from twice" in weights["sentence"]


def test_rows_that_are_judged_on_choose_nothing(make: Make, tmp_path: Path) -> None:
    data = make("n.jsonl", noisy(300))
    kept = []
    for name, label in (("one", "a"), ("two", "b")):
        test = make(f"{name}.jsonl", [{"text": f"a {name} {n}", "label": label} for n in range(40)])
        out = tmp_path / name
        learn_application(Asked("classify", data, out, test=test, method="cnn", options=BY_HEART,
                                judge_baselines=False))  # fmt: skip
        kept.append((read_kept(out / "model"), (out / "model/weights.safetensors").read_bytes()))
    assert kept[0] == kept[1]


def test_spaced_rows_are_of_the_whole_file() -> None:
    assert spaced(range(5), None) == [0, 1, 2, 3, 4]
    assert spaced(range(5), 5) == [0, 1, 2, 3, 4]
    assert spaced(range(10), 4) == [0, 2, 5, 7]
    assert len(set(spaced(range(1000), 256))) == 256
