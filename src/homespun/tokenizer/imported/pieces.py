"""What the tokens of a foreign `tokenizer.json` stand for.

Two ways of writing bytes are known: GPT-2's, a printable character a byte, and SentencePiece's,
text with "▁" for a space and "<0x0A>" for a byte that has no character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from homespun.core import DataError
from homespun.tokenizer.layout import read_token

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_MOST_TOKENS = 2_000_000


class Special(NamedTuple):
    """A control token: its id, and whether it swallows the space beside it."""

    id: int
    lstrip: bool
    rstrip: bool


class Pieces(NamedTuple):
    """The vocabulary of a document.

    Attributes:
        token_bytes: of every id; empty for control tokens and ids that are not used.
        special: control tokens by their string, but for those that text needs.
        is_byte_level: bytes are written GPT-2's way.
        unmarked: tokens in brackets that are not said to be control tokens, and may be some.
    """

    token_bytes: list[bytes]
    special: dict[str, Special]
    is_byte_level: bool
    unmarked: dict[str, Special]


def read_pieces(document: Mapping[str, Any], *, where: str) -> Pieces:
    """Raises DataError for a document that is damaged or of a kind that is not known."""
    try:
        return _read_pieces(document, where)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{where} is not a tokenizer of the expected form: {type(error).__name__} {error}",
            remedy="fetch it again",
        ) from error


def _read_pieces(document: Mapping[str, Any], where: str) -> Pieces:
    model = document["model"]
    kind = model.get("type")
    if kind == "BPE":
        tokens = {int(index): str(text) for text, index in model["vocab"].items()}
    elif kind == "Unigram":
        tokens = {index: str(text) for index, (text, _) in enumerate(model["vocab"])}
    else:
        raise DataError(
            f"{where} is a tokenizer of a kind that decoders do not have",
            got=kind,
            remedy="BPE and Unigram are known",
        )
    is_byte_level = any(step["type"] == "ByteLevel" for step in steps(document, "decoder"))
    is_spaced = any(step["type"] in ("Metaspace", "Replace") for step in steps(document, "decoder"))
    if not is_byte_level and not is_spaced:
        raise DataError(
            f"{where} says in no known way how tokens become text",
            got=(document.get("decoder") or {}).get("type"),
            remedy="byte-level tokenizers and those of SentencePiece are known",
        )
    added = document.get("added_tokens") or []
    ids = [*tokens, *(int(token["id"]) for token in added)]
    lowest, highest = min(ids), max(ids)
    if lowest < 0 or highest >= _MOST_TOKENS:
        strange = lowest if lowest < 0 else highest
        raise DataError(f"{where} has ids that cannot be", got=strange, remedy="fetch it again")
    token_bytes = [b""] * (highest + 1)
    for index, text in tokens.items():
        token_bytes[index] = _byte_level(text) if is_byte_level else _spaced(text)
    special: dict[str, Special] = {}
    unmarked: dict[str, Special] = {}
    needed = _needed(model, tokens) if added else set()
    for token in added:
        content = token["content"]
        is_text = tokens.get(token["id"]) == content in needed
        if token["special"] and is_text:
            continue  # it keeps the bytes it has as a piece of text
        found = special if token["special"] else unmarked
        if token["special"] or (not is_text and _is_bracketed(content)):
            found[content] = Special(
                int(token["id"]), bool(token.get("lstrip")), bool(token.get("rstrip"))
            )
        token_bytes[token["id"]] = b"" if token["special"] else content.encode()
    return Pieces(token_bytes, special, is_byte_level, unmarked)


def _is_bracketed(text: str) -> bool:
    """As control tokens are written: `<|user|>`, `[INST]`."""
    return len(text) > 1 and text[0] in "<[{|" and text[-1] in ">]}|"


def _needed(model: Mapping[str, Any], tokens: Mapping[int, str]) -> set[str]:
    """Pieces that text cannot be written without: single characters, and what merges name.

    Some models call one of them a control token, such as "!" of GPT-2's vocabulary to pad with.
    """
    found = {text for text in tokens.values() if len(text) == 1}
    for merge in model.get("merges") or []:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        found |= {left, right, left + right}
    return found


def steps(document: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    """The steps of a part that may be one or a sequence of them."""
    value = document.get(part)
    if value is None:
        return []
    if value.get("type") != "Sequence":
        return [value]
    inner = value.get("pretokenizers") or value.get("decoders") or value.get("normalizers") or []
    return [step for entry in inner for step in steps({part: entry}, part)]


def _byte_level(text: str) -> bytes:
    try:
        return read_token(text)
    except KeyError:  # a token that was put into the vocabulary as it is
        return text.encode()


def _spaced(text: str) -> bytes:
    if match := _BYTE.fullmatch(text):
        return bytes([int(match[1], 16)])
    return text.replace("\u2581", " ").encode()
