"""What `homespun encoder --portable` leaves, as `transformers` opens it: tokens and vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from homespun.core import DataError
from homespun.models import load_bert
from homespun.recipes.encoder import EncoderAsk, pretrain_encoder
from homespun.tokenizer.pieces import PieceTokenizer, train_pieces

TEXTS = [
    "The naïve Café opened at 10:30, didn't it?",
    "今天天气很好，我们去公园。Mixed 中文 and English!",
    "unbelievable  spaces\tand\nlines",
    "e\u0301 und É, ＦＵＬＬ width, 👩 and \u0000 control",
    "a [MASK] and a [SEP] inside",
    "",
]


def transformers_tokenizer(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def check_same_ids(ours: PieceTokenizer, theirs: Any, *, reads_marks: bool = False) -> None:
    split = not reads_marks
    for text in TEXTS:
        mine = ours.encode(text)
        found = theirs(text, split_special_tokens=split)
        assert (found["input_ids"], found["token_type_ids"]) == (mine.ids, mine.types)
        pair = ours.encode_pair(text, TEXTS[1])
        found = theirs(text, TEXTS[1], split_special_tokens=split)
        assert (found["input_ids"], found["token_type_ids"]) == (pair.ids, pair.types)
        cut = ours.encode(text, most=8)
        found = theirs(text, truncation=True, max_length=8, split_special_tokens=split)
        assert found["input_ids"] == cut.ids
    rows = theirs(TEXTS, padding=True, split_special_tokens=split)
    for ids, mask, text in zip(rows["input_ids"], rows["attention_mask"], TEXTS, strict=True):
        mine = ours.encode(text)
        assert ids[: len(mine.ids)] == mine.ids
        assert set(ids[len(mine.ids) :]) <= {ours.padding_id}
        assert sum(mask) == len(mine.ids)
    marks = (theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id)
    assert marks == (ours.padding_id, ours.unknown_id, ours.start_id, ours.end_id)
    assert theirs.mask_token_id == ours.mask_id
    assert len(theirs) == ours.vocab_size


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "tokenize_chinese_chars": False},
    ],
)
def test_a_vocabulary_without_a_tokenizer_file_gives_the_ids_of_transformers(
    settings: dict[str, Any] | None, tmp_path: Path
) -> None:
    """As older BERT folders have it, Chinese ones above all."""
    learned = train_pieces(TEXTS * 3, vocab_size=400)
    pieces = [learned.token(number) for number in range(learned.vocab_size)]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    if settings is not None:
        told = {"tokenizer_class": "BertTokenizer", **settings}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    check_same_ids(PieceTokenizer.load(tmp_path), theirs)


def test_what_is_no_vocabulary_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no tokenizer.json in .*, and no vocab.txt"):
        PieceTokenizer.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("the\n##s\n")
    with pytest.raises(DataError, match=r"it has no \[PAD\] \(got 2 lines\)"):
        PieceTokenizer.load(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
def test_autotokenizer_gives_the_same_ids(lowercase: bool, tmp_path: Path) -> None:
    ours = train_pieces(TEXTS * 3, vocab_size=400, lowercase=lowercase)
    ours.save_for_transformers(tmp_path, context=48)
    theirs = transformers_tokenizer(tmp_path)
    check_same_ids(ours, theirs)
    check_same_ids(PieceTokenizer.load(tmp_path), theirs)
    as_theirs = PieceTokenizer.load(tmp_path, reads_marks=True)
    check_same_ids(as_theirs, theirs, reads_marks=True)
    assert theirs.model_max_length == 48
    alone = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))  # the file, without its class
    for text in TEXTS:
        assert alone.encode(text).ids == as_theirs.encode(text).ids
        assert alone.encode(text, "a").type_ids == as_theirs.encode_pair(text, "a").types
    upper, lower = (theirs(text)["input_ids"] for text in ("The Café", "the cafe"))
    assert (upper == lower) is lowercase


def test_a_portable_encoder_is_opened_by_transformers_from_text_to_vectors(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    texts = tmp_path / "texts"
    texts.mkdir()
    words = [
        "river",
        "stone",
        "bridge",
        "河流",
        "石头",
        "桥",
        "old",
        "green",
        "house",
        "walks",
        "走",
    ]
    for number in range(60):
        lines = [
            f"The {words[(number * 7 + line) % 11]} and the {words[(number * 3 + line * 5) % 11]}, "
            f"once more {number} times {line}."
            for line in range(30)
        ]
        (texts / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "mine"
    pretrain_encoder(
        EncoderAsk(source=str(texts), steps=2, size="64x1", vocab_size=400, portable=True), out
    )
    theirs, model = transformers_tokenizer(out), transformers.AutoModel.from_pretrained(out)
    ours, tokenizer = load_bert(out), PieceTokenizer.load(out)
    check_same_ids(tokenizer, theirs)
    with torch.inference_mode():
        for text in TEXTS[:2]:
            want = model.eval()(**theirs(text, return_tensors="pt")).last_hidden_state
            got = ours(torch.tensor([tokenizer.encode(text).ids]))
            torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
