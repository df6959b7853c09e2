"""`vocab.txt`, a piece of a word a line: BERT's tokenizer before there was a tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from homespun.core import DataError
from homespun.core.files import read_object, text_error

VOCABULARY_FILE: Final = "vocab.txt"
_SETTINGS_FILE = "tokenizer_config.json"
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LONGEST_WORD = 100
"""Characters; a longer word is unknown. As in BERT's own code."""


def vocabulary_document(folder: Path) -> str:
    """A tokenizer.json of the WordPiece vocabulary in `folder`. What tokenizer_config.json says of
    letters counts; without it letters are small and have no accents, as BERT's own code and
    `transformers` take it.

    Raises:
        DataError: a file is missing, broken, or no vocabulary of BERT's.
    """
    path = folder / VOCABULARY_FILE
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise text_error(error, path) from error
    pieces = [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    missing = [mark for mark in _MARKS if mark not in vocabulary]
    if missing:
        raise DataError(
            f"{path} is no vocabulary of BERT's: it has no {missing[0]}",
            got=f"{len(pieces):,} lines",
            remedy="fetch the model again, or give its tokenizer.json",
        )
    settings: dict[str, Any] = {}
    if (folder / _SETTINGS_FILE).is_file():
        settings = read_object(folder / _SETTINGS_FILE, remedy="restore the file")
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=_MARKS[1], max_input_chars_per_word=_LONGEST_WORD)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(_MARKS))
    return tokenizer.to_str()
