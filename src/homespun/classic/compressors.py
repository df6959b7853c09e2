"""xz as a language model: what a good general compressor, given the training text, pays.

A compressor that has read the training text and then the validation text spends
`size(training + validation) - size(training)` bytes on the latter. That number of bits is a
minus log probability in all but name, so it compares with any model's bits per byte.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from homespun.core import Score

# One byte that clean text does not contain. It ends every document, as the end-of-text mark does.
END_MARK = b"\x00"
# The encoder takes about 11.5 times its window in memory (liblzma, bt4 match finder).
MAX_TRAINING_BYTES = 64 * 1024 * 1024
_MIN_WINDOW = 1 << 16
# Up to this window the two compressions run side by side (liblzma lets go of the interpreter).
_SIDE_BY_SIDE_WINDOW = 24 * 1024 * 1024


def join_documents(texts: Iterable[str]) -> bytes:
    """UTF-8 of the documents, each followed by one zero byte."""
    return b"".join(text.encode("utf-8", "replace") + END_MARK for text in texts)


def xz_size(data: bytes, *, window: int) -> int:
    """Bytes of `data` as a raw LZMA2 stream at preset 9 extreme, without container or checksum.

    Args:
        data: what to compress.
        window: how far back a match may lie, in bytes.
    """
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": max(_MIN_WINDOW, window),
        }
    ]
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))


class XzLanguageModel:
    """xz with a window that covers the training text and the text to score.

    It reads its texts as one, so a score depends on their order and does not add up over calls.

    Args:
        training: joined training documents; only the last `max_training_bytes` are used, since
            memory grows with the window (about 12 bytes a byte).
        max_training_bytes: that limit.
    """

    name = "xz"

    def __init__(self, training: bytes, *, max_training_bytes: int = MAX_TRAINING_BYTES) -> None:
        self.num_training_bytes = min(len(training), max_training_bytes)
        self._training = training[len(training) - self.num_training_bytes :]

    def score(self, texts: Sequence[str]) -> Score:
        """Extra bits that `texts` cost after the training text, as nats."""
        added = join_documents(texts)
        if not added:
            return Score(nats=0.0, num_bytes=0, num_tokens=0)
        window = len(self._training) + len(added)
        texts_joined = [self._training + added, self._training] if self._training else [added]
        workers = 2 if window <= _SIDE_BY_SIDE_WINDOW else 1
        with ThreadPoolExecutor(workers) as pool:
            sizes = list(pool.map(lambda data: xz_size(data, window=window), texts_joined))
        size = sizes[0] - (sizes[1] if self._training else 0)
        num_bytes = len(added) - len(texts)
        return Score(nats=size * 8 * math.log(2), num_bytes=num_bytes, num_tokens=len(added))
