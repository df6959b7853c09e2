"""Masked words: how many, which, whole ones, and that they are learned."""

import numpy as np
import pytest
import torch

from homespun.core import ConfigError
from homespun.models import EncoderConfig
from homespun.training import (
    IGNORED,
    MaskedBatches,
    MaskedObjective,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    Words,
)
from homespun.training.stage.trainee import Trainee
from homespun.training.step import take_step

VOCABULARY, MASK, MARK = 60, 1, 0
NEVER = np.arange(VOCABULARY) < 3
BEGINS = np.arange(VOCABULARY) % 3 == 0  # 3, 6, …; others go on with a word


def text(length: int = 4000) -> np.ndarray:
    draw = np.random.default_rng(0)
    ids = draw.integers(3, VOCABULARY, length)
    ids[::50] = MARK
    return ids.astype(np.uint16)


def batches(
    *, share: float = 0.15, whole: bool = False, rows: int = 32, seed: int = 0
) -> MaskedBatches:
    source = TokenBatches(text(), context=64, rows=rows, seed=0)
    words = Words(MASK, NEVER, BEGINS if whole else None)
    return MaskedBatches(source, words, seed=seed, share=share)


def test_chosen_tokens_are_hidden_replaced_or_left_in_the_shares_of_the_paper() -> None:
    source = TokenBatches(text(), context=64, rows=32, seed=0)
    masked = batches()
    hidden = other = left = chosen = total = 0
    for index in range(12):
        plain, batch = source.batch(index), masked.batch(index)
        is_chosen = batch.targets_BT != IGNORED
        assert torch.equal(batch.targets_BT[is_chosen], plain.ids_BT[is_chosen])
        assert torch.equal(batch.ids_BT[~is_chosen], plain.ids_BT[~is_chosen])
        assert not (is_chosen & torch.from_numpy(NEVER)[plain.ids_BT]).any()
        is_hidden = is_chosen & (batch.ids_BT == MASK)
        is_left = is_chosen & (batch.ids_BT == plain.ids_BT)
        assert not torch.from_numpy(NEVER)[batch.ids_BT[is_chosen & ~is_hidden]].any()
        hidden += int(is_hidden.sum())
        left += int(is_left.sum())
        chosen += int(is_chosen.sum())
        other += int((is_chosen & ~is_hidden & ~is_left).sum())
        total += int((~torch.from_numpy(NEVER)[plain.ids_BT]).sum())
    assert chosen / total == pytest.approx(0.15, abs=0.01)
    assert hidden / chosen == pytest.approx(0.8, abs=0.02)
    assert other / chosen == pytest.approx(0.1, abs=0.02)
    assert left / chosen == pytest.approx(0.1, abs=0.02)


def test_words_are_chosen_as_wholes() -> None:
    source = TokenBatches(text(), context=64, rows=32, seed=0)
    share = 0
    for index in range(6):
        plain, batch = source.batch(index).ids_BT.numpy(), batches(whole=True).batch(index)
        chosen = (batch.targets_BT != IGNORED).numpy()
        goes_on = ~BEGINS[plain] & ~NEVER[plain]
        goes_on[:, 0] = False
        goes_on[:, 1:] &= ~NEVER[plain][:, :-1]
        assert (chosen[:, 1:] == chosen[:, :-1])[goes_on[:, 1:]].all()
        share += chosen.mean() / 6
    assert share == pytest.approx(0.147, abs=0.02)


def test_a_batch_is_a_function_of_seed_and_number() -> None:
    one, two = batches(), batches()
    two.batch(3)
    for field in ("ids_BT", "targets_BT"):
        assert torch.equal(getattr(one.batch(7), field), getattr(two.batch(7), field))
    assert not torch.equal(batches(seed=1).batch(7).targets_BT, one.batch(7).targets_BT)
    assert one.epochs(5) == TokenBatches(text(), context=64, rows=32, seed=0).epochs(5)
    assert one.describe() != batches(share=0.3).describe()
    assert one.describe() != batches(whole=True).describe()


def test_every_row_asks_for_something() -> None:
    assert (batches(share=1e-6).batch(0).targets_BT != IGNORED).sum(1).tolist() == [1] * 32


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        batches(share=share)


def test_an_encoder_learns_what_stands_on_either_side() -> None:
    """Every token is three more than the one before: what is hidden can be told from the left and
    from the right."""
    steps = np.concatenate([np.arange(3, 57, 3) + start for start in [0, 1, 2] * 40])
    source = TokenBatches(steps.astype(np.uint16), context=18, rows=64, seed=0)
    masked = MaskedBatches(source, Words(MASK, NEVER), seed=0)
    model = EncoderConfig(
        vocab_size=VOCABULARY,
        num_layers=2,
        width=32,
        num_heads=2,
        mlp_width=64,
        context=18,
        norm_first=True,
        positions="rotary",
    ).build(torch.Generator().manual_seed(0))
    config = TrainConfig(
        num_steps=1, optimizer=OptimizerConfig(kind="adamw", learning_rate=1e-2), clip_norm=1.0
    )
    trainee = Trainee(model, config)
    losses = [
        take_step(
            trainee.model,
            MaskedObjective(),
            [masked.batch(number)],
            trainee.optimizer,
            lr_scale=1.0,
            clip_norm=1.0,
        ).loss
        for number in range(250)
    ]
    assert losses[0] > 3.5
    assert np.mean(losses[-20:]) < 0.6


def test_words_may_be_told_by_place_and_not_by_id() -> None:
    begins = np.random.default_rng(3).random(4000) < 0.4
    words = Words(MASK, NEVER, BEGINS)
    source = TokenBatches(text(), context=64, rows=32, seed=0)
    # The ends of both rings differ, so that both are as long.
    places = begins.astype(np.uint8)
    places[0], places[-1] = 1, 0
    beginnings = TokenBatches(places, context=64, rows=32, seed=0)
    masked = MaskedBatches(source, words, seed=0, begins=beginnings)
    assert masked.describe()["whole_words"]
    batch, plain = masked.batch(2), source.batch(2)
    starts_BT = beginnings.batch(2).ids_BT.bool()
    is_chosen_BT = batch.targets_BT != IGNORED
    is_mark_BT = plain.ids_BT == MARK
    goes_on_BT = ~starts_BT[:, 1:] & ~is_mark_BT[:, 1:] & ~is_mark_BT[:, :-1]
    assert torch.equal(is_chosen_BT[:, 1:][goes_on_BT], is_chosen_BT[:, :-1][goes_on_BT])
    by_id = MaskedBatches(source, words, seed=0).batch(2)
    assert not torch.equal(is_chosen_BT, by_id.targets_BT != IGNORED)
