"""A finished run reads on: what it makes, that a kill leaves no trace, and what it says of it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from dying import continue_until, killed

from homespun import training
from homespun.core import ConfigError, DataError, RunDirectory, RunError, WorkClock
from homespun.core.files import read_json, sha256_file, write_json
from homespun.models import DecoderConfig
from homespun.recipes import (
    average_run,
    continue_run,
    grow_run,
    open_run,
    plan_stage,
    pretrain_stage,
    together,
)
from homespun.recipes.extend import helping, new_text
from homespun.recipes.extend.compare import Difference, compare
from homespun.recipes.extend.engine import own_rows
from homespun.recipes.extend.further import Budget, ensure_plan, num_tokens
from homespun.recipes.extend.helping import help_going_on
from homespun.recipes.extend.new_text import mixed_rows, text_parts, what_happened
from homespun.recipes.plan import Read, RunPlan, read_plan, regularised_text
from homespun.recipes.scale.shapes import multiplied_parameters
from homespun.scaling.plan import rereading, suited_dropout
from homespun.scaling.rules import WEIGHT_DECAY
from homespun.training import distributed, regularisation, train
from homespun.training.distributed import World

WORDS = [
    "captain",
    "sailor",
    "harbour",
    "anchor",
    "storm",
    "letter",
    "island",
    "whale",
    "lantern",
    "compass",
    "rope",
    "barrel",
    "gull",
    "tide",
    "cabin",
    "mast",
    "deck",
    "cook",
    "map",
    "coin",
    "shark",
    "reef",
    "song",
    "watch",
    "rum",
    "fog",
    "bell",
    "oar",
    "net",
    "shore",
    "sold",
    "lost",
    "found",
    "mended",
    "carried",
    "burned",
    "hid",
    "traded",
    "feared",
    "followed",
    "painted",
    "counted",
    "buried",
]


def logbook(count: int, *, seed: int = 0) -> str:
    """Paragraphs of random words, no two alike."""
    random = Random(seed)
    return "\n\n".join(
        f"Entry {i}: the " + " the ".join(random.choices(WORDS, k=24)) + "." for i in range(count)
    )


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A folder with runs/tiny and a new text."""
    shutil.copytree(finished, tmp_path / "runs" / "tiny")
    (tmp_path / "log.txt").write_text(logbook(400))
    return tmp_path


@pytest.fixture(scope="module")
def went_on(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/tiny and runs/tiny+log, which went on from it for a step; to be copied."""
    folder = tmp_path_factory.mktemp("went-on")
    shutil.copytree(finished, folder / "runs" / "tiny")
    (folder / "log.txt").write_text(logbook(400))
    continue_run(folder / "runs/tiny", folder / "log.txt", steps=1)
    return folder


def test_the_new_run_reads_old_and_new_and_says_what_came_of_it(place: Path) -> None:
    old = open_run(place / "runs/tiny", stage="pretrain")
    before = sha256_file(old.path / "pretrain/done.json")
    run = continue_run(old.path, place / "log.txt", steps=40, rewarm=1.0)
    assert run.path == place / "runs" / "tiny+log"
    assert sha256_file(old.path / "pretrain/done.json") == before
    change = json.loads((run.path / "change.json").read_text())
    assert (
        change["parent"]["weights_sha256"]
        == json.loads((old.path / "pretrain/done.json").read_text())["weights_sha256"]
    )
    assert change["texts"]["new"]["outcome"] == "better"
    assert change["texts"]["new"]["after"] < change["texts"]["new"]["before"]
    assert change["sentences"][0].startswith("The model learnt from the new text: ")
    config = json.loads((run.path / "pretrain/config.json").read_text())
    assert config["source"]["kind"] == "mixed"
    assert change["sentences"][0][:30] in (run.path / "report.html").read_text()
    # It is a run like any other: it can be used, and go on once more.
    assert open_run(run.path).generate("The", max_tokens=4).token_ids
    assert pretrain_stage(run.path)["result"]["steps"] == 40
    (place / "more.txt").write_text(logbook(100, seed=1))
    third = continue_run(run.path, place / "more.txt", steps=2, name="third")
    assert sorted(p.name for p in (third.path / "replay").iterdir()) == ["tiny", "tiny+log"]


def test_it_is_trained_where_models_are_and_by_all_who_are_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a GPU, which one process alone has a world for too."""
    world = World()
    called, trained = [], []

    def noted(*args: Any, **more: Any) -> Any:
        trained.append((more["world"], more["parallel"].strategy))
        return train(*args, **more)

    monkeypatch.setattr(together, "training_device", lambda: "pretended")
    monkeypatch.setattr(distributed, "joined_world", lambda: nullcontext(world))
    monkeypatch.setattr(world, "lead", lambda work: called.append(work()) or called[-1])
    monkeypatch.setattr(training, "train", noted)
    new = continue_run(place / "runs/tiny", place / "log.txt", steps=1, strategy="fsdp")
    grown = grow_run(place / "runs/tiny", layers=4, steps=1, strategy="fsdp")
    assert trained == [(world, "fsdp")] * 2
    jobs = [told["arguments"] for told in called if isinstance(told, dict) and "job" in told]
    assert [job["run"] for job in jobs] == [str(new.path.resolve()), str(grown.path.resolve())]
    # What the others are told is enough to make the leader's batches.
    monkeypatch.setattr(helping, "train_further", lambda run, source, **_: trained.append(source))
    for run, job, source in zip(
        (new, grown), jobs, (mixed_rows(new, replay=0.25), own_rows(grown)), strict=True
    ):
        asked = {name: job[name] for name in ("rewarm", "replay")}
        help_going_on(run, clock=WorkClock(place / "c.json"), helpers=together.ALONE, **asked)
        assert trained[-1].describe() == source.describe()


def test_what_was_read_before_is_not_new_text(place: Path) -> None:
    folder = place / "texts"
    folder.mkdir()
    shutil.copy(place / "log.txt", folder)
    for path in (place / "runs/tiny/corpus").glob("train.*"):
        assert path.is_file()
    from homespun.corpus import iter_documents

    old = [d.text for d in iter_documents(place / "runs/tiny/corpus", "train")]
    (folder / "copy.txt").write_text("\n\n".join(old))
    run = continue_run(place / "runs/tiny", folder, steps=1, name="dedup")
    card = json.loads((run.path / "corpus/card.json").read_text())
    assert card["dropped"]["repeated-paragraph"]["bytes"] > 0.9 * sum(map(len, old))
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "copy.txt").write_text("\n\n".join(old))
    with pytest.raises(DataError, match="can be learnt from"):
        continue_run(place / "runs/tiny", folder, steps=1, name="nothing")
    assert not (place / "runs/nothing").exists()


def test_killed_anywhere_it_goes_on_to_the_same_weights(place: Path) -> None:
    parent, text = str(place / "runs/tiny"), str(place / "log.txt")
    for stop in ("encoding", "measuring before", "pretrain"):
        assert killed(continue_until, stop, parent, text, {"steps": 6, "name": "killed"})
    resumed = continue_run(parent, text, steps=6, name="killed")
    straight = continue_run(parent, text, steps=6, name="straight")
    for name in ("change.json", "before.json"):
        first, second = (json.loads((r.path / name).read_text()) for r in (resumed, straight))
        first.get("result", {}).pop("seconds", None), second.get("result", {}).pop("seconds", None)
        assert first == second
    done = [json.loads((r.path / "pretrain/done.json").read_text()) for r in (resumed, straight)]
    assert done[0]["weights_sha256"] == done[1]["weights_sha256"]


def change_plan(run: Path, **changed: Any) -> None:
    plan = read_json(run / "plan.json")
    write_json(run / "plan.json", {**plan, **changed})


def test_what_the_parents_text_wanted_is_not_what_the_new_one_wants(place: Path) -> None:
    parent = place / "runs/tiny"
    model = {**read_json(parent / "plan.json")["model"], "dropout": 0.3}
    change_plan(
        parent, asked={"regularise": True}, model=model, weight_decay=0.5, regularised_for=99.0
    )
    was_read(parent, 0.5)
    run = continue_run(parent, place / "log.txt", steps=1)
    plan = read_plan(run)
    assert (plan.model["dropout"], plan.weight_decay) == (0.0, WEIGHT_DECAY)
    kept = read_json(run.path / "pretrain/config.json")["train"]["optimizer"]["weight_decay"]
    assert kept == WEIGHT_DECAY
    assert plan.asked["regularise"] is True  # for those that go on from this one
    # Runs that were read with different dropout are of one shape.
    found = average_run(parent, [run.path])
    assert len(found["parts"]) == 2


def was_read(run: Path, times: float) -> None:
    done = read_json(run / "pretrain/done.json")
    done["result"]["epochs"] = times
    write_json(run / "pretrain/done.json", done)


@pytest.mark.parametrize("replay", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("is_beside_table", [False, True])
@pytest.mark.parametrize("before", [0.0, 900.0])
def test_texts_that_are_read_often_want_dropout(
    went_on: Path, tmp_path: Path, replay: float, is_beside_table: bool, before: float
) -> None:
    shutil.copytree(went_on / "runs", tmp_path / "runs")
    parent, run = tmp_path / "runs/tiny", RunDirectory(tmp_path / "runs/tiny+log")
    was_read(parent, before)
    (run.path / "plan.json").unlink()
    asked = {} if is_beside_table else {"regularise": True}
    change_plan(parent, asked=asked, prior_order=3 if is_beside_table else 0)
    old = RunDirectory(parent)
    shape = DecoderConfig(**read_plan(old).model)
    plan = ensure_plan(
        run,
        old,
        shape,
        Budget(None, 20_000, 1.0),
        reserve=0.0,
        clock=WorkClock(tmp_path / "c.json"),
        parts=text_parts(run, old, replay=replay),
    )
    parameters, tokens = multiplied_parameters(shape), plan.expected_tokens
    of_new = Read((1 - replay) * tokens, num_tokens(run.shards))
    unique = num_tokens(old.shards)
    # Of old text that is not read again nothing counts.
    of_old = Read(replay * tokens + (before * unique if replay else 0), unique)
    assert replay == 0 or of_old.unique != of_new.unique
    most = max((of_new, of_old), key=lambda text: rereading(parameters, *text))
    assert most == of_old or not replay or not before
    if is_beside_table:
        dropout = suited_dropout(parameters, *most, is_beside_table=True)
        assert plan.weight_decay is None
    else:
        suits = regularisation(rereading(parameters, *most), weight_decay=WEIGHT_DECAY)
        dropout = suits.dropout
        assert plan.weight_decay == pytest.approx(suits.weight_decay, abs=1e-4)
    assert plan.model["dropout"] == pytest.approx(dropout, abs=1e-3)
    assert dropout > 0
    assert f"for {most.tokens / most.unique:.1f} readings" in regularised_text(plan)


def test_what_is_extended_counts_what_was_read_of_its_text_before(place: Path) -> None:
    parent = place / "runs/tiny"
    model = {**read_json(parent / "plan.json")["model"], "dropout": 0.3}
    change_plan(parent, asked={"regularise": True}, model=model, weight_decay=0.5)
    layers = model["num_layers"]

    def check(run: RunDirectory, before: float) -> RunPlan:
        plan, unique = read_plan(run), num_tokens(run.shards)
        readings = before + plan.expected_tokens / unique
        parameters = multiplied_parameters(DecoderConfig(**plan.model))
        times = rereading(parameters, readings * unique, unique)
        suits = regularisation(times, weight_decay=WEIGHT_DECAY)
        assert plan.read_before == before
        assert plan.model["dropout"] == pytest.approx(suits.dropout, abs=1e-3)
        assert plan.weight_decay == pytest.approx(suits.weight_decay, abs=1e-3)
        assert f"for {readings:.1f} readings" in regularised_text(plan)
        return plan

    was_read(parent, 0.5)
    once = check(grow_run(parent, layers=2 * layers, steps=1, name="once"), 0.5)
    was_read(parent, 500.0)
    run = grow_run(parent, layers=2 * layers, steps=1, name="often")
    plan = check(run, 500.0)
    assert once.model["dropout"] < plan.model["dropout"]
    kept = read_json(run.path / "pretrain/config.json")["train"]["optimizer"]["weight_decay"]
    assert kept == plan.weight_decay
    # And what is extended once more has read it by both.
    again = read_plan(grow_run(run.path, layers=3 * layers, steps=1, name="again"))
    read = read_json(run.path / "pretrain/done.json")["result"]["epochs"]
    assert again.read_before == pytest.approx(500 + read, abs=1e-3)
    # New text is read for the first time.
    assert read_plan(continue_run(run.path, place / "log.txt", steps=1)).read_before == 0


def test_what_runs_have_read_of_old_text_is_handed_on(place: Path) -> None:
    parent = place / "runs/tiny"
    was_read(parent, 7.0)
    run = continue_run(parent, place / "log.txt", steps=3, replay=0.5, name="second")
    assert (read_plan(run).replay_read, read_plan(run).replay_share) == (7.0, 0.5)
    done = read_json(run.path / "pretrain/done.json")["result"]
    tiny, second = (num_tokens(place / "runs" / name / "shards") for name in ("tiny", "second"))
    of_tiny = 7.0 + 0.5 * done["tokens"] / tiny
    assert of_tiny > 7.01
    grown = read_plan(grow_run(run.path, layers=4, steps=1, name="grown"))
    assert grown.replay_read == pytest.approx(of_tiny, abs=1e-3)
    assert grown.replay_share == 0.0
    (place / "more.txt").write_text(logbook(100, seed=1))
    third = continue_run(run.path, place / "more.txt", steps=1, name="third")
    of_both = (of_tiny * tiny + done["epochs"] * second) / (tiny + second)
    assert read_plan(third).replay_read == pytest.approx(of_both, abs=1e-3)
    # Plans of before told no share; the record of what was asked does.
    plan = read_json(run.path / "plan.json")
    del plan["replay_share"]
    write_json(run.path / "plan.json", plan)
    later = read_plan(grow_run(run.path, layers=4, steps=1, name="later"))
    assert later.replay_read == pytest.approx(of_tiny, abs=1e-3)


def test_the_new_run_does_not_need_the_old_one(place: Path) -> None:
    run = continue_run(place / "runs/tiny", place / "log.txt", steps=2, name="alone")
    shutil.rmtree(place / "runs/tiny")
    (run.path / "pretrain/done.json").unlink()
    assert mixed_rows(run, replay=0.25).batch(0).ids_BT.shape[0] > 1
    assert open_run(run.path, stage="start").model is not None


def test_what_cannot_be_meant_is_refused(place: Path) -> None:
    parent, text = place / "runs/tiny", place / "log.txt"
    with pytest.raises(ConfigError, match="replay"):
        continue_run(parent, text, replay=1.0)
    with pytest.raises(ConfigError, match="rewarm"):
        continue_run(parent, text, rewarm=0.0)
    with pytest.raises(ConfigError, match="minutes or of steps"):
        continue_run(parent, text, minutes=1, steps=1)
    with pytest.raises(RunError, match="into itself"):
        continue_run(parent, text, steps=1, name="tiny")
    run = continue_run(parent, text, steps=1, name="once")
    with pytest.raises(RunError, match="other settings: replay"):
        continue_run(parent, text, steps=1, name="once", replay=0.0)
    (run.path / "pretrain/done.json").unlink()
    for stage in (lambda: plan_stage(run.path, steps=3), lambda: pretrain_stage(run.path)):
        with pytest.raises(RunError, match="goes on from another run"):
            stage()
    shutil.rmtree(parent / "pretrain")
    with pytest.raises(RunError, match="nothing to go on from"):
        continue_run(parent, text, steps=1, name="later")
    assert not (RunDirectory(place / "runs/later").path).exists()


def test_text_of_which_nothing_can_be_held_out_leaves_no_run_behind(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = new_text.held_out_pieces

    def nothing(folder: Path) -> list[str]:
        if folder.parent.name == "noted":
            raise DataError("it has no validation text to measure with")
        return asks(folder)

    monkeypatch.setattr(new_text, "held_out_pieces", nothing)
    with pytest.raises(DataError, match="no validation text"):
        continue_run(place / "runs/tiny", place / "log.txt", steps=1, name="noted")
    assert not (place / "runs/noted").exists()
    monkeypatch.undo()  # more text may come under the same name
    run = continue_run(place / "runs/tiny", place / "log.txt", steps=1, name="noted")
    assert (run.path / "change.json").is_file()


def scores(*nats: float) -> dict[str, dict[str, list[float]]]:
    random = np.random.default_rng(0).normal(0, 0.1, size=(len(nats), 12))
    return {
        name: {"nats": [center + float(r) for r in row], "bytes": [100.0] * 12, "tokens": [1] * 12}
        for (name, center), row in zip(zip(("new", "old"), nats, strict=True), random, strict=True)
    }


def test_the_sentences_say_what_the_numbers_say() -> None:
    changes = compare(scores(100, 100), scores(80, 105), seed=0)
    assert changes["new"].outcome == "better"
    assert changes["new"].difference == pytest.approx(-20 / np.log(2) / 100, abs=1e-3)
    assert changes["old"].outcome == "worse"
    said = " ".join(what_happened(changes, replay=0.0))
    assert "forgot some of the old text" in said
    assert "lost 0.25 on the old" in said
    assert "--replay 0.25" in said
    # Never a share that would be refused.
    told = [what_happened(changes, replay=share)[-1] for share in (0.2, 0.48, 0.5)]
    assert [text.partition("with ")[2] for text in told] == [
        "--replay 0.4.",
        "--replay 0.9.",
        "a smaller --rewarm.",
    ]
    same = compare(scores(100, 100), scores(100, 100), seed=0)
    assert "nothing of the old text that can be measured" in what_happened(same, replay=0.1)[1]
    few = Difference(
        before=2, after=1, difference=-1, interval=None, num_bytes=9, outcome="unknown"
    )
    assert "chance" in what_happened({"new": few, "old": few}, replay=0.1)[0]
