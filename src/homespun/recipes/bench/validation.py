"""The complete validation pass: each token of a held-out text predicted exactly once.

The text is read in windows of the context. With a stride of the context (the default) windows do
not overlap and a token sees between 1 and `context` tokens before it, as in training. With a
smaller stride each window begins earlier and only its last `stride` predictions count, so that a
token past the first window sees at least `context - stride + 1`. The last window is moved back to
be as long as the others.

Any model is judged by it: it is handed a function from ids and targets to nats.

Shape letters: B windows, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100

ScoreBatch = Callable[["Tensor", "Tensor"], float]
"""(ids_BT, targets_BT) to summed nats; targets of -100 do not count."""


class ValidationPass(NamedTuple):
    """Attributes:
    nats: summed over all predictions.
    predictions: how many.
    """

    nats: float
    predictions: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.predictions

    def bits_per_byte(self, num_bytes: int) -> float:
        """Bits per byte of a text of `num_bytes`, all of which was predicted."""
        return self.nats / math.log(2) / num_bytes


def validation_pass(
    score: ScoreBatch,
    stream: NDArray[Any],
    *,
    context: int,
    stride: int | None = None,
    max_windows: int | None = None,
    batch_tokens: int = 8192,
) -> ValidationPass:
    """Predict ids 1 … of `stream`, each once.

    Args:
        score: the model.
        stream: 1-D ids. The first is context only: the last one before the held-out text.
        context: longest input.
        stride: predictions that count of each window after the first; default the context.
        max_windows: no more windows than that, spread evenly: an estimate, not the complete pass.
        batch_tokens: computed together; bounds memory.

    Raises:
        DataError: fewer than two tokens.
    """
    import torch

    from homespun.evaluation.bits_per_byte import cut_windows

    if len(stream) < 2:
        raise DataError("there is nothing to predict", got=len(stream), remedy="give a longer text")
    context = min(context, len(stream) - 1)
    windows = cut_windows(len(stream) - 1, context=context, stride=stride or context)
    if max_windows is not None and max_windows < len(windows):
        places = np.linspace(0, len(windows) - 1, max_windows).round().astype(int)
        windows = [windows[place] for place in places]
    ids_BT = np.stack([np.asarray(stream[w.start : w.stop]) for w in windows]).astype(np.int64)
    targets_BT = np.stack([np.asarray(stream[w.start + 1 : w.stop + 1]) for w in windows])
    targets_BT = targets_BT.astype(np.int64)
    for row, window in enumerate(windows):
        targets_BT[row, : window.first - window.start] = IGNORED
    rows = max(1, batch_tokens // context)
    with torch.inference_mode():
        nats = math.fsum(
            score(
                torch.from_numpy(ids_BT[start : start + rows]),
                torch.from_numpy(targets_BT[start : start + rows]),
            )
            for start in range(0, len(windows), rows)
        )
    return ValidationPass(nats, int((targets_BT != IGNORED).sum()))


def validation_pass_obvious(
    score: ScoreBatch, stream: NDArray[Any], *, context: int, stride: int | None = None
) -> ValidationPass:
    """The same, one prediction at a time."""
    import torch

    last = len(stream) - 1
    context = min(context, last)
    stride = stride or context
    nats = 0.0
    for place in range(1, last + 1):
        strides = max(0, math.ceil((place - context) / stride))
        start = min(context + strides * stride, last) - context
        ids_BT = torch.tensor([[int(i) for i in stream[start:place]]])
        targets_BT = torch.full_like(ids_BT, IGNORED)
        targets_BT[0, -1] = int(stream[place])
        nats += score(ids_BT, targets_BT)
    return ValidationPass(nats, last)


def decoder_score(model: Any) -> ScoreBatch:
    """How our decoders are judged: in evaluation mode and float32, whatever they train in."""

    from homespun.models import device_of

    device = device_of(model)

    def score(ids_BT: Tensor, targets_BT: Tensor) -> float:
        hidden_BTD = model(ids_BT.to(device))
        return float(model.next_token_loss(hidden_BTD.float(), targets_BT.to(device)).detach())

    return score
