"""How well pieces that were taken out of held-out text are written, token by token.

Shape letters: B rows, T written tokens, N tokens of text among them, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.recipes.encoder.judging import MaskedScore


def piece_score(model: Any, source: Any, num_batches: int, *, num_text_ids: int) -> MaskedScore:
    """Of the first batches of a source of pieces; each token is told from what is left of the row
    and from the pieces so far. Marks and ends, which cost little, do not count.

    Args:
        num_text_ids: ids from 0 on that stand in texts.
    """
    import torch

    from homespun.models import device_of

    nats, num_right, num = 0.0, 0, 0
    with torch.inference_mode():
        for index in range(num_batches):
            batch = source.batch(index).to(device_of(model))
            hidden_BTD = model(batch.source_BS, batch.is_source_BS, batch.ids_BT)
            is_asked_BT = _asked(batch.targets_BT, source.end_id, num_text_ids)
            right_N = batch.targets_BT[is_asked_BT]
            likely_NV = model.head(hidden_BTD[is_asked_BT]).float().log_softmax(-1)
            nats -= float(likely_NV.gather(1, right_N[:, None]).sum())
            num_right += int((likely_NV.argmax(-1) == right_N).sum())
            num += len(right_N)
    return MaskedScore(nats / max(1, num), num_right, num)


def piece_frequency_score(
    counts_V: NDArray[np.int64], source: Any, num_batches: int, *, num_text_ids: int
) -> MaskedScore:
    """What knows nothing but how often each token occurs says of the same tokens.

    Args:
        counts_V: of each id in the training text.
        num_text_ids: see `piece_score`.
    """
    counts = counts_V[:num_text_ids].astype(np.float64) + 1
    counts[source.end_id] = 1e-300
    nats_V = -np.log(counts / counts.sum())
    commonest = int(counts.argmax())
    nats, num_right, num = 0.0, 0, 0
    for index in range(num_batches):
        targets_BT = source.batch(index).targets_BT
        asked = targets_BT[_asked(targets_BT, source.end_id, num_text_ids)].numpy()
        nats += float(nats_V[asked].sum())
        num_right += int((asked == commonest).sum())
        num += len(asked)
    return MaskedScore(nats / max(1, num), num_right, num)


def _asked(targets_BT: Any, end_id: int, num_text_ids: int) -> Any:
    return (targets_BT >= 0) & (targets_BT < num_text_ids) & (targets_BT != end_id)
