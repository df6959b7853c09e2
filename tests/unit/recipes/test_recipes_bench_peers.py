"""Peers learning the same tokens: what is asked of them, and their code where it is at hand."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homespun.core import ConfigError, DataError, HomespunError, RunError, Silent
from homespun.recipes.bench import (
    Asked,
    TextAsk,
    TokenText,
    bench_shakespeare,
    bench_text,
    characters,
    contender,
    words,
)
from homespun.recipes.bench import duel as duel_module
from homespun.recipes.bench.characters import NANOCHAT
from homespun.recipes.bench.child import check
from homespun.recipes.bench.duel import (
    PeerSettings,
    learn_and_judge_peer,
    parse_rates,
    parse_shape,
)
from homespun.recipes.bench.learning import read_text, save_text
from homespun.recipes.bench.peers import Peer, parse_peers
from homespun.recipes.bench.words import prepare_text

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


@pytest.mark.parametrize("given", ["4", "4x", "x256", "4x256x8", "axb", "0x64", "4x0"])
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


def test_a_sweep_leaves_given_rates_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, float]] = []

    def learn(name: str, job: dict[str, Any], environment: object) -> dict[str, float]:
        asked.append(job["rates"])
        return {"val_loss": job["rates"].get("scale", 1.0)}

    monkeypatch.setattr(duel_module, "_learn", learn)

    def rates_of(name: str, **rates: float) -> dict[str, float]:
        asked.clear()
        learn_and_judge_peer(
            Peer(name, tmp_path),
            save_text(token_text(), tmp_path),
            SMALL._replace(sweep=True, rates=rates),
            seconds=100.0,
            seed=0,
            progress=Silent(),
        )
        return asked[-1]

    assert rates_of("minimind", lr=5e-3) == {"lr": 5e-3}
    assert len(asked) == 1  # there is nothing to try
    assert rates_of("nanochat", matrix=0.03) == {"matrix": 0.03, "scale": 0.2}
    assert [rates["matrix"] for rates in asked] == [0.03] * 4


class WorksHere:
    """A contender that checks a recipe in this process, which has loaded what that needs."""

    def __init__(self, name: str, job: Mapping[str, Any]) -> None:
        self.job = json.loads(json.dumps(job))

    def __enter__(self) -> WorksHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> Any:
        answers = io.StringIO()
        try:
            check(self.job, answers)
        except HomespunError as error:
            return {"error": str(error)}
        return json.loads(answers.getvalue())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"settings": ("model.widht=3",)}, "did you mean 'width'"),
        ({"settings": ("optimizer.momentun=0.9",)}, "did you mean 'momentum'"),
        ({"peer": NANOCHAT._replace(width=100)}, "multiple of 32"),
        ({"peer": NANOCHAT._replace(rates={"lr": 0.1})}, "none of the peers .* a rate 'lr'"),
        ({"peers": (), "peer": NANOCHAT._replace(rates={"matrix": 0.1})}, "no peers"),
        ({"num_steps": 5}, "nanochat learns for as long as we do"),
        ({"peers": (), "num_steps": 5, "eval_seconds": 1.0}, "train.eval_steps"),
        ({"keep": Path(__file__).parent}, "is not empty"),
        ({"keep": Path(__file__)}, "is not empty"),
    ],
)
def test_what_is_wrong_is_told_before_a_peer_takes_its_time(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(characters, "learn_and_judge_peer", never)
    monkeypatch.setattr(characters, "run_nanogpt", never)
    if changes != {"settings": ("model.widht=3",)}:  # which is told by a process of its own
        monkeypatch.setattr(contender, "Contender", WorksHere)
    path = tmp_path / "play.txt"
    path.write_text("To be, or not to be, that is the question.\n" * 60, encoding="utf-8")
    peers = (Peer("nanogpt", tmp_path), Peer("nanochat", tmp_path))
    with pytest.raises(ConfigError, match=told):
        bench_shakespeare(Asked(data=path, peers=peers)._replace(**changes))


def never(*_: Any, **__: Any) -> dict[str, Any]:
    raise AssertionError("somebody learns")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"settings": ("model.widht=3",)}, "did you mean 'width'"),
        ({"size": "12q"}, "12q"),
        ({"size": "64x3", "is_planned": False}, "a size of its own"),
        ({"peer_shapes": ((1, 64), (1, 100))}, "multiple of 32"),
        ({"peer": SMALL._replace(rates={"matrix": 0.1})}, "none of the peers .* a rate 'matrix'"),
    ],
)
def test_so_it_is_where_ordinary_text_is_learnt(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "prepare_text", never)
    monkeypatch.setattr(contender, "Contender", WorksHere)
    ask = TextAsk("gutenberg-classics", 1.0, peers=(Peer("minimind", tmp_path),), peer=SMALL)
    with pytest.raises(ConfigError, match=told):
        bench_text(ask._replace(**changes))


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
    known = [
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
        text = ". ".join(" ".join(random.choice(known, 9)) for _ in range(60))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def ours_alone(folder: Path, keep: Path) -> TextAsk:
    return TextAsk(
        corpus=str(folder),
        seconds=3.0,
        vocab_size=320,
        is_planned=False,
        settings=OURS,
        keep=keep,
    )


def test_ordinary_text_is_learnt_and_judged_in_bits_per_byte(folder: Path, tmp_path: Path) -> None:
    ask = ours_alone(folder, tmp_path / "kept")
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


def test_loading_torch_is_part_of_our_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that was made before has loaded it, and peers' processes load it in theirs."""
    monkeypatch.setattr(words, "loading_seconds", lambda: 50.0)
    ask = ours_alone(folder, tmp_path / "kept")._replace(seconds=51.0, sliding=False)
    (ours,) = bench_text(ask)["contenders"]
    assert ours["setup_seconds"] > 50
    assert ours["seconds"] > 51


def test_a_text_that_is_kept_is_not_taken_for_another(folder: Path, tmp_path: Path) -> None:
    keep, other = tmp_path / "kept", tmp_path / "other" / "texts"
    ask = TextAsk(str(folder), 1.0, vocab_size=320)
    run, where = prepare_text(ask, keep, progress=Silent())
    assert run.record().asked["source"] == str(folder)
    shutil.copytree(folder, other)
    with pytest.raises(RunError, match=r"has the text of .*texts.*with --keep"):
        prepare_text(ask._replace(corpus=str(other)), keep, progress=Silent())
    # What could not be used is no text that is kept.
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError):
        prepare_text(ask._replace(corpus=str(empty)), tmp_path / "new", progress=Silent())
    prepare_text(ask, tmp_path / "new", progress=Silent())
    # Of what was prepared the source may be gone.
    shutil.rmtree(folder)
    assert prepare_text(ask, keep, progress=Silent())[1] == where


def test_a_stage_gets_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert [words._fresh(tmp_path).name for _ in range(3)] == ["stage-1", "stage-2", "stage-3"]
    (tmp_path / "stage-1").rmdir()
    assert [words._fresh(tmp_path).name for _ in range(2)] == ["stage-1", "stage-4"]


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
