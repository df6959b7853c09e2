import pytest
import torch

from homespun.models import decoder_size
from homespun.training import machine
from homespun.training.distributed import whole
from homespun.training.machine import median_seconds, training_tokens_per_second


def test_the_median_of_several_rounds_is_taken():
    ticks = iter([0, 0, 5, 5, 8, 8, 20, 99.0])
    assert median_seconds(lambda: None, seconds=0, clock=lambda: next(ticks)) == 5


def test_parts_of_a_batch_make_one_step(monkeypatch):
    sizes = []

    def watched(model, objective, batches, optimizer, **more):
        sizes.append([batch.num_rows for batch in batches])
        return take(model, objective, batches, optimizer, **more)

    take = machine.take_step
    monkeypatch.setattr(machine, "take_step", watched)
    config = decoder_size("0.2m", context=16)
    model = config.build(torch.Generator().manual_seed(0))
    training_tokens_per_second(
        model, batch=5, context=16, vocab_size=config.vocab_size, seconds=0.01, parts=2
    )
    assert sizes
    assert all(size == [2, 3] for size in sizes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_training_speed_is_of_clipped_muon_steps_in_the_models_dtype(monkeypatch, dtype):
    built = []

    def watched(model, config, *, matrix_dtype):
        built.append((config.kind, matrix_dtype))
        return build(model, config, matrix_dtype=matrix_dtype)

    build = whole.build_optimizer
    monkeypatch.setattr(whole, "build_optimizer", watched)
    config = decoder_size("0.2m", context=16)
    model = config.build(torch.Generator().manual_seed(0))
    model.set_compute_dtype(dtype)
    before = [p.detach().clone() for p in model.parameters()]
    rate = training_tokens_per_second(
        model, batch=2, context=16, vocab_size=config.vocab_size, seconds=0.01
    )
    assert built == [("muon", dtype)]
    assert 10 < rate < 10_000_000
    assert all(not torch.equal(p, kept) for p, kept in zip(model.parameters(), before, strict=True))
