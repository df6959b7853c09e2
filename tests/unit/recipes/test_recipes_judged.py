"""What models of one's own texts are judged on: text that had no say in which weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from homespun.core.types import Split
from homespun.corpus import iter_documents
from homespun.recipes.counted import trained
from homespun.recipes.encoder import EncoderAsk, pretrain_encoder
from homespun.recipes.encoder import pretraining as encoder
from homespun.recipes.encoder.tokens import marked_stream
from homespun.recipes.recurrent import RecurrentAsk, learn_recurrent
from homespun.recipes.rewriter import RewriterAsk, pretrain_rewriter
from homespun.recipes.rewriter import pretraining as rewriter
from homespun.tokenizer import load_tokenizer
from homespun.tokenizer.pieces import PieceTokenizer

SHAPE: dict[str, Any] = {"steps": 4, "size": "64x1", "vocab_size": 500}
Learn = Callable[[Path, Path], dict[str, Any]]


def learn_encoder(source: Path, out: Path) -> dict[str, Any]:
    return pretrain_encoder(EncoderAsk(source=str(source), **SHAPE), out)


def learn_rewriter(source: Path, out: Path) -> dict[str, Any]:
    return pretrain_rewriter(RewriterAsk(source=str(source), **SHAPE), out)


def learn_lstm(source: Path, out: Path) -> dict[str, Any]:
    return learn_recurrent(RecurrentAsk(source=str(source), **SHAPE), out)


WAYS = (learn_encoder, learn_rewriter, learn_lstm)


def texts_of(out: Path, split: Split) -> list[str]:
    return [document.text for document in iter_documents(out / "corpus", split)]


def tokens_of(out: Path, split: Split, learn: Learn) -> bytes:
    """The text of a part, as ids of the model's tokenizer in a row."""
    if learn is learn_encoder:
        ids_N = marked_stream(texts_of(out, split), PieceTokenizer.load(out)).ids_N
        return ids_N.astype(np.int64).tobytes()
    tokenizer = load_tokenizer(out)
    end = np.array([tokenizer.end_of_text_id])
    rows = [ids for text in texts_of(out, split) for ids in (tokenizer.encode(text), end)]
    return np.concatenate([end, *rows]).astype(np.int64).tobytes()


@pytest.mark.parametrize("learn", [learn_encoder, learn_rewriter])
def test_the_third_part_judges_and_the_second_chooses(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learn: Learn
) -> None:
    seen: list[Any] = []
    for module, name in ((encoder, "masked_score"), (rewriter, "piece_score")):
        plain = getattr(module, name)

        def note(model: Any, source: Any, *rest: Any, plain: Any = plain, **more: Any) -> Any:
            seen.append(source._source.batch(0).ids_BT[0].numpy().astype(np.int64))
            return plain(model, source, *rest, **more)

        monkeypatch.setattr(module, name, note)
    out = tmp_path / "out"
    assert learn(texts, out)["judged_on"] == "test"
    assert len(seen) > 1
    *watched, judged = (row_T.tobytes() for row_T in seen)
    assert judged in tokens_of(out, "test", learn)
    assert all(row in tokens_of(out, "validation", learn) for row in watched)
    assert "of text it has not seen" in (out / "README.md").read_text("utf-8").replace("\n", " ")


def test_a_recurrent_model_is_judged_on_it_as_well(texts: Path, tmp_path: Path) -> None:
    card = learn_lstm(texts, tmp_path)
    test = texts_of(tmp_path, "test")
    assert card["judged_on"] == "test"
    assert card["held_out"]["bytes"] == sum(len(text.encode()) for text in test)
    assert not set(test) & set(texts_of(tmp_path, "validation"))


@pytest.mark.parametrize("learn", WAYS)
def test_where_there_is_no_third_part_it_is_said(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learn: Learn
) -> None:
    out, plain = tmp_path / "out", trained.ensure_text

    def without_a_third(*args: Any, **more: Any) -> Any:
        card = plain(*args, **more)
        (out / "corpus" / "test.jsonl.zst").write_bytes(zstandard.compress(b""))
        return card

    monkeypatch.setattr(trained, "ensure_text", without_a_third)
    assert learn(texts, out)["judged_on"] == "validation"
    told = (out / "README.md").read_text("utf-8").replace("\n", " ")
    assert "by which its weights were chosen (for a third part there is too little" in told
    assert "it has not seen" not in told
