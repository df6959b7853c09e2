"""The complete validation pass, the recipe one may change, and tiny Shakespeare end to end."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.cli.commands.bench.shown import show_losses
from homespun.core import ConfigError, DataError
from homespun.models import DecoderConfig
from homespun.recipes.bench import override, validation_pass
from homespun.recipes.bench.characters import Asked, bench_shakespeare
from homespun.recipes.bench.ours import reached
from homespun.recipes.bench.validation import decoder_score, validation_pass_obvious
from homespun.recipes.shakespeare import ShakespeareConfig, read_characters

SMALL = (
    "model.num_layers=1",
    "model.width=16",
    "model.num_heads=1",
    "model.num_kv_heads=1",
    "model.head_width=16",
    "model.mlp_width=16",
    "model.context=16",
    "rows=4",
)


def tiny_model(context: int) -> Any:
    config = DecoderConfig(
        vocab_size=11,
        num_layers=1,
        width=16,
        num_heads=2,
        num_kv_heads=1,
        head_width=8,
        mlp_width=16,
        context=context,
    )
    return config.build(torch.Generator().manual_seed(3)).eval()


def stream(length: int) -> Any:
    return np.random.default_rng(length).integers(0, 11, length).astype(np.uint16)


@pytest.mark.parametrize(
    ("length", "context", "stride"),
    [(50, 8, None), (49, 8, None), (50, 8, 3), (41, 8, 1), (9, 8, 4), (5, 8, 2), (2, 8, None)],
)
def test_the_pass_predicts_every_token_once_and_as_one_at_a_time(
    length: int, context: int, stride: int | None
) -> None:
    ids = stream(length)
    seen: list[int] = []

    def noting(ids_BT: torch.Tensor, targets_BT: torch.Tensor) -> float:
        seen.extend(targets_BT[targets_BT >= 0].tolist())
        return decoder_score(model)(ids_BT, targets_BT)

    model = tiny_model(context)
    fast = validation_pass(noting, ids, context=context, stride=stride, batch_tokens=24)
    assert fast.predictions == length - 1
    assert seen == ids[1:].tolist()
    slow = validation_pass_obvious(decoder_score(model), ids, context=context, stride=stride)
    assert slow.predictions == length - 1
    assert fast.nats == pytest.approx(slow.nats, rel=1e-5)


def test_more_context_changes_the_loss_so_the_two_passes_differ() -> None:
    ids, model = stream(80), tiny_model(8)
    with torch.no_grad():  # as built, every block is the identity and context means nothing
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(1))
    window = validation_pass(decoder_score(model), ids, context=8)
    sliding = validation_pass(decoder_score(model), ids, context=8, stride=2)
    assert window.predictions == sliding.predictions == 79
    assert abs(window.nats - sliding.nats) > 1e-3


def test_an_estimate_reads_only_some_windows() -> None:
    part = validation_pass(decoder_score(tiny_model(8)), stream(81), context=8, max_windows=3)
    assert part.predictions == 24


def test_a_uniform_model_needs_log2_of_the_vocabulary_bits_per_byte() -> None:
    def uniform(ids_BT: torch.Tensor, targets_BT: torch.Tensor) -> float:
        return float((targets_BT >= 0).sum()) * math.log(16)

    found = validation_pass(uniform, stream(100), context=10)
    assert found.loss == pytest.approx(math.log(16))
    assert found.bits_per_byte(99) == pytest.approx(4.0)


def test_nothing_to_predict_is_said() -> None:
    with pytest.raises(DataError, match="nothing to predict"):
        validation_pass(lambda ids, targets: 0.0, stream(1), context=8)


def test_settings_reach_the_classes_they_are_of() -> None:
    recipe = override(
        ShakespeareConfig(),
        ["rows=3", "model.width=64", "optimizer.learning_rate=0.01", "schedule.kind=cosine"],
    )
    assert recipe.rows == 3
    assert recipe.decoder(65).width == 64
    assert recipe.decoder(65).vocab_size == 65
    config = recipe.training(seconds=None, num_steps=5, seed=1)
    assert config.optimizer.learning_rate == 0.01
    assert config.schedule.kind == "cosine"
    assert config.num_steps == 5
    assert ShakespeareConfig().rows != 3
    deep = override(ShakespeareConfig(), ["optimizer.kinds.head.rate=0.1"])
    assert deep.optimizer["kinds"]["head"] == {"rate": 0.1}
    assert ShakespeareConfig().optimizer["kinds"]["head"] != {"rate": 0.1}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("rows", "key=value"),
        ("=3", "key=value"),
        ("model..width=3", "key=value"),
        ("model.width.wide=3", "width is a value"),
        ("preset=quick", "preset in --set is wrong"),
        ("nonsense.width=3", "key=value"),
        ("model=3", "model is a section"),
        ("row=3", "did you mean 'rows'"),
        ("rows=many", "rows in --set is wrong"),
    ],
)
def test_a_wrong_setting_is_told(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        override(ShakespeareConfig(), [setting])


def test_a_wrong_field_of_a_section_is_told_with_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        override(ShakespeareConfig(), ["model.widht=3"]).decoder(65)
    with pytest.raises(ConfigError, match="did you mean 'momentum'"):
        override(ShakespeareConfig(), ["optimizer.momentun=0.9"]).training(
            seconds=1.0, num_steps=None, seed=0
        )


def test_the_split_is_nine_tenths_and_each_character_has_a_number(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcab é" * 10, encoding="utf-8")
    text = read_characters(path)
    assert len(text.train) == 63
    assert len(text.held_out) == 1 + 7
    assert text.vocab_size == 5
    assert text.num_bytes == 8  # é has two
    assert text.held_out[0] == text.train[-1]
    assert text.train[:7].tolist() == [1, 2, 3, 1, 2, 0, 4]


def test_a_text_that_is_missing_or_too_short_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_characters(tmp_path / "nowhere.txt")
    path = tmp_path / "short.txt"
    path.write_text("a", encoding="utf-8")
    with pytest.raises(DataError, match="too short"):
        read_characters(path)


def test_the_target_counts_complete_passes_only() -> None:
    curve = [
        {"seconds": 1.0, "step": 1, "loss": 1.0, "complete": False},
        {"seconds": 2.0, "step": 2, "loss": 1.5, "complete": True},
        {"seconds": 3.0, "step": 3, "loss": 1.2, "complete": True},
    ]
    assert reached(curve, 1.3) == {"loss": 1.3, "seconds": 3.0, "step": 3}
    assert reached(curve, 1.1) == {"loss": 1.1, "seconds": None, "step": None}
    assert reached(curve, None) is None


def play(tmp_path: Path) -> Path:
    path = tmp_path / "play.txt"
    path.write_text("To be, or not to be, that is the question.\n" * 60, encoding="utf-8")
    return path


def test_the_whole_benchmark_learns_and_reports(tmp_path: Path) -> None:
    asked = Asked(
        data=play(tmp_path),
        num_steps=60,
        settings=(*SMALL, "train.eval_steps=20"),
        target=2.0,
        keep=tmp_path / "kept",
        last_weights=True,
    )
    found = bench_shakespeare(asked)
    (ours,) = found["contenders"]
    text = read_characters(asked.data or tmp_path)
    assert ours["steps"] == 60
    assert ours["weights"] == {"judged": "last", "step": 60}
    assert ours["predictions"] == len(text.held_out) - 1
    assert ours["val_loss"] < 0.8 * math.log(text.vocab_size)
    assert ours["val_bpb"] == pytest.approx(ours["val_loss"] / math.log(2))
    assert [row["step"] for row in ours["curve"]] == [20, 40, 60, 60]
    assert ours["curve"][-1]["complete"]
    assert ours["curve"][-1]["loss"] == ours["val_loss"]
    assert (ours["target"]["seconds"] is not None) == (ours["val_loss"] <= 2.0)
    assert (tmp_path / "kept" / "pretrain" / "done.json").is_file()
    with pytest.raises(ConfigError, match="is not empty"):
        bench_shakespeare(asked)


def test_the_best_weights_are_judged_unless_the_last_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noise.txt"
    draw = random.Random(0)
    path.write_text("".join(draw.choice("abcdefgh") for _ in range(1500)), encoding="utf-8")
    asked = Asked(data=path, num_steps=200, settings=SMALL, sliding=False)
    found = bench_shakespeare(asked)
    (ours,) = found["contenders"]
    weights = ours["weights"]
    assert weights["judged"] == "best", "noise can be learned by heart, no more"
    assert weights["step"] < ours["steps"] == 200
    assert ours["val_loss"] < weights["last_loss"]
    assert (ours["curve"][-1]["step"], ours["curve"][-1]["loss"]) == (
        weights["step"],
        ours["val_loss"],
    )
    show_losses(found)
    told = " ".join(capsys.readouterr().out.split())
    assert f"lowest after {weights['step']} steps; these weights are kept" in told
    assert "chosen by the text they are judged by" in told
    found = bench_shakespeare(asked._replace(last_weights=True))
    (last,) = found["contenders"]
    assert last["weights"] == {"judged": "last", "step": 200}
    assert last["val_loss"] == pytest.approx(weights["last_loss"], rel=1e-3)
    show_losses(found)
    assert "judged: the last weights" in capsys.readouterr().out
    early = bench_shakespeare(asked._replace(stop_early=True))["contenders"][0]
    assert early["steps"] < 200
    assert early["val_loss"] == ours["val_loss"]
    with pytest.raises(ConfigError, match="--last-weights and --stop-early"):
        bench_shakespeare(asked._replace(stop_early=True, last_weights=True))


def test_a_benchmark_of_steps_gives_the_same_loss_again(tmp_path: Path) -> None:
    asked = Asked(data=play(tmp_path), num_steps=5, settings=SMALL)
    first, second = (bench_shakespeare(asked)["contenders"][0] for _ in range(2))
    assert first["val_loss"] == second["val_loss"]
    other = bench_shakespeare(asked._replace(seed=1))["contenders"][0]
    assert other["val_loss"] != first["val_loss"]


def test_a_budget_of_seconds_includes_setting_up(tmp_path: Path) -> None:
    began = time.monotonic()
    found = bench_shakespeare(Asked(data=play(tmp_path), seconds=3.0, settings=SMALL))
    (ours,) = found["contenders"]
    assert ours["steps"] > 0
    assert ours["setup_seconds"] < ours["seconds"] <= time.monotonic() - began


def test_an_unknown_preset_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'portable'"):
        bench_shakespeare(Asked(preset="portabel"))


def test_a_table_stands_beside_a_model_or_teaches_it_or_is_not_there() -> None:
    fast = ShakespeareConfig.from_preset("fast")
    assert fast.decoder(9).ngram_prior
    assert fast.prior_copies
    assert (fast.rows, fast.decoder(9).context) == (4, 1024)
    assert not override(fast, ["prior_order=0"]).decoder(9).ngram_prior
    assert not override(fast, ["taught=0.9"]).decoder(9).ngram_prior
    portable = ShakespeareConfig.from_preset("portable")
    assert not portable.decoder(9).ngram_prior
    assert (portable.rows, portable.decoder(9).context) == (16, 256)
    assert not override(portable, ["taught=0.5", "prior_order=3"]).decoder(9).ngram_prior
    with pytest.raises(ConfigError, match="there is none"):
        override(portable, ["taught=0.5"]).decoder(9)
