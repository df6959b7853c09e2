"""How families that do not tell every token from those before it are judged.

Shape letters: B rows, T tokens of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.recipes.bench.validation import ScoreBatch

if TYPE_CHECKING:
    from torch import Tensor


def prefix_score(model: Any, half: int, *, start_id: int) -> ScoreBatch:
    """How an encoder-decoder is judged: the first half of a window is read, the second written.
    Where tokens of the first half count too, as in the first window, they are written after a mark.
    """
    import torch

    from homespun.models import device_of

    def score(ids_BT: Tensor, targets_BT: Tensor) -> float:
        total, device = 0.0, device_of(model)
        ids_BT, targets_BT = ids_BT.to(device), targets_BT.to(device)
        parts = [(ids_BT[:, :half], ids_BT[:, half:], targets_BT[:, half:])]
        if bool((targets_BT[:, :half] >= 0).any()):
            mark_B1 = torch.full_like(ids_BT[:, :1], start_id)
            parts.append((mark_B1, ids_BT[:, :half], targets_BT[:, :half]))
        for source_BS, written_BT, wanted_BT in parts:
            if written_BT.shape[1]:
                hidden_BTD = model(source_BS, None, written_BT)
                total += float(model.next_token_loss(hidden_BTD.float(), wanted_BT))
        return total

    return score


def pseudo_nats(model: Any, stream: Any, *, mask_id: int, context: int, num: int) -> list[float]:
    """-ln p of tokens spread evenly over `stream`, each behind the mask in the middle of a window
    of its own; at the ends of the stream windows are moved inside."""
    import torch

    from homespun.models import device_of

    device, context = device_of(model), min(context, len(stream))
    places = np.unique(np.linspace(0, len(stream) - 1, min(num, len(stream))).astype(int))
    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(places), 32):
            some = places[start : start + 32]
            firsts = np.clip(some - context // 2, 0, len(stream) - context)
            ids_BT = np.stack([stream[a : a + context] for a in firsts]).astype(np.int64)
            within = some - firsts
            right = ids_BT[np.arange(len(some)), within].copy()
            ids_BT[np.arange(len(some)), within] = mask_id
            every, within_N = torch.arange(len(some)), torch.from_numpy(within)
            hidden_BTD = model(torch.from_numpy(ids_BT).to(device))
            picked_ND = hidden_BTD[every.to(device), within_N.to(device)]
            scores_NV = model.scores(picked_ND).float().cpu()
            scores_NV[:, mask_id] = float("-inf")
            likely_N = scores_NV.log_softmax(-1)[every, torch.from_numpy(right)]
            found += (-likely_N).tolist()
    return found
