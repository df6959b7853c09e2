"""What each parameter of a model is, so that every kind can be learned at a rate of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from homespun.models.embedding import Embedding
from homespun.models.linear import Linear
from homespun.models.norm import LayerNorm, RMSNorm

ParameterKind = Literal[
    "matrix", "embedding", "head", "value_table", "bigram_table", "scalar", "norm"
]
"""
matrix        of the blocks' products, what Muon updates
embedding     one row a token, the head too where tied; one row a position, where learned
head          of the scores, where untied
value_table   one row a token, added to values
bigram_table  one row a hashed pair of tokens
scalar        learned factors, gates and biases, few numbers each
norm          scales and shifts of norms
"""


def kind_of(module: nn.Module) -> ParameterKind:
    """The kind of the parameters that `module` itself holds.

    A module may say so by an attribute `parameter_kind`; what is none of our parts is a "scalar".
    """
    told: ParameterKind | None = getattr(module, "parameter_kind", None)
    if told is not None:
        return told
    if isinstance(module, RMSNorm | LayerNorm):
        return "norm"
    if isinstance(module, Embedding | nn.Embedding):
        return "embedding"
    if isinstance(module, Linear | nn.Linear | nn.RNNBase):
        return "matrix"
    return "scalar"


def parameter_kinds(model: nn.Module, head: nn.Module | None) -> dict[str, ParameterKind]:
    """The kind of each parameter, by name and in the order of `named_parameters`; vectors beside
    matrices are "scalar".

    Args:
        model: whose parameters.
        head: its part that is one; None where the head is tied.
    """
    kinds: dict[str, ParameterKind] = {}
    for prefix, module in model.named_modules():
        kind = "head" if module is head else kind_of(module)
        for name, parameter in module.named_parameters(prefix, recurse=False):
            kinds[name] = "scalar" if kind == "matrix" and parameter.ndim == 1 else kind
    return {name: kinds[name] for name, _ in model.named_parameters()}


def num_multiplied(model: nn.Module) -> int:
    """Parameters that every token is multiplied by: all but tables that are looked up. A table that
    is the head as well counts.

    Args:
        model: has `parameter_kinds`.
    """
    kinds: Mapping[str, ParameterKind] = model.parameter_kinds()  # type: ignore[operator]
    looked_up = {"value_table", "bigram_table"}
    if "head" in kinds.values():
        looked_up.add("embedding")
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if kinds[name] not in looked_up
    )
