"""What followed where a writer was in nearly the same state, as it wrote texts that are known: the
nearest-neighbour translation of Khandelwal et al. 2021 (arXiv 2010.00710), among the tokens of a
few texts alone, as Dai et al. 2023 (arXiv 2302.12188) have it.

Shape letters: B batch, T written tokens, N known tokens, K of them that are near, D width,
V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FAR = 1e30
"""Squared distance of what fills a row up."""


class Trust(NamedTuple):
    """How far known tokens are trusted: `share · max(0, 1 - d / reach)` of the probability is
    theirs, where d is the squared distance of the nearest; each of the K nearest has a part as
    `exp(-d / temperature)`.

    Attributes:
        share, reach, temperature: as above; a share of 0 trusts none.
        num: K.
    """

    share: float
    reach: float
    temperature: float
    num: int = 8


class KnownTokens(NamedTuple):
    """Attributes:
    keys_BND: hidden states of the writer, float32, each where a known token came next.
    ids_BN: those tokens; -1 where a row is filled up.
    trust: in them.
    """

    keys_BND: Tensor
    ids_BN: Tensor
    trust: Trust

    def rows(self, chosen_B: Tensor) -> KnownTokens:
        """Those of some rows, in that order."""
        return KnownTokens(self.keys_BND[chosen_B], self.ids_BN[chosen_B], self.trust)

    def mixed(self, log_probs_BTV: Tensor, hidden_BTD: Tensor) -> Tensor:
        """ln p of every word, known tokens included, (B, T, V) in float32.

        Args:
            log_probs_BTV: ln p without them, float32.
            hidden_BTD: what these were made of.
        """
        near_BTK, ids_BTK = self.nearest(hidden_BTD)
        if not near_BTK.shape[2]:
            return log_probs_BTV
        share_BT1 = self._shares(near_BTK)
        parts_BTK = (-near_BTK / self.trust.temperature).softmax(-1)
        known_BTV = torch.zeros_like(log_probs_BTV).scatter_add(2, ids_BTK.clamp_min(0), parts_BTK)
        return (
            ((1 - share_BT1) * log_probs_BTV.exp() + share_BT1 * known_BTV).clamp_min(1e-30).log()
        )

    def nearest(self, hidden_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances and tokens of the K nearest, the nearest first, (B, T, K) each."""
        apart_BTN = torch.cdist(hidden_BTD.float(), self.keys_BND).square()
        apart_BTN = apart_BTN.masked_fill(self.ids_BN[:, None] < 0, FAR)
        num = min(self.trust.num, apart_BTN.shape[2])
        near_BTK, places_BTK = apart_BTN.topk(num, largest=False)
        ids_BTN = self.ids_BN[:, None].expand(apart_BTN.shape)
        return near_BTK, ids_BTN.gather(2, places_BTK)

    def _shares(self, near_BTK: Tensor) -> Tensor:
        is_there_BT1 = near_BTK[..., :1] < FAR
        share_BT1 = self.trust.share * (1 - near_BTK[..., :1] / self.trust.reach).clamp_min(0)
        return share_BT1 * is_there_BT1
