"""Dropout and weight decay as functions of how well a model could know its text by heart."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# (rereading, dropout) and (rereading, factor on weight decay). Where a model would not know its
# text by heart both do harm: of 5 MB of novels that are read ten times in ten minutes, rereading 5
# to 7, dropout of 0.19 with ten times the decay costs a decoder 7 to 11% (LOG.md). They rescue
# texts of 50,000 tokens from 8 readings of 0.2M parameters on (rereading 28) and of 150,000 from 16
# on (22), and cost 2% at 10. Tuned decay grows about thirtyfold with many epochs (arXiv
# 2509.14786); these are the cautious start of it.
DROPOUT = ((12.0, 0.0), (24.0, 0.15), (48.0, 0.2))
DECAY = ((12.0, 1.0), (24.0, 3.0), (48.0, 10.0))
RECURRENT = 6.0
"""How many times sooner recurrent networks want both: an LSTM of 1.05M parameters on the same text
(rereading 8) is 1.6% better with them."""


class Regularisation(NamedTuple):
    """Attributes:
    dropout: share of activations set to zero.
    weight_decay: decoupled, for `OptimizerConfig`.
    """

    dropout: float
    weight_decay: float


def regularisation(times: float, *, weight_decay: float = 0.1) -> Regularisation:
    """What suits a run; between the points above, straight lines over the logarithm of `times` (of
    the logarithm of the factor, for decay).

    Models beside an n-gram table want dropout sooner, and plans give it (docs/design/scaling.md).

    Args:
        times: parameters that every token is multiplied by, times readings after the first, for
            each token of the text: `scaling.plan.rereading`. For a recurrent network `RECURRENT`
            times that.
        weight_decay: for a run of one reading.
    """
    x = math.log(max(1e-9, times))
    dropout = np.interp(x, [math.log(e) for e, _ in DROPOUT], [d for _, d in DROPOUT])
    factor = np.interp(x, [math.log(e) for e, _ in DECAY], [math.log(f) for _, f in DECAY])
    return Regularisation(float(dropout), weight_decay * math.exp(float(factor)))
