"""Several tasks in turn: each batch of each once an epoch; heads that share an encoder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.core import BudgetError, ConfigError, LossOutput, WorkClock
from homespun.models import EncoderConfig
from homespun.models.heads import Classifier, CrfLayer, JointHeads, WordTagger
from homespun.training import (
    ClassifyObjective,
    Example,
    ExampleBatches,
    JointObjective,
    OptimizerConfig,
    TagObjective,
    TaskBatches,
    TrainConfig,
    build_optimizer,
    train,
)
from homespun.training.data.tasks import TaskBatch
from homespun.training.data.twins import TwinBatches
from homespun.training.health import of_kind
from homespun.training.step import take_step


def source(num: int, *, seed: int = 0, per_token: bool = False) -> ExampleBatches:
    examples = [
        Example([1 + n % 7, 2, 3], [0, 1, 0] if per_token else n % 2, None) for n in range(num)
    ]
    return ExampleBatches(examples, tokens=24, seed=seed, context=8, per_token=per_token)


def joint() -> JointHeads:
    draw = torch.Generator().manual_seed(0)
    encoder = EncoderConfig(
        vocab_size=9, num_layers=1, width=8, num_heads=2, mlp_width=8, context=8, masked_head=False
    ).build(draw)
    classifier = Classifier(encoder, 2, dropout=0.0)
    classifier.begin(draw)
    tagger = WordTagger(encoder, 2, crf=CrfLayer(2), dropout=0.0)
    tagger.begin()
    return JointHeads([classifier, tagger])


def test_an_epoch_reads_each_batch_of_each_task_once() -> None:
    sources = [source(30), source(7, seed=1)]
    sizes = [one.batches_per_epoch for one in sources]
    tasks = TaskBatches(sources, seed=5)
    assert tasks.batches_per_epoch == sum(sizes)
    orders = []
    for epoch in range(3):
        first = epoch * tasks.batches_per_epoch
        dealt = [tasks.deal(index) for index in range(first, first + tasks.batches_per_epoch)]
        wanted = {(t, epoch * size + n) for t, size in enumerate(sizes) for n in range(size)}
        assert Counter(dealt) == Counter(wanted)
        orders.append([task for task, _ in dealt])
    assert orders[0] != orders[1] != orders[2]
    assert tasks.epochs(2 * tasks.batches_per_epoch) == 2.0
    assert tasks.describe()["sources"]["1"]["examples"] == 7


def test_a_batch_is_a_function_of_its_number_alone() -> None:
    a, b = (TaskBatches([source(30), source(7, seed=1)], seed=5) for _ in range(2))
    [a.batch(index) for index in range(20)]
    for index in (19, 3, 11):
        left, right = a.batch(index), b.batch(index)
        assert left.task == right.task
        assert torch.equal(left.inner.ids_BT, right.inner.ids_BT)
        assert torch.equal(left.inner.targets, right.inner.targets)
    with pytest.raises(ConfigError, match="no task"):
        TaskBatches([], seed=0)


def test_a_task_batch_is_cut_like_its_own() -> None:
    batch = TaskBatches([source(30)], seed=0).batch(0)
    parts = batch.split(3)
    assert [part.task for part in parts] == [0, 0, 0]
    assert torch.equal(torch.cat([part.inner.ids_BT for part in parts]), batch.inner.ids_BT)
    assert sum(part.num_tokens for part in parts) == batch.num_tokens
    assert batch.to(torch.device("cpu")).num_tokens == batch.num_tokens


def test_a_step_of_one_task_moves_the_encoder_and_its_own_head_alone() -> None:
    model = joint()
    objective = JointObjective([ClassifyObjective(), TagObjective()])
    sources = [source(8), source(8, per_token=True)]
    tasks = TaskBatches(sources, seed=0)
    optimizer = build_optimizer(model, OptimizerConfig(learning_rate=1e-2, weight_decay=0.1))
    for index in range(2):
        batch = tasks.batch(index)
        alone = [ClassifyObjective(), TagObjective()][batch.task]
        output = objective.loss(model, batch)
        expected = alone.loss(model.heads[batch.task], batch.inner)
        assert output.loss_sum.item() == expected.loss_sum.item()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        take_step(model, objective, [batch], optimizer, lr_scale=1.0, clip_norm=1.0)
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        own = f"heads.{batch.task}."
        assert any(".encoder." in name for name in moved)
        assert all(name.startswith(own) or ".encoder." in name for name in moved)
        assert any(name.startswith(own) and ".encoder." not in name for name in moved)


def test_a_task_batch_that_does_not_fit_into_memory_is_cut(tmp_path: Path) -> None:
    class Narrow(JointObjective):
        """Has memory for a row at a time."""

        def loss(self, model: Any, batch: TaskBatch) -> LossOutput:
            if batch.inner.num_rows > 1:
                raise MemoryError
            return super().loss(model, batch)

    def losses(objective: JointObjective, folder: Path) -> list[float]:
        train(
            joint(),
            objective,
            TaskBatches([source(30), source(30, per_token=True)], seed=0),
            config=TrainConfig(num_steps=6, checkpoint_seconds=None, tensorboard=False),
            stage_dir=folder,
            clock=WorkClock(tmp_path / "clock.json"),
        )
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [row["loss"] for row in rows if row["kind"] == "train"]

    objectives = [ClassifyObjective(), TagObjective()]
    cut = losses(Narrow(objectives), tmp_path / "cut")
    assert cut == pytest.approx(losses(JointObjective(objectives), tmp_path / "whole"), rel=1e-4)


class Told:
    """Tasks whose losses are what they are told to be, one batch of one of them another."""

    name = "joint"

    def __init__(self, means: Sequence[float], *, task: int, call: int, bad: float) -> None:
        self.inner = JointObjective([ClassifyObjective() for _ in means])
        self.means, self.task, self.call, self.bad = means, task, call, bad
        self.calls = 0

    def loss(self, model: Any, batch: TaskBatch) -> LossOutput:
        output = self.inner.loss(model, batch)
        mean = self.means[batch.task]
        self.calls += batch.task == self.task
        if batch.task == self.task and self.calls == self.call:
            mean = self.bad
        loss = output.loss_sum
        return output._replace(loss_sum=loss - loss.detach() + mean * output.num_targets)


def train_told(
    objective: Told, sizes: Sequence[int], folder: Path, *, num_steps: int, **further: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """A head for each task, learned from so many rows; the result and the rows of the steps."""
    draw = torch.Generator().manual_seed(0)
    encoder = EncoderConfig(
        vocab_size=9, num_layers=1, width=8, num_heads=2, mlp_width=8, context=8, masked_head=False
    ).build(draw)
    heads = [Classifier(encoder, 2, dropout=0.0) for _ in sizes]
    for head in heads:
        head.begin(draw)
    result = train(
        JointHeads(heads),
        objective,
        TaskBatches([source(size) for size in sizes], seed=0),
        config=TrainConfig(
            num_steps=num_steps,
            optimizer=OptimizerConfig(learning_rate=1e-6),
            checkpoint_seconds=None,
            tensorboard=False,
        ),
        stage_dir=folder / "stage",
        clock=WorkClock(folder / "clock.json"),
        **further,
    )
    lines = (folder / "stage/metrics.jsonl").read_text().splitlines()
    return result, [row for row in map(json.loads, lines) if row["kind"] == "train"]


def test_a_step_is_judged_by_those_of_its_own_task(tmp_path: Path) -> None:
    """Of two tasks the rare one has losses sixty times as high, and one batch of the frequent one
    is bad."""
    result, train_rows = train_told(
        Told((0.05, 3.0), task=0, call=50, bad=5.0),
        (120, 12),  # 40 and 4 batches a reading
        tmp_path,
        num_steps=88,
        evaluate=lambda model, step: {"loss": (0.05 + 3.0) / 2},
    )
    assert sum(row["loss"] == pytest.approx(3.0) for row in train_rows) == 8
    assert [row["loss"] for row in train_rows if row["skipped"]] == [pytest.approx(5.0)]
    # Thirty times what most steps show: a mean over tasks says nothing of learning by heart.
    found = {row["finding"] for row in result.health}
    assert "skipped_step" in found
    assert "train_validation_gap" not in found


def test_tasks_that_take_equal_turns_are_all_judged(tmp_path: Path) -> None:
    """Though none has half of the newest steps: of three with losses of their own, one batch of the
    last is bad."""
    told = Told((0.05, 0.4, 3.0), task=2, call=45, bad=9.0)
    _, train_rows = train_told(told, (30, 30, 30), tmp_path, num_steps=150)
    skipped = [row["loss"] for row in train_rows if row["skipped"]]
    assert skipped == [pytest.approx(9.0)]


def test_steps_of_a_kind_are_found_from_the_newest_on() -> None:
    values, kinds = [1.0, 2.0, 3.0, 4.0], [0, 1, 0]  # the oldest one's is not known
    assert of_kind(values, kinds, 0) == [2.0, 4.0]
    assert of_kind(values, kinds, 1) == [3.0]
    assert of_kind(values[-1:], kinds, 0) == [4.0]
    assert of_kind([], kinds, 0) == of_kind(values, [], 0) == []
    assert of_kind(values, [], None) == values


def test_twins_that_do_not_fit_are_not_said_to_be_a_single_row(tmp_path: Path) -> None:
    class Full:
        name = "contrastive"

        def loss(self, model: Any, batch: Any) -> LossOutput:
            raise MemoryError

    pairs = [([1, 2, n], [3, n]) for n in range(8)]
    with pytest.raises(BudgetError, match=r"batch that cannot be cut.*smaller batch"):
        train(
            joint(),
            Full(),
            TwinBatches(pairs, tokens=64, seed=0, context=8),
            config=TrainConfig(num_steps=1, tensorboard=False),
            stage_dir=tmp_path / "stage",
            clock=WorkClock(tmp_path / "clock.json"),
        )


def test_kinds_are_those_of_each_head_and_the_encoder_is_there_once() -> None:
    model = joint()
    kinds = model.parameter_kinds()
    assert set(kinds) == {name for name, _ in model.named_parameters()}
    assert kinds["heads.0.dense.weight"] == kinds["heads.1.out.weight"] == "head"
    encoder = {n: k for n, k in kinds.items() if ".encoder." in n}
    assert all(name.startswith("heads.0.encoder.") for name in encoder)
    assert {"matrix", "embedding", "norm"} <= set(encoder.values())
    model.set_compute_dtype(torch.float32)


def test_heads_of_several_encoders_do_not_learn_together() -> None:
    with pytest.raises(ConfigError, match="one encoder"):
        JointHeads([joint().heads[0], joint().heads[1]])  # type: ignore[list-item]
