"""Texts and paragraphs seen before, exactly or nearly.

Only 64-bit hashes are kept (see `hashset`): 1 million paragraphs take 13 to 27 MB, where a Python
set of strings would take hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

import xxhash

from homespun.corpus.clean import join_paragraphs, normal_form, paragraphs, width
from homespun.corpus.config import DropReason
from homespun.corpus.hashset import HashSet64
from homespun.corpus.near import SeenShares, ShingleMemory


class SeenSet(Protocol):
    """What the filter needs of a set; `HashSet64` and the obvious one below both give it."""

    def __contains__(self, key: int, /) -> bool: ...
    def add(self, key: int, /) -> object: ...


def hash_text(text: str) -> int:
    """64-bit hash of the text's normal form."""
    return xxhash.xxh3_64_intdigest(normal_form(text).encode("utf-8", "replace"))


class Verdict(NamedTuple):
    """What became of a text.

    Attributes:
        text: what is left; "" where the text is dropped.
        reason: "" where it is kept.
        removed: paragraphs taken out of it that stood earlier, whether or not the rest is kept.
        near: those taken out because most of their word runs stood earlier, see `near`.
    """

    text: str
    reason: DropReason | Literal[""]
    removed: tuple[str, ...]
    near: tuple[str, ...] = ()


class DuplicateFilter:
    """Drops texts seen before and takes out long paragraphs seen before, in order of arrival.

    Args:
        min_width: paragraphs of fewer characters (Chinese ones count twice) are never taken out.
        code_factor: for source code only paragraphs so many times longer are.
        enough: whether what is left of a text is worth keeping.
        remove_paragraphs: False leaves paragraphs alone.
        documents, seen: sets to fill; shared ones deduplicate across corpora.
        shingles: what near copies are found by; None looks for exact ones only. Paragraphs of
            source code are spared, as they say nearly the same for good reasons; a whole file
            that does is not.
        max_seen: how much of a paragraph and of a document may have stood earlier.
    """

    def __init__(
        self,
        *,
        min_width: int,
        enough: Callable[[str], bool],
        remove_paragraphs: bool = True,
        code_factor: int = 4,
        documents: SeenSet | None = None,
        seen: SeenSet | None = None,
        shingles: ShingleMemory | None = None,
        max_seen: SeenShares | None = None,
    ) -> None:
        self._shingles = shingles
        self._max_seen = max_seen or SeenShares()
        self._min_width = min_width
        self._enough = enough
        self._remove = remove_paragraphs
        self._code_factor = code_factor
        self._documents: SeenSet = HashSet64() if documents is None else documents
        self._seen: SeenSet = HashSet64() if seen is None else seen

    def check(self, text: str, *, is_code: bool = False) -> Verdict:
        """Judge one text; only a text that is kept is remembered."""
        whole = hash_text(text)
        if whole in self._documents:
            return Verdict("", "exact-duplicate", ())
        pieces = paragraphs(text)
        found = self._shingles.look(pieces) if self._shingles is not None else None
        limit = self._min_width * (self._code_factor if is_code else 1)
        kept: list[bool] = []
        removed: list[str] = []
        near: list[str] = []
        new: set[int] = set()
        for number, piece in enumerate(pieces):
            kept.append(True)
            if not self._remove or 2 * len(piece) < limit or width(piece.strip()) < limit:
                continue
            key = hash_text(piece)
            if key in new or key in self._seen:
                removed.append(piece)
                kept[-1] = False
            elif (
                found is not None
                and not is_code
                and found.share_of_piece(number) > self._max_seen.paragraph
            ):
                near.append(piece)
                kept[-1] = False
            else:
                new.add(key)
        rest = whole
        if removed or near:
            text = join_paragraphs(
                [piece for piece, keep in zip(pieces, kept, strict=True) if keep]
            )
            if not self._enough(text):
                reason: DropReason = "repeated-paragraph" if removed else "near-repeated-paragraph"
                return Verdict("", reason, tuple(removed), tuple(near))
            rest = hash_text(text)
            if rest in self._documents:
                return Verdict("", "exact-duplicate", ())
        if found is not None and self._shingles is not None:
            if found.share_of_rest(kept) > self._max_seen.document:
                return Verdict("", "near-duplicate", ())
            self._shingles.remember(found)
        self._documents.add(whole)
        self._documents.add(rest)
        for key in new:
            self._seen.add(key)
        return Verdict(text, "", tuple(removed), tuple(near))


def deduplicate_slowly(
    texts: Iterable[str], *, min_width: int, enough: Callable[[str], bool]
) -> Iterator[Verdict]:
    """The same judgement, of exact copies, from plain sets of whole strings: for tests and for
    reading. `near.share_seen_slowly` is its twin for near copies."""
    documents: set[str] = set()
    seen: set[str] = set()
    for text in texts:
        if normal_form(text) in documents:
            yield Verdict("", "exact-duplicate", ())
            continue
        here: set[str] = set()
        kept, removed = [], []
        for piece in paragraphs(text):
            form = normal_form(piece)
            if width(piece.strip()) < min_width or form not in seen | here:
                kept.append(piece)
                if width(piece.strip()) >= min_width:
                    here.add(form)
            else:
                removed.append(piece)
        rest = join_paragraphs(kept) if removed else text
        if removed and not enough(rest):
            yield Verdict("", "repeated-paragraph", tuple(removed))
        elif removed and normal_form(rest) in documents:
            yield Verdict("", "exact-duplicate", ())
        else:
            documents |= {normal_form(text), normal_form(rest)}
            seen |= here
            yield Verdict(rest, "", tuple(removed))
