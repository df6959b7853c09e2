"""An encoder of one's own texts: what is left in its folder, and that tasks can begin with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_files import sentence  # type: ignore[import-not-found]

from homespun.core import ConfigError, DataError, RunError
from homespun.recipes.applications.neural import open_base
from homespun.recipes.encoder import EncoderAsk, pretrain_encoder
from homespun.recipes.encoder.tokens import MarkedStream, marked_stream
from homespun.tokenizer.pieces import train_pieces


def ask(texts: Path, **more: object) -> EncoderAsk:
    given = {"source": str(texts), "steps": 60, "size": "64x1", "vocab_size": 600} | more
    return EncoderAsk(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def learned(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoder") / "my encoder"
    pretrain_encoder(ask(texts), out)
    return out


def test_it_tells_masked_words_better_than_their_frequencies(learned: Path) -> None:
    card = json.loads((learned / "card.json").read_text())
    mine, others = card["masked"], card["by_frequency"]
    assert mine["num"] == others["num"] > 300
    assert mine["loss"] < others["loss"] - 0.5
    assert mine["low"] < mine["accuracy"] < mine["high"]
    assert mine["low"] > others["accuracy"]
    assert card["tokens_read"] == 60 * 8 * 256
    assert card["weights"]["step"] <= card["weights"]["last_step"] == 60
    assert card["weights"]["sentence"] in (learned / "README.md").read_text()
    told = (learned / "README.md").read_text()
    assert f"{mine['accuracy']:.1%}" in told
    assert f"{others['loss']:.3f}" in told
    assert "FILE --base 'my encoder'`" in told
    assert not list(learned.glob("*.npz"))
    assert not list(learned.glob("training/checkpoints/*/*.safetensors"))


def test_as_many_words_are_hidden_as_asked_for(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun import training

    seen: list[float] = []
    plain = training.MaskedBatches

    def noting(*args: object, share: float, **more: object) -> object:
        seen.append(share)
        return plain(*args, share=share, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "MaskedBatches", noting)
    pretrain_encoder(ask(texts, steps=1, masked=0.15), tmp_path / "out")
    # Learned with the one, watched and judged with the usual, so that two encoders can be compared.
    assert seen == [0.15, 0.2, 0.2]


def test_asked_again_it_is_there_and_asked_otherwise_it_is_not_touched(
    learned: Path, texts: Path
) -> None:
    before = (learned / "model.safetensors").stat().st_mtime_ns
    card = pretrain_encoder(ask(texts), learned)
    assert card == json.loads((learned / "card.json").read_text())
    with pytest.raises(RunError, match="other settings"):
        pretrain_encoder(ask(texts, seed=1), learned)
    with pytest.raises(RunError, match="exists and is nothing"):
        pretrain_encoder(ask(texts), texts)
    assert (learned / "model.safetensors").stat().st_mtime_ns == before


def test_tasks_begin_with_it(learned: Path) -> None:
    base = open_base(learned)
    assert base.is_pretrained
    assert base.config.num_layers == 1
    assert base.encoder.head is None  # type: ignore[union-attr]
    ids = base.tokenizer.encode(sentence(3)).ids
    with torch.inference_mode():
        hidden_BTD = base.encoder(torch.tensor([ids]))
    assert hidden_BTD.shape == (1, len(ids), 64)
    assert hidden_BTD.isfinite().all()


def test_it_begins_a_task_of_a_file(learned: Path, tmp_path: Path) -> None:
    from homespun.recipes.applications import Asked, learn_application

    rows = ["text,label"]
    for number in range(120):
        rows.append(f"{sentence(number)},{'wet' if number % 8 in (0, 7) else 'dry'}")
    data = tmp_path / "rows.csv"
    data.write_text("\n".join(rows))
    options = {"epochs": "1"}
    told = learn_application(
        Asked("classify", data, tmp_path / "out", base=learned, options=options)
    )
    assert told["measures"][0]["num"] == 12


@pytest.fixture(scope="module")
def of_bytes(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoder") / "bytes"
    pretrain_encoder(ask(texts, tokenizer="bpe"), out)
    return out


ROWS: dict[str, list[dict[str, object]]] = {
    "classify": [
        {"text": sentence(n), "label": "wet" if n % 8 in (0, 7) else "dry"} for n in range(40)
    ],
    "pair": [
        {"first": sentence(n), "second": sentence(n // 2), "label": str(n % 2)} for n in range(40)
    ],
    "tag": [
        {"tokens": ["Ann", "saw", city, "北", "京", str(n)], "tags": list("OOBOBO")}
        for n in range(20)
        for city in ("Rome", "Oslo")
    ],
    "answer": [
        {"question": f"Who runs {n}?", "passage": f"{n}: Ann 在北京 runs.", "answers": ["Ann"]}
        for n in range(40)
    ],
    "embed": [{"first": sentence(n), "second": f"{n} {sentence(n)}"} for n in range(40)],
}


@pytest.mark.parametrize("task", list(ROWS))
def test_every_task_begins_with_one_of_bytes(task: str, of_bytes: Path, tmp_path: Path) -> None:
    from homespun.recipes.applications import (
        Asked,
        answered,
        learn_application,
        open_application,
    )

    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]))
    options = {"epochs": "2"}
    asked = Asked(
        task, data, tmp_path / "out", base=of_bytes, options=options, judge_baselines=False
    )
    told = learn_application(asked)
    assert told["method"] == "encoder"
    rows = list(answered(open_application(tmp_path / "out"), data, {}))
    assert len(rows) == 40
    if task == "tag":
        assert all(len(row["tags"]) == 6 for row in rows)
    if task == "answer":
        passages = [str(row["passage"]) for row in ROWS[task]]
        found = [row["answer"] or "" for row in rows]
        assert all(part in whole for part, whole in zip(found, passages, strict=True))


def test_one_of_bytes_has_no_unknown_words_and_transformers_reads_it(
    of_bytes: Path, texts: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = open_base(of_bytes).tokenizer
    assert tokenizer.unknown_id not in tokenizer.encode("🦊 Ω 北京 ḥ").ids
    card = json.loads((of_bytes / "card.json").read_text())
    assert card["masked"]["loss"] < card["by_frequency"]["loss"]
    out = tmp_path / "portable"
    pretrain_encoder(ask(texts, tokenizer="bpe", portable=True, steps=2), out)
    base = open_base(out)
    theirs = transformers.AutoModel.from_pretrained(out).eval()
    ids = base.tokenizer.encode(sentence(1)).ids
    assert transformers.AutoTokenizer.from_pretrained(out)(sentence(1))["input_ids"] == ids
    with torch.inference_mode():
        ours_BTD = base.encoder(torch.tensor([ids]))
        theirs_BTD = theirs(torch.tensor([ids])).last_hidden_state
    torch.testing.assert_close(ours_BTD, theirs_BTD, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer": "bep"}, "did you mean 'bpe'"),
        ({"steps": None}, "budget"),
        ({"masked": 0.95}, "share of hidden words"),
        ({"size": "65x2"}, "multiple of 64"),
        ({"size": "big"}, "multiple of 64"),
        ({"source": "/no/such/folder"}, "no such file"),
        ({"segmenter": "/no/such/folder"}, "segment|application|there is no"),
        ({"language": "klingon"}, "language"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    texts: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises((ConfigError, DataError), match=message):
        pretrain_encoder(ask(texts, **change), out)
    assert not out.exists()


def test_chinese_words_are_words_where_somebody_parts_them(tmp_path: Path) -> None:
    texts = ["我爱北京天安门。 Beijing is unbelievable", "天安门上太阳升"]
    tokenizer = train_pieces(texts * 3, vocab_size=300, lowercase=True)

    def words_of(runs: Sequence[str]) -> list[list[str]]:
        known = ("北京", "天安门", "太阳")
        found = []
        for run in runs:
            words: list[str] = []
            while run:
                word = next((w for w in known if run.startswith(w)), run[0])
                words.append(word)
                run = run[len(word) :]
            found.append(words)
        return found

    plain = marked_stream(texts, tokenizer)
    whole = marked_stream(texts, tokenizer, words_of=words_of)
    assert np.array_equal(plain.ids_N, whole.ids_N)
    shown = [tokenizer.token(number) for number in whole.ids_N]
    inner = {shown[at] for at in np.flatnonzero(whole.begins_N < plain.begins_N)}
    assert inner == set("京安门阳")
    pieces = tokenizer.encode(texts[0])
    length = len(pieces.ids)
    starts = [0, *(at for at in range(1, length) if pieces.words[at] != pieces.words[at - 1])]
    assert np.flatnonzero(plain.begins_N[1 : 1 + length]).tolist() == starts
    assert (shown[0], shown[-1]) == ("[SEP]", "[SEP]")
    whole.save(tmp_path / "stream.npz")
    again = MarkedStream.load(tmp_path / "stream.npz")
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
