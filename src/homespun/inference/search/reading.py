"""What an encoder-decoder makes of texts that are there already: it reads them, and tells how well
one gives back another.

Shape letters: B texts, S read tokens, T written tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from homespun.inference.sound import not_finite
from homespun.models import Remembered, Rewriter, device_of

_MOST_SCORES = 1 << 24
"""Numbers, 64 MB of them, that are made at once where texts are judged by what they give back."""


def read_texts(model: Rewriter, sources: Sequence[Sequence[int]]) -> Remembered:
    """What is kept of texts that are read together, and what is known beside them.

    Args:
        sources: ids with their marks, one at least in each.

    Raises:
        RequestError: one is longer than the context.
    """
    return model.read(*_filled_up(model, sources))


@torch.inference_mode()
def told_back(
    model: Rewriter,
    source: Sequence[int],
    written: Sequence[Sequence[int]],
    *,
    start_id: int,
    end_id: int,
) -> list[float]:
    """ln p a token of `source`, were it written from each of the texts that were written from it:
    the channel model of Yee et al. 2019 (arXiv 1908.05731), where one model learned both ways.

    Args:
        model: in evaluation mode; it has learned to write back what stands behind the start mark,
            see `turned_back`. Without what is known of other pairs, which are of the usual way.
        source: ids that were read, the end mark last.
        written: ids without marks; what the context does not hold of them is not read.

    Raises:
        CheckpointError: the model's outputs are no finite numbers.
    """
    rows = [[*back_source(ids, model.context, start_id), end_id] for ids in written]
    # Scores of every word are made for every token of every row.
    at_once = max(1, _MOST_SCORES // (len(source) * model.num_words))
    means: list[float] = []
    for at in range(0, len(rows), at_once):
        some = rows[at : at + at_once]
        read = model.read_alone(*_filled_up(model, some))
        before_BT = torch.tensor([[start_id, *source[:-1]]] * len(some), device=device_of(model))
        hidden_BTD = model.decode(before_BT, read)
        right_BT1 = torch.tensor([list(source)] * len(some), device=device_of(model))[..., None]
        log_probs_BT = model.own_log_probs(hidden_BTD, read).gather(2, right_BT1).squeeze(2)
        means += log_probs_BT.mean(1).tolist()
    if not all(map(math.isfinite, means)):
        raise not_finite()
    return means


def turned_back(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, context: int, start_id: int
) -> list[tuple[list[int], list[int]]]:
    """Pairs of ids the other way round, as `told_back` asks for them.

    Args:
        pairs: read and written, without marks.
        context: longest text of either side, marks included.
    """
    return [
        (back_source(written, context, start_id), list(read)[: context - 1])
        for read, written in pairs
    ]


def back_source(ids: Sequence[int], context: int, start_id: int) -> list[int]:
    """A text as it is read on the way back: behind a start mark, which no text can contain, and cut
    so that there is room for the end mark."""
    return [start_id, *ids][: context - 1]


def _filled_up(model: Rewriter, sources: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Texts as one batch (B, S), and which of its ids are tokens; None where all are."""
    longest = max(map(len, sources))
    ids_BS = torch.zeros(len(sources), longest, dtype=torch.int64)
    is_token_BS = torch.zeros(len(sources), longest, dtype=torch.bool)
    for row, source in enumerate(sources):
        ids_BS[row, : len(source)] = torch.tensor(source)
        is_token_BS[row, : len(source)] = True
    ids_BS = ids_BS.to(device_of(model))
    if bool(is_token_BS.all()):
        return ids_BS, None
    return ids_BS, is_token_BS.to(ids_BS.device)
