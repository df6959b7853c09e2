"""Dropout and weight decay as functions of how often the data is seen."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# (epochs, dropout): none while the text is as good as new, 0.1 from four epochs on, more where it
# is learned by heart. (epochs, factor on weight decay): tuned decay grows about thirtyfold with
# many epochs (arXiv 2509.14786); these are the cautious start of it. At our size they rescue small
# texts that are read many times (50,000 tokens from 8 readings on, 150,000 from 16), mostly by the
# dropout, and cost 2 to 3% where there is nothing to rescue, so plans leave them out unless they
# are asked for (LOG.md). No better points were fitted.
DROPOUT = ((2.0, 0.0), (4.0, 0.1), (15.0, 0.2))
DECAY = ((2.0, 1.0), (4.0, 3.0), (8.0, 10.0))


class Regularisation(NamedTuple):
    """Attributes:
    dropout: share of activations set to zero.
    weight_decay: decoupled, for `OptimizerConfig`.
    """

    dropout: float
    weight_decay: float


def regularisation(epochs: float, *, weight_decay: float = 0.1) -> Regularisation:
    """What suits a run that sees its data `epochs` times; between the points above, straight
    lines over the logarithm of the epochs (of the logarithm of the factor, for decay).

    Args:
        epochs: above 0.
        weight_decay: for a run of one epoch.
    """
    x = math.log(epochs)
    dropout = np.interp(x, [math.log(e) for e, _ in DROPOUT], [d for _, d in DROPOUT])
    factor = np.interp(x, [math.log(e) for e, _ in DECAY], [math.log(f) for _, f in DECAY])
    return Regularisation(float(dropout), weight_decay * math.exp(float(factor)))
