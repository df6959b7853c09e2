"""T5 (Raffel et al. 2020, arXiv 1910.10683), T5 1.1 and mT5 (Xue et al. 2021, arXiv 2010.11934:
T5 1.1 with words of 101 languages), as Hugging Face has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from homespun.core import ConfigError, DataError, parse_config
from homespun.core.files import read_object
from homespun.models.encoder_decoder.config import EncoderDecoderConfig
from homespun.models.encoder_decoder.model import EncoderDecoder
from homespun.models.interchange.shards import read_weights, renamed_weights
from homespun.models.weights import load_weights

CONTEXT = 512
"""Relative positions know no longest text; this is what T5 was trained on."""

_HEAD, _TABLE = "lm_head.weight", "shared.weight"
_SAME_TABLE = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_TYPES = ("t5", "mt5")
_ACTIVATIONS = {"relu": "relu", "gated-gelu": "geglu"}
_SIDES = {"reader": "encoder", "writer": "decoder"}
_PARTS = {
    "attention.query": "SelfAttention.q",
    "attention.key": "SelfAttention.k",
    "attention.value": "SelfAttention.v",
    "attention.out": "SelfAttention.o",
    "cross.query": "EncDecAttention.q",
    "cross.key": "EncDecAttention.k",
    "cross.value": "EncDecAttention.v",
    "cross.out": "EncDecAttention.o",
}


class T5Marks(NamedTuple):
    """Ids of the tokens that writing begins with, and that end what is read and written."""

    start: int
    end: int


def load_t5(folder: Path, *, context: int = CONTEXT) -> EncoderDecoder:
    """The model in `folder`, ready to be used. Raises as `read_t5`."""
    config, weights = read_t5(folder, context=context)
    model = config.empty()
    load_weights(model, weights, where=str(folder))
    return model.eval()


def read_t5(
    folder: Path, *, context: int = CONTEXT
) -> tuple[EncoderDecoderConfig, dict[str, Tensor]]:
    """Shape and weights, in float32, under our names. T5 does not divide scores by the root of the
    head's width, so its queries' matrices are multiplied by it.

    Raises:
        ConfigError: it is no T5, or has a part ours has not.
        DataError, CheckpointError: a file is missing or broken.
    """
    path = folder / "config.json"
    data = read_object(path, remedy="fetch the model again")
    held = read_weights(folder)
    for name in _SAME_TABLE:  # a file may keep it under another of its names
        if name in held:
            held.setdefault(_TABLE, held[name])
    shape = {**_shape(data, path, context), "tied": _HEAD not in held}
    config = parse_config(EncoderDecoderConfig, shape, where=str(path))
    their_name = partial(_their_name, gated=config.activation == "geglu")
    weights = renamed_weights(config.empty, held, their_name, folder)
    for name in weights:
        if name.endswith(".query.weight"):
            weights[name] = weights[name] * math.sqrt(config.head_width)
    return config, weights


def read_t5_marks(folder: Path) -> T5Marks:
    """As config.json says, else T5's own.

    Raises:
        DataError: they are not among the model's ids, or the file is missing or broken.
    """
    path = folder / "config.json"
    data = read_object(path, remedy="fetch the model again")
    pad = data.get("pad_token_id", 0)
    start, end = data.get("decoder_start_token_id"), data.get("eos_token_id", 1)
    marks = T5Marks(pad if start is None else start, end)
    vocab_size = data.get("vocab_size")
    if not isinstance(vocab_size, int):
        raise DataError(f"{path} has no vocab_size", got=vocab_size, remedy="fetch the model again")
    for mark in marks:
        if not isinstance(mark, int) or not 0 <= mark < vocab_size:
            raise DataError(
                f"{path} names a mark that is no token", got=mark, remedy="fetch the model again"
            )
    return marks


def _shape(data: Mapping[str, Any], path: Path, context: int) -> dict[str, Any]:
    kind = data.get("model_type")
    if kind not in _TYPES:
        raise ConfigError(
            f"{path} is not of a T5",
            got=kind,
            remedy="choose a T5 or mT5 model, or make one with `homespun encoder-decoder`",
        )
    activation = str(data.get("feed_forward_proj", "relu"))
    if activation not in _ACTIVATIONS:
        raise ConfigError(
            f"{path} asks for a feed-forward layer ours has not",
            got=activation,
            remedy=f"choose a model with one of {', '.join(_ACTIVATIONS)}",
        )
    # A field of its own in newer files; older ones of T5 1.1 say it by an untied head. mT5 never
    # does it, whatever its file says.
    scaled = data.get("scale_decoder_outputs", data.get("tie_word_embeddings", True))
    scaled = scaled and kind != "mt5"
    try:
        return {
            "vocab_size": data["vocab_size"],
            "num_layers": data["num_layers"],
            "num_writer_layers": data.get("num_decoder_layers") or data["num_layers"],
            "width": data["d_model"],
            "num_heads": data["num_heads"],
            "head_width": data["d_kv"],
            "mlp_width": data["d_ff"],
            "context": context,
            "positions": "relative",
            "num_buckets": data["relative_attention_num_buckets"],
            "farthest": data.get("relative_attention_max_distance", 128),
            "norm": "rms",
            "norm_first": True,
            "norm_eps": data.get("layer_norm_epsilon", 1e-6),
            "activation": _ACTIVATIONS[activation],
            "bias": False,
            "scaled": "head" if scaled else "none",
        }
    except KeyError as error:
        raise DataError(f"{path} has no {error}", remedy="restore the file") from error


def _their_name(name: str, *, gated: bool) -> str:
    side, _, rest = name.partition(".")
    if side == "unembedding":
        return _HEAD
    if rest == "embedding.weight":
        return _TABLE
    half = _SIDES[side]
    if rest == "positions.weight":
        return f"{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    if rest == "norm.weight":
        return f"{half}.final_layer_norm.weight"
    _, layer, part = rest.split(".", 2)
    module = part.rpartition(".")[0]
    last = 2 if half == "decoder" else 1
    layers = {"attention": 0, "cross": 1, "mlp": last}
    number = layers[module.split(".")[0].removesuffix("_norm")]
    if module.endswith("_norm"):
        theirs = "layer_norm"
    elif module in _PARTS:
        theirs = _PARTS[module]
    else:
        units = {"mlp.gate": "wi_0", "mlp.up": "wi_1" if gated else "wi", "mlp.down": "wo"}
        theirs = f"DenseReluDense.{units[module]}"
    return f"{half}.block.{layer}.layer.{number}.{theirs}.weight"
