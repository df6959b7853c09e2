"""Words taken over from the text that is read: names, numbers, and whatever the writer could not
know (the pointer-generator of See et al. 2017, arXiv 1704.04368, section 2.2).

Shape letters: B batch, T written tokens, S read tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.models.linear import Linear


class CopySource(NamedTuple):
    """What can be copied.

    Attributes:
        keys_BSD: of the read tokens.
        ids_BS: the tokens themselves.
        bias_B1S: -inf where a row is filled up; None where none is.
    """

    keys_BSD: Tensor
    ids_BS: Tensor
    bias_B1S: Tensor | None

    def rows(self, chosen_B: Tensor) -> CopySource:
        """Those of some rows, in that order."""
        bias_B1S = None if self.bias_B1S is None else self.bias_B1S[chosen_B]
        return CopySource(self.keys_BSD[chosen_B], self.ids_BS[chosen_B], bias_B1S)


class CopyHead(nn.Module):
    """Says for each written token which read token it may be, and how far to trust that:
    `p = (1 - g) softmax(scores) + g Σ attention to read tokens that are the word`.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.gate = Linear(width, 1, bias=True)

    def remember(self, memory_BSD: Tensor, ids_BS: Tensor, bias_B1S: Tensor | None) -> CopySource:
        """What `decode` looks back at, computed once a text."""
        return CopySource(self.key(memory_BSD), ids_BS, bias_B1S)

    def weights(self, hidden_BTD: Tensor, source: CopySource) -> tuple[Tensor, Tensor]:
        """Attention to each read token (B, T, S) and the logit of the gate (B, T), float32."""
        scale = hidden_BTD.shape[-1] ** -0.5
        scores_BTS = self.query(hidden_BTD) @ source.keys_BSD.transpose(1, 2) * scale
        if source.bias_B1S is not None:
            scores_BTS = scores_BTS + source.bias_B1S
        return scores_BTS.float().softmax(-1), self.gate(hidden_BTD).float().squeeze(-1)

    def log_probs(self, scores_BTV: Tensor, hidden_BTD: Tensor, source: CopySource) -> Tensor:
        """ln p of every word, (B, T, V) in float32.

        Args:
            scores_BTV: of the vocabulary, before their softmax.
            hidden_BTD: what they were made of.
            source: of the text that was read.
        """
        attention_BTS, gate_BT = self.weights(hidden_BTD, source)
        ids_BTS = source.ids_BS[:, None].expand_as(attention_BTS)
        copied_BTV = torch.zeros_like(scores_BTV, dtype=torch.float32)
        copied_BTV = copied_BTV.scatter_add(2, ids_BTS, attention_BTS)
        own_BTV = scores_BTV.float().softmax(-1)
        share_BT1 = torch.sigmoid(gate_BT)[..., None]
        return ((1 - share_BT1) * own_BTV + share_BT1 * copied_BTV).clamp_min(1e-30).log()

    def loss(
        self,
        scores_BTV: Tensor,
        hidden_BTD: Tensor,
        source: CopySource,
        targets_BT: Tensor,
        smoothing: float,
        agreement: float = 0.0,
    ) -> Tensor:
        """Summed nats of the targets, float32; -100 does not count. Smoothing and agreement (see
        `EncoderDecoder.next_token_loss`) are of the vocabulary's own probabilities alone: what may
        be copied is not spread over all words."""
        is_asked_BT = targets_BT >= 0
        wanted_BT1 = targets_BT.clamp_min(0)[..., None]
        attention_BTS, gate_BT = self.weights(hidden_BTD, source)
        copied_BT = (attention_BTS * (source.ids_BS[:, None] == wanted_BT1)).sum(-1)
        own_BTV = scores_BTV.float().log_softmax(-1)
        own_BT = own_BTV.gather(2, wanted_BT1).squeeze(2)
        mixed_BT = torch.logaddexp(
            F.logsigmoid(-gate_BT) + own_BT,
            F.logsigmoid(gate_BT) + copied_BT.clamp_min(1e-30).log(),
        )
        nats_BT = -mixed_BT
        if smoothing:
            nats_BT = (1 - smoothing) * nats_BT - smoothing * own_BTV.mean(-1)
        if agreement:
            other_BTV = own_BTV.detach().roll(len(own_BTV) // 2, 0).exp()
            nats_BT = (1 - agreement) * nats_BT - agreement * (other_BTV * own_BTV).sum(-1)
        return (nats_BT * is_asked_BT).sum()
