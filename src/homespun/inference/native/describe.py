"""A decoder as decode.c reads it: packed weights, tables, and the blocks of its cache."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from homespun.core import ConfigError
from homespun.inference.native.layout import Layer, Model, Ngrams, Table
from homespun.inference.native.memory import Memory
from homespun.inference.native.pack import WeightKind, packed
from homespun.inference.runners.work import BLOCK_TOKENS
from homespun.models import Decoder
from homespun.models.attention import Attention
from homespun.models.decoder import Block
from homespun.models.embedding import Embedding, LearnedPositions
from homespun.models.extras.mix import HUNDREDTH
from homespun.models.linear import Linear
from homespun.models.mlp import GELU, SquaredReLU, SwiGLU
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.position import RotaryTables


class Description:
    """Pointers to all that decode.c reads of a model, and the memory behind them.

    Args:
        model: float32, on the processor.
        num_blocks: of the cache.
        weights: how matrices are kept. The head has 8 bits where they have 4; tables that are
            looked up stay as they are. Keys and values are bfloat16 where weights are no float32.

    Attributes:
        model: the struct.
        num_bytes: that are read for one token, the cache left out.
        num_cache_bytes: of one token.
        kept_bytes: of one number among the keys and values.

    Raises:
        ConfigError: the model has parts decode.c does not know.
    """

    def __init__(self, model: Decoder, num_blocks: int, weights: WeightKind) -> None:
        self._memory = Memory()
        self._weights = weights
        self.kept_bytes = 4 if weights == "float32" else 2
        self._used: set[int] = set()
        self.num_bytes = 0
        first: Block = model.blocks[0]  # type: ignore[assignment]
        attention = first.attention
        positions = model.positions
        mlp = first.mlp
        known = (
            isinstance(attention, Attention)
            and isinstance(mlp, SwiGLU | SquaredReLU | GELU)
            and isinstance(positions, RotaryTables | LearnedPositions)
            and not isinstance(model.embedding_norm, LayerNorm)
        )
        if not known:
            raise _unknown(f"{type(mlp).__name__}, {type(positions).__name__}")
        assert isinstance(attention, Attention)
        assert isinstance(mlp, SwiGLU | SquaredReLU | GELU)
        self._padded = -(-attention.head_width // 16) * 16
        self._num_blocks = num_blocks
        floats = self._floats
        self._positions = positions if isinstance(positions, RotaryTables) else None
        self._like = model.embedding.weight
        self._turns = None if self._positions is None else self._positions.table(1, self._like)
        smear, mix = model.smear, model.mix
        self.layers = (Layer * len(model.blocks))(
            *(self._layer(model, number) for number in range(len(model.blocks)))
        )
        has_first = mix is not None and mix.first_L is not None
        gates = [a.value_gate or a.head_gate for a in _attentions(model)]
        channels = [gate.num_channels for gate in gates if gate is not None]
        widest = max(model.embedding.width, attention.num_heads * attention.head_width)
        head_kind: WeightKind = "int8" if weights == "int4" else weights
        self.num_cache_bytes = (
            len(model.blocks)
            * attention.num_kv_heads
            * (attention.head_width + self._padded)
            * self.kept_bytes
        )
        self.model = Model(
            num_layers=len(model.blocks),
            width=model.embedding.width,
            heads=attention.num_heads,
            kv_heads=attention.num_kv_heads,
            head_width=attention.head_width,
            mlp_width=mlp.up.out_width,
            vocab_size=model.head_weight.shape[0],
            context=model.context,
            stride=-(-widest // 32) * 32,
            activation=_activation(mlp),
            is_layer_norm=isinstance(model.norm, LayerNorm),
            has_qk_norm=attention.query_norm is not None,
            has_mix=mix is not None,
            has_embedding_norm=model.embedding_norm is not None,
            gate_channels=channels[0] if channels else 0,
            smear_channels=0 if smear is None else smear.num_channels,
            bigram_rows=0 if model.bigrams is None else model.bigrams.num_rows,
            has_first=has_first,
            keeps_bf16=self.kept_bytes == 2,
            norm_eps=model.norm.eps,
            softcap=model.softcap or 0.0,
            smear_factor=0.0 if smear is None else float(smear.factor.detach()),
            embedding=floats(model.embedding.weight),
            embedding_norm=floats(
                None if model.embedding_norm is None else model.embedding_norm.weight
            ),
            final_norm=floats(model.norm.weight),
            smear=floats(None if smear is None else smear.weight),
            bigram_table=floats(None if model.bigrams is None else model.bigrams.weight),
            cosines=None if self._turns is None else self._turns[0].data_ptr(),
            sines=None if self._turns is None else self._turns[1].data_ptr(),
            final_shift=floats(_shift(model.norm)),
            position_table=floats(
                positions.weight if isinstance(positions, LearnedPositions) else None
            ),
            head=self._matrix(head_kind, model.head_weight),
            layers=self.layers,
            table=self._table(model),
        )
        self._used |= {id(p) for part in (smear, mix, model.prior_strength) for p in _of(part)}
        unknown = [name for name, p in model.named_parameters() if id(p) not in self._used]
        if unknown:
            raise _unknown(unknown[0])

    @property
    def key_size(self) -> int:
        """Numbers of a block's keys in one layer; `value_size` of its values."""
        return int(self.model.kv_heads * self.model.head_width * BLOCK_TOKENS)

    @property
    def value_size(self) -> int:
        return int(self.model.kv_heads * self._padded * BLOCK_TOKENS)

    def reach(self, stop: int) -> None:
        """Have rotations for positions up to `stop` - 1."""
        if self._positions is None or self._turns is None:
            return
        if stop > len(self._turns[0]):
            self._turns = self._positions.table(stop, self._like)
            self.model.cosines, self.model.sines = (t.data_ptr() for t in self._turns)

    def _floats(self, tensor: Tensor | None) -> int | None:
        self._used.add(id(tensor))
        return self._memory.floats(tensor)

    def _biases(self, *layers: Linear) -> int | None:
        """A pointer to what products add, one behind the other; None where they add nothing."""
        biases = [layer.bias for layer in layers if layer.bias is not None]
        if not biases:
            return None
        self._used |= {id(bias) for bias in biases}
        return self._memory.floats(torch.cat([bias.detach() for bias in biases]))

    def _matrix(self, kind: WeightKind, *weights: Tensor) -> object:
        self._used |= {id(weight) for weight in weights}
        together = packed(torch.cat([weight.detach().cpu() for weight in weights]), kind)
        self.num_bytes += together.num_bytes
        return self._memory.matrix(together)

    def _table(self, model: Decoder) -> object:
        """A pointer to the n-gram table beside the model; None where there is none."""
        prior, strength = model.prior, model.prior_strength
        if strength is None:
            return None
        assert prior is not None, "attach_prior has not been called"
        assert prior.num_words == prior.vocab_size == model.head_weight.shape[0]
        floats, whole = self._memory.floats, self._memory.whole
        orders = (Ngrams * (prior.order - 1))()
        for n, order in enumerate(prior.orders[1:], start=2):
            starts, words = prior.continuations(n)
            orders[n - 2] = Ngrams(
                whole(order.keys_M),
                whole(starts),
                whole(words),
                floats(order.mass_XM[-1]),
                floats(order.backoff_XP[-1]),
                len(order.keys_M),
            )
        table = Table(
            num_orders=len(orders),
            num_words=prior.num_words,
            orders=orders,
            unigram=floats(prior.unigram()),
            odds=floats(prior.copy_odds),
            gate=floats(strength.gate()),
            base=float(strength.base.detach()),
        )
        return ctypes.pointer(table)

    def _layer(self, model: Decoder, number: int) -> Layer:
        block: Block = model.blocks[number]  # type: ignore[assignment]
        attention, mlp, mix = block.attention, block.mlp, model.mix
        assert isinstance(attention, Attention)
        assert isinstance(mlp, SwiGLU | SquaredReLU | GELU)
        up = (mlp.gate.weight, mlp.up.weight) if isinstance(mlp, SwiGLU) else (mlp.up.weight,)
        floats, kind = self._floats, self._weights
        table: Tensor | None = None
        if model.values is not None and str(number) in model.values.tables:
            embedding = model.values.tables[str(number)]
            assert isinstance(embedding, Embedding)
            table = embedding.weight
        factors = [1.0, 0.0, 0.0]
        if mix is not None:
            if mix.residual_L is not None:
                factors[0] = float(1.0 + HUNDREDTH * mix.residual_L[number].detach())
            if mix.first_L is not None:
                factors[1] = float(mix.first_L[number].detach())
            if mix.bigram_L is not None:
                factors[2] = float(mix.bigram_L[number].detach())
        kept = self._num_blocks * attention.num_kv_heads * BLOCK_TOKENS * self.kept_bytes
        slides = model.sliding is not None and number >= model.sliding.first_layer
        qk = (attention.query_norm, attention.key_norm)
        gates = (attention.value_gate, attention.head_gate)
        return Layer(
            self._matrix(
                kind, attention.query.weight, attention.key.weight, attention.value.weight
            ),
            self._matrix(kind, attention.out.weight),
            self._matrix(kind, *up),
            self._matrix(kind, mlp.down.weight),
            floats(block.attention_norm.weight),
            floats(block.mlp_norm.weight),
            *(floats(None if norm is None else norm.weight) for norm in qk),
            *(floats(None if gate is None else gate.weight) for gate in gates),
            floats(table),
            *(floats(_shift(norm)) for norm in (block.attention_norm, block.mlp_norm)),
            self._biases(attention.query, attention.key, attention.value),
            self._biases(attention.out),
            self._biases(*((mlp.gate, mlp.up) if isinstance(mlp, SwiGLU) else (mlp.up,))),
            self._biases(mlp.down),
            *factors,
            model.sliding.width if model.sliding is not None and slides else 0,
            self._memory.zeros(kept * attention.head_width, dtype=np.uint8),
            self._memory.zeros(kept * self._padded, dtype=np.uint8),
        )


def _activation(mlp: SwiGLU | SquaredReLU | GELU) -> int:
    """Its number in decode.c."""
    if isinstance(mlp, GELU):
        return 3 if mlp.approximate == "tanh" else 2
    return int(isinstance(mlp, SwiGLU))


def _shift(norm: RMSNorm | LayerNorm) -> Tensor | None:
    return norm.bias if isinstance(norm, LayerNorm) else None


def _unknown(part: str) -> ConfigError:
    return ConfigError(
        "the compiled step does not know all parts of this model",
        got=part,
        remedy="take kernels = torch",
    )


def _of(part: nn.Module | None) -> Iterator[nn.Parameter]:
    return iter(()) if part is None else part.parameters()


def _attentions(model: Decoder) -> Iterator[Attention]:
    for block in model.blocks:
        attention = block.attention
        assert isinstance(attention, Attention)
        yield attention
