"""From ordinary text to ids, as fast as can be; `reference` does the same the plain way."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Protocol

import gigatoken
import numpy as np
from numpy.typing import NDArray

from homespun.core.text import nfc
from homespun.tokenizer.layout import Merge, Vocabulary, build_document


def normalise(text: str) -> str:
    """NFC, and `whole`."""
    return whole(nfc(text))


def whole(text: str) -> str:
    """With lone surrogates, which are no characters and have no UTF-8, as U+FFFD: as long as it
    was."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


class Encoder(Protocol):
    """Ordinary NFC text to ids."""

    def encode(self, text: str) -> NDArray[np.uint32]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]: ...


def make_encoder(vocabulary: Vocabulary) -> Encoder:
    """The encoder for a vocabulary's kind."""
    if vocabulary.kind == "bpe":
        return MergeEncoder(vocabulary)
    return TableEncoder(vocabulary)


_FEW_TEXTS, _FEW_CHARACTERS = 64, 65_536
"""Up to here, one after another is faster: handing texts to threads takes 0.1 ms."""


class MergeEncoder:
    """BPE by `gigatoken`, which is handed no control tokens and so can emit none."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        document = build_document(vocabulary.kind, vocabulary.tokens, vocabulary.merges)
        # NFC is done before, by Python: one version of the Unicode tables decides.
        document |= {"added_tokens": [], "normalizer": None}
        self._backend = gigatoken.Tokenizer.from_json(json.dumps(document))

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.asarray(self._backend.encode(text), dtype=np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        if sum(map(len, texts)) <= _FEW_CHARACTERS and len(texts) <= _FEW_TEXTS:
            return [self.encode(text) for text in texts]
        rows = self._backend.encode_batch(list(texts)).layout
        offsets = np.asarray(rows.offsets)
        ids = np.asarray(rows.content.data, dtype=np.uint32)
        return [ids[start:stop] for start, stop in pairwise(offsets.tolist())]


class TableEncoder:
    """One look-up per character; a character without a token becomes its UTF-8 bytes."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        known = {byte: byte for byte in range(128)}
        for index, token in enumerate(vocabulary.tokens[256:], start=256):
            known[ord(token.decode("utf-8"))] = index
        # Only as long as the highest known character needs; one more entry for all beyond.
        self._id_of: NDArray[np.int32] = np.full(max(known) + 2, -1, dtype=np.int32)
        self._id_of[list(known)] = list(known.values())

    def encode(self, text: str) -> NDArray[np.uint32]:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        ids = self._id_of[np.minimum(codes, len(self._id_of) - 1)]
        unknown = ids < 0
        if not unknown.any():
            return np.asarray(ids, dtype=np.uint32)
        # UTF-8 takes 2 bytes from U+0080, 3 from U+0800, 4 from U+10000 (RFC 3629, section 3).
        lengths = 1 + np.digitize(codes, [0x80, 0x800, 0x10000])
        spelled = np.repeat(unknown, np.where(unknown, lengths, 1))
        out: NDArray[np.uint32] = np.empty(len(spelled), dtype=np.uint32)
        out[~spelled] = ids[~unknown]
        unknown_text = codes[unknown].tobytes().decode("utf-32-le")
        out[spelled] = np.frombuffer(unknown_text.encode("utf-8"), dtype=np.uint8)
        return out

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]


def join_pairs(
    parts: Sequence[bytes],
    ranks: Mapping[Merge, int],
    *,
    dropped: float = 0.0,
    draw: random.Random | None = None,
) -> list[bytes]:
    """One word by its merges: the pair of lowest rank, of equal ones the leftmost, is joined, until
    none is left. Time is that of sorting, however long the word; `join_pairs_obvious` does
    the same.

    Args:
        parts: of the word, mostly single bytes.
        ranks: of each merge.
        dropped: chance of each pair to be left out of a choice; with `draw`.
        draw: where that is drawn from.
    """
    texts = list(parts)
    end = len(texts)
    after, before = list(range(1, end + 1)), list(range(-1, end - 1))
    queue = [(ranks[p], place) for place, p in enumerate(pairwise(texts)) if p in ranks]
    heapify(queue)
    left_out: list[tuple[int, int]] = []
    while queue:
        rank, place = heappop(queue)
        right = after[place]
        # Parts only grow, so what an entry was made for either is still there or never comes back.
        if right >= end or ranks.get((texts[place], texts[right])) != rank:
            continue
        if draw is not None and draw.random() < dropped:
            left_out.append((rank, place))
            continue
        texts[place] += texts[right]
        texts[right] = b""
        after[place] = following = after[right]
        after[right] = end
        if following < end:
            before[following] = place
        for entry in left_out:
            heappush(queue, entry)
        left_out.clear()
        for first, second in ((before[place], place), (place, following)):
            if first >= 0 and second < end:
                found = ranks.get((texts[first], texts[second]))
                if found is not None:
                    heappush(queue, (found, first))
    return [text for text in texts if text]


def join_pairs_obvious(
    parts: Sequence[bytes],
    ranks: Mapping[Merge, int],
    *,
    dropped: float = 0.0,
    draw: random.Random | None = None,
) -> list[bytes]:
    """One word by its merges, some of them left out at random: look at all pairs for every join."""
    parts = list(parts)
    while True:
        known = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        taken = (at for _, at in sorted(known) if draw is None or draw.random() >= dropped)
        place = next(taken, None)
        if place is None:
            return parts
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
