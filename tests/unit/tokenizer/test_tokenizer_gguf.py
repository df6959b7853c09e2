"""Tokenizers that llama.cpp would apply otherwise are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from homespun.core import ConfigError
from homespun.tokenizer import TokenizerConfig, gguf_vocabulary, train_tokenizer
from homespun.tokenizer.imported.sentencepiece import Piece, piece_document

PIECES = [
    *(Piece("<unk>", 0, 2), Piece("<s>", 0, 3), Piece("</s>", 0, 3)),
    *(Piece("a", -2), Piece("b", -3), Piece("ab", -1)),
]


def document_of(kind: str) -> dict[str, Any]:
    if kind != "bytes":
        return piece_document(PIECES, "bpe", squeeze=kind == "squeezed spaces")
    tokenizer = train_tokenizer(["some text"], config=TokenizerConfig(vocab_size=280))
    document: dict[str, Any] = json.loads(tokenizer.document)
    return document


@pytest.mark.parametrize("kind", ["bytes", "spaces", "squeezed spaces"])
def test_what_writes_spaces_or_nfc_is_taken(kind: str) -> None:
    document = document_of(kind)
    size = len(document["model"]["vocab"]) + 20
    assert len(gguf_vocabulary(document, vocab_size=size).tokens) == size


@pytest.mark.parametrize(
    "step",
    [
        {"type": "Lowercase"},
        {"type": "NFKC"},
        {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
        {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
    ],
)
def test_what_changes_letters_first_is_refused(step: dict[str, Any]) -> None:
    for document in map(document_of, ("bytes", "spaces")):
        both = {"type": "Sequence", "normalizers": [document["normalizer"], step]}
        for normalizer in (step, both):
            with pytest.raises(ConfigError, match=f"changes text first by {step['type']}"):
                gguf_vocabulary({**document, "normalizer": normalizer}, vocab_size=300)
