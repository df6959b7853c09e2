"""What can be chosen about a corpus."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from homespun.core.config import Config
from homespun.core.errors import ConfigError

# Varieties of Chinese that the model of languages tells apart and a data card need not.
SAME_LANGUAGE = {"wuu": "zh", "yue": "zh", "gan": "zh", "lzh": "zh"}


class CorpusConfig(Config):
    """How texts are read, cleaned and divided. The defaults suit a folder of books or notes.

    Attributes:
        seed: decides, with a document's id, which split it goes to.
        language: "auto" keeps every language; a code of ISO 639 ("en", "zh", "ceb") or "code"
            drops documents of others as `wrong-language`.
        max_document_characters: a longer text is cut at paragraph borders into documents of at
            most so many characters. 32,000 characters are about 32 KB of English and 96 KB of
            Chinese: a novel becomes some thirty documents, so held-out text can be a few percent.
        min_letters: a document with fewer letters is dropped; a Chinese character counts as two.
        remove_repeated_paragraphs: take out long paragraphs that stood earlier in the corpus.
        min_paragraph_characters: what "long" means; a Chinese character counts as two.
        max_seen_share: a long paragraph goes if more of its runs of eight words (or Chinese
            characters) stood earlier in the corpus; 1.0 keeps such paragraphs.
        max_seen_document_share: a document goes if more of the word runs left in it, those of short
            paragraphs and code included, stood in earlier documents; 1.0 keeps near copies.
        max_replacement_share: share of U+FFFD above which a text counts as undecodable.
        validation_share, test_share: of the bytes kept.
        min_split_bytes, max_split_bytes: bounds of these splits where the corpus is large enough.
        max_bytes: text taken from the embedded corpora `python` and `python-code`.
    """

    seed: int = 0
    language: str = "auto"
    max_document_characters: int = Field(32_000, ge=200, le=1_000_000)
    min_letters: int = Field(20, ge=1)
    remove_repeated_paragraphs: bool = True
    min_paragraph_characters: int = Field(60, ge=20)
    max_seen_share: float = Field(0.5, gt=0.0, le=1.0)
    max_seen_document_share: float = Field(0.8, gt=0.0, le=1.0)
    max_replacement_share: float = Field(0.01, ge=0.0, le=1.0)
    validation_share: float = Field(0.05, gt=0.0, le=0.3)
    test_share: float = Field(0.05, gt=0.0, le=0.3)
    min_split_bytes: int = Field(20_000, ge=1)
    max_split_bytes: int = Field(500_000, ge=1)
    max_bytes: int = Field(12_000_000, ge=100_000)

    @field_validator("language")
    @classmethod
    def _is_a_language(cls, language: str) -> str:
        if language in SAME_LANGUAGE:
            raise ConfigError(
                "texts in this variety are not told apart from others",
                got=language,
                remedy=f"take {SAME_LANGUAGE[language]}",
            )
        if language not in ("auto", "code") and not re.fullmatch("[a-z]{2,3}", language):
            raise ConfigError(
                "no language has that code",
                got=language,
                remedy="lang must be auto, code, or a language code such as en or zh",
            )
        return language


DropReason = Literal[
    "empty",
    "binary",
    "unsupported",
    "undecodable",
    "near-empty",
    "wrong-language",
    "exact-duplicate",
    "repeated-paragraph",
    "near-repeated-paragraph",
    "near-duplicate",
]

KINDS = (
    ".txt, .md, .rst, .html, .epub, .docx, .odt, .pdf, .eml, .mbox, .json, .jsonl, .csv, .tsv, "
    ".parquet and source code"
)
"""What is read, for messages."""

EXPLANATIONS: dict[DropReason, str] = {
    "empty": "files without a single character; books, documents and mails without words of their "
    "own, such as scanned pages",
    "binary": "files that hold no text that is read (images, programs, .7z and .rar archives, "
    ".doc, .xlsx and .pptx documents)",
    "unsupported": f"text files of a kind that is not read; {KINDS} are",
    "undecodable": "texts in an encoding that is not known, or in which too many characters could "
    "not be decoded",
    "near-empty": "texts with too few letters to learn from",
    "wrong-language": "texts in another language than the one asked for",
    "exact-duplicate": "texts equal to an earlier one but for case and spacing",
    "repeated-paragraph": "long paragraphs that stood earlier in the corpus, taken out of their "
    "documents, and documents of which too little was left",
    "near-duplicate": "texts of which most word runs stood in earlier ones: edited copies",
    "near-repeated-paragraph": "long paragraphs of which most word runs stood earlier in the "
    "corpus, taken out of their documents, and documents of which too little was left",
}
