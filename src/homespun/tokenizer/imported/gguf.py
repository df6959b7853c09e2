"""A `tokenizer.json` in the terms of llama.cpp's files.

It knows two kinds that decoders have: "gpt2", BPE over bytes written GPT-2's way, whose split of a
text into words goes by a name, and "llama", SentencePiece's BPE, whose pieces have scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from homespun.core import ConfigError
from homespun.tokenizer.imported.pieces import read_pieces, steps
from homespun.tokenizer.imported.sentencepiece import SPACE
from homespun.tokenizer.layout import WORD_PATTERNS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of tokens, as `llama.h` numbers them."""

# Their names of splits (`llm_tokenizer_bpe` in llama-vocab.cpp), by the patterns of the document.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# Of a text that is normal already, NFC changes nothing. The others write spaces.
_KNOWN_NORMALIZERS = {"NFC", "Prepend", "Strip"}
_SPLITS = {WORD_PATTERNS: "deepseek-v3", (_LLAMA3,): "llama-bpe", (_QWEN2,): "qwen2"}


class GgufVocabulary(NamedTuple):
    """Attributes:
    model: "gpt2" or "llama".
    pre: name of the split, for "gpt2".
    tokens, kinds, scores: of every id; scores mean something for "llama" only.
    merges: "left right", best first, for "gpt2".
    adds_prefix: a text begins with a space.
    """

    model: Literal["gpt2", "llama"]
    pre: str
    tokens: list[str]
    kinds: list[int]
    scores: list[float]
    merges: list[str]
    adds_prefix: bool


def gguf_vocabulary(document: Mapping[str, Any], *, vocab_size: int) -> GgufVocabulary:
    """The vocabulary, filled up with tokens that are never used to `vocab_size`.

    Raises:
        ConfigError: llama.cpp has no tokenizer of this kind.
    """
    pieces = read_pieces(document, where="tokenizer.json")
    model = document["model"]
    if model["type"] != "BPE":
        raise _refusal(f"of the kind {model['type']}")
    if strange := _normalizers(document) - _KNOWN_NORMALIZERS:
        raise _refusal(f"that changes text first by {min(strange)}")
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    kinds = [UNUSED] * vocab_size
    for text, index in model["vocab"].items():
        is_byte = not pieces.is_byte_level and text.startswith("<0x") and text.endswith(">")
        tokens[index], kinds[index] = text, BYTE if is_byte else NORMAL
    for token in document.get("added_tokens") or []:
        kind = CONTROL if token["special"] else USER_DEFINED
        if token["content"] == model.get("unk_token"):
            kind = UNKNOWN
        tokens[token["id"]], kinds[token["id"]] = token["content"], kind
    pairs = [m.split(" ", 1) if isinstance(m, str) else m for m in model["merges"]]
    if pieces.is_byte_level:
        return GgufVocabulary(
            "gpt2",
            _split_name(document),
            tokens,
            kinds,
            [0.0] * vocab_size,
            [f"{left} {right}" for left, right in pairs],
            False,
        )
    scores = [0.0] * vocab_size
    for rank, (left, right) in enumerate(reversed(pairs)):
        # The first merge that makes a piece decides; here it comes last.
        scores[model["vocab"][left + right]] = float(rank - len(pairs))
    lowest = -float(len(pairs) + 1)
    joined = {left + right for left, right in pairs}
    for text, index in model["vocab"].items():
        if kinds[index] == NORMAL and text not in joined:
            scores[index] = lowest
    return GgufVocabulary("llama", "default", tokens, kinds, scores, [], _adds_prefix(document))


def _normalizers(document: Mapping[str, Any]) -> set[str]:
    """Kinds of steps that change a text before it is cut, but for those that write spaces."""
    return {
        step["type"]
        for step in steps(document, "normalizer")
        if step["type"] != "Replace" or step.get("content") not in (" ", SPACE)
    }


def _split_name(document: Mapping[str, Any]) -> str:
    pre = steps(document, "pre_tokenizer")
    patterns = tuple(step["pattern"].get("Regex", "") for step in pre if step["type"] == "Split")
    byte_level = [step for step in pre if step["type"] == "ByteLevel"]
    kinds = {step["type"] for step in pre} - {"Split", "ByteLevel"}
    if kinds or not byte_level or any(step.get("add_prefix_space") for step in byte_level):
        raise _refusal("whose split is of another kind")
    if not patterns and byte_level[0].get("use_regex", True):
        return "gpt-2"
    name = _SPLITS.get(patterns)
    if name is None or byte_level[0].get("use_regex", True):
        raise _refusal("whose split into words it has no name for")
    return name


def _adds_prefix(document: Mapping[str, Any]) -> bool:
    for step in steps(document, "pre_tokenizer"):
        if step["type"] == "Metaspace":
            return bool(step.get("prepend_scheme", "always") != "never")
    return any(step["type"] == "Prepend" for step in steps(document, "normalizer"))


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"llama.cpp has no tokenizer {what}",
        remedy="export a Hugging Face folder instead, or a model with a BPE tokenizer",
    )
