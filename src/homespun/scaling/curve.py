"""Where the training loss of a run should lie on the way, by the law and by runs of its sweep.

The law speaks of runs that have come to their end, rates decayed to nothing. A run that is under
way at its full rate lies above what a run that ended with these tokens would reach, by a tenth or
so, and comes down in the decay; how far, the curves of the sweep's own runs tell: at each share of
a run, the least and the most that any of them had of the law's loss at the tokens it had read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from homespun.scaling.law import Law, losses
from homespun.scaling.loss import Array
from homespun.scaling.runs import ScaleRun

SHARES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WINDOW = 64  # steps that a loss on the way is the median of, as where a run is watched
_FEWEST_STEPS = 200


class Curve(NamedTuple):
    """The steps of one run: tokens read after each and its loss, (n,) both."""

    tokens: Array
    losses: Array


def with_curve(law: Law, runs: Sequence[ScaleRun], curves: Mapping[str, Curve]) -> Law:
    """The law with the band of these runs, by key; those that read text twice, or made too few
    steps, tell nothing of it. Where the law does not hold of runs of fewer tokens than so many, a
    run tells nothing before it has read these, since on the way it is as short; the band begins
    with the share that two runs tell something of.
    """
    rows = [
        ratios(law, run, curves[run.key])
        for run in runs
        if run.key in curves
        and run.tokens <= run.unique_tokens
        and len(curves[run.key].tokens) >= _FEWEST_STEPS
    ]
    fewest = 2 if law.least_tokens else 1
    band = []
    for share, column in zip(SHARES, np.array(rows).T, strict=True) if rows else ():
        told = column[np.isfinite(column)]
        if len(told) >= fewest:
            band.append((share, round(float(told.min()), 4), round(float(told.max()), 4)))
    return law.model_copy(update={"curve": band})


def ratios(law: Law, run: ScaleRun, curve: Curve) -> Array:
    """At each of `SHARES`, the run's median loss over the law's at the tokens read so far; NaN
    where these are too few for the law."""
    ends = [max(1, round(share * len(curve.tokens))) for share in SHARES]
    medians = np.array([np.median(curve.losses[max(0, end - WINDOW) : end]) for end in ends])
    read = np.array([curve.tokens[end - 1] for end in ends])
    told = losses(law, float(run.counted(law.counting)), read, float(run.unique_tokens))
    return np.where(read >= law.least_tokens, medians / told, np.nan)


def band_at(law: Law, share: float) -> tuple[float, float] | None:
    """(low, high) of the ratio at a share of a run; None where the law has no band, or none yet.

    Before the first share of a law that holds of short runs too, the band is that of this share.
    """
    if not law.curve or (law.least_tokens and share < law.curve[0][0]):
        return None
    shares, low, high = (np.array(column) for column in zip(*law.curve, strict=True))
    return float(np.interp(share, shares, low)), float(np.interp(share, shares, high))
