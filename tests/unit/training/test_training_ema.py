from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from homespun.core import CheckpointError, ConfigError, WorkClock, parse_config
from homespun.models import DecoderConfig
from homespun.training import (
    CausalObjective,
    EmaConfig,
    TokenBatches,
    TrainConfig,
    load_weights,
    train,
)
from homespun.training.distributed import Whole
from homespun.training.ema import WeightAverage, average_one

STEPS = 12


def take_over(average: WeightAverage, state: dict[str, torch.Tensor]) -> None:
    Whole(nn.Linear(1, 1)).restore_beside(average.state_tensors(), state, where="a test")


def walk(config: EmaConfig, values: list[float], *, broken_at: int | None = None) -> float:
    """The average of a parameter that takes these values, one a step of the run."""
    parameter = nn.Parameter(torch.zeros(1))
    average = config.build({"w": parameter})
    for step, value in enumerate(values):
        if step == broken_at:
            state = {name: tensor.clone() for name, tensor in average.state_tensors().items()}
            average = config.build({"w": parameter})
            take_over(average, state)
        parameter.data.fill_(value)
        average.update((step + 0.5) / len(values))
    with average.in_place():
        kept = float(parameter.detach())
    assert float(parameter.detach()) == float(torch.tensor(values[-1]))
    return kept


def numbers() -> list[float]:
    return torch.rand(STEPS, generator=torch.Generator().manual_seed(0)).double().tolist()


def test_a_moving_average_weighs_the_past_by_its_half_life():
    values = [float(torch.tensor(value)) for value in numbers()]
    config = EmaConfig(start=0.25, half_life=0.125)
    # From step 3 on, (3 + 0.5) / 12 being past 0.25; a step is 1/12 of the run, so 1.5 of them
    # halve the weight. What was there at the beginning keeps all that is left of it.
    fade = 0.5 ** (1 / 1.5)
    shares = [fade ** (STEPS - 1 - step) * (1 - fade) for step in range(3, STEPS)]
    shares[0] = fade ** (STEPS - 1 - 3)
    assert sum(shares) == pytest.approx(1.0)
    expected = average_one(values[3:], shares)
    assert walk(config, values) == pytest.approx(expected, abs=1e-6)
    in_steps = EmaConfig(start=0.25, half_life_steps=1.5)
    assert walk(in_steps, values) == pytest.approx(expected, abs=1e-6)


def test_the_tail_is_the_plain_mean():
    values = numbers()
    config = EmaConfig(kind="tail", start=0.5)
    expected = average_one(values[6:], [1.0] * 6)
    assert walk(config, values) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["ema", "tail"])
@pytest.mark.parametrize("broken_at", [1, 5, 9])
def test_an_average_that_is_saved_and_loaded_goes_on_bit_for_bit(kind, broken_at):
    config = EmaConfig(kind=kind, start=0.3)
    assert walk(config, numbers(), broken_at=broken_at) == walk(config, numbers())


def test_before_its_start_there_is_no_average():
    parameter = nn.Parameter(torch.ones(2))
    average = EmaConfig(start=0.5).build({"w": parameter})
    average.update(0.4)
    assert not average.has_begun
    with average.in_place():
        assert parameter.tolist() == [1.0, 1.0]
    average.use()
    assert parameter.tolist() == [1.0, 1.0]


def test_the_average_of_another_model_is_refused():
    average = EmaConfig().build({"w": torch.zeros(2)})
    other = EmaConfig().build({"v": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="does not fit the model at v"):
        take_over(average, other.state_tensors())


def test_a_half_life_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="half_life"):
        parse_config(EmaConfig, {"half_life": 0.0}, where="a test")


class StopError(Exception):
    pass


class Recorder:
    """A hook that keeps the weights of each step, and may end the process the hard way."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.weights: dict[int, torch.Tensor] = {}

    def on_step(self, step, model, row):
        del row
        self.weights[step] = model.embedding.weight.detach().clone()
        if step == self.stop:
            raise StopError


def stage(folder: Path, ema: EmaConfig | None, hook: Recorder, evaluated: dict) -> nn.Module:
    shape = {"vocab_size": 17, "num_layers": 1, "width": 8, "num_heads": 1, "num_kv_heads": 1}
    config = DecoderConfig(**shape, head_width=8, mlp_width=8, context=8, tied=True)
    model = config.build(torch.Generator().manual_seed(0))
    folder.mkdir(exist_ok=True)

    def evaluate(model, step):
        evaluated[step] = model.embedding.weight.detach().clone()
        return {"loss": 0.0}

    train(
        model,
        CausalObjective(),
        TokenBatches(np.arange(300, dtype=np.uint16) % 17, context=8, rows=2, seed=0),
        config=TrainConfig(
            num_steps=12,
            checkpoint_seconds=None,
            checkpoint_steps=5,
            eval_steps=3,
            tensorboard=False,
            ema=ema,
        ),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        evaluate=evaluate,
        hooks=(hook,),
    )
    return model


def test_the_average_is_evaluated_and_kept_and_does_not_change_training(tmp_path):
    plain, averaging = Recorder(), Recorder()
    evaluated: dict[int, torch.Tensor] = {}
    stage(tmp_path / "plain", None, plain, {})
    tail = EmaConfig(kind="tail", start=0.5)
    model = stage(tmp_path / "averaging", tail, averaging, evaluated)
    assert all(torch.equal(plain.weights[step], averaging.weights[step]) for step in range(1, 13))
    assert torch.equal(evaluated[6], plain.weights[6])
    for step in (9, 12):
        mean = torch.stack([plain.weights[n] for n in range(7, step + 1)]).mean(0)
        torch.testing.assert_close(evaluated[step], mean)
    kept = load_weights(tmp_path / "averaging" / "pretrain")
    assert torch.equal(kept["embedding.weight"], evaluated[12])
    assert torch.equal(model.embedding.weight.detach(), evaluated[12])
    assert not torch.equal(evaluated[12], plain.weights[12])
    again = stage(tmp_path / "averaging", tail, averaging, {})
    assert torch.equal(again.embedding.weight.detach(), evaluated[12])


@pytest.mark.parametrize("stop", [4, 8, 11, 12])
def test_a_killed_stage_ends_with_the_very_average_of_one_that_was_not(tmp_path, stop):
    ema = EmaConfig(start=0.4, half_life=0.2)
    whole = stage(tmp_path / "whole", ema, Recorder(), {})
    with pytest.raises(StopError):
        stage(tmp_path / "broken", ema, Recorder(stop), {})
    resumed = stage(tmp_path / "broken", ema, Recorder(), {})
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)
