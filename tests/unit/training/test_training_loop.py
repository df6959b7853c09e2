import json
import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from homespun.core import CheckpointError, ConfigError, LossOutput, RunError, WorkClock
from homespun.training import (
    IGNORED,
    Batch,
    CausalObjective,
    OptimizerConfig,
    ParallelConfig,
    TokenBatches,
    TrainConfig,
    TrainResult,
    held_out_loss,
    load_weights,
    train,
)
from homespun.training.distributed import World
from homespun.training.health import SpikeConfig
from homespun.training.interrupt import held_signals
from homespun.training.optim import build_optimizer
from homespun.training.stage import State
from homespun.training.step import take_step

TOKENS = np.random.default_rng(0).integers(0, 17, 900).astype(np.uint16)


class Small(nn.Module):
    """The least that can be trained: an embedding, a layer with dropout, a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(17, 8)
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])
        self.dropout = nn.Dropout(0.2)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        x_BTD = self.embedding(ids_BT)
        return x_BTD + self.dropout(torch.relu(self.blocks[0](x_BTD)))

    def next_token_loss(self, hidden_BTD: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
        logits = hidden_BTD @ self.embedding.weight.T
        return nn.functional.cross_entropy(
            logits.flatten(0, -2), targets_BT.flatten(), reduction="sum"
        )


class Stumbling(CausalObjective):
    """Gives losses that are not finite for chosen calls."""

    def __init__(self, bad: set[int]) -> None:
        self.calls = 0
        self.bad = bad

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        output = super().loss(model, batch)
        self.calls += 1
        factor = math.nan if self.calls in self.bad else 1.0
        return output._replace(loss_sum=output.loss_sum * factor)


class StopError(Exception):
    pass


class StopAt:
    """A hook that ends the process the hard way: nothing after it runs."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        if step == self.step:
            raise StopError


def config(**more: Any) -> TrainConfig:
    settings: dict[str, Any] = {"num_steps": 12, "checkpoint_seconds": None, "tensorboard": False}
    return TrainConfig(**(settings | more))


def run(folder: Path, *, model: nn.Module | None = None, **more: Any) -> TrainResult:
    folder.mkdir(exist_ok=True)
    arguments: dict[str, Any] = {
        "config": config(),
        "objective": CausalObjective(),
        "source": TokenBatches(TOKENS, context=8, rows=4, seed=0),
    }
    arguments |= more
    return train(
        model or Small(),
        arguments.pop("objective"),
        arguments.pop("source"),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        **arguments,
    )


def rows(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    lines = (folder / "pretrain" / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = load_weights(one / "pretrain"), load_weights(other / "pretrain")
    return all(torch.equal(ours[name], theirs[name]) for name in {*ours, *theirs})


def test_a_run_learns_and_writes_what_it_promises(tmp_path):
    settings = config(num_steps=150, optimizer=OptimizerConfig(learning_rate=0.02))
    repeated = np.tile(np.arange(17, dtype=np.uint16), 50)
    model = Small()
    result = run(
        tmp_path,
        model=model,
        config=settings,
        source=TokenBatches(repeated, context=8, rows=4, seed=0),
    )
    assert result.steps == 150
    assert result.tokens == 150 * 32
    assert result.stopped == "steps"
    assert result.final_loss is not None
    assert result.final_loss < 0.5 < rows(tmp_path)[0]["loss"]
    assert result.peak_memory_bytes > 50e6
    assert not model.training
    stage = tmp_path / "pretrain"
    assert {path.name for path in stage.iterdir()} == {
        "clock.json",
        "config.json",
        "metrics.jsonl",
        "checkpoints",
        "done.json",
    }
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 151))
    assert set(rows(tmp_path)[0]) == {
        *("kind", "step", "tokens", "epoch", "loss", "lr", "grad_norm", "skipped", "seconds"),
        "tokens_per_second",
    }
    final = load_weights(stage)
    assert all(torch.equal(p.detach(), final[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("stop", [1, 5, 6, 11])
def test_a_run_that_was_cut_short_ends_bit_for_bit_like_one_that_was_not(tmp_path, kind, stop):
    settings = config(
        checkpoint_steps=5, eval_steps=3, optimizer=OptimizerConfig(kind=kind), num_micro_batches=2
    )

    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        torch.randn(step)  # draws must not matter
        return {"loss": float(sum(p.sum() for p in model.parameters()))}

    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run(straight, config=settings, evaluate=evaluate)
    with pytest.raises(StopError):
        run(broken, config=settings, evaluate=evaluate, hooks=[StopAt(stop)])
    run(broken, config=settings, evaluate=evaluate)
    assert same_weights(straight, broken)
    for kept in ("train", "eval"):
        ours, theirs = (
            [
                {k: v for k, v in row.items() if "seconds" not in k and "second" not in k}
                for row in found
            ]
            for found in (rows(straight, kept), rows(broken, kept))
        )
        assert ours == theirs


def test_when_checkpoints_are_written_does_not_change_the_result(tmp_path):
    run(tmp_path / "a", config=config(checkpoint_steps=1))
    run(tmp_path / "b", config=config())
    assert same_weights(tmp_path / "a", tmp_path / "b")


def test_a_complete_stage_returns_its_result_and_weights_at_once(tmp_path):
    first = run(tmp_path)
    before = (tmp_path / "pretrain" / "metrics.jsonl").read_bytes()
    model = Small()
    assert run(tmp_path, model=model) == first
    assert (tmp_path / "pretrain" / "metrics.jsonl").read_bytes() == before
    final = load_weights(tmp_path / "pretrain")
    assert torch.equal(model.embedding.weight.detach(), final["embedding.weight"])


def test_the_model_of_a_complete_stage_is_where_it_would_have_trained(tmp_path):
    run(tmp_path)
    model = Small()
    run(tmp_path, model=model, world=World(device=torch.device("meta")))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_a_lost_done_file_is_written_again_without_another_step_or_evaluation(tmp_path):
    evaluated: list[int] = []

    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        evaluated.append(step)
        return {"loss": 1.0}

    first = run(tmp_path, evaluate=evaluate)
    (tmp_path / "pretrain" / "done.json").unlink()
    again = run(tmp_path, evaluate=evaluate)
    assert again.evaluation == first.evaluation == {"loss": 1.0}
    assert evaluated == [12]
    assert len(rows(tmp_path)) == 12


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"config": config(optimizer=OptimizerConfig(learning_rate=0.5))}, "learning_rate"),
        ({"source": TokenBatches(TOKENS, context=8, rows=2, seed=0)}, r"source\.rows"),
    ],
)
def test_other_settings_on_resume_are_refused_by_name(tmp_path, change, key):
    with pytest.raises(StopError):
        run(tmp_path, hooks=[StopAt(3)])
    with pytest.raises(ConfigError, match=key):
        run(tmp_path, **change)


def test_all_checkpoints_damaged_never_starts_from_scratch(tmp_path):
    with pytest.raises(StopError):
        run(tmp_path, config=config(checkpoint_steps=2), hooks=[StopAt(7)])
    for path in (tmp_path / "pretrain" / "checkpoints").glob("step-*"):
        (path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="every checkpoint"):
        run(tmp_path, config=config(checkpoint_steps=2))


def test_micro_batches_give_the_step_of_one_large_batch():
    source = TokenBatches(TOKENS, context=8, rows=4, seed=0)
    large = TokenBatches(TOKENS, context=8, rows=8, seed=0)
    weights = []
    for batches in ([source.batch(0), source.batch(1)], [large.batch(0)]):
        model = Small().eval()
        optimizer = build_optimizer(model, OptimizerConfig())
        outcome = take_step(
            model, CausalObjective(), batches, optimizer, lr_scale=1.0, clip_norm=0.1
        )
        weights.append((outcome.loss, outcome.grad_norm, *model.parameters()))
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_every_batch_of_the_source_is_used_once_and_in_order(tmp_path):
    class Watched(TokenBatches):
        asked: list[int] = []  # noqa: RUF012

        def batch(self, index: int) -> Batch:
            self.asked.append(index)
            return super().batch(index)

    source = Watched(TOKENS, context=8, rows=4, seed=0)
    run(tmp_path, source=source, config=config(num_micro_batches=3, health=None))
    assert source.asked == list(range(36))


def test_gradients_are_clipped_to_the_norm_and_reported_before():
    model = Small().eval()
    seen: list[float] = []

    class Look:
        def step(self, lr_scale: float) -> None:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            seen.append(float(torch.nn.utils.get_total_norm(gradients)))

    batch = TokenBatches(TOKENS, context=8, rows=4, seed=0).batch(0)
    outcome = take_step(model, CausalObjective(), [batch], Look(), lr_scale=1.0, clip_norm=0.01)
    assert outcome.grad_norm > 0.01
    assert seen == [pytest.approx(0.01, rel=1e-4)]
    gradient = torch.autograd.grad(
        CausalObjective().loss(model, batch).loss_sum / 32, list(model.parameters())
    )
    assert outcome.grad_norm == pytest.approx(float(torch.nn.utils.get_total_norm(gradient)))


def test_a_step_that_is_not_finite_changes_nothing_but_is_counted(tmp_path):
    model = Small()
    optimizer = build_optimizer(model, OptimizerConfig())
    before = [p.detach().clone() for p in model.parameters()]
    state = {name: t.clone() for name, t in optimizer.state_tensors().items()}
    batch = TokenBatches(TOKENS, context=8, rows=4, seed=0).batch(0)
    outcome = take_step(model, Stumbling({1}), [batch], optimizer, lr_scale=1.0, clip_norm=1.0)
    assert outcome.is_skipped
    assert all(torch.equal(p, kept) for p, kept in zip(model.parameters(), before, strict=True))
    assert all(torch.equal(t, state[name]) for name, t in optimizer.state_tensors().items())

    result = run(tmp_path, objective=Stumbling({4, 5}))
    assert result.skipped_steps == 2
    assert result.steps == 12
    skipped = [row for row in rows(tmp_path) if row["skipped"]]
    assert [row["step"] for row in skipped] == [4, 5]
    assert skipped[0]["loss"] is None


def test_a_gradient_that_is_not_finite_is_skipped_too():
    model = Small()

    class Infinite(CausalObjective):
        def loss(self, model: Any, batch: Batch) -> LossOutput:
            output = super().loss(model, batch)
            root = torch.sqrt(output.loss_sum - output.loss_sum)  # 0, with infinite slope
            return output._replace(loss_sum=output.loss_sum + root)

    optimizer = build_optimizer(model, OptimizerConfig())
    batch = TokenBatches(TOKENS, context=8, rows=4, seed=0).batch(0)
    outcome = take_step(model, Infinite(), [batch], optimizer, lr_scale=1.0, clip_norm=1.0)
    assert math.isfinite(outcome.loss)
    assert outcome.is_skipped


def test_too_many_skipped_steps_in_a_row_end_the_stage_and_name_the_learning_rate(tmp_path):
    with pytest.raises(ConfigError, match=r"3 steps in a row.*learning rate.*0\.003"):
        run(
            tmp_path,
            config=config(spikes=SpikeConfig(in_a_row=3, max_rewinds=0)),
            objective=Stumbling({5, 6, 7}),
        )
    assert not (tmp_path / "pretrain" / "done.json").exists()


def test_evaluations_come_by_steps_or_share_and_at_the_end_once(tmp_path):
    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        assert not model.training
        assert not torch.is_grad_enabled()
        samples = [{"prompt": "a", "text": "b"}]
        return {"loss": math.nan, "split": "validation", "samples": samples}

    run(tmp_path / "steps", config=config(eval_steps=5), evaluate=evaluate)
    assert [row["step"] for row in rows(tmp_path / "steps", "eval")] == [5, 10, 12]
    assert rows(tmp_path / "steps", "eval")[0]["loss"] is None
    assert [row["step"] for row in rows(tmp_path / "steps", "sample")] == [5, 10, 12]
    run(tmp_path / "share", config=config(eval_share=0.5), evaluate=evaluate)
    assert [row["step"] for row in rows(tmp_path / "share", "eval")] == [7, 12]
    run(tmp_path / "even", config=config(eval_steps=6), evaluate=evaluate)
    assert [row["step"] for row in rows(tmp_path / "even", "eval")] == [6, 12]


def test_gradients_of_parts_of_a_batch_add_up_to_its_own(tmp_path):
    class Sizes(CausalObjective):
        rows: ClassVar[set[int]] = set()

        def loss(self, model: nn.Module, batch: Any) -> LossOutput:
            self.rows.add(batch.num_rows)
            return super().loss(model, batch)

    def plain() -> nn.Module:
        model = Small()
        model.dropout.p = 0.0
        return model

    parallel = ParallelConfig(accumulate=3)
    run(tmp_path / "whole", model=plain())
    run(tmp_path / "parts", model=plain(), objective=Sizes(), parallel=parallel)
    assert Sizes.rows == {1, 2}  # of four
    whole, parts = ([row["loss"] for row in rows(tmp_path / name)] for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_slow_evaluations_are_fewer_where_time_ends_a_stage(tmp_path):
    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        time.sleep(0.1)
        return {"loss": 1.0}

    timed = config(num_steps=None, seconds=2.0, eval_share=0.05, eval_cost=0.2)
    run(tmp_path / "timed", config=timed, evaluate=evaluate)
    # One at once, then a fifth of the time, and the last one.
    assert 3 <= len(rows(tmp_path / "timed", "eval")) <= 6
    counted = config(eval_share=0.25, eval_cost=1e-9)
    run(tmp_path / "counted", config=counted, evaluate=evaluate)
    assert len(rows(tmp_path / "counted", "eval")) == 4, "steps alone decide of steps"


def test_a_budget_of_seconds_is_kept_and_the_rate_ends_low(tmp_path):
    result = run(tmp_path, config=config(num_steps=None, seconds=2.0, checkpoint_seconds=0.5))
    assert result.stopped == "time"
    assert result.seconds < 4.0
    rates = [row["lr"] for row in rows(tmp_path)]
    assert rates[-1] < 0.2 * max(rates)


def test_compiled_kernels_are_not_traced(tmp_path):
    with pytest.raises(ConfigError, match=r"leave \+compile out"):
        run(tmp_path, config=config(kernels="native"), parallel=ParallelConfig(compile=True))
    assert not (tmp_path / "pretrain").exists()


def test_time_before_a_kill_counts_against_the_budget(tmp_path):
    settings = config(num_steps=None, seconds=100.0)
    with pytest.raises(StopError):
        run(tmp_path, config=settings, hooks=[StopAt(3)])
    (tmp_path / "pretrain" / "clock.json").write_text('{"seconds": 150.0}')
    result = run(tmp_path, config=settings)
    assert result.seconds >= 149.0
    assert result.steps == 0, "nothing was saved, and the time is over"


def test_what_else_was_done_in_the_run_does_not_count_against_the_budget(tmp_path):
    """A search, a report or tags of the corpus may come between two parts of a stage."""
    settings = config(num_steps=8, seconds=100.0)
    with pytest.raises(StopError):
        run(tmp_path, config=settings, hooks=[StopAt(3)])
    (tmp_path / "clock.json").write_text('{"seconds": 5000.0}')
    result = run(tmp_path, config=settings)
    assert (result.steps, result.stopped) == (8, "steps")
    assert result.seconds < 100.0


def test_an_interrupt_finishes_the_step_saves_and_the_same_call_goes_on(tmp_path):
    class Interrupt:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", hooks=[Interrupt()])
    assert signal.getsignal(signal.SIGINT) is before
    saved = [path.name for path in (tmp_path / "a" / "pretrain" / "checkpoints").iterdir()]
    assert sorted(saved) == ["step-00000000", "step-00000004"]
    run(tmp_path / "a")
    run(tmp_path / "b")
    assert same_weights(tmp_path / "a", tmp_path / "b")


def test_a_signal_that_comes_while_the_processes_agree_is_heard_after_the_next_step(tmp_path):
    class Late(World):
        """Is told to stop once what each process has heard is on its way."""

        num_agreed = 0

        def highest(self, values: Sequence[float]) -> list[float]:
            told = super().highest(values)
            if len(values) == 2:
                self.num_agreed += 1
                if self.num_agreed == 4:
                    os.kill(os.getpid(), signal.SIGINT)
            return told

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, world=Late())
    assert max(row["step"] for row in rows(tmp_path)) == 5
    assert (tmp_path / "pretrain" / "checkpoints" / "step-00000005").is_dir()
    assert run(tmp_path).steps == 12


def test_a_signal_that_another_process_was_told_first_is_no_second_one(tmp_path):
    class Behind(World):
        """Hears after step 4 that another process was told to stop, and is told too in the save."""

        num_agreed, is_told = 0, False

        def highest(self, values: Sequence[float]) -> list[float]:
            if len(values) == 2:
                self.num_agreed += 1
                return [signal.SIGINT, 0.0] if self.num_agreed == 4 else super().highest(values)
            if self.num_agreed == 4 and not self.is_told:
                self.is_told = True
                os.kill(os.getpid(), signal.SIGINT)
            return super().highest(values)

    world = Behind()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, world=world)
    assert world.is_told
    assert (tmp_path / "pretrain" / "checkpoints" / "step-00000004").is_dir()
    assert run(tmp_path).steps == 12


def test_sigterm_leaves_with_the_shells_code(tmp_path):
    class Terminate:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, hooks=[Terminate()])
    assert stopped.value.code == 143


def test_a_second_interrupt_is_immediate_and_other_threads_hold_back_nothing():
    with held_signals() as held:
        os.kill(os.getpid(), signal.SIGINT)
        assert held.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    worked: list[bool] = []

    def elsewhere() -> None:
        with held_signals() as held:
            worked.append(held.signal is None)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert worked == [True]


def test_the_draws_of_the_caller_are_not_disturbed(tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    model = Small()
    torch.manual_seed(5)
    run(tmp_path, model=model)
    assert torch.equal(torch.rand(1), wanted)


def test_a_model_without_bfloat16_says_so(tmp_path):
    with pytest.raises(ConfigError, match="Small computes in float32 only"):
        run(tmp_path, config=config(compute_dtype="bfloat16"))


def test_a_limit_must_be_given():
    with pytest.raises(ValueError, match="give num_steps, seconds or both"):
        TrainConfig()


@pytest.mark.parametrize(
    ("limits", "stopped"),
    [({"num_steps": 5, "seconds": 300.0}, "steps"), ({"num_steps": 10**8, "seconds": 0.6}, "time")],
)
def test_with_both_limits_the_first_ends_the_stage_at_a_low_rate(tmp_path, limits, stopped):
    result = run(tmp_path, config=config(**limits))
    assert result.stopped == stopped
    assert result.steps == 5 or stopped == "time"
    assert result.seconds < 5
    rates = [row["lr"] for row in rows(tmp_path)]
    assert rates[-1] < 0.3 * max(rates)


def test_a_kill_before_done_neither_loses_nor_doubles_the_last_evaluation(tmp_path, monkeypatch):
    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        return {"loss": 1.0, "samples": [{"text": "a"}]}

    def killed(*arguments: Any) -> None:
        # What is on disk at this moment is all that a kill would leave.
        on_disk.append([row["step"] for row in rows(tmp_path, "eval")])
        raise StopError

    on_disk: list[list[int]] = []
    settings = config(checkpoint_steps=6)
    with monkeypatch.context() as patch:
        patch.setattr("homespun.training.loop.write_done", killed)
        with pytest.raises(StopError):
            run(tmp_path, config=settings, evaluate=evaluate)
    assert on_disk == [[12]]
    result = run(tmp_path, config=settings, evaluate=evaluate)
    assert result.evaluation == {"loss": 1.0}
    assert [row["step"] for row in rows(tmp_path, "eval")] == [12]
    assert [row["step"] for row in rows(tmp_path, "sample")] == [12]


def test_a_kill_before_done_does_not_double_what_the_last_evaluation_found(tmp_path, monkeypatch):
    def killed(*arguments: Any) -> None:
        raise StopError

    def gaps() -> list[dict[str, Any]]:
        return [row for row in rows(tmp_path, "health") if row["finding"] == "train_validation_gap"]

    # The last step is saved ahead of its evaluation, whose loss is far above that of training.
    more: dict[str, Any] = {
        "config": config(num_steps=24, checkpoint_steps=12),
        "evaluate": lambda model, step: {"loss": 100.0},
    }
    with monkeypatch.context() as patch:
        patch.setattr("homespun.training.loop.write_done", killed)
        with pytest.raises(StopError):
            run(tmp_path, **more)
    assert len(gaps()) == 1
    result = run(tmp_path, **more)
    assert len(gaps()) == 1
    assert gaps()[0] in result.health


def test_held_out_text_without_a_target_has_no_loss():
    batch = TokenBatches(TOKENS, context=8, rows=4, seed=0).batch(0)
    nothing = batch._replace(targets_BT=torch.full_like(batch.targets_BT, IGNORED))
    with torch.no_grad():
        for batches in ([], [nothing]):
            assert math.isnan(held_out_loss(Small(), CausalObjective(), batches)["loss"])
        known = held_out_loss(Small().eval(), CausalObjective(), [nothing, batch])["loss"]
        alone = held_out_loss(Small().eval(), CausalObjective(), [batch])["loss"]
    assert known == alone > 0


def test_a_stage_whose_folder_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "pretrain").write_text("in the way")
    with pytest.raises(RunError, match="File exists while making the folder"):
        run(tmp_path)


def test_what_closing_takes_is_remembered_over_a_resume(tmp_path):
    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        time.sleep(0.2)
        return {"loss": 1.0}

    settings = config(num_steps=None, seconds=100.0, eval_steps=2, checkpoint_steps=3)
    with pytest.raises(StopError):
        run(tmp_path, config=settings, evaluate=evaluate, hooks=[StopAt(4)])
    state = json.loads((tmp_path / "pretrain/checkpoints/step-00000003/state.json").read_text())
    assert state["evaluation_seconds"] >= 0.2
    assert state["step_seconds"] > 0
    (tmp_path / "pretrain" / "clock.json").write_text('{"seconds": 99.85}')
    assert run(tmp_path, config=settings, evaluate=evaluate).steps == 3, "no step fits any more"


@pytest.mark.parametrize("more", [{"novelty": 1}, {"memory": {"novelty": 1}}])
def test_a_checkpoint_of_a_later_version_is_refused_in_a_sentence(tmp_path, more):
    assert State.from_json({"step": 3}) == State(step=3), "what was not written is as at the start"
    with pytest.raises(CheckpointError, match=r"does not know \(got novelty\).*version"):
        State.from_json({"step": 3, **more})


def test_hooks_may_add_to_the_row(tmp_path):
    class Add:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            row["double"] = 2 * step

    run(tmp_path, hooks=[Add()])
    assert [row["double"] for row in rows(tmp_path)] == [2 * step for step in range(1, 13)]
