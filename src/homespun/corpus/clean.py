"""Making text regular without changing what it says."""

from __future__ import annotations

import re
import unicodedata

from homespun.core.text import nfc

_NEWLINES = re.compile("\r\n|[\r\x85\u2028\u2029\x0b\x0c]")
# Control characters but tab and newline; zero-width space, marks and joiners that carry no text,
# soft hyphen, byte-order marks, interlinear and non-characters. U+200C and U+200D stay: Persian,
# Hindi and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_BLANK_LINES = re.compile(r"\n{4,}")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTERS = re.compile(r"[^\W\d_]")


def clean_text(text: str) -> str:
    """NFC; one kind of newline; no control or invisible characters, trailing space, or gaps.

    At most two blank lines follow each other. Blank lines at both ends and trailing space at the
    end are dropped; the indentation of the first line is kept. Cleaning twice changes nothing.
    """
    text = _NEWLINES.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = nfc(text)
    text = "\n".join([line.rstrip() for line in text.split("\n")])
    text = _BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n")


def clean_text_slowly(text: str) -> str:
    """What `clean_text` does, a character and a line at a time."""
    text = text.replace("\r\n", "\n")
    kept = []
    for character in text:
        if character in "\r\x85\u2028\u2029\x0b\x0c":
            kept.append("\n")
        elif not _INVISIBLE.match(character):
            kept.append(character)
    lines: list[str] = []
    for line in unicodedata.normalize("NFC", "".join(kept)).split("\n"):
        line = line.rstrip()
        if line or lines[-2:] != ["", ""] or not lines:
            lines.append(line)
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    return "\n".join(lines)


def num_letters(text: str, *, enough: int = 0) -> int:
    """Letters of the text, a Chinese or Japanese one counted twice.

    Args:
        enough: stop counting once so many are found in the beginning of the text; 0 counts all.
    """
    if enough and len(text) > 8 * enough:
        found = num_letters(text[: 8 * enough])
        if found >= enough:
            return found
    return len(_LETTERS.findall(text)) + len(_WIDE.findall(text))


def width(text: str) -> int:
    """Characters, a Chinese or Japanese one counted twice: as much is said in half as many."""
    return len(text) + len(_WIDE.findall(text))


def normal_form(text: str) -> str:
    """The text for comparison: lower case, runs of white space made one space."""
    return " ".join(text.split()).lower()


def replacement_share(text: str) -> float:
    """Share of U+FFFD, the mark of bytes that could not be decoded."""
    return text.count("\ufffd") / len(text) if text else 0.0


def paragraphs(text: str) -> list[str]:
    """The pieces between blank lines; joined by two newlines they give the text but for gaps.

    A piece of more than 2,000 characters is divided at its newlines: many Chinese texts set one
    paragraph a line and have no blank lines. The pieces keep a trailing newline if they end in one
    that stood inside such a piece, so that `join_paragraphs` gives back the lines.
    """
    pieces: list[str] = []
    for block in re.split(r"\n{2,}", text):
        if len(block) > 2000 and "\n" in block:
            lines = block.split("\n")
            pieces += [line + "\n" for line in lines[:-1]]
            pieces.append(lines[-1])
        else:
            pieces.append(block)
    return pieces


def join_paragraphs(pieces: list[str]) -> str:
    """The inverse of `paragraphs`, with every gap made one blank line."""
    parts: list[str] = []
    for piece in pieces:
        parts.append(piece if piece.endswith("\n") else piece + "\n\n")
    return "".join(parts).strip("\n")
