"""Texts as one stream of tokens, and where words begin in it.

Shape letters: N tokens of a stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from homespun.core.files import atomic_path
from homespun.evaluation.pieces import batched_texts
from homespun.recipes.counted.begun import Segment

if TYPE_CHECKING:
    from homespun.tokenizer.pieces import PieceTokenizer

_AT_ONCE = 500_000
"""Characters: what the tokenizer says of each takes a hundred bytes."""
_HAN: Any = regex.compile(r"\p{Han}+")  # type: ignore[no-untyped-call]


class MarkedStream(NamedTuple):
    """`[SEP] [CLS] text [SEP] [CLS] text [SEP]`: both ends are alike, as rows that are cut from a
    ring of tokens want it.

    Attributes:
        ids_N: of tokens.
        begins_N: 1 where a word begins, 0 where one goes on.
    """

    ids_N: NDArray[np.int32]
    begins_N: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=self.ids_N, begins=self.begins_N)

    @classmethod
    def load(cls, path: Path) -> MarkedStream:
        with np.load(path, allow_pickle=False) as held:
            return cls(held["ids"], held["begins"])


def marked_stream(
    texts: Iterable[str], tokenizer: PieceTokenizer, *, words_of: Segment | None = None
) -> MarkedStream:
    """All texts, one after another.

    Args:
        words_of: the words of Chinese texts, which joined are the texts. None: every character is
            a word, as BERT has it.
    """
    ids: list[NDArray[np.int32]] = [np.array([tokenizer.end_id], np.int32)]
    begins: list[NDArray[np.uint8]] = [np.ones(1, np.uint8)]
    for some in batched_texts(texts, num_characters=_AT_ONCE):
        for text, pieces in zip(some, tokenizer.encode_batch(some), strict=True):
            ids.append(np.array(pieces.ids, np.int32))
            words = np.array(pieces.words)
            starts = np.ones(len(words), np.uint8)
            starts[1:] = words[1:] != words[:-1]
            if words_of is not None:
                within = _within_words(text, words_of)
                starts[[at for at, (a, _) in enumerate(pieces.offsets) if a in within]] = 0
            begins.append(starts)
    return MarkedStream(np.concatenate(ids), np.concatenate(begins))


def _within_words(text: str, words_of: Segment) -> set[int]:
    """Places of Chinese characters that do not begin a word."""
    runs = list(_HAN.finditer(text))
    found: set[int] = set()
    for run, words in zip(runs, words_of([run[0] for run in runs]), strict=True):
        place = run.start()
        for word in words:
            found.update(range(place + 1, place + len(word)))
            place += len(word)
    return found
