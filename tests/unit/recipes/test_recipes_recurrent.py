"""Recurrent models of one's own texts: learned, kept, opened, asked and made to write."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

import homespun.evaluation
from homespun.cli import main
from homespun.core import ConfigError, DataError, RequestError, RunError
from homespun.recipes.recurrent import RecurrentAsk, learn_recurrent, open_recurrent

LINES = ("the fox went home to the river.", "the hen sat by the door.", "她在河边写信。")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(40):
        lines = [f"{LINES[(number + line) % 3]} {number * 40 + line}" for line in range(40)]
        (folder / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    return folder


def ask(texts: Path, **more: object) -> RecurrentAsk:
    given = {"source": str(texts), "steps": 12, "size": "48x1", "vocab_size": 400} | more
    return RecurrentAsk(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recurrent") / "my tales"
    learn_recurrent(ask(texts), out)
    return out


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_every_cell_is_learned_kept_and_opened(texts: Path, tmp_path: Path, cell: str) -> None:
    card = learn_recurrent(ask(texts, cell=cell, steps=3, size="24x2"), tmp_path / "m")
    assert (card["cell"], card["size"]) == (cell, "24x2")
    layers = open_recurrent(tmp_path / "m").model.layers
    assert [type(layer).__name__.lower() for layer in layers] == [cell, cell]


def test_the_weights_of_the_lowest_held_out_loss_are_kept(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    monkeypatch.setattr(
        homespun.evaluation, "quick_validation", lambda *args, **more: 1.0 + abs(next(looks) - 7)
    )
    card = learn_recurrent(ask(texts, steps=40), tmp_path / "m")
    lines = (tmp_path / "m" / "training" / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "eval"]
    (lowest,) = (row["step"] for row in rows if row["loss"] == 1.0)
    kept = card["weights"]
    assert (kept["step"], kept["last_step"]) == (lowest, 40)
    assert lowest < 40
    assert f"lowest after {lowest} steps" in kept["sentence"]
    assert kept["sentence"] in (tmp_path / "m" / "README.md").read_text()
    monkeypatch.setattr(
        homespun.evaluation, "quick_validation", lambda *args, **more: 100.0 - next(looks)
    )
    falling = learn_recurrent(ask(texts, steps=40, seed=1), tmp_path / "n")["weights"]
    assert falling["step"] == falling["last_step"] == 40


def test_what_was_learned_is_what_is_opened(learned: Path) -> None:
    card = json.loads((learned / "card.json").read_text())
    assert 0 < card["held_out"]["bits_per_byte"] < 8
    assert card["tokens_read"] == 12 * 8 * 256
    told = (learned / "README.md").read_text("utf-8")
    assert f"{card['held_out']['bits_per_byte']:.3f} bits per byte" in told
    assert "`homespun recurrent write 'my tales' --prompt" in told
    assert "`homespun recurrent score 'my tales' FILE`" in told
    assert not list(learned.glob("*.npy"))
    opened = open_recurrent(learned)
    own = opened.score(list(LINES))["bits_per_byte"]
    assert own < opened.score(["qzx vvk jjw 龘龘"])["bits_per_byte"]
    # Against a sum made token by token.
    ids = [opened.tokenizer.end_of_text_id, *opened.tokenizer.encode(LINES[0]).tolist()]
    ids.append(ids[0])
    state, nats = None, 0.0
    with torch.no_grad():
        for before, after in itertools.pairwise(ids):
            hidden_BTD, state = opened.model.read(torch.tensor([[before]]), state)
            nats -= float(opened.model.head(hidden_BTD)[0, 0].float().log_softmax(-1)[after])
    told = opened.score([LINES[0]])
    assert told["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(LINES[0]), rel=1e-4)
    assert told["tokens"] == len(ids) - 1


def test_what_it_writes_is_drawn_by_its_own_scores(learned: Path) -> None:
    opened = open_recurrent(learned)
    (greedy,) = opened.write("the fox", temperature=0.0, max_tokens=12)
    ids = [opened.tokenizer.end_of_text_id, *opened.tokenizer.encode("the fox").tolist()]
    start = len(ids)
    with torch.no_grad():
        for _ in range(12):  # each time from the beginning, without a state that is kept
            scores_V = opened.model.head(opened.model(torch.tensor([ids])))[0, -1]
            ids.append(int(scores_V[: opened.tokenizer.vocab_size].argmax()))
            if ids[-1] == ids[0]:
                break
    assert greedy == opened.tokenizer.decode([i for i in ids[start:] if i != ids[0]])
    drawn = opened.write("the", num=4, max_tokens=20, seed=1)
    assert drawn == opened.write("the", num=4, max_tokens=20, seed=1)
    assert len(set(drawn)) > 1
    # Of so little that only the likeliest token is left, draws are greedy.
    assert opened.write("the fox", top_p=1e-6, max_tokens=12) == [greedy]
    with pytest.raises(RequestError, match="top_p"):
        opened.write("x", top_p=0.0)


def test_asked_again_it_is_there_and_wrong_asks_leave_nothing(
    learned: Path, texts: Path, tmp_path: Path
) -> None:
    assert learn_recurrent(ask(texts), learned) == json.loads((learned / "card.json").read_text())
    with pytest.raises(RunError, match="other settings"):
        learn_recurrent(ask(texts, seed=1), learned)
    for change, message in (
        ({"steps": None}, "budget"),
        ({"size": "big"}, "width"),
        ({"source": "/no/such/folder"}, "no such file"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            learn_recurrent(ask(texts, **change), tmp_path / "out")  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no recurrent model"):
        open_recurrent(tmp_path)


def test_the_commands(
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["recurrent", "learn", str(texts), "--out", "own", "--size", "24x1", "--cell", "gru"]
    assert main([*words, "--minutes", "0.03"]) == 0
    told = capsys.readouterr().out
    assert "bits per byte" in told
    assert "recurrent write own" in told
    (tmp_path / "file.txt").write_text(LINES[0])
    assert main(["recurrent", "score", "own", "file.txt", "--json", "told.json"]) == 0
    assert json.loads((tmp_path / "told.json").read_text())["bytes"] == len(LINES[0])
    capsys.readouterr()
    write = ["recurrent", "write", "own", "--prompt", "the fox", "--num", "2"]
    assert main([*write, "--max-tokens", "5"]) == 0
    assert capsys.readouterr().out.count("the fox") >= 2
    assert main([*words[:-1], "grv", "--steps", "1"]) == 2
    assert "did you mean 'gru'" in capsys.readouterr().err
