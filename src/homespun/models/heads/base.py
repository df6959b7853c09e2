"""A model made of an encoder and a part on top of it.

Shape letters: B batch, T time, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.models.encoder import Encoder
from homespun.models.extras import ParameterKind
from homespun.models.extras.dropout import dropped
from homespun.models.recurrent.reader import BidirectionalReader

Reader = Encoder | BidirectionalReader


class OnEncoder(nn.Module):
    """Base of heads. A subclass adds its parts and what it says.

    The encoder's own head of masked words, where it has one, is of no use here and is left off.

    Args:
        encoder: what the head stands on; it is trained along.
        dropout: share of the encoder's hidden numbers that is left out while training.
    """

    def __init__(self, encoder: Reader, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.stand_on(encoder)
        self.dropout = dropout

    def stand_on(self, encoder: Reader) -> None:
        """Put the head on `encoder`, of the shape it was made for."""
        if isinstance(encoder, Encoder):
            encoder.head = None
        self.encoder = encoder

    @property
    def context(self) -> int:
        """Longest text in tokens."""
        return self.encoder.context

    @property
    def width(self) -> int:
        """D, of the encoder's hidden states."""
        return self.encoder.embedding.weight.shape[1]

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of the encoder; what stands on it computes in float32."""
        self.encoder.set_compute_dtype(dtype)

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter: all that is not the encoder's is "head", so that it can learn
        faster than what was learned before."""
        inner = {f"encoder.{n}": kind for n, kind in self.encoder.parameter_kinds().items()}
        return {name: inner.get(name, "head") for name, _ in self.named_parameters()}

    def hidden(self, ids_BT: Tensor, is_token_BT: Tensor, types_BT: Tensor) -> Tensor:
        """Hidden states (B, T, D) in float32; those of padding mean nothing.

        Args:
            ids_BT, is_token_BT, types_BT: see `Encoder.forward`.
        """
        mask = None if bool(is_token_BT.all()) else is_token_BT
        hidden_BTD: Tensor = self.encoder(ids_BT, is_token_BT=mask, types_BT=types_BT)
        hidden_BTD = hidden_BTD.float()
        return dropped(hidden_BTD, self.dropout) if self.training else hidden_BTD
