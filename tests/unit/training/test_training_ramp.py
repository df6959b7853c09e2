import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.distributed import HashStore

from homespun.core import ConfigError, TextBlocks, WorkClock, parse_config
from homespun.core.processes import Place
from homespun.models import decoder_size
from homespun.training import (
    CausalObjective,
    Phase,
    RampConfig,
    RampedBatches,
    TokenBatches,
    TrainConfig,
    train,
)
from homespun.training.distributed import World
from homespun.training.health.repeats import find_repeats

TOKENS = np.arange(1000, dtype=np.uint16)
PHASES = [Phase(0, 2, 4), Phase(5, 4, 8), Phase(9, 3, 16)]


def ramped(**more) -> RampedBatches:
    return RampedBatches(TOKENS, PHASES, seed=3, **more)


def test_batches_have_the_shape_of_their_phase():
    source = ramped()
    shapes = [tuple(source.batch(index).ids_BT.shape) for index in range(12)]
    assert shapes == [(2, 4)] * 5 + [(4, 8)] * 4 + [(3, 16)] * 3
    assert [source.batch(index).num_tokens for index in (0, 5, 9)] == [8, 32, 48]
    assert source.tokens_of(7) == 32


def test_targets_follow_their_inputs():
    batch = ramped().batch(6)
    inside = batch.targets_BT != -100
    assert torch.equal((batch.ids_BT + 1)[inside] % 1000, batch.targets_BT[inside])


def test_a_batch_depends_on_its_number_alone():
    forwards = ramped()
    expected = [forwards.batch(index).ids_BT for index in range(20)]
    backwards = ramped()
    for index in reversed(range(20)):
        assert torch.equal(backwards.batch(index).ids_BT, expected[index])


def test_an_epoch_deals_no_token_twice_and_leaves_out_only_what_it_says():
    source = ramped()
    longest = 16
    batches = 0
    while source.epochs(batches + 1) <= 1.0:
        batches += 1
    seen = Counter()
    for index in range(batches):
        seen.update(source.batch(index).ids_BT.flatten().tolist())
    assert max(seen.values()) == 1
    dealt = sum(source.tokens_of(index) for index in range(batches))
    assert len(seen) == dealt
    # The remainder shorter than a window, the rest of one window a change of context, and what
    # does not fill a batch.
    assert len(seen) > 1000 - longest - 2 * longest - source.tokens_of(batches)


def test_epochs_count_every_dealt_token():
    source = ramped()
    per_epoch = source.rows_per_epoch * 16
    assert source.epochs(0) == 0.0
    assert source.epochs(5) == 40 / per_epoch
    # 40 + 4 * 32 = 168 tokens, aligned to the 16 of the next phase.
    assert source.epochs(9) == 176 / per_epoch
    assert source.epochs(10) == (176 + 48) / per_epoch


def test_one_phase_deals_what_plain_batches_deal():
    plain = TokenBatches(TOKENS, context=16, rows=3, seed=3)
    source = RampedBatches(TOKENS, [Phase(0, 3, 16)], seed=3)
    for index in (0, 7, 40):
        assert torch.equal(source.batch(index).ids_BT, plain.batch(index).ids_BT)
        assert torch.equal(source.batch(index).targets_BT, plain.batch(index).targets_BT)
    assert source.epochs(33) == plain.epochs(33)


def test_the_learning_rate_follows_the_root_of_the_batch_where_it_is_asked_to():
    assert ramped().rate_factor(0) == 1.0
    source = ramped(sqrt_rate=True)
    assert source.rate_factor(0) == pytest.approx(math.sqrt(8 / 48))
    assert source.rate_factor(9) == 1.0


def test_shares_of_a_run_become_numbers_of_batches():
    asked = [
        {"share": 0.25, "rows": 2, "context": 8},
        {"share": 0.5, "rows": 2, "context": 16},
        {"share": 0.25, "rows": 4, "context": 16},
    ]
    config = parse_config(RampConfig, {"phases": asked, "rate": "sqrt"}, where="a test")
    source = config.build(TOKENS, num_batches=100, seed=0)
    described = source.describe()
    assert described["phases"] == [[0, 2, 8], [25, 2, 16], [75, 4, 16]]
    assert source.rate_factor(0) == 0.5


def test_tokens_of_a_run_are_those_of_its_batches():
    asked = [
        {"share": 0.3, "rows": 2, "context": 8},
        {"share": 0.45, "rows": 3, "context": 16},
        {"share": 0.25, "rows": 4, "context": 8},
    ]
    config = parse_config(RampConfig, {"phases": asked}, where="a test")
    for num_batches in (1, 2, 7, 10, 101):
        source = config.build(TOKENS, num_batches=num_batches, seed=0)
        dealt = sum(source.tokens_of(index) for index in range(num_batches))
        assert config.tokens_in(num_batches) == dealt
    assert config.batch_tokens == pytest.approx(config.tokens_in(1000) / 1000)
    assert (config.context, config.rows) == (16, 3)
    larger = config.model_copy(update={"phases": (*config.phases[:2], *config.phases[:1])})
    assert larger.rows == 3
    assert config.phases[2].rows * config.phases[2].context <= config.rows * config.context


def test_batches_say_which_block_of_the_text_they_are_of():
    blocks = TextBlocks(TOKENS, end_of_text_id=None, num_blocks=4)
    plain = TokenBatches(TOKENS, context=16, rows=3, seed=3, blocks=blocks)
    source = RampedBatches(TOKENS, [Phase(0, 4, 8), Phase(3, 3, 16)], seed=3, blocks=blocks)
    for index in range(8):
        batch = source.batch(index)
        assert batch.blocks_BT is not None
        inside = batch.targets_BT != -100
        assert torch.equal(batch.blocks_BT[inside], batch.targets_BT[inside] // 250)
    assert source.describe()["blocks"] == plain.describe()["blocks"]
    assert "blocks" not in ramped().describe()


def test_a_text_that_is_read_twice_by_a_ramp_does_not_repeat_itself():
    tokens = np.random.default_rng(0).permutation(60_000).astype(np.uint16)
    config = [Phase(0, 1, 64), Phase(30, 8, 128)]
    found = find_repeats(RampedBatches(tokens, config, seed=0), None)
    assert found is not None
    assert found.num_runs > 500
    assert found.repeated == 0.0
    twice = np.concatenate([tokens[:30_000], tokens[:30_000]])
    again = find_repeats(RampedBatches(twice, config, seed=0), None)
    assert again is not None
    assert again.repeated > 0.3


def test_a_ramp_of_too_few_rows_for_so_many_processes_is_refused_before_the_first(tmp_path):
    shape = decoder_size("0.2m", vocab_size=1000, context=16)
    world = World(Place(0, 3, 0, 3), store=HashStore())
    source = ramped()
    assert source.fewest_rows == 2
    with pytest.raises(ConfigError, match="a batch of 2 rows cannot be shared"):
        train(
            shape.build(torch.Generator().manual_seed(0)),
            CausalObjective(),
            source,
            config=TrainConfig(num_steps=12),
            stage_dir=tmp_path / "pretrain",
            clock=WorkClock(tmp_path / "clock.json"),
            world=world,
        )
    assert not (tmp_path / "pretrain").exists()


def test_ramps_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"add up to 1 \(got 0\.5\); change"):
        parse_config(
            RampConfig, {"phases": [{"share": 0.5, "rows": 1, "context": 8}]}, where="a test"
        )
    with pytest.raises(ConfigError, match="divide the longest"):
        RampedBatches(TOKENS, [Phase(0, 1, 6), Phase(3, 1, 16)], seed=0)
    with pytest.raises(ConfigError, match="begin at batch 0"):
        RampedBatches(TOKENS, [Phase(2, 1, 8)], seed=0)
