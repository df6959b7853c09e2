"""Parameters, floating-point operations and bytes of a decoder, from its config alone.

A product of an (N, D) and a (D, F) matrix is 2·N·D·F operations; norms, rotations, softmax and
activation functions are left out, as in Kaplan et al. 2020 (arXiv 2001.08361, table 1) and PaLM
(arXiv 2204.02311, appendix B). Unlike Kaplan's "6N" the head and attention's own two products are
counted, which for small models are a large part.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from homespun.models.attention import LONGEST_BLOCKWISE
from homespun.models.causal import BLOCK
from homespun.models.config import DecoderConfig
from homespun.models.extras import GATE_CHANNELS, SMEAR_CHANNELS, layers_with_values

Optimizer = Literal["adamw", "muon"]


class ParameterCount(NamedTuple):
    """Number of parameters of each kind, as in `Decoder.parameter_kinds`.

    Attributes:
        total: all, a tied table once.
        embedding: the table of tokens, the head too where tied, and that of learned positions.
        head: of the scores, where untied.
        matrix: weights of the blocks' products, what Muon updates.
        value_table, bigram_table: tables that are looked up and never multiplied.
        scalar: learned factors, gates and biases.
        norm: scales and shifts of norms.
    """

    total: int
    embedding: int
    head: int
    matrix: int
    value_table: int
    bigram_table: int
    scalar: int
    norm: int

    @property
    def non_embedding(self) -> int:
        """All but what stands for tokens."""
        return self.matrix + self.scalar + self.norm

    @property
    def vector(self) -> int:
        """What has one number a channel or fewer: norms, gates, factors."""
        return self.scalar + self.norm

    @property
    def multiplied(self) -> int:
        """What every token is multiplied with: matrices, and the head even where it is the
        embedding. What nanochat's scaling laws count."""
        return self.matrix + (self.head or self.embedding)


def count_parameters(config: DecoderConfig) -> int:
    """Number of parameters, a tied table once."""
    return parameters_by_kind(config).total


def parameters_by_kind(config: DecoderConfig) -> ParameterCount:
    """Number of parameters, by what they are."""
    c = config
    table = c.vocab_size * c.width
    attention = c.width * c.head_width * (2 * c.num_heads + 2 * c.num_kv_heads)
    num_mlp = 3 if c.activation == "swiglu" else 2
    value_table = _num_value_layers(c) * c.vocab_size * c.num_kv_heads * c.head_width
    norms = c.num_layers * 2 * c.width + c.width + c.width * c.embedding_norm
    norms *= 2 if c.norm == "layer" else 1
    norms += c.num_layers * 2 * c.head_width * c.qk_norm
    factors = c.num_layers * (2 * c.residual_scalars + (c.bigram_rows > 0)) + c.smear
    factors += (c.width + 1) * c.ngram_prior
    counts = {
        "embedding": table + (c.context * c.width if c.positions == "learned" else 0),
        "head": 0 if c.tied else table,
        "matrix": c.num_layers * (attention + num_mlp * c.width * c.mlp_width),
        "value_table": value_table,
        "bigram_table": (c.bigram_rows + 1) * c.width if c.bigram_rows else 0,
        "scalar": _gate_weights(c) + factors + _biases(c),
        "norm": norms if c.norm_weights else 0,
    }
    return ParameterCount(sum(counts.values()), **counts)


def _biases(config: DecoderConfig) -> int:
    c = config
    heads = (c.num_heads + 2 * c.num_kv_heads) * c.head_width
    units = (2 if c.activation == "swiglu" else 1) * c.mlp_width + c.width
    return c.num_layers * (heads * c.attention_bias + c.width * c.out_bias + units * c.mlp_bias)


def _num_value_layers(config: DecoderConfig) -> int:
    return len(layers_with_values(config.num_layers)) if config.value_embeddings else 0


def _gate_weights(config: DecoderConfig) -> int:
    """Weights of the small products that make gates."""
    c = config
    gates = c.num_heads * c.num_layers * c.head_gate + c.num_kv_heads * _num_value_layers(c)
    smear = min(SMEAR_CHANNELS, c.width) if c.smear else 0
    return gates * min(GATE_CHANNELS, c.width) + smear


def forward_flops_per_token(config: DecoderConfig, length: int | None = None) -> int:
    """Operations to read one token, averaged over a sequence of `length` (default: the context).

    2·(matrices + gates + V·D) + 4·L·H·K·(length + 1)/2: every weight that is multiplied is used in
    one multiply and one add; a query meets (length + 1)/2 keys on average, once for its score and
    once for its value. Tables that are only looked up cost nothing.
    """
    c = config
    keys = ((length or c.context) + 1) / 2
    attention = 4 * c.num_layers * c.num_heads * c.head_width * keys
    weights = parameters_by_kind(c).matrix + _gate_weights(c) + c.vocab_size * c.width
    return round(2 * weights + attention)


def train_flops_per_token(config: DecoderConfig, length: int | None = None) -> int:
    """Operations to learn from one token: three times the forward pass (PaLM, appendix B), since
    each product has two more, of its gradients, on the way back."""
    return 3 * forward_flops_per_token(config, length)


class MemoryEstimate(NamedTuple):
    """Bytes. All but `activations` are exact for dense fp32 training."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return sum(self)


def memory_bytes(
    config: DecoderConfig,
    *,
    batch: int,
    length: int | None = None,
    optimizer: Optimizer = "adamw",
    activation_bytes: int = 2,
) -> int:
    """Bytes to train with `batch` sequences at once; arguments as in `memory_by_kind`."""
    return memory_by_kind(
        config,
        batch=batch,
        length=length,
        optimizer=optimizer,
        activation_bytes=activation_bytes,
    ).total


def memory_by_kind(
    config: DecoderConfig,
    *,
    batch: int,
    length: int | None = None,
    optimizer: Optimizer = "adamw",
    activation_bytes: int = 2,
) -> MemoryEstimate:
    """Bytes to train, by what they hold.

    Args:
        config: of the model.
        batch: sequences of one forward and backward pass.
        length: tokens of a sequence, default the context.
        optimizer: AdamW keeps two numbers a parameter, Muon one for matrices and AdamW the rest.
        activation_bytes: of an activation, 2 in bfloat16 and 4 in float32.
    """
    count = parameters_by_kind(config)
    states = 2 * count.total - (count.matrix if optimizer == "muon" else 0)
    tokens = batch * (length or config.context)
    return MemoryEstimate(
        weights=4 * count.total,
        gradients=4 * count.total,
        optimizer=4 * states,
        activations=tokens * activations_per_token(config, length) * activation_bytes,
    )


def activations_per_token(config: DecoderConfig, length: int | None = None) -> int:
    """Numbers kept for the backward pass, one token.

    Per layer: what enters the two norms and what leaves them (4·D), queries, keys and values
    before and after norm and rotation and attention's output (3·H·K + 4·G·K), the feed-forward
    layer (gate, up, silu and product, 4·F; ungated 2·F), and the attention weights
    (H·(length + block)/2, kept up to 1024 tokens); at the ends the embedding, the last norm and the
    loss's gradient (4·D).

    Other parts, where a model has them: the stream before each mix (D a layer), the embedding and
    the bigrams that all layers share (D each), value embeddings (G·K where there are some), heads
    before their gate (H·K a layer), the embedding before its norm and before and behind smear
    (D each), and dropout's masks, counted like a number each (2·D a layer and D).
    """
    c = config
    length = length or c.context
    heads = 3 * c.num_heads + 4 * c.num_kv_heads + c.num_heads * c.head_gate
    weights = c.num_heads * (length + BLOCK) // 2 if length <= LONGEST_BLOCKWISE else 0
    mlp = (4 if c.activation == "swiglu" else 2) * c.mlp_width
    mixed = c.width * (c.residual_scalars or c.bigram_rows > 0)
    dropped = 2 * c.width * (c.dropout > 0)
    layer = 4 * c.width + heads * c.head_width + mlp + weights + mixed + dropped
    values = _num_value_layers(c) * c.num_kv_heads * c.head_width
    ends = 4 + c.embedding_norm + 2 * c.smear + (c.bigram_rows > 0) + (c.dropout > 0)
    return c.num_layers * layer + values + ends * c.width


def cache_bytes_per_token(config: DecoderConfig, element_bytes: int = 2) -> int:
    """Bytes of keys and values that generating keeps for each token."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_width * element_bytes
