"""Words and their numbers, with the three marks that every ARPA file knows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError

UNKNOWN, START, END = "<unk>", "<s>", "</s>"
MARKS = (UNKNOWN, START, END)
UNKNOWN_ID, START_ID, END_ID = range(3)


class Vocabulary:
    """A number for each word: 0 for `<unk>`, 1 for `<s>`, 2 for `</s>`, then the words.

    A mark in the text itself is no mark but an unknown word, so that no text can end a sentence.

    Args:
        words: without the marks, each once.

    Raises:
        DataError: a word twice, or a mark among them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = (*MARKS, *words)
        self._ids = {word: number for number, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise DataError(
                "a vocabulary has each word once, and the marks not at all",
                got=f"{len(self.words)} with the marks, {len(self._ids)} different",
                remedy="give each word once",
            )
        self._ids.update(dict.fromkeys(MARKS, UNKNOWN_ID))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return self._ids.get(word, UNKNOWN_ID) != UNKNOWN_ID

    def encode(self, words: Sequence[str]) -> list[int]:
        """Numbers of `words`, that of `<unk>` for those it does not have."""
        get = self._ids.get
        return [get(word, UNKNOWN_ID) for word in words]

    def stream(self, sentences: Iterable[Sequence[str]]) -> NDArray[np.int32]:
        """All sentences one after another as int32, each between `<s>` and `</s>`."""
        ids = array("i")
        for sentence in sentences:
            ids.append(START_ID)
            ids.extend(self.encode(sentence))
            ids.append(END_ID)
        return np.array(ids, dtype=np.int32)


class _Growing(dict[str, int]):
    """The next number for a word it does not have."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def read_sentences(
    sentences: Iterable[Sequence[str]], *, min_count: int = 1, max_words: int | None = None
) -> tuple[Vocabulary, NDArray[np.int32]]:
    """The vocabulary of a text, and the text as a stream of its numbers, in one pass.

    Words are numbered from the most frequent down, equals by their code points. The stream takes
    four bytes a token.

    Args:
        sentences: each a sequence of words.
        min_count: rarer words are `<unk>`.
        max_words: most of them that are kept, the marks not counted; None keeps all.

    Raises:
        ConfigError: a number below 1.
        DataError: no sentences.
    """
    if min_count < 1 or (max_words is not None and max_words < 1):
        raise ConfigError(
            "a vocabulary's limits are 1 or more",
            got=(min_count, max_words),
            remedy="leave out what should not limit it",
        )
    growing = _Growing({mark: number for number, mark in enumerate(MARKS)})
    number_of = growing.__getitem__
    ids = array("i")
    for sentence in sentences:
        ids.append(START_ID)
        at = len(ids)
        ids.extend(map(number_of, sentence))
        if any(mark in sentence for mark in MARKS):
            ids[at:] = array("i", (n if n > END_ID else UNKNOWN_ID for n in ids[at:]))
        ids.append(END_ID)
    if not ids:
        raise DataError("there is no text to count", remedy="give at least one sentence")
    stream = np.frombuffer(ids, dtype=np.int32)
    counts = np.bincount(stream, minlength=len(growing))[len(MARKS) :].tolist()
    words = list(growing)[len(MARKS) :]
    kept = [number for number, count in enumerate(counts) if count >= min_count]
    kept.sort(key=lambda number: (-counts[number], words[number]))
    vocabulary = Vocabulary(words[number] for number in kept[:max_words])
    new_ids = np.full(len(growing), UNKNOWN_ID, dtype=np.int32)
    new_ids[: len(MARKS)] = range(len(MARKS))
    new_ids[np.array(kept[:max_words], dtype=np.int64) + len(MARKS)] = np.arange(
        len(MARKS), len(vocabulary), dtype=np.int32
    )
    return vocabulary, new_ids[stream]
