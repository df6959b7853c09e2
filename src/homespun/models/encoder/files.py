"""An encoder in a folder: BERT's as Hugging Face has it, or one of ours under its own names."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from torch import Tensor

from homespun.core import DataError, parse_config
from homespun.core.files import atomic_path, read_object, write_json
from homespun.models.encoder.bert import bert_settings, bert_weights, read_bert
from homespun.models.encoder.config import EncoderConfig
from homespun.models.encoder.model import Encoder
from homespun.models.interchange.shards import WHOLE, read_weights
from homespun.models.weights import state_to_safetensors

OWN_TYPE = "homespun-encoder"


def write_encoder(folder: Path, model: Encoder, config: EncoderConfig) -> None:
    """Write config.json and model.safetensors: for `transformers` where the shape is BERT's, else
    as `read_encoder` alone reads them. Dropout, which is of training, is told in neither.

    Raises:
        BudgetError: the disk is full. RunError: the folder cannot be written.
    """
    config = config.model_copy(update={"dropout": 0.0})
    settings = bert_settings(config)
    weights = state_to_safetensors(model)
    if settings is None:
        settings = {"model_type": OWN_TYPE, "encoder": config.model_dump(mode="json")}
    else:
        weights = bert_weights(weights)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WHOLE) as temporary:
        safetensors.torch.save_file(weights, temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", settings)


def read_encoder(folder: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Shape and weights, in float32, under our names.

    Raises:
        ConfigError: it is no encoder of ours and no BERT, or has a part ours has not.
        DataError, CheckpointError: a file is missing or broken.
    """
    path = folder / "config.json"
    data = read_object(path, remedy="restore the file")
    if data.get("model_type") != OWN_TYPE:
        return read_bert(folder)
    shape = data.get("encoder")
    if not isinstance(shape, dict):
        raise DataError(f"{path} has no encoder", remedy="restore the file")
    config = parse_config(EncoderConfig, shape, where=str(path))
    return config, {name: tensor.float() for name, tensor in read_weights(folder).items()}
