"""The weights of the lowest held-out loss: kept, and the same ones after every kill."""

from __future__ import annotations

import errno
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from homespun.core import Silent, WorkClock
from homespun.core.files import read_json
from homespun.models import DecoderConfig
from homespun.training import (
    BestConfig,
    CausalObjective,
    EmaConfig,
    Judge,
    TokenBatches,
    TrainConfig,
    TrainResult,
    load_weights,
    train,
)
from homespun.training.health import SpikeConfig

STEPS, EVERY = 24, 2
TOKENS = np.arange(300, dtype=np.uint16) % 17


class StopError(Exception):
    pass


class StopAt:
    """A hook that ends the process the hard way at its `count`-th step: nothing after it runs."""

    def __init__(self, count: int) -> None:
        self.left = count

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise StopError


class Said(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, text: str) -> None:
        self.sentences.append(text)


class Scripted:
    """Held-out losses that a test writes down, and the weights they were asked for."""

    def __init__(self, loss: Callable[[int], float]) -> None:
        self.loss = loss
        self.seen: dict[int, Tensor] = {}

    def __call__(self, model: Any, step: int) -> dict[str, Any]:
        self.seen[step] = model.embedding.weight.detach().clone()
        return {"loss": self.loss(step)}


def turning(step: int) -> float:
    """Lowest after 8 steps."""
    return 1.0 + abs(step - 8) / 10


def small() -> nn.Module:
    shape = {"vocab_size": 17, "num_layers": 1, "width": 8, "num_heads": 1, "num_kv_heads": 1}
    config = DecoderConfig(**shape, head_width=8, mlp_width=8, context=8, tied=True)
    return config.build(torch.Generator().manual_seed(0))


def run(
    folder: Path,
    evaluate: Any,
    *,
    model: nn.Module | None = None,
    best: BestConfig | None = BestConfig(after=0.0),  # noqa: B008 - frozen
    hooks: tuple[Any, ...] = (),
    judge: Judge | None = None,
    progress: Silent | None = None,
    **more: Any,
) -> TrainResult:
    folder.mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "num_steps": STEPS,
        "checkpoint_seconds": None,
        "checkpoint_steps": 5,
        "eval_steps": EVERY,
        "tensorboard": False,
        "best": best,
    }
    return train(
        model or small(),
        CausalObjective(),
        TokenBatches(TOKENS, context=8, rows=2, seed=0),
        config=TrainConfig(**(settings | more)),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        evaluate=evaluate,
        hooks=hooks,
        judge=judge,
        progress=progress,
    )


def rows(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    lines = (folder / "pretrain" / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def timeless(folder: Path) -> list[dict[str, Any]]:
    """All rows without what a clock says."""
    lines = (folder / "pretrain" / "metrics.jsonl").read_text().splitlines()
    clocked = ("seconds", "tokens_per_second")
    return [{k: v for k, v in json.loads(line).items() if k not in clocked} for line in lines]


def kept(folder: Path) -> Tensor:
    return load_weights(folder / "pretrain")["embedding.weight"]


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "pretrain" / "checkpoints").iterdir())


def test_the_weights_of_the_lowest_loss_are_kept_and_said(tmp_path):
    evaluate, said, model = Scripted(turning), Said(), small()
    result = run(tmp_path, evaluate, model=model, progress=said)
    assert torch.equal(kept(tmp_path), evaluate.seen[8])
    assert not torch.equal(evaluate.seen[8], evaluate.seen[STEPS])
    assert torch.equal(model.embedding.weight.detach(), evaluate.seen[8])
    assert result.weights is not None
    assert (result.weights.step, result.weights.last_step) == (8, STEPS)
    assert (result.weights.loss, result.weights.last_loss) == (turning(8), turning(STEPS))
    assert (result.evaluation, result.steps, result.stopped) == ({"loss": 1.0}, STEPS, "steps")
    sentence = "Held-out loss was lowest after 8 steps; these weights are kept"
    assert result.weights.sentence.startswith(sentence)
    assert any(sentence in line for line in said.sentences)
    # The beginning is what a run so short may go back to.
    assert checkpoints(tmp_path) == [f"step-{step:08d}" for step in (0, 8, 20, 24)]
    again = small()
    assert run(tmp_path, evaluate, model=again) == result
    assert torch.equal(again.embedding.weight.detach(), evaluate.seen[8])


def test_without_it_or_where_none_was_lower_the_last_weights_are_kept(tmp_path):
    evaluate = Scripted(turning)
    assert run(tmp_path / "off", evaluate, best=None).weights is None
    assert torch.equal(kept(tmp_path / "off"), evaluate.seen[STEPS])
    falling = Scripted(lambda step: 1.0 / step)
    assert run(tmp_path / "falling", falling).weights is None
    assert torch.equal(kept(tmp_path / "falling"), falling.seen[STEPS])
    assert checkpoints(tmp_path / "falling")[-1] == "step-00000024"
    unknown = Scripted(lambda step: float("nan"))
    assert run(tmp_path / "unknown", unknown).weights is None


def test_a_last_loss_that_is_no_number_is_not_kept(tmp_path):
    evaluate = Scripted(lambda step: float("nan") if step == STEPS else turning(step))
    result = run(tmp_path, evaluate)
    assert result.weights is not None
    assert (result.weights.step, result.weights.last_loss) == (8, None)
    assert "no number after 24" in result.weights.sentence


def test_before_the_text_is_read_again_nothing_is_kept(tmp_path):
    # 299 targets are 37 rows of 8: two a step.
    evaluate = Scripted(turning)
    result = run(tmp_path / "once", evaluate, best=BestConfig())
    assert result.epochs > 1.0
    assert result.weights is not None
    assert result.weights.step == 20, "the first one of the second reading"
    never = run(tmp_path / "never", Scripted(turning), best=BestConfig(after=2.0))
    assert never.weights is None
    assert checkpoints(tmp_path / "never") == [f"step-{step:08d}" for step in (0, 20, 24)]


@pytest.mark.parametrize("seed", range(6))
def test_the_step_is_that_of_the_plain_minimum(tmp_path, seed):
    draw = random.Random(seed)
    # Few values, so that some are equal: the last one counts, then the earliest.
    losses = {step: draw.randint(1, 6) / 4 for step in range(EVERY, STEPS + 1, EVERY)}
    evaluate = Scripted(losses.__getitem__)
    result = run(tmp_path, evaluate)
    expected = min(losses, key=lambda step: (losses[step], step != STEPS, step))
    assert (STEPS if result.weights is None else result.weights.step) == expected
    assert torch.equal(kept(tmp_path), evaluate.seen[expected])


def test_a_complete_pass_has_the_last_word(tmp_path):
    evaluate = Scripted(turning)
    asked: list[int] = []

    def closer(best: float, last: float) -> Judge:
        def judge(model: Any, step: int) -> dict[str, float]:
            asked.append(step)
            # What is asked must be of the weights of that step.
            assert torch.equal(model.embedding.weight, evaluate.seen[step])
            assert not model.training
            return {"loss": best if step == 8 else last}

        return Judge(judge, 3.0)

    better = run(tmp_path / "better", evaluate, judge=closer(1.1, 1.2))
    assert better.weights is not None
    assert (better.weights.step, better.weights.loss, better.weights.last_loss) == (8, 1.1, 1.2)
    assert better.weights.is_complete
    assert torch.equal(kept(tmp_path / "better"), evaluate.seen[8])
    worse, model = tmp_path / "worse", small()
    result = run(worse, evaluate, judge=closer(1.3, 1.2), model=model)
    assert result.weights is not None
    assert result.weights.step == STEPS
    assert "the last are kept" in result.weights.sentence
    assert result.evaluation == {"loss": turning(STEPS)}
    assert torch.equal(kept(worse), evaluate.seen[STEPS])
    assert torch.equal(model.embedding.weight.detach(), evaluate.seen[STEPS])
    assert asked == [STEPS, 8, STEPS, 8]
    asked.clear()
    run(tmp_path / "falling", Scripted(lambda step: 1.0 / step), judge=closer(0.0, 0.0))
    assert not asked, "there is nothing to choose between"


@pytest.mark.parametrize(
    ("at_best", "at_last", "step"),
    [(0.8, 0.7, 8), (0.7, 0.7, 8), (0.7, 0.8, STEPS), (0.7, float("nan"), 8)],
)
def test_a_score_decides_and_of_equal_ones_the_loss(tmp_path, at_best, at_last, step):
    evaluate, said, model = Scripted(turning), Said(), small()

    def look(model: Any, at: int) -> dict[str, float]:
        assert torch.equal(model.embedding.weight, evaluate.seen[at])
        # Its loss says the contrary, and must not count.
        return {"score": at_best if at == 8 else at_last, "loss": 9.0 if at == 8 else 0.0}

    judge = Judge(look, 2.0, lambda: "accuracy")
    result = run(tmp_path, evaluate, judge=judge, progress=said, model=model)
    assert result.weights is not None
    assert result.weights.step == step
    assert torch.equal(kept(tmp_path), evaluate.seen[step])
    assert torch.equal(model.embedding.weight.detach(), evaluate.seen[step])
    assert (result.weights.loss, result.weights.last_loss) == (turning(8), turning(STEPS))
    assert (result.weights.score, result.weights.best_score) == ("accuracy", at_best)
    assert result.weights.last_score == (None if at_last != at_last else at_last)
    which = "these weights are kept" if step == 8 else "the last are kept"
    assert which in result.weights.sentence
    assert f"accuracy of held-out rows {at_best:.3f} there" in result.weights.sentence
    assert any(which in line for line in said.sentences)


def test_of_averaged_weights_the_average_is_judged_and_kept(tmp_path):
    evaluate = Scripted(turning)
    trained: dict[int, Tensor] = {}

    class Recorder:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            trained[step] = model.embedding.weight.detach().clone()

    ema, model = EmaConfig(start=0.1, half_life=0.2), small()
    run(tmp_path, evaluate, ema=ema, hooks=(Recorder(),), model=model)
    assert not torch.equal(evaluate.seen[8], trained[8])
    assert torch.equal(kept(tmp_path), evaluate.seen[8])
    assert torch.equal(model.embedding.weight.detach(), evaluate.seen[8])


@pytest.mark.parametrize("ema", [None, EmaConfig(start=0.1, half_life=0.2)])
@pytest.mark.parametrize("patience", [None, 0.25])
def test_killed_at_any_step_it_ends_the_same(tmp_path, ema, patience):
    settings = {"best": BestConfig(after=0.0, patience=patience), "ema": ema}
    whole = run(tmp_path / "whole", Scripted(turning), **settings)
    assert whole.stopped == ("steps" if patience is None else "early")
    for count in range(1, whole.steps + 1):
        folder = tmp_path / f"killed-{count}"
        with pytest.raises(StopError):
            run(folder, Scripted(turning), hooks=(StopAt(count),), **settings)
        result = run(folder, Scripted(turning), **settings)
        assert torch.equal(kept(folder), kept(tmp_path / "whole")), count
        assert result.weights == whole.weights
        assert (result.steps, result.stopped) == (whole.steps, whole.stopped)
        assert timeless(folder) == timeless(tmp_path / "whole"), count
        assert checkpoints(folder) == checkpoints(tmp_path / "whole"), count


def test_a_loss_that_has_turned_ends_the_stage(tmp_path):
    evaluate, said = Scripted(turning), Said()
    result = run(tmp_path, evaluate, best=BestConfig(after=0.0, patience=0.25), progress=said)
    # Lowest after 8 steps; a quarter of 24 and three evaluations later it is over.
    assert (result.steps, result.stopped) == (14, "early")
    (found,) = (row for row in rows(tmp_path, "health") if row["finding"] == "stopped_early")
    assert (found["step"], found["value"]) == (14, 8.0)
    assert any("training ends here" in line for line in said.sentences)
    assert result.weights is not None
    assert (result.weights.step, result.weights.last_step) == (8, 14)
    assert torch.equal(kept(tmp_path), evaluate.seen[8])
    patient = run(tmp_path / "patient", Scripted(turning), best=BestConfig(after=0, patience=0.7))
    assert (patient.steps, patient.stopped) == (STEPS, "steps")
    # A quarter of the steps, but only two looks.
    rare = run(
        tmp_path / "rare",
        Scripted(turning),
        best=BestConfig(after=0.0, patience=0.25),
        eval_steps=8,
    )
    assert (rare.steps, rare.stopped) == (STEPS, "steps")


def test_a_stage_of_seconds_ends_early_too(tmp_path):
    losses: dict[int, float] = {}

    def loss(step: int) -> float:
        losses.setdefault(step, 1.0 + len(losses) / 10)
        return losses[step]

    result = run(
        tmp_path,
        Scripted(loss),
        best=BestConfig(after=0.0, patience=0.2),
        num_steps=None,
        seconds=6.0,
        eval_steps=None,
        eval_share=0.05,
        checkpoint_steps=None,
    )
    assert result.stopped == "early"
    assert result.seconds < 4.5
    assert result.weights is not None
    assert torch.isfinite(kept(tmp_path)).all()


def test_damaged_best_weights_are_not_kept(tmp_path):
    evaluate = Scripted(turning)

    class Damage:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            if step == STEPS:
                path = tmp_path / "pretrain" / "checkpoints" / "step-00000008"
                (path / "weights.safetensors").write_bytes(b"rubbish")

    assert run(tmp_path, evaluate, hooks=(Damage(),)).weights is None
    assert torch.equal(kept(tmp_path), evaluate.seen[STEPS])


class Refuse:
    """A hook that makes the weights of step 8 unreadable at a step, as by a bad sector."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, at: int) -> None:
        self.file = folder / "pretrain" / "checkpoints" / "step-00000008" / "weights.safetensors"
        self.patch, self.at = patch, at

    def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
        if step == self.at:
            self.refuse()

    def refuse(self) -> None:
        opened = io.open

        def fail(path, *args, **kwargs):
            if not isinstance(path, int) and Path(path) == self.file:
                raise OSError(errno.EIO, "Input/output error")
            return opened(path, *args, **kwargs)

        self.patch.setattr("builtins.open", fail)
        self.patch.setattr(io, "open", fail)


def test_best_weights_that_cannot_be_read_are_told_and_left(tmp_path, monkeypatch):
    evaluate, said = Scripted(turning), Said()
    refuse = Refuse(tmp_path, monkeypatch, at=STEPS)
    assert run(tmp_path, evaluate, hooks=(refuse,), progress=said).weights is None
    assert any("step-00000008 could not be read" in text for text in said.sentences)
    assert refuse.file.is_file()
    assert torch.equal(kept(tmp_path), evaluate.seen[STEPS])


def test_a_run_resumes_though_its_best_weights_cannot_be_read_and_has_them_if_they_can_later(
    tmp_path, monkeypatch
):
    evaluate, said = Scripted(turning), Said()
    with pytest.raises(StopError):
        run(tmp_path, evaluate, hooks=(StopAt(21),))
    Refuse(tmp_path, monkeypatch, at=0).refuse()

    class Mend:
        def on_step(self, step: int, model: Any, row: dict[str, Any]) -> None:
            if step == STEPS:
                monkeypatch.undo()

    result = run(tmp_path, evaluate, hooks=(Mend(),), progress=said)
    assert any("step-00000008 could not be read" in text for text in said.sentences)
    assert result.weights is not None
    assert result.weights.step == 8
    assert torch.equal(kept(tmp_path), evaluate.seen[8])


def test_a_run_that_goes_back_from_bad_steps_has_the_best_weights_of_then(tmp_path):
    class Stumbling(CausalObjective):
        calls = 0

        def loss(self, model: Any, batch: Any) -> Any:
            output = super().loss(model, batch)
            self.calls += 1
            bad = 13 <= self.calls <= 15  # steps 13 to 15, of which there are two batches a step
            return output._replace(loss_sum=output.loss_sum * (float("nan") if bad else 1.0))

    evaluate = Scripted(lambda step: {4: 1.0, 12: 0.9}.get(step, 2.0))
    folder = tmp_path / "run"
    folder.mkdir()
    result = train(
        small(),
        Stumbling(),
        TokenBatches(TOKENS, context=8, rows=2, seed=0),
        config=TrainConfig(
            num_steps=STEPS,
            checkpoint_seconds=None,
            eval_steps=4,
            tensorboard=False,
            best=BestConfig(after=0.0),
            spikes=SpikeConfig(in_a_row=3, rewind_steps=10),
        ),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        evaluate=evaluate,
    )
    assert result.rewinds == 1
    assert result.weights is not None
    assert result.weights.step == 12, "found again on the second way"
    assert read_json(folder / "pretrain" / "done.json")["checkpoint"] == "step-00000012"
