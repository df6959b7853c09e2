"""How well masked words of held-out text are told.

Shape letters: B rows, T tokens of a row, N masked tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from homespun.training import Evaluate, Judge

_WATCHED, _JUDGED = 8, 64
"""Batches of held-out text, now and then and in the end."""


class MaskedScore(NamedTuple):
    """Attributes:
    loss: mean nats of a masked token.
    num_right: of those whose likeliest token is the right one.
    num: masked tokens.
    """

    loss: float
    num_right: int
    num: int

    @property
    def accuracy(self) -> float:
        return self.num_right / max(1, self.num)

    def describe(self) -> dict[str, Any]:
        from homespun.evaluation.metrics import wilson_interval

        low, high = wilson_interval(self.num_right, self.num)
        around = {"low": low, "high": high}
        return {"loss": self.loss, "accuracy": self.accuracy, **around, "num": self.num}


Score = Callable[[Any, int], MaskedScore]
"""Of a model, on so many batches of held-out text."""


class Looks(NamedTuple):
    """How much of the held-out text is looked at.

    Attributes:
        rows: of a batch.
        watched, judged: batches, now and then during training, and in the end.
    """

    rows: int
    watched: int
    judged: int

    @classmethod
    def at(cls, num_tokens: int, *, context: int, rows: int) -> Self:
        """Of so many tokens, in rows of `context`; `rows` of them a batch, or all there are."""
        num_rows = (num_tokens - 1) // context
        rows = min(rows, num_rows)
        return cls(rows, *(min(most, num_rows // rows) for most in (_WATCHED, _JUDGED)))

    def during(self, score: Score) -> Evaluate:
        """What a training is told of the text now and then."""
        return _evaluating(score, self.watched)

    def at_the_end(self, score: Score) -> Judge | None:
        """Who chooses between weights that were kept: on more text, where there is more."""
        from homespun.training import Judge

        if self.judged == self.watched:
            return None
        return Judge(_evaluating(score, self.judged), self.judged / self.watched)


def _evaluating(score: Score, num_batches: int) -> Evaluate:
    def evaluate(model: Any, step: int) -> dict[str, Any]:
        found = score(model, num_batches)
        return {"loss": found.loss, "accuracy": found.accuracy, "split": "validation"}

    return evaluate


def masked_score(model: Any, source: Any, num_batches: int) -> MaskedScore:
    """Of the first batches of a source of masked rows. The model is in evaluation mode."""
    import torch

    from homespun.models import device_of
    from homespun.training.data import IGNORED

    nats, num_right, num = 0.0, 0, 0
    with torch.inference_mode():
        for index in range(num_batches):
            batch = source.batch(index).to(device_of(model))
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
