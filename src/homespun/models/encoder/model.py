"""An encoder: every token's vector, in the light of all other tokens of its text.

Shape letters: B batch, T time, D width, V vocabulary, N rows (chosen tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.core import RequestError
from homespun.models.cross_entropy import IGNORE, cross_entropy_from_hidden
from homespun.models.decoder import Norm
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.extras import ParameterKind, parameter_kinds
from homespun.models.extras.dropout import dropped
from homespun.models.linear import Linear
from homespun.models.position import RotaryTables, Rotation


class ResidualBlock(nn.Module):
    """A layer of parts that each add to the stream, their norms before or behind them.

    Args:
        norm_first: before: `x + part(norm(x))`; else as in the Transformer of 2017,
            `norm(x + part(x))`.
        dropout: share of what each part adds that is left out while training.
    """

    def __init__(self, *, norm_first: bool, dropout: float) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.dropout = dropout

    def added(self, x_BTD: Tensor, part: Callable[[Tensor], Tensor], norm: Norm) -> Tensor:
        """The stream behind a part."""
        h_BTD = part(norm(x_BTD) if self.norm_first else x_BTD)
        x_BTD = x_BTD + (dropped(h_BTD, self.dropout) if self.training else h_BTD)
        return x_BTD if self.norm_first else norm(x_BTD)


class EncoderBlock(ResidualBlock):
    """One layer. With `norm_first` as `models.Block`; else as in BERT and the Transformer of 2017:
    `x = norm(x + attention(x))`, then `x = norm(x + mlp(x))`.

    Args:
        attention: sees all keys.
        mlp: of each token by itself.
        attention_norm, mlp_norm: before or behind what they are called after.
        norm_first: see above.
        dropout: share of what each of the two adds that is left out while training.
    """

    def __init__(
        self,
        attention: nn.Module,
        mlp: nn.Module,
        attention_norm: Norm,
        mlp_norm: Norm,
        *,
        norm_first: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(norm_first=norm_first, dropout=dropout)
        self.attention_norm = attention_norm
        self.attention = attention
        self.mlp_norm = mlp_norm
        self.mlp = mlp

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, bias_BTS: Tensor | None) -> Tensor:
        def attention(h_BTD: Tensor) -> Tensor:
            y_BTD: Tensor = self.attention(h_BTD, rotation, bias_BTS)
            return y_BTD

        return self.added(
            self.added(x_BTD, attention, self.attention_norm), self.mlp, self.mlp_norm
        )


class MaskedHead(nn.Module):
    """Scores of the word behind a mask, as BERT has them: a layer of its own, then the embedding's
    table and a bias for each word.

    Args:
        width: D.
        norm: of the layer.
        vocab_size: V.
        approximate: of GELU, "none" or "tanh".
    """

    def __init__(
        self, width: int, norm: Norm, vocab_size: int, *, approximate: str = "none"
    ) -> None:
        super().__init__()
        self.approximate = approximate
        self.transform = Linear(width, width, bias=True)
        self.norm = norm
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden_ND: Tensor) -> Tensor:
        """The vectors that are held against the table, (N, D)."""
        h_ND = F.gelu(self.transform(hidden_ND), approximate=self.approximate)
        return self.norm(h_ND)  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Token ids to hidden states. `EncoderConfig.build` puts one together.

    Args:
        embedding: ids to vectors.
        types: vectors of the first and the second text of a pair; one for both where there is but
            one; None for none.
        positions: learned and added, or rotary.
        embedding_norm: of the sum of these; None for none.
        blocks: the layers.
        norm: behind the last layer; None where layers end with one.
        head: of masked words; None for an encoder that does not say any.
        dropout: share of the embedding's numbers that is left out while training.
    """

    def __init__(
        self,
        embedding: Embedding,
        types: Embedding | None,
        positions: LearnedPositions | RotaryTables,
        embedding_norm: Norm | None,
        blocks: Iterable[EncoderBlock],
        norm: Norm | None,
        head: MaskedHead | None,
        *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.types = types
        self.positions = positions
        self.embedding_norm = embedding_norm
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = head
        self.dropout = dropout
        self.compute_dtype = torch.float32

    @property
    def context(self) -> int:
        """Largest number of tokens."""
        return self.positions.length

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of activations and products; weights keep theirs."""
        self.compute_dtype = dtype

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`."""
        return parameter_kinds(self, None)

    def forward(
        self, ids_BT: Tensor, *, is_token_BT: Tensor | None = None, types_BT: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, D) in the compute dtype; those of padding mean nothing.

        Args:
            ids_BT: token ids.
            is_token_BT: bool, False where a row is filled up; None where no row is.
            types_BT: 0 for the first text of a pair, 1 for the second; None is 0 everywhere.

        Raises:
            RequestError: more tokens than the context holds.
        """
        T = ids_BT.shape[1]
        if self.context < T:
            raise RequestError(
                f"the model's context is {self.context} tokens", got=T, remedy="shorten the text"
            )
        x_BTD = self._embedded(ids_BT, types_BT)
        rotation = None
        if isinstance(self.positions, RotaryTables):
            rotation = self.positions.rotation(0, T, None, like=x_BTD)
        bias_BTS = None
        if is_token_BT is not None:
            bias_BTS = hide_padding(is_token_BT, like=x_BTD)
        for block in self.blocks:
            x_BTD = block(x_BTD, rotation, bias_BTS)
        return x_BTD if self.norm is None else self.norm(x_BTD)

    def scores(self, hidden_ND: Tensor) -> Tensor:
        """Scores of all words behind some tokens, (..., V)."""
        assert self.head is not None, "an encoder without a head says no words"
        h_ND = self.head(hidden_ND)
        table_VD = self.embedding.weight.to(h_ND.dtype)
        return F.linear(h_ND, table_VD, self.head.bias.to(h_ND.dtype))

    def masked_loss(self, hidden_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Summed nats of the words behind the masks, float32, with gradients.

        Args:
            hidden_BTD: from `forward`.
            targets_BT: the words; -100 where nothing is to be said.
        """
        assert self.head is not None, "an encoder without a head says no words"
        chosen = (targets_BT.flatten() != IGNORE).nonzero().squeeze(1)
        h_ND = self.head(hidden_BTD.flatten(0, -2)[chosen])
        # The bias as one more column of the table, against inputs of 1.
        one_N1 = h_ND.new_ones(len(h_ND), 1)
        table_VD = torch.cat([self.embedding.weight, self.head.bias[:, None]], 1)
        targets_N = targets_BT.flatten()[chosen]
        return cross_entropy_from_hidden(torch.cat([h_ND, one_N1], 1), table_VD, targets_N)

    def _embedded(self, ids_BT: Tensor, types_BT: Tensor | None) -> Tensor:
        x_BTD = self.embedding(ids_BT)
        if self.types is not None:
            if types_BT is None or self.types.vocab_size == 1:
                types_BT = torch.zeros_like(ids_BT)
            x_BTD = x_BTD + self.types(types_BT)
        if isinstance(self.positions, LearnedPositions):
            x_BTD = x_BTD + self.positions(0, ids_BT.shape[1], None, x_BTD.dtype)
        if self.embedding_norm is not None:
            x_BTD = self.embedding_norm(x_BTD)
        x_BTD = dropped(x_BTD, self.dropout) if self.training else x_BTD
        return x_BTD.to(self.compute_dtype)


def hide_padding(is_token_BT: Tensor, *, like: Tensor) -> Tensor:
    """(B, 1, T) of 0 and -inf: no query sees what is no token. A row without tokens sees itself, so
    that it does not spoil others by what is no number."""
    is_token_BT = is_token_BT | ~is_token_BT.any(1, keepdim=True)
    bias_BT = torch.zeros(is_token_BT.shape, dtype=like.dtype, device=like.device)
    return bias_BT.masked_fill_(~is_token_BT, float("-inf"))[:, None]


def mean_pooled(hidden_BTD: Tensor, is_token_BT: Tensor) -> Tensor:
    """One vector a text, (B, D) in float32 and of length 1: the mean of its tokens' (Reimers and
    Gurevych 2019, arXiv 1908.10084, section 3).

    Args:
        hidden_BTD: from `Encoder.forward`.
        is_token_BT: False where a row is filled up.
    """
    weight_BT1 = is_token_BT[..., None].float()
    total_BD = (hidden_BTD.float() * weight_BT1).sum(1)
    return F.normalize(total_BD / weight_BT1.sum(1).clamp_min(1.0), dim=1)
