"""What a vocabulary is worth, per language, and pieces of text for display."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from homespun.core import Tokenizer

_BATCH = 64


def tokenizer_stats(
    tokenizer: Tokenizer, texts_by_language: Mapping[str, Iterable[str]], *, num_longest: int = 20
) -> dict[str, Any]:
    """Measure a tokenizer on texts, best ones it was not trained on.

    Args:
        tokenizer: any.
        texts_by_language: texts under their language code; each is read once.
        num_longest: how many of the longest tokens to list.

    Returns:
        `{"format": 1, "vocab_size", "vocabulary_used", "languages": {code: {…}}, "longest_tokens":
        [{"id", "bytes", "text"}, …]}`, JSON values only. Per language: `documents`, `bytes`,
        `characters`, `tokens`, `bytes_per_token`, `tokens_per_character`, `vocabulary_used` (share
        of all ordinary tokens met in its texts) and `byte_fallback` (share of characters that have
        to be spelled by pieces of characters). Ratios of nothing are 0.
    """
    spellings = [tokenizer.token_bytes(index) for index in range(tokenizer.vocab_size)]
    lengths = np.array([len(token) for token in spellings], dtype=np.int64)
    begun_characters = np.array([_begun_characters(token) for token in spellings], dtype=np.int64)
    # A token may hold characters and the beginning or end of another, of which it is a piece.
    whole_characters = np.array(
        [len(token.decode("utf-8", "ignore")) for token in spellings], dtype=np.int64
    )
    num_ordinary = int((lengths > 0).sum())
    counts_total = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    languages: dict[str, Any] = {}
    for language, texts in texts_by_language.items():
        counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        num_documents = 0
        for batch in _batches(texts):
            num_documents += len(batch)
            for ids in tokenizer.encode_batch(batch):
                counts += np.bincount(ids, minlength=tokenizer.vocab_size)
        counts_total += counts
        num_tokens = int(counts.sum())
        num_bytes = int(counts @ lengths)
        num_characters = int(counts @ begun_characters)
        num_whole = int(counts @ whole_characters)
        languages[language] = {
            "documents": num_documents,
            "bytes": num_bytes,
            "characters": num_characters,
            "tokens": num_tokens,
            "bytes_per_token": _ratio(num_bytes, num_tokens),
            "tokens_per_character": _ratio(num_tokens, num_characters),
            "vocabulary_used": _ratio(int((counts > 0).sum()), num_ordinary),
            "byte_fallback": _ratio(num_characters - num_whole, num_characters),
        }
    by_length = sorted(range(len(spellings)), key=lambda index: (-len(spellings[index]), index))
    return {
        "format": 1,
        "vocab_size": tokenizer.vocab_size,
        "vocabulary_used": _ratio(int((counts_total > 0).sum()), num_ordinary),
        "languages": languages,
        "longest_tokens": [
            {
                "id": index,
                "bytes": len(spellings[index]),
                "text": display_text(spellings[index]),
            }
            for index in by_length[:num_longest]
        ],
    }


def display_text(token: bytes) -> str:
    """A token as one line of printable text.

    Bytes that are not UTF-8 show as `\\xE4`, line ends and controls as `\\n`, `\\u200b` and so on.
    No character that moves the cursor or turns the direction of writing passes.
    """
    shown = []
    for character in token.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            shown.append(f"\\x{code - 0xDC00:02X}")
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def split_for_display(tokenizer: Tokenizer, text: str) -> list[tuple[str, int]]:
    """The tokens of `text` as (piece of text, id), in order; the pieces joined are the text.

    Where a character is spelled by several tokens, the first of them shows all that they spell
    together and the others show nothing.
    """
    pieces: list[tuple[str, int]] = []
    group: list[int] = []
    spelled = b""
    for token_id in tokenizer.encode(text).tolist():
        group.append(token_id)
        spelled += tokenizer.token_bytes(token_id)
        shown = _decoded(spelled)
        if shown is not None:
            pieces += zip([shown, *[""] * (len(group) - 1)], group, strict=True)
            group, spelled = [], b""
    return pieces


def _decoded(token: bytes) -> str | None:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _begun_characters(token: bytes) -> int:
    """Characters whose first byte is in the token: the bytes that do not continue one."""
    return sum(byte & 0xC0 != 0x80 for byte in token)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
