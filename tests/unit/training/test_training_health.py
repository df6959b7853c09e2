"""A run that watches itself: what it finds, and that it finds nothing where nothing is off."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
import torch

from homespun.core import WorkClock
from homespun.models import DecoderConfig
from homespun.training import (
    CausalObjective,
    MixedBatches,
    OptimizerConfig,
    TokenBatches,
    TrainConfig,
    train,
)
from homespun.training.distributed.blocks import compile_blocks, repeated_blocks
from homespun.training.health import (
    HealthConfig,
    Memory,
    Monitor,
    Seen,
    Watch,
    monitor,
    trends,
)
from homespun.training.health.probes import WeightSample, look_inside
from homespun.training.health.repeats import (
    Repeats,
    find_repeats,
    kept_hashes,
    kept_hashes_obvious,
    run_length,
)

DRAW = np.random.default_rng(0)
LOSSES = [3.0] * 64


def decoder(**more: Any) -> Any:
    shape: dict[str, Any] = {
        "vocab_size": 64,
        "num_layers": 2,
        "width": 32,
        "num_heads": 2,
        "num_kv_heads": 1,
        "head_width": 16,
        "mlp_width": 64,
        "context": 64,
    }
    return DecoderConfig(**(shape | more)).build(torch.Generator().manual_seed(0))


def text(num_tokens: int) -> Any:
    return DRAW.integers(0, 64, num_tokens).astype(np.uint16)


def kinds(finding: Any) -> str:
    return "" if finding is None else finding.kind


@pytest.mark.parametrize(
    ("loss", "kind"), [(2.9, ""), (3.2, "above_prediction"), (2.5, "below_prediction")]
)
def test_the_loss_is_held_against_the_predicted_curve(loss, kind):
    assert kinds(trends.against_curve(100, loss, (2.8, 3.0))) == kind


def test_gradients_are_compared_with_their_lowest():
    memory = Memory()
    assert trends.gradient_growth(25, [0.5] * 64, memory) is None
    assert trends.gradient_growth(50, [1.5] * 64, memory) is None
    finding = trends.gradient_growth(75, [4.0] * 64, memory)
    assert kinds(finding) == "gradient_growth"
    assert "8 times" in finding.sentence


def test_gradients_of_nothing_are_no_measure():
    memory = Memory()
    assert trends.gradient_growth(25, [0.0] * 64, memory) is None
    assert trends.gradient_growth(50, [0.5] * 64, memory) is None
    assert trends.gradient_growth(75, [0.0] * 64, memory) is None
    assert memory.least_gradient == 0.5
    assert kinds(trends.gradient_growth(99, [4.0] * 64, memory)) == "gradient_growth"


def test_validation_far_above_training_or_rising_is_told():
    assert trends.overfitting(10, 3.3, LOSSES) is None
    assert kinds(trends.overfitting(10, 3.6, LOSSES)) == "train_validation_gap"
    memory, found = Memory(), []
    for step, loss in enumerate((3.5, 3.0, 3.2, 3.01, 3.1, 3.2, 3.3)):
        found.append(kinds(trends.validation_rises(step, loss, memory)))
    assert found == [""] * 6 + ["validation_rises"], "three in a row, not three in all"


def test_waiting_and_slowing_down_are_told():
    assert trends.data_stall(10, 1.0, 10.0) is None
    assert kinds(trends.data_stall(10, 3.0, 10.0)) == "data_stall"
    assert trends.slow(10, [90.0] * 20, 100.0) is None
    assert kinds(trends.slow(10, [50.0] * 20, 100.0)) == "slow"


@pytest.mark.parametrize("length", [16, 32, 64])
def test_hashes_of_runs_are_those_of_the_slow_version(length):
    ids = DRAW.integers(0, 50_000, (3, 200))
    fast, slow = kept_hashes(ids, length), kept_hashes_obvious(ids, length)
    assert len(fast) > 0
    assert np.array_equal(np.sort(fast), np.sort(slow))


def test_the_length_of_runs_follows_the_rows():
    assert [run_length(context) for context in (1024, 256, 128, 64, 8)] == [64, 64, 32, 16, 2]


def test_repeated_and_leaked_text_is_found_wherever_it_is_cut():
    def look(tokens: Any, held_out: Any = None) -> Any:
        return find_repeats(TokenBatches(tokens, context=64, rows=4, seed=0), held_out)

    clean = text(20_000)
    assert look(clean, text(5_000))[:3] == (0.0, 0.0, 0.0)
    # A quarter of the text once more, moved by an odd number of tokens.
    twice = np.concatenate([clean, text(13), clean[:5_000]])
    assert 0.1 < look(twice).repeated < 0.25
    held_out = np.concatenate([text(777), clean[10_000:12_000]])
    assert 0.6 < look(clean, held_out).leaked < 0.85, "2,000 of its 2,777 tokens"
    assert look(text(200)) is None, "a text smaller than a batch says nothing"


def test_a_small_text_that_a_mixture_reads_again_is_no_copy():
    def mixed(*texts: Any) -> MixedBatches:
        sources = [TokenBatches(one, context=64, rows=1, seed=k) for k, one in enumerate(texts)]
        return MixedBatches(sources, shares=[1, 1], rows=4)

    draw = np.random.default_rng(1)
    new, old, tiny = (draw.integers(0, 64, num).astype(np.uint16) for num in (20_000, 2_000, 100))
    source = mixed(new, old)
    assert source.most_epochs(40) > 2 > source.epochs(40)
    assert find_repeats(source, None).repeated == 0.0
    # What stands in both is found all the same.
    assert find_repeats(mixed(np.tile(old, 3), old), None).repeated > 0.3
    assert find_repeats(mixed(new, tiny), None) is None, "less than a batch holds of it"


def looked_at_in_part(training: Any, held_out: Any, *, part: int) -> Any:
    source = TokenBatches(training, context=128, rows=4, seed=0)
    num_batches = len(training) // (4 * 128)
    return find_repeats(source, held_out, max_batches=num_batches // part)


def test_leaked_text_is_found_in_a_training_text_of_any_size():
    # A fifth of the held-out text; of the training text it is a hundredth, and a share is read.
    training, held_out = text(1_200_000), text(60_000)
    held_out[20_000:32_000] = training[333_333:345_333]
    for part in (1, 4):
        found = looked_at_in_part(training, held_out, part=part)
        assert found.looked_at == pytest.approx(97 / 128 / part, rel=0.02)
        assert 0.1 < found.leaked < 0.35
        assert 0.05 < found.leaked_surely <= found.leaked
    assert looked_at_in_part(training, text(60_000), part=8).leaked == 0.0


def test_a_phrase_that_occurs_everywhere_counts_as_often_as_it_is_held_out():
    # Of 60,000 held-out tokens 96 are a licence that stands in half of the training rows.
    training, held_out, licence = text(600_000), text(60_000), text(96)
    for start in range(0, len(training) - 256, 256):
        training[start : start + 96] = licence
    held_out[1000:1096] = licence
    found = looked_at_in_part(training, held_out, part=8)
    assert 0.0 < found.leaked < 0.005


def test_one_row_of_a_large_text_proves_nothing():
    training, held_out = text(600_000), text(60_000)
    row = TokenBatches(training, context=128, rows=4, seed=0).batch(0).ids_BT[0].numpy()
    held_out[5000:5128] = row
    found = looked_at_in_part(training, held_out, part=60)
    assert found.leaked > 0.02, "this row and fifty-nine like it"
    assert found.leaked_surely < 0.005


def test_the_sentence_of_leaked_text_says_what_was_looked_at(monkeypatch):
    def told(found: Repeats) -> list[str]:
        monkeypatch.setattr(monitor, "find_repeats", lambda source, held_out: found)
        source = TokenBatches(text(2_000), context=64, rows=2, seed=0)
        watch = Watch(held_out=text(100))
        looker = Monitor(decoder(), CausalObjective(), source, config=HealthConfig(), watch=watch)
        return [finding.sentence for finding in looker.before()]

    (sentence,) = told(Repeats(0.0, 0.25, 0.2, 1000, 0.031))
    assert sentence.startswith(
        "25.0% of the validation text stands in the training text too (judged by 3.1% of the"
    )
    (sentence,) = told(Repeats(0.0, 0.25, 0.2, 1000, 0.75))
    assert "judged" not in sentence
    assert not told(Repeats(0.0, 0.25, 0.01, 1000, 0.031)), "it may well be chance"


def test_dead_units_are_those_that_no_token_wakes():
    model = decoder()
    batch = TokenBatches(text(2_000), context=64, rows=4, seed=0).batch(0)
    assert look_inside(model, CausalObjective(), batch)["dead_units"] < 0.02
    with torch.no_grad():
        model.blocks[0].mlp.up.weight[:32] = 0.0
    assert look_inside(model, CausalObjective(), batch)["dead_units"] == pytest.approx(
        0.25, abs=0.02
    )
    assert model.training, "left as it was"


def test_a_unit_is_dead_only_where_no_row_wakes_it():
    model = decoder()
    batch = TokenBatches(text(2_000), context=64, rows=4, seed=0).batch(0)
    rows = batch.split(4)
    with torch.no_grad():  # units of the first layer wake for token 3, which one row has
        for row in rows:
            row.ids_BT[row.ids_BT == 3] = 4
        rows[2].ids_BT[0, 5] = 3
        model.embedding.weight[:, 0] = 0.0
        model.embedding.weight[3, 0] = 10.0
        for part in (model.blocks[0].attention.out, model.blocks[0].mlp.up):
            part.weight[:] = 0.0
        model.blocks[0].mlp.up.weight[:32, 0] = 1.0
    some = [look_inside(model, CausalObjective(), row) for row in rows]
    together = look_inside(model, CausalObjective(), *rows)
    # Of 128 units 64 are in that layer, and 32 of these wake for nothing.
    assert some[0]["dead_units"] == pytest.approx(0.5, abs=0.02)
    assert together["dead_units"] == pytest.approx(0.25, abs=0.02)
    assert together["attention_logit"] == max(one["attention_logit"] for one in some)


@pytest.mark.filterwarnings("ignore")
def test_compiled_layers_are_looked_into_as_others_are():
    source = TokenBatches(text(2_000), context=64, rows=4, seed=0)
    rows = source.batch(0).split(4)
    expected = look_inside(decoder(), CausalObjective(), *rows)
    model = decoder()
    compile_blocks(repeated_blocks(model), backend="eager")
    calls = [block._compiled_call_impl for block in model.blocks]
    with torch.no_grad():  # so evaluations have compiled what the look computes
        CausalObjective().loss(model.eval(), rows[0])
    assert look_inside(model.train(), CausalObjective(), *rows) == pytest.approx(expected)
    assert [block._compiled_call_impl for block in model.blocks] == calls, "left as it was"


def test_a_few_rows_are_looked_at(monkeypatch):
    seen = []

    def look(model: Any, objective: Any, *rows: Any) -> dict[str, float]:
        seen.append([len(row.ids_BT) for row in rows])
        return {}

    monkeypatch.setattr(monitor, "look_inside", look)
    source = TokenBatches(text(6_000), context=64, rows=6, seed=0)
    watcher = Monitor(
        decoder(), CausalObjective(), source, config=HealthConfig(every=1), watch=Watch()
    )
    for step in range(1, 5):
        watcher.before_step(step - 1)
        row = {"step": step, "tokens_per_second": 1.0, "skipped": False}
        watcher.after_step(Seen(row, 0.01, [], [], 0.0, 1.0, step), Memory())
    assert seen == [[1, 1, 1, 1]]


def test_examples_that_are_held_out_too_are_told_as_the_caller_counted_them():
    def told(leaked: float | None) -> list[str]:
        source = TokenBatches(text(6_000), context=64, rows=6, seed=0)
        watch = Watch(leaked=leaked)
        watcher = Monitor(decoder(), CausalObjective(), source, config=HealthConfig(), watch=watch)
        return [finding.kind for finding in watcher.before()]

    assert told(0.03) == ["leaked_text"]
    assert told(0.01) == told(None) == []


@pytest.mark.parametrize(("qk_norm", "qk_scale"), [(False, 1.0), (True, 1.0), (True, 1.44)])
def test_attention_scores_are_the_largest_before_positions(qk_norm, qk_scale):
    model = decoder(qk_norm=qk_norm, qk_scale=qk_scale, num_layers=1)
    with torch.no_grad():
        model.blocks[0].attention.query.weight.mul_(7.0)
    batch = TokenBatches(text(2_000), context=64, rows=1, seed=0).batch(0)
    found = look_inside(model, CausalObjective(), batch)["attention_logit"]
    attention = model.blocks[0].attention
    with torch.no_grad():
        x_TD = model.blocks[0].attention_norm(model.embedding(batch.ids_BT))[0]
        q_THK = attention.query(x_TD).view(64, 2, 16)
        k_TK = attention.key(x_TD).view(64, 16)
        if qk_norm:
            q_THK, k_TK = attention.query_norm(q_THK), attention.key_norm(k_TK)
    scores = [
        abs(float(q_THK[t, h] @ k_TK[s])) / 4
        for t in range(64)
        for h in range(2)
        for s in range(t + 1)
    ]
    assert found == pytest.approx(qk_scale * max(scores), rel=1e-4)


def test_how_far_a_step_moves_the_weights_by_kind():
    model = decoder()
    sample = WeightSample(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "mlp" in name:
                parameter.mul_(1.5)
    ratios = sample.ratios()
    assert ratios["embedding"] == 0.0
    assert 0.2 < ratios["matrix"] < 0.5


def run(folder: Any, tokens: Any, **more: Any) -> Any:
    folder.mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "optimizer": OptimizerConfig(kind="muon", learning_rate=3e-3),
        "checkpoint_seconds": None,
        "tensorboard": False,
        "eval_steps": 20,
        "health": more.pop("health", HealthConfig(every=5)),
    }
    settings["num_steps"] = more.pop("num_steps", 80)
    source = more.pop("source", None) or TokenBatches(tokens, context=64, rows=4, seed=0)
    return train(
        more.pop("model", None) or decoder(),
        CausalObjective(),
        source,
        config=TrainConfig(**settings),
        stage_dir=folder / "pretrain",
        clock=WorkClock(folder / "clock.json"),
        **more,
    )


def zipf(num_tokens: int) -> Any:
    return (DRAW.zipf(1.5, num_tokens) % 64).astype(np.uint16)


def unclocked(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in found if row["finding"] not in ("slow", "data_stall")]


def test_a_healthy_run_is_not_troubled(tmp_path):
    result = run(tmp_path, zipf(30_000), evaluate=lambda model, step: {"loss": 2.0})
    assert unclocked(result.health) == []


def test_steps_that_go_too_far_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(trends, "GRADIENT_GROWTH", 1.0)  # any gradient is as long as the shortest
    health = HealthConfig(every=5, max_update=1e-4)
    found = {row["finding"]: row for row in run(tmp_path, zipf(30_000), health=health).health}
    assert found["large_updates"]["threshold"] == 1e-4
    assert found["large_updates"]["value"] > 1e-4
    assert found["gradient_growth"]["step"] % 5 == 0


class Slow:
    """A text that is hard to get at from its thirtieth batch on."""

    def __init__(self, tokens: Any) -> None:
        self._inner = TokenBatches(tokens, context=64, rows=4, seed=0)
        self.epochs, self.describe = self._inner.epochs, self._inner.describe

    def batch(self, index: int) -> Any:
        if index >= 30:
            time.sleep(0.1)
        return self._inner.batch(index)


def test_a_run_that_waits_for_its_text_and_slows_down_is_told(tmp_path):
    source = Slow(zipf(9_000))  # few batches: the look for copies reads them all
    health = run(tmp_path, None, source=source, num_steps=52).health
    found = {row["finding"]: row["step"] for row in health}
    assert {"data_stall", "slow"} <= found.keys()
    assert min(found["data_stall"], found["slow"]) > 30


def test_looking_changes_nothing(tmp_path):
    tokens = zipf(30_000)
    finals = []
    for health in (HealthConfig(every=5), None):
        folder = tmp_path / str(health is None)
        folder.mkdir()
        model = decoder()
        train(
            model,
            CausalObjective(),
            TokenBatches(tokens, context=64, rows=4, seed=0),
            config=TrainConfig(num_steps=45, tensorboard=False, health=health),
            stage_dir=folder / "pretrain",
            clock=WorkClock(folder / "clock.json"),
        )
        finals.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*finals, strict=True))


def test_what_is_off_is_told_once_written_and_remembered(tmp_path):
    tokens = np.tile(zipf(400), 60)
    model = decoder()
    with torch.no_grad():
        for block in model.blocks:
            block.mlp.up.weight[:40] = 0.0
            block.mlp.gate.weight[:40] = 0.0
    result = run(
        tmp_path,
        tokens,
        model=model,
        evaluate=lambda model, step: {"loss": 3.0 + step / 20},
        watch=Watch(expected=lambda tokens, progress: (9.0, 9.5), held_out=tokens[:300]),
    )
    found = {row["finding"]: row for row in unclocked(result.health)}
    assert len(found) == len(unclocked(result.health)), "each once"
    assert {
        "repeated_text",
        "leaked_text",
        "below_prediction",
        "dead_units",
        "train_validation_gap",
        "validation_rises",
    } <= found.keys()
    lines = (tmp_path / "pretrain" / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "health"]
    assert rows == result.health
    done = json.loads((tmp_path / "pretrain" / "done.json").read_text())
    assert done["result"]["health"] == result.health
    for row in rows:
        assert row["sentence"].endswith(".")
