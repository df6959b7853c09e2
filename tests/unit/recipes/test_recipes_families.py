"""The table of families: no model sees what it is asked for, all predict the same tokens."""

from __future__ import annotations

import importlib
import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.core import ConfigError, DataError
from homespun.core.files import read_json, write_json
from homespun.models import EncoderConfig, EncoderDecoderConfig, num_multiplied
from homespun.models.embedding import LearnedPositions
from homespun.models.encoder_decoder.positions import SinusoidalPositions
from homespun.models.mlp import GELU
from homespun.models.norm import LayerNorm
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.bench.validation import validation_pass
from homespun.recipes.families import (
    FAMILIES,
    FamiliesAsk,
    bench_families,
    read_families,
)
from homespun.recipes.families.bench import part_of
from homespun.recipes.families.counted import judge_hmm, judge_ngrams
from homespun.recipes.families.kept import ROWS_FILE
from homespun.recipes.families.neural import judge_recurrent
from homespun.recipes.families.scoring import prefix_score, pseudo_nats
from homespun.recipes.families.sizes import (
    REFERENCE,
    TRANSFORMERS,
    hidden_states,
    recurrent_numbers,
    recurrent_reference,
    recurrent_sizes,
    suiting,
    transformer_numbers,
)
from homespun.reports.families import draw_families
from homespun.scaling.plan import rereading
from homespun.training import RECURRENT, regularisation

VOCABULARY = 24


def text(num: int = 4000) -> TokenText:
    """A rhythm with noise, in documents that 0 parts."""
    draw = np.random.default_rng(0)
    ids = np.tile(np.arange(1, 9), num // 8 + 1)[:num]
    noise = draw.random(num) < 0.1
    ids[noise] = draw.integers(1, VOCABULARY, int(noise.sum()))
    ids[::200] = 0
    stream = ids.astype(np.uint16)
    return TokenText(stream, stream[:401].copy(), VOCABULARY, num // 4, 0)


def test_families_are_in_the_order_of_their_years() -> None:
    years = [family.year for family in FAMILIES]
    assert years == sorted(years)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) == 11


def test_a_part_of_a_text_is_from_all_over_it() -> None:
    whole, lengths_V = text(), np.arange(VOCABULARY) % 3 + 1
    num_bytes = int(lengths_V[whole.train].sum())
    half = part_of(whole, lengths_V, num_bytes / 2)
    assert len(half.train) == len(whole.train) // 2
    assert half.held_out is whole.held_out
    # Two blocks of 1,024, one from the beginning and one from the end; what is too much is cut.
    assert np.array_equal(half.train[:1024], whole.train[:1024])
    assert np.array_equal(half.train[1024:], whole.train[2976:][: len(half.train) - 1024])
    assert len(part_of(whole, lengths_V, 1e9).train) == len(whole.train)


def translator() -> Any:
    config = EncoderDecoderConfig(
        vocab_size=VOCABULARY, num_layers=1, num_writer_layers=1, width=16, num_heads=2,
        head_width=8, mlp_width=16, context=16, positions="rotary", norm="rms", norm_first=True,
    )  # fmt: skip
    model = config.build(torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model


def test_an_encoder_decoder_is_asked_for_each_token_once_and_sees_none_ahead() -> None:
    torch.manual_seed(1)
    score = prefix_score(translator(), 8, start_id=0)
    stream = text().held_out[:60].astype(np.int64)
    with torch.inference_mode():
        whole = validation_pass(score, stream, context=16, stride=8)
    assert whole.predictions == 59
    # What one token costs does not change with what follows it.
    ids_BT = torch.from_numpy(stream[None, :16])
    for place in (3, 9, 14):
        targets_BT = torch.full((1, 16), -100)
        targets_BT[0, place] = int(stream[place + 1])
        other_BT = ids_BT.clone()
        other_BT[0, place + 1 :] = (other_BT[0, place + 1 :] + 1) % VOCABULARY
        with torch.inference_mode():
            assert score(ids_BT, targets_BT) == pytest.approx(score(other_BT, targets_BT), rel=1e-6)
            changed_BT = ids_BT.clone()
            changed_BT[0, place] = (changed_BT[0, place] + 1) % VOCABULARY
            assert score(changed_BT, targets_BT) != pytest.approx(score(ids_BT, targets_BT))


def test_pseudo_likelihood_hides_what_it_asks_for() -> None:
    config = EncoderConfig(
        vocab_size=VOCABULARY + 1, num_layers=1, width=16, num_heads=2, mlp_width=16, context=12,
        num_types=0, positions="rotary", norm="rms", norm_first=True, bias=False,
    )  # fmt: skip
    model = config.build(torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(2)
            )
    stream = text().held_out[:30].astype(np.int64)
    found = pseudo_nats(model, stream, mask_id=VOCABULARY, context=12, num=30)
    assert len(found) == 30
    place = 20
    ids = stream[place - 6 : place + 6].copy()
    ids[6] = VOCABULARY
    with torch.no_grad():
        scores_V = model.scores(model(torch.from_numpy(ids[None]))[0, 6]).float()
    scores_V[VOCABULARY] = float("-inf")
    wanted = -scores_V.log_softmax(-1)[int(stream[place])]
    assert found[place] == pytest.approx(float(wanted), rel=1e-4)


def test_counted_families_predict_every_token_once() -> None:
    sample = text()
    ngrams = judge_ngrams(sample, seconds=1, seed=0, context=16)
    hmm = judge_hmm(sample, seconds=1.0, seed=0, context=16)
    assert ngrams.predictions == hmm.predictions == len(sample.held_out) - 1
    assert ngrams.nats / ngrams.predictions < 0.5 * math.log(VOCABULARY)
    assert hmm.nats / hmm.predictions < math.log(VOCABULARY)


def test_a_recurrent_family_learns_in_its_seconds() -> None:
    judged = judge_recurrent(text(), seconds=3.0, seed=0, context=32, cell="gru")
    assert judged.predictions == len(text().held_out) - 1
    # Little is asked for: how far it comes in three seconds hangs on what else the machine does.
    assert judged.nats / judged.predictions < 0.99 * math.log(VOCABULARY)
    assert judged.tokens_read > 0


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_family_learns_something_in_a_second(name: str) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    module, function = family.place
    judge = getattr(importlib.import_module(module), function)
    sample = text()
    judged = judge(sample, seconds=1.0, seed=0, context=32, **family.arguments)
    assert judged.predictions == len(sample.held_out) - 1
    assert 0 < judged.nats / judged.predictions < 1.1 * math.log(VOCABULARY)
    assert judged.tokens_read > 0
    assert judged.parameters > 0
    assert bool(judged.note) == name.endswith("encoder")


def test_rows_of_a_year_have_the_parts_of_that_year(monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.recipes.families import neural

    built: dict[str, Any] = {}

    def learn(model: Any, objective: Any, source: Any, optimizer: Any, **rest: Any) -> int:
        built[name] = model, objective, source, optimizer
        return 1

    monkeypatch.setattr(neural, "_learn", learn)
    monkeypatch.setattr(neural, "_tokens_in", lambda *_: 1e5)
    for year, judge in (("2017", neural.judge_encoder_decoder), ("2018", neural.judge_encoder)):
        for is_modern in (False, True):
            name = f"modern {year}" if is_modern else year
            judge(text(600), seconds=1.0, seed=0, context=32, is_modern=is_modern)
    old, objective, _, optimizer = built["2017"]
    assert isinstance(old.reader.positions, SinusoidalPositions)
    assert old.reader.norm is None  # norms stand behind each part
    assert not old.reader.blocks[0].norm_first
    assert old.unembedding is None
    assert (objective.smoothing, optimizer.kind, optimizer.beta2) == (0.1, "adamw", 0.98)
    old, _, source, optimizer = built["2018"]
    assert isinstance(old.positions, LearnedPositions)
    assert isinstance(old.blocks[0].mlp, GELU)
    assert isinstance(old.blocks[0].mlp_norm, LayerNorm)
    assert not old.blocks[0].norm_first
    assert (source.describe()["share"], optimizer.kind) == (0.15, "adamw")
    for name in ("modern 2017", "modern 2018"):
        assert built[name][3].kind == "muon"


def test_sizes_follow_the_operations_at_hand() -> None:
    numbers = transformer_numbers(2048)
    chosen = [
        suiting(TRANSFORMERS, numbers, reference=REFERENCE, tokens=6e4 * 60 * minutes)
        for minutes in (0.01, 2, 10, 60, 1e6)
    ]
    assert chosen == [(64, 2), (128, 3), REFERENCE, (256, 4), (512, 8)]
    cells = {
        cell: suiting(
            recurrent_sizes(cell),
            recurrent_numbers(cell, 2048),
            reference=recurrent_reference(cell),
            tokens=2e7,
        ).width
        for cell in ("rnn", "lstm", "gru")
    }
    assert cells["rnn"] > cells["gru"] >= cells["lstm"] >= 256
    assert [hidden_states(s) for s in (1, 150, 600, 2400, 1e6)] == [32, 64, 128, 256, 512]


TRAINED = [family for family in FAMILIES if family.place[0].endswith("neural")]
DECAY = {"rnn": 0.01, "lstm": 0.01, "gru": 0.01, "encoder": 0.01, "encoder-decoder": 0.0}


@pytest.mark.parametrize("family", TRAINED, ids=[family.name for family in TRAINED])
def test_dropout_and_decay_where_a_text_could_be_known_by_heart_reach_every_family(
    monkeypatch: pytest.MonkeyPatch, family: Any
) -> None:
    """As many readings as two seconds would be of batches that take a hundredth of one."""
    from homespun.recipes.families import neural

    seen: dict[str, Any] = {}

    def learn(model: Any, objective: Any, source: Any, optimizer: Any, **more: Any) -> int:
        seen.update(model=model, optimizer=optimizer, epochs=source.epochs(200))
        return 1

    monkeypatch.setattr(neural, "_learn", learn)
    monkeypatch.setattr(neural, "_batch_seconds", lambda *args: 0.01)
    monkeypatch.setattr(neural, "_SAMPLED", 8)
    judge = getattr(neural, family.place[1])
    judged = judge(text(1000), seconds=2.0, seed=0, context=32, **family.arguments)
    times = rereading(num_multiplied(seen["model"]), 1000 * seen["epochs"], 1000)
    assert times > 24, "else the rule has little to say"
    sooner = RECURRENT if family.name in ("rnn", "lstm", "gru") else 1.0
    suits = regularisation(sooner * times, weight_decay=1.0)
    usual = DECAY.get(family.name, 0.1)
    assert seen["optimizer"].weight_decay == pytest.approx(usual * suits.weight_decay)
    assert dropouts(seen["model"]) == {suits.dropout}
    assert f"dropout {suits.dropout:.2f}" in judged.shape
    monkeypatch.setattr(neural, "_batch_seconds", lambda *args: 10.0)
    judged = judge(text(1000), seconds=2.0, seed=0, context=32, **family.arguments)
    assert seen["optimizer"].weight_decay == pytest.approx(usual)
    assert dropouts(seen["model"]) <= {0.0}
    assert "dropout" not in judged.shape


def dropouts(model: Any) -> set[float]:
    """The shares of all its parts."""
    layers = [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)]
    # Torch's own recurrent layers have a dropout besides, between layers, that ours do not use.
    parts = [part for part in model.modules() if not isinstance(part, torch.nn.RNNBase)]
    named = [getattr(part, "dropout", None) for part in parts]
    return {*layers, *(share for share in named if isinstance(share, float))}


@pytest.fixture(scope="module")
def tales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tales")
    for n in range(40):
        tale = (
            f"Tale {n}: the {('fox', 'hen', 'dog')[n % 3]} went to the river and came home. " * 30
        )
        (folder / f"{n}.txt").write_text(tale + str(n))
    return folder


def test_a_killed_table_goes_on_and_a_failing_family_is_told(
    tales: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.recipes.families import counted

    ask = FamiliesAsk(
        str(tales), 1.0, names=("n-gram", "hmm"), vocab_size=300, context=32, keep=tmp_path
    )
    asked: list[str] = []
    hmm, ngrams = counted.judge_hmm, counted.judge_ngrams
    fails = True

    def counting(name: str, judge: Any) -> Any:
        def measured(*args: Any, **settings: Any) -> Any:
            asked.append(name)
            if name == "hmm" and fails:
                raise ValueError("no states")
            return judge(*args, **settings)

        return measured

    monkeypatch.setattr(counted, "judge_hmm", counting("hmm", hmm))
    monkeypatch.setattr(counted, "judge_ngrams", counting("n-gram", ngrams))
    first = bench_families(ask)
    assert [row["name"] for row in first["families"]] == ["n-gram"]
    assert first["failed"] == [{"name": "hmm", "error": "ValueError: no states"}]
    fails = False
    second = bench_families(ask)
    assert [row["name"] for row in second["families"]] == ["hmm", "n-gram"]
    assert second["failed"] == []
    assert second["families"][1] == first["families"][0]
    assert asked == ["hmm", "n-gram", "hmm"]  # the n-gram was not measured again
    # A line that a crash cut off does no harm; another question is measured anew.
    with (tmp_path / ROWS_FILE).open("a") as rows:
        rows.write('{"asked": ')
    bench_families(ask._replace(names=("n-gram",), seed=1))
    assert asked[3:] == ["n-gram"]
    fails = True
    with pytest.raises(ValueError, match="no states"):
        bench_families(ask._replace(names=("hmm",), seed=2))
    for line in ('{"name": "hmm"}', '["hmm"]'):
        (tmp_path / ROWS_FILE).write_text(line + "\n")
        with pytest.raises(DataError, match="no row of this table"):
            bench_families(ask)


def test_todays_decoder_is_trained_by_a_plan(tales: Path, tmp_path: Path) -> None:
    ask = FamiliesAsk(str(tales), 4.0, names=("portable",), vocab_size=300, keep=tmp_path)
    found = bench_families(ask)
    assert found["planned"]
    assert (tmp_path / "text" / "plan.json").is_file()
    (row,) = found["families"]
    assert row["shape"].endswith("by a plan")
    assert 0 < row["val_bpb"] < 4
    part = bench_families(ask._replace(seconds=4.0, megabytes=0.03))
    assert part["planned"]
    assert part["families"][0]["shape"].endswith("by a plan")
    plan = read_json(tmp_path / "text" / "plan.json")
    assert plan["asked"]["text_tokens"] == part["data"]["train_tokens"]
    assert plan["asked"]["text_tokens"] < found["data"]["train_tokens"]
    assert plan["expected_epochs"] == pytest.approx(
        plan["expected_tokens"] / part["data"]["train_tokens"], rel=0.01
    )
    plain = bench_families(ask._replace(seconds=1.0, is_planned=False, context=32))
    assert not plain["planned"]
    assert not plain["families"][0]["shape"].endswith("by a plan")


def test_the_bench_writes_a_row_a_family_and_a_picture(tales: Path, tmp_path: Path) -> None:
    folder = tales
    ask = FamiliesAsk(str(folder), 1.0, names=("n-gram", "hmm"), vocab_size=300, context=32)
    found = bench_families(ask)
    assert [row["name"] for row in found["families"]] == ["hmm", "n-gram"]
    assert all(0 < row["val_bpb"] < 8 for row in found["families"])
    svg = draw_families(found)
    assert svg.count("bits per byte") == 1
    assert re.search(r"n-gram \(1995\)", svg)
    assert svg == draw_families(found)
    kept = tmp_path / "found.json"
    write_json(kept, {**found, "data": {**found["data"], "name": "another"}})
    both = draw_families(read_families(kept), found)
    assert both.count("bits per byte") == 2
    assert both.count("n-gram (1995)") == 1
    assert both.index(">another<") < both.index(f">{folder.name}<")
    write_json(kept, {"benchmark": "text"})
    with pytest.raises(DataError, match="bench families"):
        read_families(kept)
    with pytest.raises(ConfigError, match="did you mean 'lstm'"):
        bench_families(FamiliesAsk(str(folder), 1.0, names=("lstn",)))


def test_the_lstm_of_pytorch_examples_is_driven_by_its_own_recipe(tmp_path: Path) -> None:
    from homespun.recipes.families.peer import MODEL_FILE, judge_pytorch_lstm

    path = tmp_path / MODEL_FILE
    path.parent.mkdir()
    # What the checkout's model promises, in the fewest lines.
    path.write_text(
        "import torch\n"
        "class RNNModel(torch.nn.Module):\n"
        "    def __init__(self, kind, ntoken, ninp, nhid, nlayers, dropout, tie):\n"
        "        super().__init__()\n"
        "        self.size = nlayers, nhid\n"
        "        self.encoder = torch.nn.Embedding(ntoken, ninp)\n"
        "        self.rnn = getattr(torch.nn, kind)(ninp, nhid, nlayers)\n"
        "        self.decoder = torch.nn.Linear(nhid, ntoken)\n"
        "    def init_hidden(self, rows):\n"
        "        layers, width = self.size\n"
        "        return torch.zeros(layers, rows, width), torch.zeros(layers, rows, width)\n"
        "    def forward(self, ids, hidden):\n"
        "        out, hidden = self.rnn(self.encoder(ids), hidden)\n"
        "        return self.decoder(out).flatten(0, 1).log_softmax(1), hidden\n"
    )
    ticks = itertools.count()  # 50 pieces of the text, on a machine of whatever speed
    judged = judge_pytorch_lstm(
        text(),
        seconds=50,
        seed=0,
        context=32,
        checkout=tmp_path,
        clock=lambda: float(next(ticks)),
    )
    assert judged.predictions == len(text().held_out) - 1
    assert judged.nats / judged.predictions < 0.95 * math.log(VOCABULARY)
    with pytest.raises(ConfigError, match="not a checkout of pytorch/examples"):
        bench_families(FamiliesAsk("x", 1.0, peer=tmp_path / "none"))
