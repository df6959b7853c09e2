"""How a tokenizer lies in `tokenizer.json`, the format of the Hugging Face `tokenizers` library.

Text is made NFC, split into words, and each word's UTF-8 bytes are joined into tokens. JSON cannot
hold bytes, so the format writes each byte as a printable character (GPT-2, Radford et al. 2019,
`bytes_to_unicode`). Ids: 0 to 255 are the bytes by value, then what was learned, then the control
tokens.

Three kinds share the layout and differ in the split:
    bpe   words; pairs of tokens are merged inside a word, never across its border
    char  single characters; those seen in training have a token, others fall back to bytes
    byte  no learned tokens at all
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from homespun.core import DataError
from homespun.tokenizer.special import SPECIAL_TOKENS

Kind = Literal["bpe", "char", "byte"]
Merge = tuple[bytes, bytes]

# The word split of DeepSeek-V3 (its tokenizer.json), which keeps every border we want: digits go in
# groups of up to three, a run of Chinese or kana stands alone, so that no token crosses from
# Chinese to Latin or to punctuation, a space belongs to the word after it, and combining marks stay
# with their letter. `gigatoken` and `tokenizers` both implement it. The patterns must stay as they
# are, character by character: gigatoken recognises the scheme by them.
WORD_PATTERNS: tuple[str, ...] = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)
_SPLITS: dict[Kind, tuple[str, ...]] = {
    "bpe": WORD_PATTERNS,
    "char": (r"[\s\S]",),
    "byte": (),
}


def _byte_characters() -> tuple[str, ...]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


BYTE_CHARACTERS = _byte_characters()
"""The printable character that stands for each byte."""
_CHARACTER_BYTES = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def write_token(token: bytes) -> str:
    """Bytes as the printable characters of the file."""
    return "".join(BYTE_CHARACTERS[byte] for byte in token)


def read_token(written: str) -> bytes:
    """Inverse of `write_token`. Raises KeyError for characters that stand for no byte."""
    return bytes(_CHARACTER_BYTES[character] for character in written)


class Written:
    """What is kept of the file: its text, so that its hash stays true.

    Args:
        document: the text of a `tokenizer.json`.
    """

    def __init__(self, document: str) -> None:
        self._document = document

    @property
    def document(self) -> str:
        """The text of `tokenizer.json`."""
        return self._document

    @property
    def sha256(self) -> str:
        """SHA-256 of `tokenizer.json`, in hex."""
        return hashlib.sha256(self._document.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Vocabulary:
    """What a `tokenizer.json` says.

    Attributes:
        kind: how text is split.
        tokens: bytes of each ordinary id; control ids follow after the last.
        merges: pairs in order of rank; empty except for "bpe".
    """

    kind: Kind
    tokens: tuple[bytes, ...]
    merges: tuple[Merge, ...]


def pre_tokenizer(kind: Kind) -> dict[str, Any]:
    """The `pre_tokenizer` entry of the file."""
    steps: list[dict[str, Any]] = [
        {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        for pattern in _SPLITS[kind]
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, _byte_level(use_regex=False)]}


def build_document(
    kind: Kind, tokens: Sequence[bytes], merges: Sequence[Merge] = ()
) -> dict[str, Any]:
    """The whole `tokenizer.json` as a value.

    Args:
        kind: how text is split.
        tokens: bytes of each ordinary id; the first 256 are the bytes by value.
        merges: pairs in order of rank.
    """
    return byte_level_document(
        {write_token(token): index for index, token in enumerate(tokens)},
        [[write_token(left), write_token(right)] for left, right in merges],
        special={content: len(tokens) + at for at, content in enumerate(SPECIAL_TOKENS)},
        normalizer={"type": "NFC"},
        splitter=pre_tokenizer(kind),
        decoder=_byte_level(use_regex=False),
        # A character is looked up whole; joining it from its bytes would need tokens for the
        # halves.
        ignore_merges=kind == "char",
    )


def gpt2_document(
    vocab: Mapping[str, int], merges: Sequence[Sequence[str]], *, special: Mapping[str, int]
) -> dict[str, Any]:
    """A `tokenizer.json` of GPT-2's own split, for tokens and merges as its files write them."""
    return byte_level_document(
        vocab,
        merges,
        special=special,
        normalizer=None,
        splitter=_byte_level(use_regex=True),
        decoder=_byte_level(use_regex=True),
    )


def byte_level_document(
    vocab: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    *,
    special: Mapping[str, int],
    normalizer: dict[str, Any] | None,
    splitter: dict[str, Any],
    decoder: dict[str, Any],
    ignore_merges: bool = False,
) -> dict[str, Any]:
    """A `tokenizer.json` of byte pairs, entry by entry as the library writes it."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, index in special.items()
        ],
        "normalizer": normalizer,
        "pre_tokenizer": splitter,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            "vocab": dict(vocab),
            "merges": [list(pair) for pair in merges],
        },
    }


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def dump_document(document: Mapping[str, Any]) -> str:
    """The text of the file; the same document gives the same bytes."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def parse_document(text: str, *, where: str) -> Vocabulary:
    """Read and check the text of a `tokenizer.json`.

    Raises:
        DataError: it is not JSON, not one of ours, or its vocabulary does not hold together.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} is not valid JSON: {error}", remedy="restore it or train the tokenizer again"
        ) from error
    kind = _kind_of(document)
    if kind is None:
        raise DataError(
            f"{where} is not a tokenizer made by homespun: its split or model is another one",
            remedy="train one with `homespun spin`, or point to a run's tokenizer.json",
        )
    try:
        vocabulary = _read_vocabulary(kind, document["model"])
        rebuilt = build_document(kind, vocabulary.tokens, vocabulary.merges)
        problem = "" if rebuilt == document else "entries were added, removed or changed"
    except _DamageError as error:
        problem = str(error)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        problem = "its vocabulary or merges are not of the expected form"
    if problem:
        raise DataError(
            f"{where} is damaged: {problem}", remedy="restore it or train the tokenizer again"
        )
    return vocabulary


class _DamageError(Exception):
    pass


def _kind_of(document: Any) -> Kind | None:
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        return None
    if document["model"].get("type") != "BPE":
        return None
    kinds: tuple[Kind, ...] = get_args(Kind)
    return next(
        (kind for kind in kinds if document.get("pre_tokenizer") == pre_tokenizer(kind)), None
    )


def _read_vocabulary(kind: Kind, model: Mapping[str, Any]) -> Vocabulary:
    by_id = {index: read_token(written) for written, index in model["vocab"].items()}
    if set(by_id) != set(range(len(model["vocab"]))):
        raise _DamageError("ids are missing or used twice")
    tokens = tuple(by_id[index] for index in range(len(by_id)))
    if tokens[:256] != tuple(bytes([byte]) for byte in range(256)):
        raise _DamageError("the first 256 ids are not the bytes")
    merges = tuple((read_token(left), read_token(right)) for left, right in model["merges"])
    known = set(tokens)
    made = {left + right for left, right in merges}
    if any(left not in known or right not in known for left, right in merges) or made - known:
        raise _DamageError("a merge names a token that is not in the vocabulary")
    if kind == "bpe" and set(tokens[256:]) != made:
        raise _DamageError("a token can be made by no merge")
    if kind != "bpe" and merges:
        raise _DamageError("it has merges, and is of a kind that joins nothing")
    if kind == "byte" and len(tokens) > 256:
        raise _DamageError("it has tokens beside the bytes")
    if kind == "char" and any(len(token.decode("utf-8")) != 1 for token in tokens[256:]):
        raise _DamageError("a token is not one character")
    return Vocabulary(kind, tokens, merges)
