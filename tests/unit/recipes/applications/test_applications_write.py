"""Texts of one's own kind: which form they have, what is learned of them, what is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from task_files import Make  # type: ignore[import-not-found]

import homespun.training
from homespun.core import ConfigError, DataError, RunDirectory, Silent, WorkClock
from homespun.models import DecoderConfig
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.applications.contract import ROW, Lesson
from homespun.recipes.applications.write import decoder
from homespun.recipes.applications.write.decoder import DecoderMethod, TunedMethod
from homespun.recipes.applications.write.forms import EVEN, Form, beginning, form_asked
from homespun.recipes.applications.write.task import Piece, Write, Written
from homespun.recipes.plan import RunPlan
from homespun.recipes.writing import form_of, nearest_form
from homespun.training import ChatBatches

QUICK = {"width": "32", "layers": "1", "context": "32", "tokens": "256", "dropout": "0"}
FIRST, SECOND = "春夏秋冬山水", "明月清風白雲"


def poems() -> list[Mapping[str, Any]]:
    """Four lines of three characters, by a rule."""
    return [
        {"title": f"{a}{b}", "paragraphs": [f"{a}{b}{a}，{b}{a}{b}。", f"{a}{a}{b}，{b}{b}{a}。"]}
        for a in FIRST
        for b in SECOND
    ]


def functions() -> list[Mapping[str, Any]]:
    """A sentence, and the line of Python it asks for."""
    return [
        {"prompt": f"{word} {n}", "completion": f"def {word}(x):\n    return x {sign} {n}\n"}
        for word, sign in (("add", "+"), ("take", "-"), ("times", "*"))
        for n in range(12)
    ]


def test_forms_are_told() -> None:
    assert form_of("床前明月光，疑是地上霜。举头望明月，低头思故乡。") == "5x4"
    assert form_of("春眠不觉晓\n处处闻啼鸟？\n") == "5x2"
    assert form_of("床前明月光，疑是霜。") is None
    assert form_of("five words") is None
    assert form_of("") is None
    poem = ["".join(map(str, row["paragraphs"])) for row in poems()]
    assert form_asked("", "", poem) == Form("poem", "3x4")
    longer = ["春夏秋冬，山水明月。"] * len(poem)
    assert form_asked("", "", [*poem, *longer]) == Form("poem", EVEN)
    assert form_asked("", "7x8", poem) == Form("poem", "7x8")
    assert form_asked("story", "", poem) == Form("story")
    assert form_asked("", "", ["def f():\n    return 1\n"] * 9) == Form("code")
    assert form_asked("", "", ["once upon a time"] * 9) == Form("story")
    for kind, lines, says in (
        ("pome", "", "did you mean 'poem'"),
        ("", "5by4", "LENGTHxLINES"),
        ("code", "5x4", "no form of lines"),
    ):
        with pytest.raises(ConfigError, match=says):
            form_asked(kind, lines, poem)


def test_forms_are_kept_or_not() -> None:
    assert Form("story").is_kept("They lived.", has_ended=True)
    assert not Form("story").is_kept("They lived", has_ended=False)
    assert Form("poem", "3x2").is_kept("春夏秋，山水月。", has_ended=True)
    assert not Form("poem", "3x2").is_kept("春夏秋，山水。", has_ended=True)
    assert Form("poem", EVEN).is_kept("春夏秋，山水月。", has_ended=True)
    assert Form("poem").is_kept("one line\nand two\nand three\nfour", has_ended=True)
    assert not Form("poem").is_kept("one line\nand two", has_ended=True)
    assert Form("code").is_kept("x = 1\ny = (", has_ended=False)  # its last line was cut
    assert not Form("code").is_kept("x = 1\ny = (", has_ended=True)
    assert Form("code").mended("x = 1\ny = (", "") == "x = 1"
    assert Form("code").mended("x = (", "") is None


def test_beginnings_leave_something_to_write() -> None:
    assert beginning("床前明月光，疑是地上霜。举头望明月，低头思故乡。") == "床前明月光，"
    assert beginning("def f(x):\n    return x + 1\n") == "def f(x):\n"
    text = "Once there was a fox who lived in a wood and was never sad."
    assert beginning(text) == "Once there was a fox who"
    assert beginning("ab") == "a"


@pytest.mark.parametrize(
    ("tried", "form"),
    [
        ("春夏秋，山水月。", "3x2"),
        ("春夏秋，山水。冬", "3x4"),
        ("春夏秋", "3x2"),
        ("abc，春夏", None),
        ("春" * 100, None),
        ("，", None),
        ("", None),
    ],
)
def test_the_nearest_form_is_that_of_the_first_line(tried: str, form: str | None) -> None:
    assert nearest_form(tried) == form


def test_poems_of_any_even_lines_are_held_to_them_at_the_last_try(
    make: Make, tmp_path: Path
) -> None:
    longer = [
        {"title": f"{a}{b}", "paragraphs": [f"{a}{b}{a}{b}，{b}{a}{b}{a}。"]}
        for a in FIRST
        for b in SECOND
    ]
    data = make("poems.jsonl", [*poems(), *longer])
    options = {**QUICK, "epochs": "10"}
    card = learn_application(Asked("write", data, tmp_path / "out", options=options))
    kept = {m["signature"]: m["value"] for m in card["measures"] if m["name"] == "keeps its form"}
    assert kept["tries:1"] < 0.9
    assert kept["tries:3"] == 1.0


def test_the_held_out_loss_counts_each_text_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where they are no whole number of batches."""

    def counted(model: Any, objective: Any, batches: Any) -> dict[str, Any]:
        return {"rows": sum(len(batch.ids_BT) for batch in batches)}

    monkeypatch.setattr(homespun.training, "held_out_loss", counted)
    seen: list[Any] = []
    monkeypatch.setattr(decoder, "fit_with", lambda *given: seen.extend(given))
    texts = [Piece("", f"{number:024d}") for number in range(73)]  # each fills a row by itself
    options = {**DecoderMethod.options, **QUICK, "pieces": "264"}
    lesson: Lesson[Piece] = Lesson(
        texts[:64],
        texts[64:],
        tmp_path,
        0,
        None,
        None,
        options,
        WorkClock(tmp_path / "c"),
        Silent(),
    )
    writer = DecoderMethod().learn(lesson)
    model, _, source, _, _, looks = seen
    single = ChatBatches(writer.chats(lesson.dev), context=32, rows=1, seed=0)
    assert single.rows_per_epoch % source.describe()["rows"], "the last batch is not full"
    assert looks.evaluate(model, 0)["rows"] == single.rows_per_epoch


def test_poems_are_learned_in_their_form_and_held_to_it(make: Make, tmp_path: Path) -> None:
    data, out = make("poems.jsonl", poems()), tmp_path / "out"
    told = learn_application(Asked("write", data, out, options={**QUICK, "epochs": "15"}))
    assert told["method"] == "decoder"
    assert told["less_is_better"]
    names = [(row["name"], row["signature"]) for row in told["measures"]]
    assert names[0][0] == "bits per byte"
    assert ("keeps 3x4", "tries:1") in names
    assert [name for name, _ in names][-1] == "copied from training"
    held = next(row for row in told["measures"] if row["signature"] == "tries:3")
    assert held["value"] == 1.0
    assert told["baselines"] == []  # from nothing there is no model as it was
    assert not any("could not be learned" in note for note in told["notes"])
    asked = make("ask.jsonl", [{"text": "春明"}, {"text": ""}, {"text": ""}, {"text": "a"}])
    rows = list(answered(open_application(out, task="write"), asked, {}))
    assert [form_of(row["text"]) for row in rows[:3]] == ["3x4"] * 3
    assert rows[0]["text"].startswith("春明")
    assert rows[1]["text"] != rows[2]["text"]  # each row is another draw
    assert not rows[3]["holds"]  # nothing that begins so keeps the form
    again = list(answered(open_application(out), asked, {}, skip=2))
    assert again == rows[2:]
    assert "keeps 3x4" in (out / "README.md").read_text("utf-8")


def test_code_is_learned_behind_its_prompts(make: Make, tmp_path: Path) -> None:
    data, out = make("code.jsonl", functions()), tmp_path / "out"
    options = {**QUICK, "epochs": "30"}
    told = learn_application(Asked("write", data, out, options=options))
    assert any(row["name"] == "parses as Python" for row in told["measures"])
    opened = open_application(out)
    assert opened.learned.habits.between == "\n"
    (row,) = answered(opened, make("ask.jsonl", [{"prompt": "add 3"}]), {})
    assert row["text"].startswith("def ")
    assert "add 3" not in row["text"]
    assert row["plain"] == row["text"] + "\n"


def test_titles_are_prompts_where_the_user_says_so(make: Make, tmp_path: Path) -> None:
    data, out = make("poems.jsonl", poems()), tmp_path / "out"
    options = {**QUICK, "epochs": "1", "tries": "1"}
    columns = {"prompt": "title", "text": "paragraphs"}
    learn_application(Asked("write", data, out, columns=columns, options=options))
    assert open_application(out).learned.habits.between == "\n"


def test_texts_longer_than_the_context_are_scored_whole(make: Make, tmp_path: Path) -> None:
    rows = [{"text": " ".join(f"{word}{n}" for n in range(60))} for word in "abcdefghijkl"]
    data, out = make("long.jsonl", rows), tmp_path / "out"
    learn_application(Asked("write", data, out, options={**QUICK, "epochs": "1", "tries": "1"}))
    learned = open_application(out).learned
    piece = Piece("", rows[0]["text"])
    (chat,) = learned.chats([piece])
    assert len(chat.ids) > 2 * learned.model.context
    (nats,) = learned.nats([piece])
    per_target = nats / sum(chat.is_target)
    assert 0 < per_target < 2 * math.log(learned.model.head_weight.shape[0])
    short = Piece("", "a0 a1")
    (both, alone), (same,) = learned.nats([short, piece]), learned.nats([short])
    assert both == pytest.approx(same, rel=1e-4)
    assert alone == pytest.approx(nats, rel=1e-4)
    assert learned.are_cut([Piece("a " * 200), Piece("a")]) == [True, False]
    asked = make("ask.jsonl", [{"prompt": "a0 " * 200}])
    assert next(answered(open_application(out), asked, {}))["cut"]


def test_what_is_measured_of_what_was_written() -> None:
    task = Write()
    examples = [Piece("", "abcd"), Piece("", "efg"), Piece("", "hi")]
    written = Written("ab ab", "ends by itself", True, True, 1, 5.0, "ab ab", 3)
    endless = Written("cd", "ends by itself", False, True, 2, 4.0, "cd", 0)
    scored = Written(None, "ends by itself", nats=3.0)
    draw = np.random.Generator(np.random.PCG64(0))
    found = task.measure(examples, [written, endless, scored], draw)
    values = {(m.name, m.signature): m.value for m in found.statistics}
    assert values["bits per byte", "unit:utf-8"] == pytest.approx(12 / math.log(2) / 12)
    assert values["ends by itself", "tries:1"] == 0.5
    assert values["ends by itself", "tries:2"] == 1.0
    assert [v for (n, _), v in values.items() if n == "copied from training"] == [3 / 7]
    assert found.per_row == [1.0, 1.0, 1.0]
    assert "2 of the 3" in found.notes[0]
    assert task.score(examples, [written, endless, scored]).value < 0


def run_plan(**more: Any) -> RunPlan:
    shape = DecoderConfig(
        vocab_size=264, num_layers=1, width=8, num_heads=1, num_kv_heads=1, head_width=8,
        mlp_width=8, context=16,
    )  # fmt: skip
    return RunPlan(
        asked={}, size="", parameters=1, model=shape.model_dump(), rows=1, seconds=None,
        num_steps=1, expected_tokens=1, expected_epochs=1.0, speeds=[], reason="",
        compute_dtype="float32", threads=1, **more,
    )  # fmt: skip


def test_the_rate_of_a_run_that_goes_on_is_a_rate() -> None:
    method = TunedMethod()
    begun: Any = SimpleNamespace(plan=run_plan(learning_rate=0.02, matrix_learning_rate=0.01))
    source: Any = SimpleNamespace(epochs=lambda steps: 0.1 * steps)

    def rates(rate: str) -> tuple[float, float | None]:
        options = {**method.options, "rate": rate}
        lesson: Any = SimpleNamespace(options=options, seconds=None, seed=0)
        optimizer = method.plan(lesson, begun, source).optimizer
        return optimizer.learning_rate, optimizer.matrix_learning_rate

    usual, matrices = rates("")
    assert matrices is not None
    assert rates(str(usual)) == (usual, matrices)
    asked, of_matrices = rates("0.0003")
    assert asked == 0.0003
    assert of_matrices == pytest.approx(matrices * 0.0003 / usual)
    for wrong in ("2", "0.5", "0", "fast"):
        with pytest.raises(ConfigError, match=r"rate must be a number from 1e-07 to 0\.1"):
            rates(wrong)


def test_rows_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="nothing written"):
        Write().example({"text": "  "})
    assert Write().example({"text": ["one", "two"]}).text == "one\ntwo"
    assert Write().example({"prompt": None, ROW: 7}) == Piece("", None, 7)


def test_a_run_that_was_not_pretrained_leaves_no_folder_behind(make: Make, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", asked={}, seed=0)
    asked = Asked("write", make("p.jsonl", poems()), tmp_path / "out", base=run.path)
    with pytest.raises(DataError, match=r"has not been pretrained; run `homespun pretrain"):
        learn_application(asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"options": {"kind": "pome"}}, "did you mean 'poem'"),
        ({"options": {"between": "tab"}}, "line or nothing"),
        ({"method": "tuned"}, "begins with a pretrained run"),
        ({"base": Path(__file__).parent}, "not the folder of a pretrained run: it has no run.json"),
    ],
)
def test_wrong_wishes_are_told(make: Make, tmp_path: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says):
        learn_application(Asked("write", make("p.jsonl", poems()), tmp_path / "out", **more))
    assert not (tmp_path / "out").exists()
