"""Translators of several models: each learns by itself, and all of them write together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from task_files import Make, pairs  # type: ignore[import-not-found]

from homespun.core import CheckpointError, ConfigError, DataError, Silent, WorkClock
from homespun.models import Ensemble
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.translate import members
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import PairWriter

QUICK = {
    "width": "32", "layers": "1", "epochs": "8", "dropout": "0", "tokens": "512",
    "smoothing": "0", "beams": "2", "pieces": "300", "context": "40", "members": "2",
}  # fmt: skip


def asked(folder: Path, **options: str) -> Asked:
    data = folder / "p.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs()), encoding="utf-8")
    settings = {**QUICK, **options}
    return Asked("translate", data, folder / "de", options=settings, judge_baselines=False)


def writer_of(out: Path) -> PairWriter:
    learned = open_application(out).learned
    assert isinstance(learned, PairWriter)
    return learned


def said(writer: PairWriter) -> list[str]:
    return writer.answer([Pair(row["source"], ()) for row in pairs()[:12]])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A translator of two models that knows near pairs, and results.json."""
    asked_for = asked(tmp_path_factory.mktemp("two"), known="4")
    return asked_for.out, learn_application(asked_for)


def test_each_learns_by_itself_and_all_are_opened_again(two: tuple[Path, dict[str, Any]]) -> None:
    out, told = two
    first, second = (
        load_file(out / "model" / f"member-{number}" / "weights.safetensors") for number in (1, 2)
    )
    assert first.keys() == second.keys()
    assert not torch.equal(first["reader.embedding.weight"], second["reader.embedding.weight"])
    assert not (out / "model" / "weights.safetensors").exists()
    writer = writer_of(out)
    assert isinstance(writer.model, Ensemble)
    assert writer.model.width == 64
    assert writer.model.knows is not None
    judged = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    again = writer.answer([Pair(row["asked"], ()) for row in judged])
    assert again == [row["answer"]["target"] for row in judged]
    assert told["measures"][0]["value"] > 0
    card = (out / "README.md").read_text("utf-8")
    assert "Model 1 of 2: The weights of" in card
    assert "Model 2 of 2: The weights of" in card


def test_their_share_of_the_time_and_their_draws_are_their_own(tmp_path: Path) -> None:
    seen: list[tuple[str, float | None, int]] = []

    lesson: Lesson[Pair] = Lesson(
        [], [], tmp_path, seed=5, seconds=90.0, base=None, options={},
        clock=WorkClock(tmp_path / "clock.json"), progress=Silent(),
    )  # fmt: skip

    def learn(own: Lesson[Pair]) -> str:
        seen.append((own.folder.name, own.seconds, own.seed))
        (own.folder / "kept.json").write_text(
            json.dumps(
                {"step": 3, "last_step": 4, "rows": 7, "is_chosen": False, "sentence": "So."}
            )
        )
        return own.folder.name

    assert members.learn_members(lesson, 3, learn) == ["member-1", "member-2", "member-3"]
    assert [name for name, _, _ in seen] == ["member-1", "member-2", "member-3"]
    assert [seconds for _, seconds, _ in seen] == [30.0] * 3
    assert len({seed for _, _, seed in seen} | {5}) == 4
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert (kept["step"], kept["last_step"], kept["rows"]) == (9, 12, 7)
    assert kept["sentence"] == "Model 1 of 3: So. Model 2 of 3: So. Model 3 of 3: So."
    seen.clear()
    assert members.learn_members(lesson, 1, learn) == [tmp_path.name]
    assert seen == [(tmp_path.name, 90.0, 5)]


def test_a_killed_call_goes_on_with_the_one_that_was_not_done(
    two: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = two
    asked_for = asked(tmp_path, known="4")
    real = members.learn_members

    def one_only(lesson: Any, num: int, learn: Any) -> Any:
        def killed(own: Any) -> Any:
            if own.folder.name == "member-2":
                raise KeyboardInterrupt
            return learn(own)

        return real(lesson, num, killed)

    where = "homespun.recipes.applications.translate.transformer.learn_members"
    monkeypatch.setattr(where, one_only)
    with pytest.raises(KeyboardInterrupt):
        learn_application(asked_for)
    weights = asked_for.out / "model" / "member-1" / "weights.safetensors"
    first = weights.stat().st_mtime_ns
    monkeypatch.setattr(where, real)
    learn_application(asked_for)
    assert weights.stat().st_mtime_ns == first
    assert said(writer_of(asked_for.out)) == said(writer_of(out))


def test_a_folder_that_lacks_a_member_is_told(
    two: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "de"
    shutil.copytree(two[0], out)
    (out / "model" / "member-2" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="member-2"):
        open_application(out)
    path = out / "model" / "transformer.json"
    record = json.loads(path.read_text())
    for damaged in (0, 17, "two", [2]):
        path.write_text(json.dumps({**record, "members": damaged}))
        with pytest.raises(DataError, match=r"transformer\.json is damaged"):
            open_application(out)


@pytest.mark.parametrize("num", ["0", "17", "two"])
def test_a_number_of_members_that_makes_no_sense_is_refused(num: str, make: Make) -> None:
    data = make("p.jsonl", pairs())
    with pytest.raises(ConfigError, match="members"):
        learn_application(Asked("translate", data, data.parent / "out", options={"members": num}))
    assert not (data.parent / "out").exists()
