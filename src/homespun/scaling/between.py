"""A law for a text between those that laws were fitted to, by how much it repeats itself.

Novels and documentation differ in more than how hard they are. Documentation says the same things
again and again, so a model that has learned to copy foretells it far better, and the more so the
longer it has trained: the loss falls faster, to a lower floor. A pilot of seconds ends before that
shows. How much a text repeats itself, though, is counted in a moment, without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from homespun.scaling.law import Constants, Law, TableCurve, read_law
from homespun.scaling.loss import NAMES, Array

ORDER = 2
ROW, MOST_ROWS = 256, 256
# The count depends a little on the tokenizer, and on what was held out.
NEAR = 0.15


def repetition(ids: Sequence[int] | Any) -> float:
    """The share of tokens that copying would foretell: what followed the same two tokens when they
    were last met in the row.

    Args:
        ids: a text in a vocabulary of words and their parts (in one of bytes or characters, two
            say nothing). Rows of `ROW` tokens are counted, `MOST_ROWS` of a longer text, spread
            over all of it.

    Returns:
        0.02 for English novels, 0.15 for Python's documentation (V 2,048).
    """
    num_rows = max(1, (len(ids) - 1) // ROW)
    chosen = np.unique(np.linspace(0, num_rows - 1, min(num_rows, MOST_ROWS)).astype(int))
    num_right = num_tokens = 0
    for number in chosen:
        row = [int(token) for token in np.asarray(ids[number * ROW : (number + 1) * ROW + 1])]
        followed: dict[tuple[int, ...], int] = {}
        for end in range(ORDER, len(row)):
            seen = tuple(row[end - ORDER : end])
            num_right += followed.get(seen) == row[end]
            followed[seen] = row[end]
        num_tokens += max(0, len(row) - 1)
    return num_right / max(1, num_tokens)


def law_for(preset: str, repeats: float | None) -> Law:
    """The law that comes with Homespun for texts that repeat themselves so much.

    Args:
        repeats: `repetition` of the text; None for the law of novels.
    """
    first = read_law(preset=preset)
    if repeats is None:
        return first
    return between(first, read_law(preset=preset, repeats=True), repeats)


def between(first: Law, second: Law, repeats: float) -> Law:
    """The law of a text whose repetition lies between those of two others.

    Each term of the loss is a geometric mean of theirs, in bits per byte and with data counted in
    bytes, so that their tokenizers may differ; so is the loss of the tables they stand beside. A
    text beyond either end, or near it, is taken to be like it. The draws of the two bootstraps are
    paired.

    Raises:
        ValueError: nobody has counted how much their texts repeat themselves.
    """
    if first.repetition is None or second.repetition is None:
        raise ValueError("laws without the repetition of their texts have nothing between them")
    span = second.repetition - first.repetition
    share = (repeats - first.repetition) / span
    if share < NEAR:
        return first
    if share > 1 - NEAR:
        return second
    theirs = np.array([second.constants.vector(), *second.draws])
    ours = np.array([first.constants.vector(), *first.draws])
    num = min(len(ours), len(theirs))
    theirs = _in_tokens_of(first, second, theirs[:num])
    mixed = (1 - share) * ours[:num] + share * theirs
    return first.model_copy(
        update={
            "corpus": f"{first.corpus} and {second.corpus}",
            "repetition": repeats,
            "constants": Constants.of(mixed[0]),
            "draws": [[float(value) for value in row] for row in mixed[1:]],
            "noise": max(first.noise, second.noise),
            "drift": max(first.drift, second.drift),
            "provisional": first.provisional or second.provisional,
            "runs_sha256": f"{first.runs_sha256} {second.runs_sha256}",
            "least_tokens": max(
                first.least_tokens,
                second.least_tokens * second.bytes_per_token / first.bytes_per_token,
            ),
            "valid": _valid(first, second),
            "table": _table(first, second, share),
            "sharpness": (1 - share) * first.sharpness + share * second.sharpness,
            "curve": _band(first, second),
        }
    )


def _in_tokens_of(law: Law, other: Law, theta: Array) -> Array:
    """Constants of the other law for nats and data in tokens of this one."""
    longer = np.log(law.bytes_per_token / other.bytes_per_token)
    theta = theta.copy()
    a, b, beta = (NAMES.index(name) for name in ("a", "b", "beta"))
    theta[:, [NAMES.index("e"), a, b]] += longer
    theta[:, b] -= theta[:, beta] * longer
    return theta


def _valid(first: Law, second: Law) -> dict[str, tuple[float, float]]:
    """What either was fitted to, tokens as the first counts them."""
    longer = second.bytes_per_token / first.bytes_per_token
    found = {}
    for name, (low, high) in first.valid.items():
        unit = longer if name in ("tokens", "products") else 1.0
        theirs = second.valid[name]
        found[name] = (min(low, unit * theirs[0]), max(high, unit * theirs[1]))
    return found


def _table(first: Law, second: Law, share: float) -> TableCurve | None:
    if first.table is None or second.table is None:
        return None
    longer = first.bytes_per_token / second.bytes_per_token
    points = []
    for counted, ours in first.table.points:
        theirs = longer * float(second.table.loss(counted * longer))
        points.append((counted, float(ours ** (1 - share) * theirs**share)))
    return TableCurve(order=first.table.order, points=points)


def _band(first: Law, second: Law) -> list[tuple[float, float, float]]:
    """As wide as both."""
    theirs = {share: (low, high) for share, low, high in second.curve}
    return [
        (share, min(low, theirs[share][0]), max(high, theirs[share][1]))
        for share, low, high in first.curve
        if share in theirs
    ]
