"""Byte-level BPE for encoders: the tokenizer of `training`, with a Chinese character a word."""

from __future__ import annotations

import json
from collections.abc import Iterable

import regex

from homespun.tokenizer.pieces import PieceTokenizer
from homespun.tokenizer.training import TokenizerConfig, train_tokenizer

_RUN = r"[一-龥\u3040-\u309F\u30A0-\u30FF]"


def train_byte_pieces(
    texts: Iterable[str], *, vocab_size: int, lowercase: bool = False, seed: int = 0
) -> PieceTokenizer:
    """Learn byte-level BPE in which no text has an unknown character.

    Chinese characters, and the kana beside them, are cut one by one: what encoders are asked of
    (which of them is a name, where an answer stands) begins and ends at each.

    Args:
        texts: English, Chinese or both.
        vocab_size: the most ids, marks included.
        lowercase: do not tell capitals from small letters.
        seed: of the sample that is learned from, where there is much text.
    """
    parted = regex.compile(f"({_RUN})")  # type: ignore[no-untyped-call]
    # A space behind each keeps any two of them from being joined.
    found = [parted.sub(r"\1 ", text.lower() if lowercase else text) for text in texts]
    config = TokenizerConfig(vocab_size=vocab_size, max_sample_bytes=1 << 40, seed=seed)
    document = json.loads(train_tokenizer(found, config=config).document)
    for step in document["pre_tokenizer"]["pretokenizers"]:
        pattern = step.get("pattern", {}).get("Regex", "")
        if pattern.startswith("[一-龥"):
            step["pattern"]["Regex"] = pattern.removesuffix("+")
    if lowercase:
        normal = [document["normalizer"], {"type": "Lowercase"}]
        document["normalizer"] = {"type": "Sequence", "normalizers": normal}
    return PieceTokenizer(json.dumps(document, ensure_ascii=False))
