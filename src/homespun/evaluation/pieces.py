"""Texts cut and drawn for scoring: the same pieces for every model."""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from homespun.classic import count_han
from homespun.core import derive_seed

# Books are scored in pieces of this many characters, so that a part of one can be scored where
# time is short. A piece costs a few tokens of history and one end mark: about 0.1% of its bits.
PIECE_CHARACTERS = 50_000
# Of a text's characters, from which it counts as written in Han characters: Chinese text has more
# than half (the rest is punctuation, spaces and numbers), other text next to none.
HAN_SHARE = 0.3


def cut_documents(texts: Iterable[str], *, max_characters: int = PIECE_CHARACTERS) -> list[str]:
    """Cut long documents into pieces, at a line's end where there is one in the second half.

    The pieces of a document joined are the document. Baselines and models are scored on the same
    pieces.
    """
    pieces: list[str] = []
    for text in texts:
        start = 0
        while len(text) - start > max_characters:
            half = start + max_characters // 2
            stop = text.rfind("\n", half, start + max_characters) + 1 or start + max_characters
            pieces.append(text[start:stop])
            start = stop
        pieces.append(text[start:])
    return pieces


def is_han(text: str) -> bool:
    """Whether more than `HAN_SHARE` of the characters (of a thousand, evenly taken) are Han."""
    some = text[:: max(1, len(text) // 1000)]
    return count_han(some) > HAN_SHARE * len(some)


def han_share(texts: Iterable[str]) -> float:
    """Share of UTF-8 bytes in texts written in Han characters; 0 where there is no text."""
    sizes = {True: 0, False: 0}
    for text in texts:
        sizes[is_han(text)] += len(text.encode("utf-8"))
    return sizes[True] / max(1, sum(sizes.values()))


def sample_like(
    texts: Iterable[str], like: Iterable[str], *, seed: int, deadline: float | None = None
) -> list[str]:
    """Pieces drawn at random with as many bytes as `like` in each script, in one pass.

    Languages cost different numbers of bits per byte, so a sample with another mix could not be
    compared with `like`. Every piece gets a random key; those with the smallest keys are kept, the
    last one of a script cut to size. The scripts are interleaved: the first pieces have about the
    mix of all.

    Args:
        texts: documents; long ones are cut (`cut_documents`).
        like: what the sample is to be compared with.
        seed: of the keys.
        deadline: time.monotonic() after which no more is read.

    Returns:
        The pieces; fewer bytes of a script where `texts` have no more of it.
    """
    random = np.random.Generator(np.random.PCG64(derive_seed(seed, "evaluation", "train")))
    wanted = {True: 0, False: 0}
    for text in like:
        wanted[is_han(text)] += len(text.encode("utf-8"))
    kept: dict[bool, list[tuple[float, int, str]]] = {True: [], False: []}  # largest key first
    total = {True: 0, False: 0}
    for text in texts:
        for piece in cut_documents([text]):
            key, script = -float(random.random()), is_han(piece)
            size = len(piece.encode("utf-8"))
            heapq.heappush(kept[script], (key, size, piece))
            total[script] += size
            while kept[script] and total[script] - kept[script][0][1] >= wanted[script]:
                total[script] -= heapq.heappop(kept[script])[1]
        if deadline is not None and time.monotonic() > deadline:
            break
    placed: list[tuple[float, str]] = []
    for script, heap in kept.items():
        done = 0
        for _, size, piece in sorted(heap, reverse=True):
            left = piece.encode("utf-8")[: wanted[script] - done].decode("utf-8", "ignore")
            placed.append((done / wanted[script], left))
            done += size
    return [piece for _, piece in sorted(placed, key=lambda found: found[0]) if piece]


def draw_documents(
    texts: Iterable[str], num_bytes: int, *, seed: int
) -> tuple[list[tuple[int, str]], bool]:
    """Whole documents drawn at random, at most `num_bytes` of UTF-8 (one at least), in one pass.

    Every document has the same chance wherever it stands, so that a part of a corpus has the
    languages and sources of the whole in about their shares.

    Returns:
        `(place in texts, document)` in random order, so that the first ones are a fair sample
        too; and whether these are all documents.
    """
    random = np.random.Generator(np.random.PCG64(derive_seed(seed, "baselines", "train")))
    kept: list[tuple[float, int, int, str]] = []  # a heap, the largest key first
    total = 0
    complete = True
    limit = 1.0  # keys from here on belong to documents left out
    for place, text in enumerate(texts):
        key = float(random.random())
        if key >= limit:
            continue
        size = len(text.encode("utf-8", "replace"))
        heapq.heappush(kept, (-key, place, size, text))
        total += size
        while total > num_bytes and len(kept) > 1:
            negative, _, size, _ = heapq.heappop(kept)
            total -= size
            limit = -negative
            complete = False
    return [(place, text) for _, place, _, text in sorted(kept, reverse=True)], complete


def digest_of(pieces: Sequence[str]) -> str:
    """sha256 of texts and where they end: equal where scores of single pieces belong together."""
    digest = hashlib.sha256()
    for piece in pieces:
        data = piece.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def batched_texts(texts: Iterable[str], *, num_characters: int) -> Iterator[list[str]]:
    """Lists of texts that end as soon as they hold `num_characters`; none is empty."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= num_characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
