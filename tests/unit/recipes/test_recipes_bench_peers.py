"""Peers learning the same tokens: what is asked of them, and their code where it is at hand."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from homespun.core import ConfigError, Silent
from homespun.recipes.bench import Asked, TextAsk, TokenText, bench_shakespeare, bench_text
from homespun.recipes.bench import duel as duel_module
from homespun.recipes.bench.duel import (
    PeerSettings,
    learn_and_judge_peer,
    parse_rates,
    parse_shape,
)
from homespun.recipes.bench.learning import read_text, save_text
from homespun.recipes.bench.peers import Peer, parse_peers

SMALL = PeerSettings(num_layers=1, width=32, rows=2, context=16, rates={}, compile=False)
OURS = (
    "model.num_layers=1",
    "model.width=16",
    "model.num_heads=1",
    "model.num_kv_heads=1",
    "model.head_width=16",
    "model.mlp_width=16",
    "model.context=16",
    "rows=4",
)


def find_peer(name: str) -> Peer:
    value = os.environ.get("HOMESPUN_PEERS", "")
    if not value:
        pytest.skip("HOMESPUN_PEERS does not name a folder with peers' checkouts")
    folder = next(path for path in Path(value).iterdir() if path.name.lower() == name)
    return parse_peers([f"{name}={folder}"])[0]


def token_text() -> TokenText:
    ids = np.tile(np.arange(10), 80).astype(np.uint16)
    return TokenText(ids[:700], ids[699:], 10, 101)


def test_a_shape_and_rates_are_read() -> None:
    assert parse_shape("4x256") == (4, 256)
    assert parse_rates(["matrix=0.02,scale=0.4", "lr=1e-3"]) == {
        "matrix": 0.02,
        "scale": 0.4,
        "lr": 0.001,
    }


@pytest.mark.parametrize("given", ["4", "4x", "x256", "4x256x8", "axb"])
def test_a_shape_that_is_none_is_told(given: str) -> None:
    with pytest.raises(ConfigError, match="LAYERSxWIDTH"):
        parse_shape(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [("matrx=1", "did you mean 'matrix'"), ("lr=fast", "lr must be a number"), ("lr", "a number")],
)
def test_a_rate_that_is_none_is_told(given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_rates([given])


def test_heads_are_64_wide_where_they_can_be() -> None:
    assert SMALL._replace(width=192).shape(65).num_heads == 3
    assert SMALL._replace(width=160).shape(65).num_heads == 5
    with pytest.raises(ConfigError, match="multiple of 32"):
        SMALL._replace(width=100).shape(65)


def test_a_token_text_is_read_as_it_was_saved(tmp_path: Path) -> None:
    text = token_text()._replace(end_of_text_id=3)
    again = read_text(save_text(text, tmp_path))
    assert np.array_equal(again.train, text.train)
    assert np.array_equal(again.held_out, text.held_out)
    assert again[2:] == text[2:]


@pytest.mark.parametrize("name", ["nanochat", "minimind", "nanogpt"])
def test_a_peer_learns_and_is_judged_by_every_token(name: str, tmp_path: Path) -> None:
    peer = find_peer(name)
    text = token_text()
    began = time.monotonic()
    found = learn_and_judge_peer(
        peer,
        save_text(text, tmp_path),
        SMALL._replace(rates={"matrix": 0.02, "scale": 1.0, "lr": 0.01}),
        seconds=8.0,
        seed=0,
        progress=Silent(),
    )
    assert found["predictions"] == len(text.held_out) - 1
    assert found["steps"] > 5
    assert found["val_loss"] < 0.7 * math.log(10)
    assert found["setup_seconds"] < found["seconds"] < time.monotonic() - began
    assert found["rates"] == (
        {"matrix": 0.02, "scale": 1.0} if name == "nanochat" else {"lr": 0.01}
    )


def test_a_sweep_takes_the_best_of_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def learn(name: str, job: dict[str, object], environment: object) -> dict[str, object]:
        asked.append(job)
        rates = job["rates"]
        assert isinstance(rates, dict)
        loss = math.nan if rates["lr"] == 6e-3 else abs(rates["lr"] - 2e-3)
        return {"val_loss": loss}

    monkeypatch.setattr(duel_module, "_learn", learn)
    found = learn_and_judge_peer(
        Peer("minimind", tmp_path),
        save_text(token_text(), tmp_path),
        SMALL._replace(sweep=True),
        seconds=100.0,
        seed=0,
        progress=Silent(),
    )
    assert [job["seconds"] for job in asked] == [20.0, 20.0, 20.0, 100.0]
    assert asked[-1]["rates"] == {"lr": 2e-3}
    assert [trial["val_loss"] is None for trial in found["sweep"]] == [False, False, True]


def test_nanogpt_runs_its_own_recipe_and_gives_its_seconds_to_us(tmp_path: Path) -> None:
    peer = find_peer("nanogpt")
    path = tmp_path / "play.txt"
    path.write_text("To be, or not to be, that is the question.\n" * 60, encoding="utf-8")
    tiny = ("--n_layer=1", "--n_head=1", "--n_embd=16", "--eval_iters=1", "--eval_interval=3")
    found = bench_shakespeare(
        Asked(
            data=path,
            settings=OURS,
            peers=(peer,),
            nanogpt_extra=(*tiny, "--max_iters=3", "--lr_decay_iters=3", "--batch_size=2"),
        )
    )
    ours, theirs = found["contenders"]
    assert theirs["steps"] == 4  # it makes one more than it is asked for
    assert [line.split(":")[0] for line in theirs["printed"]] == ["step 0", "step 3"]
    assert theirs["tokens"] == 4 * 2 * 64
    assert theirs["predictions"] == ours["predictions"]
    assert theirs["context"] == 64
    assert ours["seconds"] == pytest.approx(theirs["seconds"], abs=2.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts of a few words in any order."""
    folder = tmp_path / "texts"
    folder.mkdir()
    random = np.random.default_rng(0)
    words = [
        "the",
        "cat",
        "and",
        "a",
        "dog",
        "sat",
        "on",
        "that",
        "mat",
        "while",
        "it",
        "rained",
        "in",
        "old",
        "London",
        "town",
    ]
    for number in range(12):
        text = ". ".join(" ".join(random.choice(words, 9)) for _ in range(60))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def test_ordinary_text_is_learnt_and_judged_in_bits_per_byte(folder: Path, tmp_path: Path) -> None:
    ask = TextAsk(
        corpus=str(folder),
        seconds=3.0,
        vocab_size=320,
        is_planned=False,
        settings=OURS,
        keep=tmp_path / "kept",
    )
    found = bench_text(ask)
    (ours,) = found["contenders"]
    assert ours["steps"] > 0
    assert ours["predictions"] > 100
    assert ours["bytes"] > ours["predictions"]
    assert ours["val_bpb"] == pytest.approx(
        ours["val_loss"] * ours["predictions"] / ours["bytes"] / math.log(2)
    )
    again = bench_text(ask)["contenders"][0]
    assert again["bytes"] == ours["bytes"]
    assert (tmp_path / "kept" / "stage-2" / "pretrain" / "done.json").is_file()


def test_both_presets_learn_as_their_plans_say(folder: Path, tmp_path: Path) -> None:
    ask = TextAsk(
        corpus=str(folder),
        seconds=3.0,
        vocab_size=320,
        presets=("fast", "portable"),
        size="16x2",
        keep=tmp_path / "kept",
    )
    fast, portable = bench_text(ask)["contenders"]
    assert [row["label"] for row in (fast, portable)] == ["fast 16x2", "portable 16x2"]
    assert all(row["steps"] > 0 and row["foretold_bpb"] > 0 for row in (fast, portable))
    assert (fast["recipe"]["prior_order"], fast["recipe"]["prior_copies"]) == (5, True)
    assert portable["recipe"]["prior_order"] == 0


def test_an_unknown_preset_of_the_text_benchmark_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'portable'"):
        bench_text(
            TextAsk(corpus="x", seconds=1.0, presets=["portble"])  # type: ignore[list-item]
        )
