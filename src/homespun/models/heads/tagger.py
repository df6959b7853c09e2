"""A tag for each word, from an encoder.

Shape letters: B batch, T tokens, W words, C tags.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homespun.models.cross_entropy import IGNORE
from homespun.models.heads.base import OnEncoder, Reader
from homespun.models.heads.crf import CrfLayer
from homespun.models.linear import Linear


class WordTagger(OnEncoder):
    """A score for each tag at the first token of each word, and perhaps a CRF over the words.

    Args:
        encoder: what it stands on.
        num_tags: C.
        crf: over the tags of a sentence; None judges each word alone.
        dropout: share of the encoder's hidden numbers that is left out while training.
    """

    def __init__(
        self, encoder: Reader, num_tags: int, *, crf: CrfLayer | None, dropout: float = 0.1
    ) -> None:
        super().__init__(encoder, dropout=dropout)
        self.out = Linear(self.width, num_tags, bias=True)
        self.crf = crf

    @torch.no_grad()
    def begin(self) -> None:
        """Set the head's weights to zero: all tags begin alike."""
        for parameter in (self.out.weight, self.out.bias):
            assert parameter is not None
            parameter.zero_()

    def forward(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Scores (B, T, C) in float32, of every token; those asked for are picked later."""
        scores_BTC: Tensor = self.out(self.hidden(ids_BT, is_token_BT, types_BT))
        return scores_BTC

    def loss_sum(self, scores_BTC: Tensor, targets_BT: Tensor) -> Tensor:
        """Summed nats over words.

        Args:
            scores_BTC: from `forward`.
            targets_BT: the right tag at the first token of each word, -100 elsewhere.
        """
        if self.crf is None:
            flat = scores_BTC.flatten(0, 1), targets_BT.flatten()
            return F.cross_entropy(*flat, ignore_index=IGNORE, reduction="sum")
        is_asked_BT = targets_BT != IGNORE
        words_BWC, is_real_BW = words_of(scores_BTC, is_asked_BT)
        tags_BW1, _ = words_of(targets_BT[..., None], is_asked_BT)
        has_words_B = is_real_BW.any(1)
        parts = words_BWC[has_words_B], tags_BW1[has_words_B, :, 0], is_real_BW[has_words_B]
        return self.crf.loss_sum(*parts)

    @torch.no_grad()
    def best(self, scores_BTC: Tensor, is_asked_BT: Tensor) -> list[list[int]]:
        """The tags of each row's words.

        Args:
            scores_BTC: from `forward`.
            is_asked_BT: True at the first token of each word; a row has one at least.
        """
        words_BWC, is_real_BW = words_of(scores_BTC, is_asked_BT)
        if self.crf is not None:
            return self.crf.best(words_BWC, is_real_BW)
        rows, lengths = words_BWC.argmax(2).tolist(), is_real_BW.sum(1).tolist()
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def words_of(values_BTC: Tensor, is_asked_BT: Tensor) -> tuple[Tensor, Tensor]:
    """The values at places that are asked for, side by side (B, W, C), and which of the W are."""
    W = max(1, int(is_asked_BT.sum(1).max()))
    # A stable sort brings what is asked for to the front and leaves its order.
    places_BW = torch.sort((~is_asked_BT).to(torch.int8), dim=1, stable=True).indices[:, :W]
    is_real_BW = is_asked_BT.gather(1, places_BW)
    picked = places_BW[..., None].expand(-1, -1, values_BTC.shape[2])
    return values_BTC.gather(1, picked), is_real_BW
