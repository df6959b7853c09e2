"""BERT, MiniLM and RoBERTa as Hugging Face has them: a folder with config.json and safetensors.

RoBERTa (Liu et al. 2019, arXiv 1907.11692) is a BERT of one type whose positions are counted from
behind that of padding, and whose head has other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from homespun.core import ConfigError, DataError, parse_config
from homespun.core.files import read_object
from homespun.models.encoder.config import EncoderConfig
from homespun.models.encoder.model import Encoder
from homespun.models.interchange.shards import read_weights, renamed_weights
from homespun.models.weights import load_weights

_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_TOP = {
    "embedding.weight": "embeddings.word_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "embedding_norm.weight": "embeddings.LayerNorm.weight",
    "embedding_norm.bias": "embeddings.LayerNorm.bias",
    "head.transform.weight": "cls.predictions.transform.dense.weight",
    "head.transform.bias": "cls.predictions.transform.dense.bias",
    "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "head.bias": "cls.predictions.bias",
}
_IN_BLOCK = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "mlp.up": "intermediate.dense",
    "mlp.down": "output.dense",
    "mlp_norm": "output.LayerNorm",
}
_ROBERTA_HEAD = {
    "lm_head.dense.weight": _TOP["head.transform.weight"],
    "lm_head.dense.bias": _TOP["head.transform.bias"],
    "lm_head.layer_norm.weight": _TOP["head.norm.weight"],
    "lm_head.layer_norm.bias": _TOP["head.norm.bias"],
    "lm_head.bias": _TOP["head.bias"],
}
_HEAD_MATRICES = ("cls.predictions.decoder.weight", "lm_head.decoder.weight")
_TYPES = ("bert", "roberta")
_THEIR_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
_PLAIN = {
    "position_embedding_type": (None, "absolute"),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
}


def load_bert(folder: Path) -> Encoder:
    """The encoder in `folder`, ready to be used. Raises as `read_bert`."""
    config, weights = read_bert(folder)
    model = config.empty()
    load_weights(model, weights, where=str(folder))
    return model.eval()


def read_bert(folder: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Shape and weights, in float32, under our names; with a head where the folder has one whose
    matrix is the table of tokens.

    Raises:
        ConfigError: it is neither, or has a part ours has not.
        DataError, CheckpointError: a file is missing or broken.
    """
    path = folder / "config.json"
    data = read_object(path, remedy="restore the file")
    held = {_plain_name(name): tensor for name, tensor in read_weights(folder).items()}
    unused = _unused_positions(data, path)
    positions = _TOP["positions.weight"]
    if unused and positions in held:
        held[positions] = held[positions][unused:]
    config = parse_config(EncoderConfig, _shape(data, path, _has_head(held)), where=str(path))
    return config, renamed_weights(config.empty, held, _their_name, folder)


def bert_settings(config: EncoderConfig) -> dict[str, Any] | None:
    """What config.json says of an encoder in BERT's shape; None of one in another."""
    is_bert = (
        (config.positions, config.norm, config.norm_first) == ("learned", "layer", False)
        and (config.bias, config.activation in _THEIR_ACTIVATIONS) == (True, True)
        and config.num_types > 0
    )
    if not is_bert:
        return None
    return {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM" if config.masked_head else "BertModel"],
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.width,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.context,
        "type_vocab_size": config.num_types,
        "layer_norm_eps": config.norm_eps,
        "hidden_act": _THEIR_ACTIVATIONS[config.activation],
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "position_embedding_type": "absolute",
    }


def bert_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an encoder in BERT's shape, under the names `transformers` gives them."""
    found = {}
    for name, tensor in weights.items():
        theirs = _their_name(name)
        found[theirs if theirs.startswith("cls.") else f"bert.{theirs}"] = tensor
    return found


def _shape(data: Mapping[str, Any], path: Path, has_head: bool) -> dict[str, Any]:
    if data.get("model_type") not in _TYPES:
        raise ConfigError(
            f"{path} is not of a BERT or RoBERTa",
            got=data.get("model_type"),
            remedy="choose a BERT, MiniLM or RoBERTa model, or make one with `homespun encoder`",
        )
    for field, allowed in _PLAIN.items():
        if data.get(field) not in allowed:
            raise ConfigError(
                f"{path} asks for {field}, which our encoder does not have",
                got=data[field],
                remedy="choose a plain BERT or MiniLM model",
            )
    activation = str(data.get("hidden_act", "gelu"))
    if activation not in _ACTIVATIONS:
        raise ConfigError(
            f"{path} asks for an activation our encoder does not have",
            got=activation,
            remedy=f"choose a model with one of {', '.join(_ACTIVATIONS)}",
        )
    try:
        return {
            "vocab_size": data["vocab_size"],
            "num_layers": data["num_hidden_layers"],
            "width": data["hidden_size"],
            "num_heads": data["num_attention_heads"],
            "mlp_width": data["intermediate_size"],
            "context": int(data["max_position_embeddings"]) - _unused_positions(data, path),
            "num_types": data.get("type_vocab_size", 2),
            "norm_eps": data.get("layer_norm_eps", 1e-12),
            "activation": _ACTIVATIONS[activation],
            "masked_head": has_head,
        }
    except KeyError as error:
        raise DataError(f"{path} has no {error}", remedy="restore the file") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", remedy="restore the file") from error


def _has_head(held: Mapping[str, Tensor]) -> bool:
    """Whether there is a head of masked words, and not one with a matrix of its own."""
    table = held.get(_TOP["embedding.weight"])
    others = [held[name] for name in _HEAD_MATRICES if name in held]
    tied = table is None or all(torch.equal(other, table.to(other)) for other in others)
    return tied and _TOP["head.bias"] in held


def _unused_positions(data: Mapping[str, Any], path: Path) -> int:
    """Rows of the table of positions that no token has: RoBERTa begins behind padding's id."""
    if data.get("model_type") != "roberta":
        return 0
    padding = data.get("pad_token_id", 1)
    if not isinstance(padding, int) or padding < 0:
        raise DataError(
            f"{path} names a pad_token_id that is no token", got=padding, remedy="restore the file"
        )
    return padding + 1


def _plain_name(name: str) -> str:
    """BERT's, without the prefix of models with a head, and of old names."""
    name = _ROBERTA_HEAD.get(name, name).removeprefix("bert.").removeprefix("roberta.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _their_name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    _, layer, rest = name.split(".", 2)
    module, _, leaf = rest.rpartition(".")
    return f"encoder.layer.{layer}.{_IN_BLOCK[module]}.{leaf}"
