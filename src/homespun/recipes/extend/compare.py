"""What a model gained and what it forgot: the same held-out pieces, scored before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import Config, DataError, Tokenizer

if TYPE_CHECKING:
    from homespun.models import Decoder

# Small enough that even a short text gives an interval, long enough to fill a context or two.
PIECE_CHARACTERS = (400, 4_000)
NUM_PIECES = 24
MAX_BYTES = 150_000
Scores = dict[str, dict[str, list[float]]]


class Difference(Config):
    """Bits per byte of one text before and after.

    Attributes:
        before, after: bits per byte.
        difference: after less before: below 0 is better.
        interval: 95% of `difference`, by bootstrap over pieces; None for fewer than eight.
        num_bytes: of the text that was scored.
        outcome: "better" or "worse" where the interval leaves no doubt, "unclear" where it holds 0,
            "unknown" where there is none.
    """

    before: float
    after: float
    difference: float
    interval: tuple[float, float] | None
    num_bytes: int
    outcome: str


def held_out_pieces(corpus_dir: Path, *, max_bytes: int = MAX_BYTES) -> list[str]:
    """Pieces of the validation text of a corpus, evenly over it, at most about `max_bytes`.

    Raises:
        DataError: there is none.
    """
    from homespun.corpus import iter_documents
    from homespun.evaluation.pieces import cut_documents

    texts = [document.text for document in iter_documents(corpus_dir, "validation")]
    least, most = PIECE_CHARACTERS
    wanted = sum(len(text) for text in texts) // NUM_PIECES
    pieces = cut_documents(texts, max_characters=min(most, max(least, wanted)))
    total = sum(len(piece.encode("utf-8")) for piece in pieces)
    if not total:
        raise DataError(
            f"{corpus_dir} has no validation text to measure with",
            remedy="add more text, in two documents at least: one of them is held out",
        )
    every = max(1, -(-total // max_bytes))
    return pieces[::every]


def score(
    model: Decoder, tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]], **settings: Any
) -> Scores:
    """Nats and bytes of every piece of every text, JSON values. Keyword arguments are those of
    `score_documents`."""
    from homespun.evaluation import score_documents
    from homespun.evaluation.bits_per_byte import evaluating

    found: Scores = {}
    with evaluating(model):
        for name, pieces in texts.items():
            scores = score_documents(model, tokenizer, pieces, **settings)
            found[name] = {
                "nats": [round(float(nats), 6) for nats in scores.nats],
                "bytes": [int(num) for num in scores.num_bytes],
                "tokens": [int(num) for num in scores.num_tokens],
            }
    return found


def compare(before: Scores, after: Scores, *, seed: int) -> dict[str, Difference]:
    """The differences, text by text; the interval is of paired pieces."""
    import numpy as np

    from homespun.evaluation import bootstrap_ratio

    found = {}
    for name, old in before.items():
        bits = np.array(old["nats"]) / np.log(2), np.array(after[name]["nats"]) / np.log(2)
        sizes = np.array(old["bytes"], dtype=np.float64)
        interval = bootstrap_ratio(bits[1] - bits[0], sizes, seed=seed)
        found[name] = Difference(
            before=round(float(bits[0].sum() / sizes.sum()), 5),
            after=round(float(bits[1].sum() / sizes.sum()), 5),
            difference=round(float((bits[1] - bits[0]).sum() / sizes.sum()), 5),
            interval=None if interval is None else (round(interval[0], 5), round(interval[1], 5)),
            num_bytes=int(sizes.sum()),
            outcome=_outcome(interval),
        )
    return found


def _outcome(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "unknown"
    low, high = interval
    return "better" if high < 0 else "worse" if low > 0 else "unclear"


def in_numbers(change: Difference) -> str:
    """ "2.310 to 1.898 bits per byte, -0.412 with 95% between -0.43 and -0.39"."""
    text = f"{change.before:.3f} to {change.after:.3f} bits per byte, {change.difference:+.3f}"
    if change.interval is None:
        return f"{text}; that is too little text to tell it from chance"
    return f"{text} with 95% between {change.interval[0]:+.3f} and {change.interval[1]:+.3f}"
