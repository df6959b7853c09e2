"""A config.json that is JSON and says what it should not is told in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from homespun.core import ConfigError, DataError
from homespun.models import read_bert, read_encoder, read_encoder_decoder, read_t5_marks
from homespun.models.encoder_decoder.files import is_own_writer
from homespun.models.encoder_decoder.t5 import read_t5

READERS = (read_bert, read_encoder, read_encoder_decoder, read_t5, read_t5_marks, is_own_writer)


@pytest.mark.parametrize("said", ["[]", "null", '"bert"', "7", "[" * 100_000])
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_object_is_not_read(
    tmp_path: Path, read: Callable[[Path], Any], said: str
) -> None:
    (tmp_path / "config.json").write_text(said)
    with pytest.raises(DataError, match=r"config\.json is not (a JSON object|valid JSON)"):
        read(tmp_path)


BERT = {
    "model_type": "roberta",
    "vocab_size": 9,
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "max_position_embeddings": 12,
}
T5 = {"model_type": "t5", "vocab_size": 9}


@pytest.mark.parametrize(
    ("read", "config", "change", "says"),
    [
        (read_bert, BERT, {"pad_token_id": None}, "pad_token_id"),
        (read_bert, BERT, {"max_position_embeddings": "many"}, "damaged"),
        (read_bert, BERT, {"max_position_embeddings": None}, "damaged"),
        (read_bert, BERT, {"hidden_act": ["gelu"]}, "activation"),
        (read_encoder_decoder, T5, {"feed_forward_proj": ["relu"]}, "feed-forward"),
        (read_t5_marks, T5, {"vocab_size": "nine"}, "vocab_size"),
        (read_t5_marks, T5, {"pad_token_id": 9}, "no token"),
    ],
)
def test_values_of_another_kind_are_named(
    tmp_path: Path,
    read: Callable[[Path], Any],
    config: dict[str, Any],
    change: dict[str, Any],
    says: str,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    safetensors.torch.save_file({"none": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises((DataError, ConfigError), match=says):
        read(tmp_path)
