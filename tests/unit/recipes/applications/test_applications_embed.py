"""What `finetune embed` follows on the way: one loss of all held-out pairs, in little memory."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from task_files import Make  # type: ignore[import-not-found]

from homespun.core import ConfigError, Silent, WorkClock
from homespun.recipes.applications import Asked, learn_application
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.embed import Twins
from homespun.recipes.applications.embed.encoder import EmbedEncoder
from homespun.recipes.applications.embed.task import partners
from homespun.recipes.applications.neural import fresh_base
from homespun.training import ContrastiveObjective
from homespun.training.data.twins import twin_batch

BOUND = 4096
"""Tokens of a batch, places that are filled up included."""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_held_out_loss_is_that_of_one_pass_in_bounded_ones(
    tmp_path: Path, language: str
) -> None:
    draw = random.Random(0)
    words = ("ein", "two", "tre", "vier") if language == "en" else ("一", "二", "三", "四")

    def text(number: int) -> str:
        return " ".join([str(number), *draw.choices(words, k=draw.randrange(1, 90))])

    pairs = [Twins(text(n), text(n)) for n in range(600)]
    pairs[1] = pairs[1]._replace(first=pairs[0].first)  # is not to be told from the other
    base = fresh_base([t for pair in pairs for t in pair], seed=0, width=16, num_layers=1,
                      context=128)  # fmt: skip
    lesson: Lesson[Any] = Lesson(
        pairs[:8],
        pairs,
        tmp_path,
        seed=0,
        seconds=None,
        base=None,
        options=dict(EmbedEncoder.options),
        clock=WorkClock(tmp_path / "clock.json"),
        progress=Silent(),
    )
    begun = EmbedEncoder().begin(lesson, base)
    model, passes = begun.learned.model, []

    def keeps(module: Any, inputs: Any, output: torch.Tensor) -> None:
        passes.append((inputs[0].numel(), output.requires_grad))

    hook = model.register_forward_hook(keeps)
    found = begun.evaluate(model, 0)
    hook.remove()
    assert max(size for size, _ in passes) <= BOUND
    assert not any(has_gradients for _, has_gradients in passes)
    whole = twin_batch(begun.learned.ids(pairs[:512]))
    assert whole.first.ids_BT.numel() > 4 * BOUND
    assert bool(whole.same_BB.any())
    with torch.no_grad():
        wanted = ContrastiveObjective().loss(model, whole)
    assert found["loss"] == pytest.approx(float(wanted.loss_sum) / 512, rel=1e-4)
    assert found["split"] == "validation"


def test_what_is_as_near_as_the_right_partner_comes_before_it() -> None:
    """And copies of it count as it."""
    pairs = [Twins("a", "same"), Twins("b", "other"), Twins("c", "same"), Twins("d", "last")]
    scores_NN = np.array([[1, 1, 2, 0], [3, 2, 3, 2], [5, 1, 4, 6], [0, 0, 0, 9]], np.float32)
    found = partners(pairs, iter(scores_NN))
    assert [one.rank for one in found] == [2, 4, 2, 1]
    assert found[0].nearest == ("same", "same", "other", "last")


def test_what_else_belongs_to_the_same_question_is_no_rival() -> None:
    pairs = [Twins("a", "x"), Twins("a", "y"), Twins("b", "z"), Twins("c", "x")]
    near = [0.5, 0.9, 0.7, 0.5]  # to x, y, z and x again
    found = partners(pairs, iter([np.array(near)] * 4))
    # Of "a" only z is nearer than x; of "b" y is nearer than z; of "c" y and z than x.
    assert [one.rank for one in found] == [2, 1, 2, 3]


def test_an_encoder_that_learns_nothing_takes_no_time_and_looks_at_no_loss(
    make: Make, tmp_path: Path, tiny_bert: Path
) -> None:
    rows = [{"first": f"a film {n}", "second": f"the film {n}"} for n in range(20)]
    data, out = make("e.jsonl", rows), tmp_path / "out"
    asked = Asked("embed", data, out, method="untaught", base=tiny_bert, judge_baselines=False)
    with pytest.raises(ConfigError, match="takes as long as it takes; leave --minutes out"):
        learn_application(asked._replace(seconds=60.0))
    assert learn_application(asked)["held_out"] == "that it has no use for"
    for name in ("README.md", "report.html"):
        assert "2 more that it has no use for" in (out / name).read_text("utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_pair_and_the_same_turned_round_are_in_one_part(
    make: Make, tmp_path: Path, language: str
) -> None:
    """One that has learned (a, b) has seen (b, a)."""
    forms = ("say {}", "tell {}") if language == "en" else ("说{}", "讲{}")
    both = [tuple(form.format(n) for form in forms) for n in range(100)]
    names = ("question", "answer") if language == "en" else ("问题", "答案")
    rows = [dict(zip(names, some, strict=True)) for a, b in both for some in ((a, b), (b, a))]
    told = learn_application(
        Asked("embed", make("e.jsonl", rows), tmp_path / "out", method="overlap",
              judge_baselines=False)
    )  # fmt: skip
    assert told["rows"] == {"train": 160, "dev": 20, "test": 20}
    assert told["test_texts_seen_in_training"] == 0
    assert told["notes"] == []
    lines = (tmp_path / "out" / "predictions.jsonl").read_text("utf-8").splitlines()
    held_out = [(row["asked"], row["right"]["second"]) for row in map(json.loads, lines)]
    assert {(second, first) for first, second in held_out} == set(held_out)
