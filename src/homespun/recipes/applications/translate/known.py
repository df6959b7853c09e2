"""What a writer that has learned knows of the pairs most like a text: its own states as it wrote
their targets, and which tokens came next.

Shape letters: B batch, S read tokens, T written tokens, N known tokens, K near ones, M tokens of
held-out texts, D width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from homespun.recipes.applications.neural import in_batches
from homespun.recipes.applications.translate.recall import Recall
from homespun.recipes.applications.translate.task import Pair

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import KnownTokens, Remembered, Rewriter, Trust
    from homespun.training import PairBatch

Ids = tuple[list[int], list[int]]
_AT_ONCE = 2048
"""Tokens of pairs that are read together."""
_MOST_NUMBERS = 100_000_000
"""Of states that are kept: 200 MB, all of 60,000 short pairs of a model 128 wide."""
_TEMPERATURES = (0.05, 0.1, 0.2, 0.4, 0.8)
_REACHES = (1.0, 1.5, 2.0, 3.0, 5.0, 1e6)
"""Times the median distance of the nearest tokens."""
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_SURE = 0.002
"""Nats a token by which known tokens must be of help."""


class Manner(NamedTuple):
    """How a writer goes from texts to ids and back.

    Attributes:
        encode: ids of pairs, as they are read and written.
        text_of: the text whose ids are read.
        start_id, end_id: before what is written, and behind both.
    """

    encode: Callable[[Sequence[Pair]], list[Ids]]
    text_of: Callable[[Sequence[int]], str]
    start_id: int
    end_id: int


class KnownPairs:
    """`Rewriter.knows` of a memory: states are computed when a pair is first found.

    Args:
        model: in evaluation mode.
        recall: the memory.
        manner: of its writer.
        num: pairs that are known beside a text.
        trust: in known tokens.
    """

    def __init__(
        self, model: Rewriter, recall: Recall, manner: Manner, *, num: int, trust: Trust
    ) -> None:
        self._model, self._recall, self._manner = model, recall, manner
        self.num, self.trust = num, trust
        self._states: dict[int, tuple[Tensor, Tensor]] = {}
        recall.alike([""], num)  # the pairs are indexed now, not while the first text waits

    def __call__(self, ids_BS: Tensor, is_token_BS: Tensor | None) -> KnownTokens:
        import torch

        from homespun.models import KnownTokens

        device = ids_BS.device
        self._forget()
        texts = [self._manner.text_of(ids) for ids in _rows(ids_BS, is_token_BS)]
        found = self._recall.alike(texts, self.num)
        self._compute(sorted({number for row in found for number in row} - self._states.keys()))
        states = [[self._states[number] for number in row] for row in found]
        longest = max(sum(len(ids_T) for _, ids_T in row) for row in states)
        width = self._model.width
        keys_BND = torch.zeros(len(found), longest, width, device=device)
        ids_BN = torch.full((len(found), longest), -1, device=device)
        for at, row in enumerate(states):
            if row:
                num = sum(len(ids_T) for _, ids_T in row)
                keys_BND[at, :num] = torch.cat([keys_TD for keys_TD, _ in row]).float()
                ids_BN[at, :num] = torch.cat([ids_T for _, ids_T in row])
        return KnownTokens(keys_BND, ids_BN, self.trust)

    def written(
        self, pairs: Sequence[Ids]
    ) -> Iterator[tuple[list[int], PairBatch, Tensor, Remembered]]:
        """Numbers of pairs, the batch of them, hidden states (B, T, D) as their targets are written
        and what is kept of their sources."""
        import torch

        from homespun.models import device_of
        from homespun.training import pair_batch

        marks = {"start_id": self._manner.start_id, "end_id": self._manner.end_id}
        for some in in_batches(pairs, lambda ids: max(map(len, ids)) + 1, tokens=_AT_ONCE):
            batch = pair_batch([pairs[at] for at in some], **marks).to(device_of(self._model))
            with torch.inference_mode():
                read = self._model.read_alone(batch.source_BS, batch.is_source_BS)
                hidden_BTD = self._model.decode(batch.ids_BT, read)
            yield some, batch, hidden_BTD, read

    def _forget(self) -> None:
        """Leave the states that were computed first where all are too many."""
        room = _MOST_NUMBERS // self._model.width
        kept = sum(len(ids_T) for _, ids_T in self._states.values())
        for number in list(self._states):
            if kept <= room:
                break
            kept -= len(self._states.pop(number)[1])

    def _compute(self, numbers: Sequence[int]) -> None:
        """States of pairs that have none yet, in half precision."""
        pairs = self._manner.encode(self._recall.some(numbers))
        for some, batch, hidden_BTD, _ in self.written(pairs):
            for row, at in enumerate(some):
                num = len(pairs[at][1]) + 1
                keys_TD = hidden_BTD[row, :num].half().clone()
                self._states[numbers[at]] = keys_TD, batch.targets_BT[row, :num].clone()


def best_trust(model: Rewriter, known: KnownPairs, pairs: Sequence[Ids]) -> Trust | None:
    """How far known tokens should be trusted for the least loss of held-out pairs; None where they
    are of no help.

    Args:
        known: what is known beside them.
        pairs: ids of held-out ones.
    """
    import torch

    told: list[_Told] = []
    with torch.inference_mode():
        for _, batch, hidden_BTD, read in known.written(pairs):
            asked_BT = batch.targets_BT >= 0
            right_BT1 = batch.targets_BT.clamp_min(0)[..., None]
            log_probs_BT = model.next_log_probs(hidden_BTD, read).gather(2, right_BT1).squeeze(2)
            near_BTK, ids_BTK = known(batch.source_BS, batch.is_source_BS).nearest(hidden_BTD)
            missing = (0, known.trust.num - near_BTK.shape[2])
            near_MK = torch.nn.functional.pad(near_BTK[asked_BT], missing, value=1e30)
            is_right_MK = torch.nn.functional.pad((ids_BTK == right_BT1)[asked_BT].float(), missing)
            told.append(_Told(log_probs_BT[asked_BT].exp(), near_MK, is_right_MK))
    if not told:
        return None
    return _least(_Told(*(torch.cat(parts) for parts in zip(*told, strict=True))), known.trust)


class _Told(NamedTuple):
    """Attributes:
    plain_M: probability of each right token, without what is known.
    near_MK: squared distances of known tokens, the nearest first.
    is_right_MK: 1 where the known token is the right one.
    """

    plain_M: Tensor
    near_MK: Tensor
    is_right_MK: Tensor


def _least(told: _Told, trust: Trust) -> Trust | None:
    """The one of a grid with the least loss."""
    import torch

    nearest_M = told.near_MK[:, 0]
    there_M = nearest_M[nearest_M < 1e29]
    if not len(there_M):
        return None
    middle = float(there_M.median())
    best, least = None, float(-told.plain_M.clamp_min(1e-30).log().mean()) - _SURE
    for temperature in _TEMPERATURES:
        parts_MK = (-told.near_MK / (temperature * middle)).softmax(-1)
        known_M = (parts_MK * told.is_right_MK).sum(1)
        for reach, share in itertools.product(_REACHES, _SHARES):
            shares_M = share * (1 - nearest_M / (reach * middle)).clamp_min(0)
            mixed_M = (1 - shares_M) * told.plain_M + shares_M * known_M
            loss = float(-torch.log(mixed_M.clamp_min(1e-30)).mean())
            if loss < least:
                least = loss
                best = trust._replace(
                    share=share, reach=reach * middle, temperature=temperature * middle
                )
    return best


def _rows(ids_BS: Tensor, is_token_BS: Tensor | None) -> list[list[int]]:
    if is_token_BS is None:
        rows: list[list[int]] = ids_BS.tolist()
        return rows
    pairs = zip(ids_BS, is_token_BS, strict=True)
    return [ids_S[is_token_S].tolist() for ids_S, is_token_S in pairs]
