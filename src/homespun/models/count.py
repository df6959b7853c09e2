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

Optimizer = Literal["adamw", "muon"]


class ParameterCount(NamedTuple):
    """Attributes:
    total: all, a tied table once.
    embedding: tables: the embedding and, where untied, the head.
    matrix: weights of the blocks' products, what Muon updates.
    vector: norms.
    """

    total: int
    embedding: int
    matrix: int
    vector: int

    @property
    def non_embedding(self) -> int:
        return self.matrix + self.vector


def count_parameters(config: DecoderConfig) -> int:
    """Number of parameters, a tied table once."""
    return parameters_by_kind(config).total


def parameters_by_kind(config: DecoderConfig) -> ParameterCount:
    """Number of parameters, by what they are."""
    c = config
    table = c.vocab_size * c.width
    embedding = table if c.tied else 2 * table
    attention = c.width * c.head_width * (2 * c.num_heads + 2 * c.num_kv_heads)
    matrix = c.num_layers * (attention + 3 * c.width * c.mlp_width)
    qk = 2 * c.head_width if c.qk_norm else 0
    vector = c.num_layers * (2 * c.width + qk) + c.width
    return ParameterCount(embedding + matrix + vector, embedding, matrix, vector)


def forward_flops_per_token(config: DecoderConfig, length: int | None = None) -> int:
    """Operations to read one token, averaged over a sequence of `length` (default: the context).

    2·(matrices + V·D) + 4·L·H·K·(length + 1)/2: every weight is used in one multiply and one add;
    a query meets (length + 1)/2 keys on average, once for its score and once for its value.
    """
    c = config
    keys = ((length or c.context) + 1) / 2
    attention = 4 * c.num_layers * c.num_heads * c.head_width * keys
    return round(2 * (parameters_by_kind(c).matrix + c.vocab_size * c.width) + attention)


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
    before and after norm and rotation and attention's output (3·H·K + 4·G·K), gate, up, silu and
    product (4·F), and the attention weights (H·(length + block)/2, kept up to 1024 tokens); at the
    ends the embedding, the last norm and the loss's gradient (4·D).
    """
    c = config
    length = length or c.context
    heads = 3 * c.num_heads + 4 * c.num_kv_heads
    weights = c.num_heads * (length + BLOCK) // 2 if length <= LONGEST_BLOCKWISE else 0
    layer = 4 * c.width + heads * c.head_width + 4 * c.mlp_width + weights
    return c.num_layers * layer + 4 * c.width


def cache_bytes_per_token(config: DecoderConfig, element_bytes: int = 2) -> int:
    """Bytes of keys and values that generating keeps for each token."""
    return 2 * config.num_layers * config.num_kv_heads * config.head_width * element_bytes
