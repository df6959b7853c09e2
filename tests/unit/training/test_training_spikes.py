"""Steps that stand out are skipped, the run goes back, and a kill in between leaves no trace."""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from homespun.core import BudgetError, ConfigError, LossOutput, WorkClock, parse_config
from homespun.core.machine import is_out_of_memory
from homespun.training import (
    Batch,
    CausalObjective,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    TrainResult,
    load_weights,
    train,
)
from homespun.training.health import HealthConfig, SpikeConfig, rewind_interval, why_skip
from homespun.training.stage.saves import Saves
from homespun.training.step import take_step

QUIET = [3.0 + 0.01 * (n % 5) for n in range(64)]
SPIKES = SpikeConfig()


@pytest.mark.parametrize(
    ("loss", "grad_norm", "why"),
    [
        (3.01, 1.0, ""),
        (3.9, 1.0, ""),  # many deviations, but not half as much again
        (6.0, 1.0, "loss"),
        (3.01, 4.2 * 3.0, ""),  # clean runs have such gradients
        (3.01, 12 * 3.0, "gradient"),
        (math.nan, 1.0, "not finite"),
        (3.0, math.inf, "not finite"),
    ],
)
def test_a_step_must_stand_out_by_deviations_and_by_a_factor(loss, grad_norm, why):
    assert why_skip(loss, grad_norm, QUIET, QUIET, SPIKES) == why


def test_a_noisy_window_makes_the_same_value_ordinary():
    noisy = [1.0, 2.0, 4.0, 8.0] * 16
    assert why_skip(12.0, 1.0, noisy, noisy, SPIKES) == ""
    assert why_skip(12.0, 1.0, QUIET, noisy, SPIKES) == "loss"


def test_a_short_window_judges_nothing_finite():
    assert why_skip(100.0, 1e6, QUIET[:31], QUIET[:31], SPIKES) == ""
    assert why_skip(math.nan, 1.0, [], [], SPIKES) == "not finite"


def test_a_window_too_short_to_judge_anything_is_refused():
    told = r"^spikes: no step would be judged: min_steps 32 .* \(got 16\); let min_steps be at most"
    with pytest.raises(ConfigError, match=told):
        parse_config(SpikeConfig, {"window": 16}, where="spikes")
    short = SpikeConfig(window=16, min_steps=16)
    assert why_skip(6.0, 1.0, QUIET[:16], QUIET[:16], short) == "loss"


def test_losses_near_nothing_are_left_alone():
    tiny = [0.01 + 0.0001 * (n % 5) for n in range(64)]
    assert why_skip(0.1, 0.01, tiny, tiny, SPIKES) == "", "a tenth of a nat is no spike"


def test_where_a_run_may_go_back_to():
    assert rewind_interval(SPIKES, None) is None
    assert rewind_interval(SPIKES, 100) == 50
    assert rewind_interval(SPIKES, 4000) == 200
    assert rewind_interval(SPIKES, 10**6) == 500
    assert rewind_interval(SpikeConfig(rewind_steps=7), None) == 7


TOKENS = np.random.default_rng(0).integers(0, 17, 4000).astype(np.uint16)


class Small(nn.Module):
    """The least that can be trained, with dropout, so that draws count."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(17, 8)
        self.layer = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        x_BTD = self.embedding(ids_BT)
        return x_BTD + self.dropout(torch.relu(self.layer(x_BTD)))

    def next_token_loss(self, hidden_BTD: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
        logits = hidden_BTD @ self.embedding.weight.T
        return nn.functional.cross_entropy(
            logits.flatten(0, -2), targets_BT.flatten(), reduction="sum"
        )


class Source(TokenBatches):
    """Remembers which batches were asked for; those in `bad` carry an impossible token count."""

    def __init__(self, bad: set[int] | None = None, rows: int = 4) -> None:
        super().__init__(TOKENS, context=8, rows=rows, seed=0)
        self.asked: list[int] = []
        self.bad = bad or set()

    def batch(self, index: int) -> Batch:
        self.asked.append(index)
        batch = super().batch(index)
        return batch._replace(num_tokens=-1) if index in self.bad else batch


class Poisoned(CausalObjective):
    def __init__(self, factor: float = math.nan) -> None:
        self.factor = factor

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        output = super().loss(model, batch)
        is_bad = batch.num_tokens < 0
        return output._replace(loss_sum=output.loss_sum * (self.factor if is_bad else 1.0))


class StopError(Exception):
    pass


class StopAt:
    def __init__(self, *calls: int) -> None:
        self.calls, self.left = 0, set(calls)

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        self.calls += 1
        if self.calls in self.left:
            raise StopError


def settings(**more: Any) -> TrainConfig:
    fixed: dict[str, Any] = {
        "num_steps": 60,
        "checkpoint_seconds": None,
        "tensorboard": False,
        "health": None,
        "optimizer": OptimizerConfig(learning_rate=0.01),
        "spikes": SpikeConfig(rewind_steps=20),
    }
    return TrainConfig(**(fixed | more))


def run(folder: Path, source: Source, **more: Any) -> TrainResult:
    folder.mkdir(exist_ok=True)
    return train(
        Small(),
        more.pop("objective", Poisoned()),
        source,
        config=more.pop("config", settings()),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        **more,
    )


def rows(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    lines = (folder / "pretrain" / "metrics.jsonl").read_text().splitlines()
    found = [row for row in map(json.loads, lines) if row["kind"] == kind]
    clocked = ("seconds", "tokens_per_second")
    return [{key: row[key] for key in row if key not in clocked} for row in found]


def test_a_huge_loss_is_skipped_and_leaves_the_weights_as_they_were(tmp_path):
    seen = []

    class Weights:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            seen.append(model.embedding.weight.detach().clone())

    result = run(tmp_path, Source({45}), objective=Poisoned(1e4), hooks=[Weights()])
    assert (result.skipped_steps, result.rewinds) == (1, 0)
    assert torch.equal(seen[45], seen[44])
    assert not torch.equal(seen[46], seen[45])
    row = rows(tmp_path)[45]
    assert (row["skipped"], row["skipped_for"]) == (True, "loss")
    assert result.health[0]["finding"] == "skipped_step"


def test_five_bad_steps_in_a_row_go_back_and_leave_out_what_was_read_since(tmp_path):
    source = Source(set(range(44, 52)))
    said: list[str] = []
    result = run(tmp_path, source, progress=Said(said))
    assert (result.steps, result.rewinds, result.skipped_steps) == (60, 1, 8)
    # Steps 1-49 read batches 0-48; the run goes back to step 40 and reads on behind them.
    assert source.asked == [*range(49), *range(49, 69)]
    # Three bad ones are left after going back, and skipped one by one: not five in a row.
    assert [row["step"] for row in rows(tmp_path)] == [*range(1, 61)]
    assert [row["step"] for row in rows(tmp_path) if row["skipped"]] == [41, 42, 43]
    (finding,) = [row for row in result.health if row["finding"] == "rewound"]
    assert finding["step"] == 40
    assert "went back to step 40" in finding["sentence"]
    assert any("went back to step 40" in text for text in said)


def test_text_that_was_left_out_is_not_looked_at_either(tmp_path):
    source = Source(set(range(44, 52)))
    run(tmp_path, source, config=settings(health=HealthConfig(every=5)))
    # Behind step 60, which read batch 68, nine having been left out.
    assert source.asked[-2:] == [68, 69]


class Said:
    """A progress that remembers what stays on the screen."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def task(self, name: str, total: float | None = None, unit: str = "") -> Any:
        return self

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        pass

    def finish(self, note: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        self._said.append(text)


@pytest.mark.parametrize("calls", [(30,), (47,), (50,), (53,), (46, 3), (49, 5, 3)])
def test_a_run_killed_around_going_back_ends_bit_for_bit_the_same(tmp_path, calls):
    bad = set(range(44, 51))
    more = {"config": settings(checkpoint_steps=3)}
    undisturbed = run(tmp_path / "undisturbed", Source(bad), **more)
    assert undisturbed.rewinds == 1
    for stop in calls:
        with pytest.raises(StopError):
            run(tmp_path / "killed", Source(bad), hooks=[StopAt(stop)], **more)
    result = run(tmp_path / "killed", Source(bad), **more)
    assert result.rewinds == 1
    ours, theirs = (
        load_weights(tmp_path / name / "pretrain") for name in ("killed", "undisturbed")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for kind in ("train", "health"):
        assert rows(tmp_path / "killed", kind) == rows(tmp_path / "undisturbed", kind)
    assert result.health == undisturbed.health


class KilledError(BaseException):
    pass


class KillAt:
    """Ends a run at its `number`-th change of files while it goes back; deleting, half-way."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.calls: list[str] = []
        self.is_going_back = self.is_dead = False
        self.number = number
        for module, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree")):
            patch.setattr(module, name, self.counted(name, getattr(module, name)))
        rewind = Saves.rewind

        def goes_back(*arguments: Any) -> bool:
            self.is_going_back = True
            done = rewind(*arguments)
            self.is_going_back = False
            return done

        patch.setattr(Saves, "rewind", goes_back)

    def counted(self, name: str, work: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.is_going_back and not self.is_dead:
                self.calls.append(name)
                self.is_dead = len(self.calls) == self.number
                if self.is_dead and name == "rmtree":
                    next(Path(arguments[0]).iterdir()).unlink()
            if self.is_dead:
                raise KilledError
            return work(*arguments, **more)

        return counted


def everything(folder: Path) -> list[Any]:
    """What a run came to, clocks left out."""
    done = json.loads((folder / "pretrain/done.json").read_text())
    weights = load_weights(folder / "pretrain")
    kept = sorted(path.name for path in (folder / "pretrain/checkpoints").iterdir())
    tensors = [(name, weights[name].tolist()) for name in sorted(weights)]
    told = [rows(folder, kind) for kind in ("train", "health")]
    return [done["result"]["health"], done["result"]["rewinds"], kept, tensors, told]


@pytest.mark.parametrize("checkpoint_steps", [3, 20])
def test_a_run_killed_at_any_change_of_files_while_going_back_ends_the_same(
    tmp_path, checkpoint_steps
):
    # Saved every third step, there are checkpoints after the one gone back to; else none.
    bad = set(range(44, 51))
    more = {"config": settings(checkpoint_steps=checkpoint_steps)}
    run(tmp_path / "undisturbed", Source(bad), **more)
    expected = everything(tmp_path / "undisturbed")
    assert expected[1] == 1
    with pytest.raises(StopError):
        run(tmp_path / "before", Source(bad), hooks=[StopAt(48)], **more)
    moments: list[str] = []
    number = 0
    while number <= len(moments):
        number += 1
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "before", folder)
        with pytest.MonkeyPatch.context() as patch:
            kill = KillAt(patch, number)
            with suppress(KilledError):
                run(folder, Source(bad), **more)
        moments = kill.calls
        if kill.is_dead:
            run(folder, Source(bad), **more)
        assert everything(folder) == expected, f"killed at {kill.calls[-1]} {number}"
    assert moments.count("replace") >= 3
    assert "rmtree" in moments


def test_after_three_times_at_one_place_the_stage_ends_with_a_reason(tmp_path):
    with pytest.raises(ConfigError, match=r"5 steps in a row.*after going back 3 times.*0\.01"):
        run(tmp_path, Source(set(range(44, 500))))
    assert not (tmp_path / "pretrain" / "done.json").exists()
    weights = load_weights(tmp_path / "pretrain")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


class Steep(CausalObjective):
    """From a batch on, gradients are fifty times as long and losses what they would be."""

    def __init__(self, first: int) -> None:
        self.first, self.calls = first, 0

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        output = super().loss(model, batch)
        self.calls += 1
        if self.calls <= self.first:
            return output
        loss = output.loss_sum
        return output._replace(loss_sum=loss.detach() + 50.0 * (loss - loss.detach()))


def test_large_gradients_on_any_text_are_taken_where_losses_are_as_before(tmp_path):
    said: list[str] = []
    result = run(tmp_path, Source(), objective=Steep(45), progress=Said(said))
    assert (result.steps, result.rewinds) == (60, 1)
    taken = rows(tmp_path)
    # Back to step 40 after five, five more, and then they pass.
    assert [row["step"] for row in taken if row["skipped"]] == [41, 42, 43, 44, 45]
    assert all(row["grad_norm"] > 10 * taken[0]["grad_norm"] for row in taken[45:])
    assert [row["step"] for row in result.health if row["finding"] == "large_gradients"] == [45]
    assert any("such steps are taken from here on" in text for text in said)


@pytest.mark.parametrize("calls", [(52,), (55,), (56,), (60,)])
def test_a_run_killed_around_letting_them_pass_ends_bit_for_bit_the_same(tmp_path, calls):
    more = {"config": settings(checkpoint_steps=3)}

    class FromBatch(Steep):
        """By the place in the text, as a run that goes on knows no calls before it."""

        def loss(self, model: Any, batch: Batch) -> LossOutput:
            self.calls = 45 if batch.num_tokens < 0 else 0
            return super().loss(model, batch._replace(num_tokens=abs(batch.num_tokens)))

    bad = set(range(45, 200))
    undisturbed = run(tmp_path / "undisturbed", Source(bad), objective=FromBatch(45), **more)
    assert undisturbed.rewinds == 1
    for stop in calls:
        with pytest.raises(StopError):
            run(
                tmp_path / "killed",
                Source(bad),
                objective=FromBatch(45),
                hooks=[StopAt(stop)],
                **more,
            )
    run(tmp_path / "killed", Source(bad), objective=FromBatch(45), **more)
    ours, theirs = (
        load_weights(tmp_path / name / "pretrain") for name in ("killed", "undisturbed")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert rows(tmp_path / "killed", "health") == rows(tmp_path / "undisturbed", "health")


def test_places_far_apart_are_counted_for_themselves(tmp_path):
    bad = {*range(10, 15), *range(50, 55), *range(90, 95), *range(130, 135), *range(170, 175)}
    result = run(tmp_path, Source(bad), config=settings(num_steps=120))
    assert result.rewinds == len(bad) / 5
    assert result.steps == 120


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    class Spoil:
        """Breaks a weight behind the loop's back, once."""

        def __init__(self) -> None:
            self.done = False

        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            if step == 39 and not self.done:
                self.done = True
                with torch.no_grad():
                    model.layer.bias[0] = math.inf

    result = run(tmp_path, Source(), hooks=[Spoil()], config=settings(checkpoint_steps=1))
    assert result.rewinds == 1
    weights = load_weights(tmp_path / "pretrain")
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


class Narrow(CausalObjective):
    """Runs out of memory where it gets more than so many rows."""

    def __init__(self, rows: int, error: Exception) -> None:
        self.rows, self.error = rows, error
        self.sizes: list[int] = []

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        self.sizes.append(len(batch.ids_BT))
        if len(batch.ids_BT) > self.rows:
            raise self.error
        return super().loss(model, batch)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
]


class Still(Small):
    """Without dropout: how rows are cut changes nothing but the order of sums."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.0)


@pytest.mark.parametrize("error", ERRORS)
def test_lack_of_memory_cuts_the_batches_and_keeps_the_step(tmp_path, error):
    losses = []
    for name, objective in (("whole", CausalObjective()), ("cut", Narrow(2, error))):
        (tmp_path / name).mkdir()
        result = train(
            Still(),
            objective,
            Source(rows=6),
            config=settings(num_steps=5),
            stage_dir=tmp_path / name / "pretrain",
            clock=WorkClock(tmp_path / name / "clock.json"),
        )
        losses.append([row["loss"] for row in rows(tmp_path / name)])
        assert result.tokens == 5 * 6 * 8
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert objective.sizes[:2] == [6, 3]
    assert max(objective.sizes[2:]) == 2
    assert [row["value"] for row in rows(tmp_path / "cut", "health")] == [4.0]


def test_of_micro_batches_the_largest_says_whether_they_can_be_cut(tmp_path):
    class Uneven(Source):
        """A row and six by turns."""

        def batch(self, index: int) -> Batch:
            batch = super().batch(index)
            return batch if index % 2 else batch.rows(0, 1)

    objective = Narrow(2, MemoryError())
    result = run(
        tmp_path,
        Uneven(rows=6),
        config=settings(num_steps=3, num_micro_batches=2),
        objective=objective,
    )
    assert result.tokens == 3 * 7 * 8
    assert max(objective.sizes[4:]) == 2


def test_what_a_step_raises_is_told_as_lack_of_memory_wherever_it_is_met():
    with pytest.raises(RuntimeError) as told:
        take_step(
            Small(),
            Narrow(2, MemoryError()),
            [Source(rows=6).batch(0)],
            None,  # type: ignore[arg-type] - it does not come to that
            lr_scale=1.0,
            clip_norm=1.0,
        )
    assert is_out_of_memory(told.value)


def test_the_cut_is_remembered_over_a_resume(tmp_path):
    error = ERRORS[0]
    more = {"config": settings(num_steps=8, checkpoint_steps=2)}
    run(tmp_path / "undisturbed", Source(), objective=Narrow(1, error), **more)
    with pytest.raises(StopError):
        run(tmp_path / "cut", Source(), objective=Narrow(1, error), hooks=[StopAt(5)], **more)
    # There is more memory now, but a step computed otherwise would differ in its last bits.
    roomy = Narrow(100, error)
    run(tmp_path / "cut", Source(), objective=roomy, **more)
    assert set(roomy.sizes) == {1}
    ours, theirs = (load_weights(tmp_path / name / "pretrain") for name in ("cut", "undisturbed"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_row_that_does_not_fit_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(BudgetError, match=r"single row.*smaller context"):
        run(tmp_path, Source(), objective=Narrow(0, ERRORS[0]))


def test_other_errors_are_not_lack_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        run(tmp_path, Source(), objective=Narrow(2, RuntimeError("shapes do not fit")))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_update_that_finds_no_memory_is_not_tried_again(tmp_path, monkeypatch):
    from homespun.training.optim import AdamW

    def full(*arguments: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AdamW, "step", full)
    with pytest.raises(BudgetError, match="optimiser's state"):
        run(tmp_path, Source())


def test_batches_cut_and_put_together_are_the_same():
    batch = Source(rows=5).batch(0)
    for num_parts, sizes in ((1, [5]), (2, [2, 3]), (4, [1, 1, 1, 2]), (99, [1] * 5)):
        parts = batch.split(num_parts)
        assert [len(part.ids_BT) for part in parts] == sizes
        assert torch.equal(torch.cat([part.ids_BT for part in parts]), batch.ids_BT)
        assert torch.equal(torch.cat([part.targets_BT for part in parts]), batch.targets_BT)
        assert sum(part.num_tokens for part in parts) == batch.num_tokens
