"""An encoder-decoder of one's own texts: what is left in its folder; tasks begin with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_files import DEEDS, THINGS, sentence  # type: ignore[import-not-found]

from homespun.cli import main
from homespun.core import ConfigError, DataError, RunError
from homespun.models import is_own_writer, load_weights, read_encoder_decoder
from homespun.recipes.rewriter import RewriterAsk, pretrain_rewriter
from homespun.recipes.rewriter.judging import piece_frequency_score, piece_score
from homespun.training import SpanBatches, TokenBatches


def ask(texts: Path, **more: object) -> RewriterAsk:
    given = {"source": str(texts), "steps": 60, "size": "64x1", "vocab_size": 600} | more
    return RewriterAsk(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rewriter") / "my writer"
    pretrain_rewriter(ask(texts), out)
    return out


def test_it_writes_pieces_better_than_their_frequencies(learned: Path) -> None:
    card = json.loads((learned / "card.json").read_text())
    mine, others = card["pieces"], card["by_frequency"]
    assert mine["num"] == others["num"] > 300
    assert mine["loss"] < others["loss"] - 0.5
    assert mine["low"] > others["accuracy"]
    assert card["weights"]["step"] <= card["weights"]["last_step"] == 60
    assert card["weights"]["sentence"] in (learned / "README.md").read_text()
    told = (learned / "README.md").read_text()
    assert f"{mine['accuracy']:.1%}" in told
    assert "FILE --base 'my writer'`" in told
    assert not list(learned.glob("*.npy"))
    assert not list(learned.glob("training/checkpoints/*/*.safetensors"))
    config, weights = read_encoder_decoder(learned, context=40)
    assert is_own_writer(learned)
    assert (config.context, config.dropout, config.num_layers) == (40, 0.0, 1)
    assert config.vocab_size == card["vocab_size"] + card["marks"]
    assert set(weights) == {name for name, _ in config.empty().named_parameters()}


def test_asked_again_it_is_there_and_asked_otherwise_it_is_not_touched(
    learned: Path, texts: Path
) -> None:
    before = (learned / "model.safetensors").stat().st_mtime_ns
    assert pretrain_rewriter(ask(texts), learned) == json.loads((learned / "card.json").read_text())
    with pytest.raises(RunError, match="other settings"):
        pretrain_rewriter(ask(texts, seed=1), learned)
    assert (learned / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("task", ["translate", "summarise"])
def test_tasks_begin_with_it_by_the_command(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source, target = ("source", "target") if task == "translate" else ("text", "summary")
    rows = [
        {source: sentence(number), target: f"{THINGS[number % 8]} {DEEDS[number % 6]}"}
        for number in range(24)
    ]
    Path("pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    words = ["finetune", task, "pairs.jsonl", "--out", "out", "--base", str(learned)]
    assert main([*words, "--set", "epochs=1", "--set", "beams=1", "--no-baselines"]) == 0
    record = json.loads(Path("out/model/transformer.json").read_text())
    assert record["start"] == record["end"]
    assert "Begun with the encoder-decoder `my writer`." in Path("out/README.md").read_text("utf-8")
    assert main(["apply", task, "out", "pairs.jsonl", "--out", "said.jsonl"]) == 0
    assert len(Path("said.jsonl").read_text().splitlines()) == 24


def test_what_is_hardly_taught_has_the_weights_it_began_with(learned: Path, tmp_path: Path) -> None:
    from homespun.recipes.applications import Asked, learn_application

    rows = [{"source": sentence(n), "target": sentence(n)} for n in range(40)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    options = {"epochs": "0.01", "rate": "1e-7", "beams": "1", "dropout": "0"}
    asked = Asked("translate", data, tmp_path / "out", base=learned, options=options)
    learn_application(asked._replace(judge_baselines=False))
    from homespun.recipes.applications import open_application

    opened = open_application(tmp_path / "out").learned
    config, weights = read_encoder_decoder(learned)
    model = config.empty()
    load_weights(model, weights, where="")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(opened.model.state_dict()[name], value, atol=1e-5, rtol=1e-4)


def test_scores_count_the_text_alone(learned: Path) -> None:
    """Against a count made token by token."""
    config, weights = read_encoder_decoder(learned)
    model = config.empty().eval()
    load_weights(model, weights, where="")
    num_ids, end = config.vocab_size - 32, 0
    draw = np.random.default_rng(0)
    stream = draw.integers(1, num_ids, 600).astype(np.int32)
    source = SpanBatches(
        TokenBatches(stream, context=64, rows=2, seed=0),
        marks=range(num_ids, num_ids + 32), end_id=end, seed=1,
    )  # fmt: skip
    found = piece_score(model, source, 2, num_text_ids=num_ids)
    counts_V = np.bincount(stream, minlength=num_ids)
    others = piece_frequency_score(counts_V, source, 2, num_text_ids=num_ids)
    nats, plain, num = 0.0, 0.0, 0
    with torch.inference_mode():
        for index in range(2):
            batch = source.batch(index)
            scores_BTV = model.head(model(batch.source_BS, batch.is_source_BS, batch.ids_BT))
            likely_BTV = scores_BTV.float().log_softmax(-1)
            for row in range(len(batch.ids_BT)):
                for place, target in enumerate(batch.targets_BT[row].tolist()):
                    if 0 < target < num_ids:
                        nats -= float(likely_BTV[row, place, target])
                        share = (counts_V[target] + 1) / (counts_V[1:] + 1).sum()
                        plain -= float(np.log(share))
                        num += 1
    assert found.num == others.num == num > 0
    assert found.loss == pytest.approx(nats / num, rel=1e-4)
    assert others.loss == pytest.approx(plain / num, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, "budget"),
        ({"size": "65x2"}, "multiple of 64"),
        ({"source": "/no/such/folder"}, "no such file"),
        ({"language": "klingon"}, "language"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    texts: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises((ConfigError, DataError), match=message):
        pretrain_rewriter(ask(texts, **change), out)
    assert not out.exists()


def test_the_command_says_how_good_it_is(
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["encoder-decoder", str(texts), "--out", "own", "--steps", "2", "--size", "64x1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "tokens taken out of text it has not seen" in told
    assert "finetune translate FILE --base own" in told
