"""How well masked words of held-out text are told.

Shape letters: B rows, T tokens of a row, N masked tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class MaskedScore(NamedTuple):
    """Attributes:
    loss: mean nats of a masked token.
    num_right: of those whose likeliest token is the right one.
    num: masked tokens.
    """

    loss: float
    num_right: int
    num: int

    def describe(self) -> dict[str, Any]:
        from homespun.evaluation.metrics import wilson_interval

        low, high = wilson_interval(self.num_right, self.num)
        share = self.num_right / self.num
        return {"loss": self.loss, "accuracy": share, "low": low, "high": high, "num": self.num}


def masked_score(model: Any, source: Any, num_batches: int) -> MaskedScore:
    """Of the first batches of a source of masked rows. The model is in evaluation mode."""
    import torch

    from homespun.training.data import IGNORED

    nats, num_right, num = 0.0, 0, 0
    with torch.inference_mode():
        for index in range(num_batches):
            batch = source.batch(index)
            hidden_BTD = model(batch.ids_BT)
            is_asked_BT = batch.targets_BT != IGNORED
            right_N = batch.targets_BT[is_asked_BT]
            likely_NV = model.scores(hidden_BTD[is_asked_BT]).float().log_softmax(-1)
            nats -= float(likely_NV.gather(1, right_N[:, None]).sum())
            num_right += int((likely_NV.argmax(-1) == right_N).sum())
            num += len(right_N)
    return MaskedScore(nats / max(1, num), num_right, num)


def frequency_score(
    counts_V: NDArray[np.int64], source: Any, num_batches: int, *, never_V: NDArray[np.bool_]
) -> MaskedScore:
    """What knows nothing but how often each word occurs says of the same masked tokens.

    Args:
        counts_V: of each id in the training text.
        never_V: ids that are never asked for.
    """
    from homespun.training.data import IGNORED

    counts = np.where(never_V, 0, counts_V + 1).astype(np.float64)
    nats_V = -np.log(np.maximum(counts, 1e-300) / counts.sum())
    commonest = int(counts.argmax())
    nats, num_right, num = 0.0, 0, 0
    for index in range(num_batches):
        targets = source.batch(index).targets_BT.numpy()
        asked = targets[targets != IGNORED]
        nats += float(nats_V[asked].sum())
        num_right += int((asked == commonest).sum())
        num += len(asked)
    return MaskedScore(nats / max(1, num), num_right, num)


def share_text(entry: dict[str, Any]) -> str:
    """The share that is right, of what `describe` tells, with its interval."""
    return f"{entry['accuracy']:.1%} ({entry['low']:.1%} to {entry['high']:.1%})"
