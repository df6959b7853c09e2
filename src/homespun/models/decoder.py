"""The decoder-only Transformer: pre-norm blocks, rotary positions, Llama and Qwen3 compatible.

Shape letters: B batch, T time, D width, V vocabulary, N rows (tokens of any batch shape).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homespun.core import RequestError
from homespun.models.attention import (
    hide_behind_prefix,
    hide_far,
    hide_future,
    hide_other_segments,
)
from homespun.models.cache import KeyValueCache
from homespun.models.cross_entropy import Known, Rows, Teacher, cross_entropy_from_hidden
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.extras import (
    BigramTable,
    ParameterKind,
    ResidualMix,
    Smear,
    ValueEmbeddings,
    parameter_kinds,
    previous_ids,
)
from homespun.models.extras.dropout import dropped
from homespun.models.extras.smear import shifted
from homespun.models.linear import Linear
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.position import RotaryTables, Rotation
from homespun.models.prior import (
    NgramPrior,
    PriorStrength,
    TableRows,
    places_from_numbers,
    places_to_numbers,
)

Norm = RMSNorm | LayerNorm


class SlidingWindow(NamedTuple):
    """How far layers look back, where they do not see all that came before (Longformer, arXiv
    2004.05150; Mistral 7B, arXiv 2310.06825, section 2).

    Attributes:
        width: keys that a query sees, its own included.
        first_layer: layers before this one see everything.
    """

    width: int
    first_layer: int = 0


class Block(nn.Module):
    """One layer: `x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Attention and MLP are handed in, so that other families and variants reuse the block. While
    training, `dropout` is the share of what each of the two adds that is left out.
    """

    def __init__(
        self,
        attention: nn.Module,
        mlp: nn.Module,
        attention_norm: Norm,
        mlp_norm: Norm,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm = attention_norm
        self.attention = attention
        self.mlp_norm = mlp_norm
        self.mlp = mlp
        self.dropout = dropout

    def forward(
        self,
        x_BTD: Tensor,
        rotation: Rotation | None,
        bias_BTS: Tensor | None = None,
        cache: KeyValueCache | None = None,
        layer: int = 0,
        value_BTE: Tensor | None = None,
    ) -> Tensor:
        h_BTD = self.attention(
            self.attention_norm(x_BTD), rotation, bias_BTS, cache, layer, value_BTE
        )
        x_BTD = x_BTD + self._dropped(h_BTD)
        y_BTD: Tensor = x_BTD + self._dropped(self.mlp(self.mlp_norm(x_BTD)))
        return y_BTD

    def _dropped(self, h_BTD: Tensor) -> Tensor:
        return dropped(h_BTD, self.dropout) if self.training else h_BTD


class Extras(NamedTuple):
    """Parts a decoder may have beside the plain ones, all None by default.

    Attributes:
        embedding_norm: of the embedding's rows, before anything else.
        smear: takes in the previous token's vector.
        bigrams: vectors of token pairs, for `mix`.
        mix: what flows into each layer.
        values: added to the values of attention in some layers.
        prior_strength: how much an n-gram table counts beside the network's scores; the table
            itself comes by `attach_prior`.
        sliding: how far the layers look back.
    """

    embedding_norm: Norm | None = None
    smear: Smear | None = None
    bigrams: BigramTable | None = None
    mix: ResidualMix | None = None
    values: ValueEmbeddings | None = None
    prior_strength: PriorStrength | None = None
    sliding: SlidingWindow | None = None


class Decoder(nn.Module):
    """Token ids to hidden states, and hidden states to scores of the next token.

    `DecoderConfig.build` puts one together. Weights are float32; activations have
    `compute_dtype`, float32 until `set_compute_dtype` says otherwise.

    Args:
        embedding: ids to vectors.
        blocks: the layers, first to last.
        norm: of the last hidden states.
        unembedding: hidden states to scores; None uses the embedding's table ("tied").
        positions: rotary tables, or a learned one, as long as the context.
        extras: other parts.
        softcap: bound of the scores, which become `softcap · tanh(score / softcap)` (Gemma 2,
            arXiv 2408.00118, section 2.1); None for none.
        dropout: share of the embedding's numbers that is left out while training.
    """

    def __init__(
        self,
        embedding: Embedding,
        blocks: Iterable[Block],
        norm: Norm,
        unembedding: Linear | None,
        positions: RotaryTables | LearnedPositions,
        extras: Extras = Extras(),  # noqa: B008 - a tuple, it never changes
        softcap: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.unembedding = unembedding
        self.embedding_norm = extras.embedding_norm
        self.smear = extras.smear
        self.bigrams = extras.bigrams
        self.mix = extras.mix
        self.values = extras.values
        self.prior_strength = extras.prior_strength
        self.prior: NgramPrior | None = None
        self.sliding = extras.sliding
        self.positions = positions
        self.softcap = softcap
        self.dropout = dropout
        self.compute_dtype = torch.float32

    @property
    def context(self) -> int:
        """Largest number of tokens, cached ones included."""
        return self.positions.length

    @property
    def head_weight(self) -> Tensor:
        """The matrix of the head: the embedding's own where tied."""
        return self.embedding.weight if self.unembedding is None else self.unembedding.weight

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, by name and in the order of `named_parameters`; a tied table
        is an "embedding"."""
        return parameter_kinds(self, self.unembedding)

    def attach_prior(self, prior: NgramPrior) -> None:
        """Give a model that was built with `ngram_prior` its table, without which it cannot be
        used. The table is not among the weights: it is made of the text, not learned."""
        assert self.prior_strength is not None, "the config has no ngram_prior"
        self.prior = prior

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of activations and products; weights keep theirs. See `best_compute_dtype`."""
        self.compute_dtype = dtype

    def forward(
        self,
        ids_BT: Tensor,
        *,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        cache: KeyValueCache | None = None,
        blocks_BT: Tensor | None = None,
        prefix_B: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, D) after the final norm, in the compute dtype. With an n-gram table
        the tokens' places in it stand behind them, in float32: `head` and `next_token_loss` take
        both and look up what the table says a piece at a time; `states` cuts them off.

        Args:
            ids_BT: token ids, int64 or int32.
            positions_BT: of the tokens, 0 .. context-1; default `cache.length + arange(T)`.
            segments_BT: number of the text each token belongs to, where several share a row;
                tokens see their own segment only. Not with a cache.
            cache: keys and values of earlier tokens. New ones are appended; advancing it is the
                caller's affair. Rows that hold different numbers of tokens read one each, and have
                `positions_BT`.
            blocks_BT: block of the training text that each next token is of, which the table
                leaves out.
            prefix_B: how many tokens of each row see each other both ways; later ones see all that
                came before. Not with segments, nor with a cache that holds tokens already, whose
                prefix is behind them.

        Raises:
            RequestError: more tokens than the context holds; segments with a cache or a prefix; a
                prefix behind tokens of a cache.
        """
        T = ids_BT.shape[1]
        start = 0 if cache is None else cache.length
        if start + T > self.context:
            raise RequestError(
                f"the model's context is {self.context} tokens",
                got=start + T,
                remedy="shorten the text or drop its beginning",
            )
        previous_BT = None
        if self.smear is not None or self.bigrams is not None:
            previous_BT = previous_ids(
                ids_BT, positions_BT=positions_BT, segments_BT=segments_BT, cache=cache
            )
        first_BTD = x_BTD = self._embedded(ids_BT, previous_BT, start, positions_BT)
        bigram_BTD = None
        if self.bigrams is not None and previous_BT is not None:
            bigram_BTD = self.bigrams(ids_BT, previous_BT, self.compute_dtype)
        rotation = None
        if isinstance(self.positions, RotaryTables):
            rotation = self.positions.rotation(start, start + T, positions_BT, like=x_BTD)
        bias_BTS = None
        if segments_BT is not None:
            if cache is not None:
                raise RequestError(
                    "segments and a cache cannot be used together",
                    remedy="give each text a row of its own when generating",
                )
            if prefix_B is not None:
                raise RequestError(
                    "segments and a prefix cannot be used together", remedy="leave one of them out"
                )
            bias_BTS = hide_other_segments(segments_BT, like=x_BTD)
        elif prefix_B is not None:
            if start > 0:
                raise RequestError(
                    "a prefix is read in one piece", remedy="read it before anything else"
                )
            bias_BTS = hide_behind_prefix(prefix_B, T, like=x_BTD)
        elif start > 0 and T > 1:
            bias_BTS = hide_future(T, start + T, like=x_BTD)
        elif cache is not None:
            bias_BTS = cache.hidden_keys(like=x_BTD)
        near_BTS = bias_BTS
        if self.sliding is not None and start + T > self.sliding.width:
            near_BTS = hide_future(T, start + T, like=x_BTD) if bias_BTS is None else bias_BTS
            # Rows of a cache may hold different numbers of tokens; packed texts lie side by side.
            own_BT = None if cache is None else positions_BT
            near_BTS = near_BTS + hide_far(
                T, start + T, self.sliding.width, like=x_BTD, positions_BT=own_BT
            )
        for layer, block in enumerate(self.blocks):
            if self.mix is not None:
                x_BTD = self.mix(layer, x_BTD, first_BTD, bigram_BTD)
            value_BTE = None
            if self.values is not None:
                value_BTE = self.values(layer, ids_BT, self.compute_dtype)
            slides = self.sliding is not None and layer >= self.sliding.first_layer
            seen_BTS = near_BTS if slides else bias_BTS
            x_BTD = block(x_BTD, rotation, seen_BTS, cache, layer, value_BTE)
        hidden_BTD: Tensor = self.norm(x_BTD)
        if self.prior_strength is None:
            return hidden_BTD
        assert self.prior is not None, "attach_prior has not been called"
        known_BS = ids_BT.long() if cache is None else cache.append_ids(ids_BT).long()
        places_BTK = self.prior.places(
            known_BS,
            last=T,
            positions_BT=positions_BT if cache is None else None,
            blocks_BT=blocks_BT,
        )
        return torch.cat((hidden_BTD.float(), places_to_numbers(places_BTK)), -1)

    def _embedded(
        self,
        ids_BT: Tensor,
        previous_BT: Tensor | None,
        start: int,
        positions_BT: Tensor | None,
    ) -> Tensor:
        """What enters the first layer, and the others once more."""
        x_BTD = self._vectors(ids_BT)
        if self.smear is not None and previous_BT is not None:
            # Behind a cache the first column has a previous token, which is not in the row.
            before_BTD = shifted(x_BTD) if start == 0 else self._vectors(previous_BT.clamp(min=0))
            x_BTD = self.smear(x_BTD, before_BTD, previous_BT >= 0)
        if isinstance(self.positions, LearnedPositions):
            stop = start + ids_BT.shape[1]
            x_BTD = x_BTD + self.positions(start, stop, positions_BT, self.compute_dtype)
        return dropped(x_BTD, self.dropout) if self.training else x_BTD

    def _vectors(self, ids_BT: Tensor) -> Tensor:
        x_BTD: Tensor = self.embedding(ids_BT, self.compute_dtype)
        return x_BTD if self.embedding_norm is None else self.embedding_norm(x_BTD)

    def head(self, hidden_BTD: Tensor) -> Tensor:
        """Scores of the next token, (..., V), computed and returned in float32."""
        states_BTD = self.states(hidden_BTD)
        logits_BTV = F.linear(states_BTD.float(), self.head_weight.float())
        if self.softcap is not None:
            logits_BTV = capped(logits_BTV, self.softcap)
        if self.prior_strength is None:
            return logits_BTV
        prior_BTV = self._table_rows(hidden_BTD)[:].view_as(logits_BTV)
        strength_BT: Tensor = self.prior_strength(states_BTD)
        return logits_BTV + strength_BT.unsqueeze(-1) * prior_BTV

    def states(self, hidden_BTD: Tensor) -> Tensor:
        """Hidden states alone, (..., D), of what `forward` returned."""
        return (
            hidden_BTD if self.prior_strength is None else hidden_BTD[..., : self.embedding.width]
        )

    def _table_rows(self, hidden_BTX: Tensor) -> TableRows:
        """What the table says at the places behind the hidden states, row by row."""
        assert self.prior is not None, "attach_prior has not been called"
        numbers_NX = hidden_BTX[..., self.embedding.width :].flatten(0, -2)
        return TableRows(self.prior, places_from_numbers(numbers_NX))

    def next_token_loss(
        self, hidden_BTD: Tensor, targets_BT: Tensor, *, teacher: Teacher | None = None
    ) -> Tensor:
        """Summed nats of `targets_BT` given `hidden_BTD`, a float32 scalar with gradients.

        Targets of -100 do not count. Neither scores nor probabilities of the whole batch are ever
        in memory, see `cross_entropy_from_hidden`. Products are in the dtype of `hidden_BTD`: for
        an exact evaluation pass `hidden_BTD.float()`.

        Args:
            teacher: what the gradient aims at beside the targets; None for these alone.
        """
        hidden_ND, known = self.states(hidden_BTD).flatten(0, -2), None
        if self.prior_strength is not None:
            hidden_ND = hidden_ND.to(self.compute_dtype)
            known = Known(self._table_rows(hidden_BTD), self.prior_strength(hidden_ND))
        return cross_entropy_from_hidden(
            hidden_ND,
            self.head_weight,
            targets_BT.flatten(),
            softcap=self.softcap,
            known=known,
            teacher=teacher,
        )

    def taught_loss(
        self, hidden_BTD: Tensor, targets_BT: Tensor, teacher_NV: Rows, *, share: float
    ) -> Tensor:
        """As `next_token_loss`, with the gradient of a mixture of targets and `teacher_NV`.

        Args:
            teacher_NV: log probabilities of each next token, float32, row by row of `targets_BT`.
            share: of the teacher, 0 to 1.
        """
        assert self.prior_strength is None, "a table beside the model is teacher enough"
        return self.next_token_loss(hidden_BTD, targets_BT, teacher=Teacher(teacher_NV, share))


def capped(logits: Tensor, softcap: float) -> Tensor:
    """`softcap · tanh(logits / softcap)`."""
    return torch.tanh(logits / softcap).mul(softcap)


def best_compute_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 where `device` multiplies it in hardware, else float32.

    On processors that is AVX512-BF16 or AMX; without them bfloat16 products are emulated and many
    times slower. float16 is never chosen: it needs loss scaling.
    """
    device = torch.device(device)
    if device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    elif device.type == "cuda":
        native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
    else:
        native = False
    return torch.bfloat16 if native else torch.float32
