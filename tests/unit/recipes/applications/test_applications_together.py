"""Several tasks on one encoder: what each is held against is learned with the same settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_files import Make, questions, reviews, tagged  # type: ignore[import-not-found]

from homespun.recipes.applications import (
    Also,
    Asked,
    application_names,
    find_application,
    learn_application,
)
from homespun.recipes.applications.neural import COMMON, EncoderLearning, method, together


def test_a_task_alone_reads_its_rows_as_often_and_as_fast_as_beside_others(
    make: Make, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, float, float]] = []
    real = method.fit_with

    def spied(
        model: Any, objective: Any, source: Any, lesson: Any, config: Any, looks: Any
    ) -> None:
        times = config.num_steps / source.batches_per_epoch
        read.append((lesson.folder.name, times, config.optimizer.learning_rate))
        real(model, objective, source, lesson, config, looks)

    monkeypatch.setattr(method, "fit_with", spied)
    monkeypatch.setattr(together, "fit_with", spied)
    data, names = make("reviews.jsonl", reviews()), make("names.jsonl", tagged())
    out = tmp_path / "out"
    options = {"epochs": "3", "rate": "0.002", "tokens": "256"}
    told = learn_application(
        Asked("classify", data, out, base=tiny_bert, options=options, also=[Also("tag", names)])
    )
    assert [name for name, _, _ in read] == [
        "together", "baseline-encoder-alone", "baseline-encoder-alone",
    ]  # fmt: skip
    assert {times for _, times, _ in read} == {3.0}
    assert {rate for _, _, rate in read} == {0.002}
    assert told["baselines"][0]["method"] == "encoder alone"
    record = json.loads((out / "also-1-tag" / "application.json").read_text("utf-8"))
    assert (record["options"]["epochs"], record["options"]["rate"]) == ("3", "0.002")
    # How large its batches are each task says itself, alone and beside others.
    assert record["options"]["tokens"] == "1024"


def test_an_encoder_from_nothing_is_as_large_alone_as_beside_others(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[str, list[Any]]] = []

    def spied(
        model: Any, objective: Any, source: Any, lesson: Any, config: Any, looks: Any
    ) -> None:
        encoder = (model.heads[0] if hasattr(model, "heads") else model).encoder
        shapes.append(
            (lesson.folder.name, [tuple(part.shape) for part in encoder.blocks.parameters()])
        )
        real(model, objective, source, lesson, config, looks)

    real = method.fit_with
    monkeypatch.setattr(method, "fit_with", spied)
    monkeypatch.setattr(together, "fit_with", spied)
    data, asked = make("reviews.jsonl", reviews()), make("asked.jsonl", questions())
    learn_application(
        Asked("classify", data, tmp_path / "out", options={"epochs": "0.1"},
              also=[Also("answer", asked)])
    )  # fmt: skip
    assert [name for name, _ in shapes] == [
        "together", "baseline-encoder-alone", "baseline-encoder-alone",
    ]  # fmt: skip
    assert shapes[0][1] == shapes[1][1] == shapes[2][1]


def test_every_task_that_learns_beside_others_has_the_settings_they_share() -> None:
    tasks = {
        name: make_method()
        for name in application_names()
        for method_name, make_method in find_application(name).methods.items()
        if method_name == "encoder"
    }
    assert {"classify", "pair", "tag", "answer", "embed"} <= set(tasks)
    for made in tasks.values():
        assert isinstance(made, EncoderLearning)
        assert set(COMMON) <= set(made.options)
