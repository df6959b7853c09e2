"""`tokenizer.model`, the format of SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226), as a
`tokenizer.json` that gives the same ids.

A BPE model has scores, not merges: the pair whose joined piece has the best score is joined first.
So every way to part a piece in two pieces is a merge, ranked by the piece's score.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from homespun.core import DataError
from homespun.core.files import os_error

SPACE = "\u2581"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_KINDS: dict[int, Literal["unigram", "bpe"]] = {1: "unigram", 2: "bpe"}


class Piece(NamedTuple):
    """A row of a SentencePiece vocabulary; `kind` is its number in the format."""

    text: str
    score: float
    kind: int = _NORMAL


def read_sentencepiece(path: Path) -> dict[str, Any]:
    """The tokenizer in `path` as a tokenizer.json document.

    Raises:
        DataError: it is damaged, of a kind that is not known, or the library is missing.
    """
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise DataError(
            f"{path} is a SentencePiece model, and the library that reads it is not installed",
            remedy="pip install sentencepiece protobuf, or take a version with a tokenizer.json",
        ) from error
    proto: Any = vars(sentencepiece_model_pb2)["ModelProto"]()  # made while it is imported
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(f"{path} is not a SentencePiece model", remedy="fetch it again") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
    kind = _KINDS.get(proto.trainer_spec.model_type)
    if kind is None or not proto.pieces:
        raise DataError(
            f"{path} is a SentencePiece model of a kind that is not known",
            got=proto.trainer_spec.model_type,
            remedy="BPE and unigram models are",
        )
    normalizer = proto.normalizer_spec
    if proto.trainer_spec.treat_whitespace_as_suffix or not normalizer.escape_whitespaces:
        raise DataError(
            f"{path} is a SentencePiece model that marks spaces behind words, or not at all",
            remedy="take a version with a tokenizer.json, or a model that marks them before words",
        )
    return piece_document(
        [Piece(p.piece, p.score, p.type) for p in proto.pieces],
        kind,
        charsmap=bytes(normalizer.precompiled_charsmap),
        prefix=normalizer.add_dummy_prefix,
        squeeze=normalizer.remove_extra_whitespaces,
        start=proto.trainer_spec.bos_piece if proto.trainer_spec.bos_id >= 0 else None,
    )


def piece_document(
    pieces: Sequence[Piece],
    kind: Literal["unigram", "bpe"],
    *,
    charsmap: bytes = b"",
    prefix: bool = True,
    squeeze: bool = False,
    start: str | None = "<s>",
) -> dict[str, Any]:
    """A tokenizer.json.

    Args:
        pieces: in order of their ids.
        kind: of the model.
        charsmap: how characters are normalised, as SentencePiece compiles it.
        prefix: a text begins with a space.
        squeeze: several spaces are one, those at the ends of a text none.
        start: the control token that stands before a text, where there is one of that name; T5 has
            none.
    """
    bytes_too = any(piece.kind == _BYTE for piece in pieces)
    unknown = next((n for n, piece in enumerate(pieces) if piece.kind == _UNKNOWN), None)
    if kind == "bpe":
        model: dict[str, Any] = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if unknown is None else pieces[unknown].text,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": bytes_too,
            "ignore_merges": False,
            "vocab": {piece.text: index for index, piece in enumerate(pieces)},
            "merges": merges_of(pieces),
        }
    else:
        model = {
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": [[piece.text, piece.score] for piece in pieces],
            "byte_fallback": bytes_too,
        }
    controls = {piece.text for piece in pieces if piece.kind == _CONTROL}
    bos = start if start in controls else None
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": piece.text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": piece.kind != _USER_DEFINED,
            }
            for index, piece in enumerate(pieces)
            if piece.kind in (_UNKNOWN, _CONTROL, _USER_DEFINED)
        ],
        "normalizer": _normalizer(charsmap, prefix=prefix, squeeze=squeeze),
        # Spaces are marked already; pieces may hold some in their middle.
        "pre_tokenizer": None,
        "post_processor": None if bos is None else _post_processor(bos, pieces),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": int(prefix), "stop": 0},
            ],
        },
        "model": model,
    }


def merges_of(pieces: Sequence[Piece]) -> list[list[str]]:
    """Merges that join what the scores would join, best first."""
    index = {piece.text: n for n, piece in enumerate(pieces) if piece.kind == _NORMAL}
    found: list[tuple[float, int, int, str, str]] = []
    for text, n in index.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in index and right in index:
                found.append((-pieces[n].score, n, index[left], left, right))
    return [[left, right] for *_, left, right in sorted(found)]


def _normalizer(charsmap: bytes, *, prefix: bool, squeeze: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if charsmap:
        parts.append(
            {
                "type": "Precompiled",
                "precompiled_charsmap": base64.b64encode(charsmap).decode("ascii"),
            }
        )
    if squeeze:
        parts += [
            {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ]
    if prefix:
        parts.append({"type": "Prepend", "prepend": SPACE})
    parts.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    return {"type": "Sequence", "normalizers": parts}


def _post_processor(bos: str, pieces: Sequence[Piece]) -> dict[str, Any]:
    number = next(n for n, piece in enumerate(pieces) if piece.text == bos)
    start = {"SpecialToken": {"id": bos, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            start,
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {bos: {"id": bos, "ids": [number], "tokens": [bos]}},
    }
