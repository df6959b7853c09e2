"""What computes: reads ids into blocks of the cache and gives the scores of what may come next.

work          what a runner is asked and what it answers
torch_runner  any decoder, by torch, over blocks
vectors       texts as vectors: the mean of a decoder's last states

The compiled one is in `native`.
"""

from homespun.inference.runners.torch_runner import TorchRunner
from homespun.inference.runners.work import (
    BurstRow,
    CachedDecoder,
    Outcome,
    Results,
    Runner,
    Work,
    look_back,
    network_states,
)

__all__ = [
    "BurstRow",
    "CachedDecoder",
    "Outcome",
    "Results",
    "Runner",
    "TorchRunner",
    "Work",
    "look_back",
    "network_states",
]
