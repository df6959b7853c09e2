"""An encoder-decoder of ours in a folder, under its own names."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from torch import Tensor

from homespun.core import DataError, parse_config
from homespun.core.files import atomic_path, read_object, write_json
from homespun.models.encoder_decoder.config import EncoderDecoderConfig
from homespun.models.encoder_decoder.model import EncoderDecoder
from homespun.models.encoder_decoder.t5 import CONTEXT, read_t5
from homespun.models.interchange.shards import WHOLE, read_weights
from homespun.models.weights import state_to_safetensors

OWN_WRITER_TYPE = "homespun-encoder-decoder"


def write_encoder_decoder(
    folder: Path, model: EncoderDecoder, config: EncoderDecoderConfig
) -> None:
    """Write config.json and model.safetensors. Dropout, which is of training, is not told.

    Raises:
        BudgetError: the disk is full. RunError: the folder cannot be written.
    """
    config = config.model_copy(update={"dropout": 0.0})
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WHOLE) as temporary:
        safetensors.torch.save_file(state_to_safetensors(model), temporary)
    shape = config.model_dump(mode="json")
    write_json(folder / "config.json", {"model_type": OWN_WRITER_TYPE, "encoder_decoder": shape})


def is_own_writer(folder: Path) -> bool:
    """Whether the folder holds what `write_encoder_decoder` left. Raises DataError where its
    config.json is missing or damaged."""
    data = read_object(folder / "config.json", remedy="fetch the model again")
    return data.get("model_type") == OWN_WRITER_TYPE


def read_encoder_decoder(
    folder: Path, *, context: int = CONTEXT
) -> tuple[EncoderDecoderConfig, dict[str, Tensor]]:
    """Shape and weights, in float32, under our names: of ours, or of a T5, see `read_t5`.

    Args:
        context: tokens of either side; learned positions keep their own.

    Raises:
        ConfigError: it is neither, or has a part ours has not.
        DataError, CheckpointError: a file is missing or broken.
    """
    if not is_own_writer(folder):
        return read_t5(folder, context=context)
    path = folder / "config.json"
    shape = read_object(path).get("encoder_decoder")
    if not isinstance(shape, dict):
        raise DataError(f"{path} has no encoder-decoder", remedy="restore the file")
    config = parse_config(EncoderDecoderConfig, shape, where=str(path))
    if config.positions != "learned":
        config = config.model_copy(update={"context": context})
    return config, {name: tensor.float() for name, tensor in read_weights(folder).items()}
