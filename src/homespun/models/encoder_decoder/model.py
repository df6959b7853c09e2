"""An encoder-decoder: a text is read as a whole, another is written token by token from it.

Shape letters: B batch, S read tokens, T written tokens, D width, V vocabulary, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.core import RequestError
from homespun.models.attention import hide_future
from homespun.models.cache import KeyValueCache
from homespun.models.cross_entropy import Teacher, cross_entropy_from_hidden
from homespun.models.decoder import Norm
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.encoder.model import EncoderBlock, ResidualBlock, hide_padding
from homespun.models.encoder_decoder.attention import CrossAttention, KeysValues
from homespun.models.encoder_decoder.copying import CopyHead
from homespun.models.encoder_decoder.positions import RelativePositions, SinusoidalPositions
from homespun.models.encoder_decoder.rewriter import Remembered, Rewriter
from homespun.models.extras import ParameterKind, parameter_kinds
from homespun.models.extras.dropout import dropped
from homespun.models.linear import Linear
from homespun.models.position import RotaryTables, Rotation

_TINY = 1e-30  # of probabilities
Positions = LearnedPositions | SinusoidalPositions | RotaryTables | RelativePositions


class WriterBlock(ResidualBlock):
    """One layer of the writer: attention to what it wrote, to what was read, and an MLP, with norms
    before each or behind it.

    Args:
        attention, cross, mlp: the three.
        norms: of each, in that order.
        norm_first: before it; else behind the sum.
        dropout: share of what each adds that is left out while training.
    """

    def __init__(
        self,
        attention: nn.Module,
        cross: CrossAttention,
        mlp: nn.Module,
        norms: Sequence[Norm],
        *,
        norm_first: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(norm_first=norm_first, dropout=dropout)
        self.attention_norm, self.cross_norm, self.mlp_norm = norms
        self.attention = attention
        self.cross = cross
        self.mlp = mlp

    def forward(
        self,
        x_BTD: Tensor,
        read: KeysValues,
        read_bias_BTS: Tensor | None,
        rotation: Rotation | None,
        bias: Tensor | None,
        cache: KeyValueCache | None,
        layer: int,
    ) -> Tensor:
        def attention(h_BTD: Tensor) -> Tensor:
            y_BTD: Tensor = self.attention(h_BTD, rotation, bias, cache, layer)
            return y_BTD

        x_BTD = self.added(x_BTD, attention, self.attention_norm)
        x_BTD = self.added(x_BTD, lambda h: self.cross(h, read, read_bias_BTS), self.cross_norm)
        return self.added(x_BTD, self.mlp, self.mlp_norm)


class Side(nn.Module):
    """What both halves have before and behind their layers.

    Args:
        embedding: ids to vectors; both halves may share it.
        positions: see `EncoderDecoderConfig`.
        blocks: the layers.
        norm: behind the last; None where layers end with one.
        embedding_scale: factor of the embedding's rows.
        dropout: share of the embedding's numbers left out while training.
    """

    def __init__(
        self,
        embedding: Embedding,
        positions: Positions,
        blocks: Sequence[nn.Module],
        norm: Norm | None,
        *,
        embedding_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.positions = positions
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.embedding_scale = embedding_scale
        self.dropout = dropout

    def embedded(self, ids_BT: Tensor, start: int, dtype: torch.dtype) -> Tensor:
        """Vectors of tokens from position `start` on, (B, T, D)."""
        x_BTD: Tensor = self.embedding(ids_BT) * self.embedding_scale
        stop = start + ids_BT.shape[1]
        if isinstance(self.positions, LearnedPositions):
            x_BTD = x_BTD + self.positions(start, stop, None, x_BTD.dtype)
        elif isinstance(self.positions, SinusoidalPositions):
            x_BTD = x_BTD + self.positions(start, stop)
        x_BTD = dropped(x_BTD, self.dropout) if self.training else x_BTD
        return x_BTD.to(dtype)

    def rotation(self, start: int, stop: int, like: Tensor) -> Rotation | None:
        if isinstance(self.positions, RotaryTables):
            return self.positions.rotation(start, stop, None, like=like)
        return None

    def relative(self, start: int, num: int, like: Tensor) -> Tensor | None:
        """Numbers that are added to scores, (1, H, T, S), where positions are relative."""
        if isinstance(self.positions, RelativePositions):
            bias: Tensor = self.positions(start, num, start + num).to(like.dtype)
            return bias
        return None

    def ended(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD if self.norm is None else self.norm(x_BTD)
        return dropped(x_BTD, self.dropout) if self.training and self.norm is not None else x_BTD


class EncoderDecoder(Rewriter):
    """`encode` a text, `remember` it, `decode` another. `EncoderDecoderConfig.build` puts one
    together.

    Args:
        reader, writer: the two halves.
        unembedding: hidden states to scores; None uses the writer's embedding ("tied").
        context: longest text of either side.
        head_scale: factor of hidden states before the head.
        copying: what takes words over from the text that is read; None copies none.
    """

    def __init__(
        self,
        reader: Side,
        writer: Side,
        unembedding: Linear | None,
        *,
        context: int,
        head_scale: float = 1.0,
        copying: CopyHead | None = None,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.writer = writer
        self.unembedding = unembedding
        self.context = context
        self.head_scale = head_scale
        self.copying = copying
        self.compute_dtype = torch.float32

    @property
    def head_weight(self) -> Tensor:
        """The matrix of the head: the writer's embedding where tied."""
        if self.unembedding is None:
            return self.writer.embedding.weight
        return self.unembedding.weight

    @property
    def width(self) -> int:
        return self.head_weight.shape[1]

    @property
    def num_words(self) -> int:
        return self.head_weight.shape[0]

    @property
    def num_writer_layers(self) -> int:
        return len(self.writer.blocks)

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of activations and products; weights keep theirs."""
        self.compute_dtype = dtype

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`."""
        return parameter_kinds(self, self.unembedding)

    def encode(self, ids_BS: Tensor, is_token_BS: Tensor | None = None) -> Tensor:
        """What is read, (B, S, D) in the compute dtype; that of padding means nothing.

        Args:
            ids_BS: token ids.
            is_token_BS: bool, False where a row is filled up; None where no row is.

        Raises:
            RequestError: more tokens than the context holds.
        """
        S = ids_BS.shape[1]
        self._check(S)
        x_BSD = self.reader.embedded(ids_BS, 0, self.compute_dtype)
        bias = None if is_token_BS is None else hide_padding(is_token_BS, like=x_BSD)
        relative = self.reader.relative(0, S, x_BSD)
        if relative is not None:
            bias = relative if bias is None else relative + bias[:, None]
        rotation = self.reader.rotation(0, S, x_BSD)
        for block in self.reader.blocks:
            assert isinstance(block, EncoderBlock)
            x_BSD = block(x_BSD, rotation, bias)
        return self.reader.ended(x_BSD)

    def remember(
        self, memory_BSD: Tensor, is_token_BS: Tensor | None = None, ids_BS: Tensor | None = None
    ) -> Remembered:
        """Keys and values of what `encode` returned, for `decode`; `ids_BS` are the tokens that
        were read, which models that copy must be given."""
        blocks = [block for block in self.writer.blocks if isinstance(block, WriterBlock)]
        bias = None if is_token_BS is None else hide_padding(is_token_BS, like=memory_BSD)
        copies = None
        if self.copying is not None:
            assert ids_BS is not None, "a model that copies must know what it read"
            copies = self.copying.remember(memory_BSD, ids_BS, bias)
        layers = tuple(block.cross.remember(memory_BSD) for block in blocks)
        return Remembered(layers, bias, copies)

    def decode(
        self, ids_BT: Tensor, read: Remembered, cache: KeyValueCache | None = None
    ) -> Tensor:
        start, T = 0 if cache is None else cache.length, ids_BT.shape[1]
        self._check(start + T)
        x_BTD = self.writer.embedded(ids_BT, start, self.compute_dtype)
        bias = self.writer.relative(start, T, x_BTD)
        if bias is not None:
            bias = bias + hide_future(T, start + T, like=x_BTD)[:, None]
        rotation = self.writer.rotation(start, start + T, x_BTD)
        for number, (block, kept) in enumerate(zip(self.writer.blocks, read.layers, strict=True)):
            x_BTD = block(x_BTD, kept, read.bias_BTS, rotation, bias, cache, number)
        return self.writer.ended(x_BTD)

    def forward(self, ids_BS: Tensor, is_token_BS: Tensor | None, written_BT: Tensor) -> Tensor:
        """Hidden states (B, T, D) of `written_BT` after reading `ids_BS`, as in training."""
        return self.decode(written_BT, self.read(ids_BS, is_token_BS))

    def read_alone(self, ids_BS: Tensor, is_token_BS: Tensor | None = None) -> Remembered:
        """`encode` and `remember` in one."""
        return self.remember(self.encode(ids_BS, is_token_BS), is_token_BS, ids_BS)

    def looked_at(self, written_BT: Tensor, read: Remembered) -> Tensor:
        last = self.writer.blocks[-1]
        assert isinstance(last, WriterBlock)
        caught: list[tuple[Tensor, KeysValues, Tensor | None]] = []
        hook = last.cross.register_forward_pre_hook(lambda _, inputs: caught.append(inputs))
        try:
            self.decode(written_BT, read)
        finally:
            hook.remove()
        return last.cross.weights(*caught[0]).mean(1)

    def own_log_probs(self, hidden_BTD: Tensor, read: Remembered) -> Tensor:
        """As `Rewriter` has it, copies included."""
        scores_BTV = self.head(hidden_BTD)
        if self.copying is None or read.copies is None:
            return scores_BTV.float().log_softmax(-1)
        return self.copying.log_probs(scores_BTV, hidden_BTD, read.copies)

    def copying_loss(
        self,
        ids_BS: Tensor,
        is_token_BS: Tensor | None,
        written_BT: Tensor,
        targets_BT: Tensor,
        *,
        smoothing: float = 0.0,
        agreement: float = 0.0,
    ) -> Tensor:
        """`next_token_loss` of `targets_BT` behind `written_BT`, of a model that copies from
        `ids_BS`; the value has smoothing and agreement in it as well."""
        read = self.read(ids_BS, is_token_BS)
        hidden_BTD = self.decode(written_BT, read)
        assert self.copying is not None
        assert read.copies is not None
        scores_BTV = self.head(hidden_BTD)
        return self.copying.loss(
            scores_BTV, hidden_BTD, read.copies, targets_BT, smoothing, agreement
        )

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """Scores of all words, (..., V)."""
        hidden_BTD = hidden_BTD * self.head_scale
        return F.linear(hidden_BTD, self.head_weight.to(hidden_BTD.dtype))

    def next_token_loss(
        self,
        hidden_BTD: Tensor,
        targets_BT: Tensor,
        *,
        smoothing: float = 0.0,
        agreement: float = 0.0,
    ) -> Tensor:
        """Summed nats of `targets_BT`, float32, with gradients; targets of -100 do not count.

        Args:
            smoothing: share of the aim that lies on all words alike (Szegedy et al. 2016, arXiv
                1512.00567, section 7). The gradient has it; the value is that of the text.
            agreement: share of the aim that is what the other half of the rows says, which is the
                same pairs under other dropout, without gradients of its own. So with
                α = agreement / (1 - agreement) both halves get, to first order, the gradients of
                R-Drop (Liang et al. 2021, arXiv 2106.14448, equation 4).
        """
        hidden_ND = (hidden_BTD * self.head_scale).flatten(0, -2)
        share = 1 - (1 - smoothing) * (1 - agreement)
        teacher = None
        if agreement:
            other = _OtherHalf(hidden_ND, self.head_weight, 1 - agreement / share)
            teacher = Teacher(other, share)
        elif smoothing:
            teacher = Teacher(_Uniform(self.head_weight), smoothing)
        return cross_entropy_from_hidden(
            hidden_ND, self.head_weight, targets_BT.flatten(), teacher=teacher
        )

    def _check(self, num: int) -> None:
        if num > self.context:
            raise RequestError(
                f"the model's context is {self.context} tokens", got=num, remedy="shorten the text"
            )


class _Uniform:
    """Rows of log probabilities of a teacher that knows nothing."""

    def __init__(self, head_weight_VD: Tensor) -> None:
        num = len(head_weight_VD)
        self._row_V = torch.full((num,), 1.0 / num, device=head_weight_VD.device).log()

    def __getitem__(self, rows: object, /) -> Tensor:
        return self._row_V[None]


class _OtherHalf:
    """Rows of log probabilities: of each row those of the row half of all rows away, mixed with a
    share of all words alike."""

    def __init__(self, hidden_ND: Tensor, weight_VD: Tensor, uniform: float) -> None:
        assert len(hidden_ND) % 2 == 0
        self._hidden_ND = hidden_ND.detach().roll(len(hidden_ND) // 2, 0)
        self._weight_VD = weight_VD.detach().to(hidden_ND.dtype)
        self._uniform = uniform

    def __getitem__(self, rows: Any, /) -> Tensor:
        probs_CV = F.linear(self._hidden_ND[rows], self._weight_VD).float().softmax(-1)
        even = self._uniform / probs_CV.shape[-1]
        return probs_CV.mul_(1 - self._uniform).add_(even).clamp_min_(_TINY).log_()
