"""A model with parts that other tools lack, as a plain one that computes the same."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from homespun.models.config import DecoderConfig
from homespun.models.decoder import Decoder
from homespun.models.norm import LayerNorm, RMSNorm
from homespun.models.weights import state_to_safetensors


@torch.no_grad()
def folded(model: Decoder, config: DecoderConfig) -> tuple[dict[str, Tensor], DecoderConfig]:
    """Float32 weights under our names, and the config, of a plain model that does the same.

    What weights can say is folded into them: norms without weights, a normalised embedding, a
    factor of the scores. What they cannot say is left, see `not_portable`.
    """
    tensors = {
        name: tensor.float()
        for name, tensor in state_to_safetensors(model).items()
        if not name.startswith("embedding_norm")
    }
    for name, module in model.named_modules():
        is_bare = isinstance(module, RMSNorm | LayerNorm) and module.weight is None
        if is_bare and name != "embedding_norm":
            tensors[f"{name}.weight"] = torch.ones(module.width)
            if isinstance(module, LayerNorm):
                tensors[f"{name}.bias"] = torch.zeros(module.width)
    if model.embedding_norm is not None:
        # Rows that are normalised for the first layer and not for the head are two tables.
        raw_VD = tensors["embedding.weight"]
        tensors.setdefault("unembedding.weight", raw_VD)
        normal_VD = model.embedding_norm(model.embedding.weight.float())
        tensors["embedding.weight"] = normal_VD.cpu()
    if config.qk_scale != 1.0:
        ends: tuple[str, ...] = ("query_norm.weight", "key_norm.weight")
        if not config.qk_norm:
            parts = ("attention.query", "attention.key")
            ends = tuple(f"{part}.{leaf}" for part in parts for leaf in ("weight", "bias"))
        for name in tensors:
            if name.endswith(ends):
                tensors[name] = tensors[name] * math.sqrt(config.qk_scale)
    plain = config.model_copy(
        update={
            "norm_weights": True,
            "embedding_norm": False,
            "qk_scale": 1.0,
            "tied": "unembedding.weight" not in tensors,
        }
    )
    return tensors, plain
