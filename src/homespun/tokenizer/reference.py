"""The tokenizer again, slow and obvious: read this to see what BPE does.

Nothing uses it but the tests, which check that the fast trainer and encoder agree with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import regex

from homespun.tokenizer.layout import BYTE_CHARACTERS, WORD_PATTERNS, Merge

_finditer: Callable[[str, str], Iterator[re.Match[str]]] = regex.finditer  # knows \p{…}


def split_words(text: str) -> list[str]:
    """Cut text into words: each pattern in turn cuts what the patterns before left uncut."""
    pieces = [(unicodedata.normalize("NFC", text), False)]
    for pattern in WORD_PATTERNS:
        pieces = [
            new
            for piece, is_word in pieces
            for new in ([(piece, True)] if is_word else _isolate(pattern, piece))
        ]
    return [piece for piece, _ in pieces]


def _isolate(pattern: str, text: str) -> list[tuple[str, bool]]:
    pieces = []
    end = 0
    for match in _finditer(pattern, text):
        pieces += [(text[end : match.start()], False), (match.group(), True)]
        end = match.end()
    return [(piece, is_word) for piece, is_word in [*pieces, (text[end:], False)] if piece]


def train_merges(
    texts: Iterable[str], *, num_tokens: int, min_count: int = 2, max_token_bytes: int = 32
) -> list[Merge]:
    """Learn merges: again and again join the pair of neighbours that occurs most often.

    Of pairs that occur equally often, the one with the lower ids wins, where the bytes are ordered
    as their printable characters (that is how the `tokenizers` library numbers them).

    Args:
        texts: to learn from.
        num_tokens: how many tokens to add to the 256 bytes, at most.
        min_count: pairs that occur more rarely are not joined.
        max_token_bytes: pairs that would give a longer token are not joined.
    """
    counts = Counter(word for text in texts for word in split_words(text))
    words = [[bytes([byte]) for byte in word.encode("utf-8")] for word in counts]
    order = sorted(range(256), key=lambda byte: BYTE_CHARACTERS[byte])
    rank = {bytes([byte]): place for place, byte in enumerate(order)}
    merges: list[Merge] = []
    while len(rank) < 256 + num_tokens:
        pairs: Counter[Merge] = Counter()
        for word, count in zip(words, counts.values(), strict=True):
            for left, right in pairwise(word):
                if len(left + right) <= max_token_bytes:
                    pairs[left, right] += count
        pairs = Counter({pair: n for pair, n in pairs.items() if n >= min_count})
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], rank[pair[0]], rank[pair[1]]))
        merges.append(best)
        rank.setdefault(best[0] + best[1], len(rank))
        words = [join(word, best) for word in words]
    return merges


def join(word: Sequence[bytes], pair: Merge) -> list[bytes]:
    """Join every occurrence of `pair` in `word`, from the left."""
    joined: list[bytes] = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            joined.append(word[place] + word[place + 1])
            place += 2
        else:
            joined.append(word[place])
            place += 1
    return joined


def encode(text: str, *, tokens: Sequence[bytes], merges: Sequence[Merge]) -> list[int]:
    """Ids of `text`: in each word, join the pair that was learned first, until none is left."""
    rank = {pair: place for place, pair in enumerate(merges)}
    ids = {token: index for index, token in enumerate(tokens)}
    encoded: list[int] = []
    for split in split_words(text):
        word = [bytes([byte]) for byte in split.encode("utf-8")]
        while pairs := [pair for pair in pairwise(word) if pair in rank]:
            word = join(word, min(pairs, key=lambda pair: rank[pair]))
        encoded += [ids[token] for token in word]
    return encoded
