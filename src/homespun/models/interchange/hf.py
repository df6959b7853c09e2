"""Decoders in the files of Hugging Face `transformers`, and back, without its code.

A decoder is written as the family that has its parts: with QK-norm a `Qwen3ForCausalLM`, without it
a `LlamaForCausalLM`, and so on; all load with `AutoModelForCausalLM.from_pretrained` and no code of
ours. Rotary positions already have the layout of those classes, so weights are renamed; what those
classes lack and weights can say is folded into them. What weights cannot say is refused.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from homespun.core import (
    CheckpointError,
    ConfigError,
    DataError,
    HomespunError,
    SamplingSettings,
    parse_config,
)
from homespun.core.files import atomic_path, read_json, write_json
from homespun.models.config import LONGEST_CONTEXT, DecoderConfig
from homespun.models.count import count_parameters
from homespun.models.decoder import Decoder
from homespun.models.interchange.families import FAMILIES, Family
from homespun.models.interchange.fold import folded
from homespun.models.interchange.shards import read_header, read_weights, shard_files
from homespun.models.presets import not_portable
from homespun.models.weights import load_weights

CONFIG = "config.json"


def export_hf(
    model: Decoder,
    config: DecoderConfig,
    tokenizer_files: Sequence[Path],
    out: Path,
    *,
    end_of_text_id: int,
    end_of_turn_id: int | None = None,
    start_id: int | None = None,
    settings: SamplingSettings | None = None,
) -> None:
    """Write `model` as a folder that `transformers`, vLLM, llama.cpp's converter and others read.

    Args:
        model: weights are written in float32.
        config: what `model` was built from.
        tokenizer_files: copied beside the weights, tokenizer.json and tokenizer_config.json.
        out: folder, created if absent; files of the same names are replaced.
        end_of_text_id: ends a text.
        end_of_turn_id: ends a chat message, where the model was taught to chat.
        start_id: stands before a text, where that is another than the one that ends it.
        settings: how to sample by default, for generation_config.json.

    Raises:
        BudgetError, RunError: `out` cannot be written.
        ConfigError: the model has parts that other tools have not, as the preset "fast" has.
        DataError: a tokenizer file is missing.
    """
    family = refuse_export(config)
    for file in tokenizer_files:
        if not file.is_file():
            raise DataError(f"{file} is missing", remedy="run the stage that writes it")
    settings = settings or SamplingSettings()
    ends = list(dict.fromkeys(i for i in (end_of_turn_id, end_of_text_id) if i is not None))
    tensors, plain = folded(model, config)
    with atomic_path(out / "model.safetensors") as temporary:
        temporary.touch()
        # As of any new file; safetensors makes its own private.
        mode = temporary.stat().st_mode & 0o777
        save_file(family.theirs(tensors, plain), temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
    marks = {
        "bos_token_id": end_of_text_id if start_id is None else start_id,
        "eos_token_id": ends,
        "pad_token_id": end_of_text_id,
    }
    write_json(out / "generation_config.json", {**marks, **_sampling(settings)})
    for file in tokenizer_files:
        with atomic_path(out / file.name) as temporary:
            shutil.copyfile(file, temporary)
    write_json(
        out / CONFIG,
        {
            "architectures": [family.architecture],
            "model_type": family.model_type,
            **family.write(plain),
            **marks,
            "eos_token_id": ends if len(ends) > 1 else ends[0],
            "initializer_range": 0.02,
            "torch_dtype": "float32",
            "use_cache": True,
        },
    )


def refuse_export(config: DecoderConfig) -> Family:
    """The family to write a model as.

    Raises:
        ConfigError: it has parts that other tools have not, which are named, or there is no family
            that has all of them at once.
    """
    if parts := not_portable(config):
        named = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
        raise ConfigError(
            f"a model of the preset fast cannot be exported: other tools have no {named}",
            remedy="train with --portable",
        )
    objections = {family.model_type: family.objection(config) for family in FAMILIES}
    for family in FAMILIES:
        if not objections[family.model_type]:
            return family
    told = "; ".join(f"{name} has no {objection}" for name, objection in objections.items())
    raise ConfigError(
        "no family of models elsewhere has all parts of this one", got=told, remedy="leave some out"
    )


def load_hf(folder: Path) -> Decoder:
    """A float32 decoder from a folder of a model in `transformers` format.

    Raises:
        DataError: a file is missing or is not what its name says.
        ConfigError: the model has a part that ours has not; the field is named.
        CheckpointError: the weights do not fit the config.
    """
    config, tensors = read_hf(folder)
    model = config.empty()
    load_weights(model, tensors, where=str(folder))
    return model


def read_hf(folder: Path, *, context: int | None = None) -> tuple[DecoderConfig, dict[str, Tensor]]:
    """Shape and weights, under our names and in the precision of the file. A head that is tied by
    config.json and another matrix in the file is another one, as in `transformers` 5.

    Args:
        folder: of the model.
        context: longest sequence, at most what the model was made for; None for that.

    Raises:
        As `load_hf`. Memory is asked for only when all headers are true and fit the config.
    """
    config, family = _read(folder, context)
    shapes: dict[str, tuple[int, ...]] = {}
    for path in shard_files(folder):
        shapes |= read_header(path)
    held, wanted = sum(map(math.prod, shapes.values())), count_parameters(config)
    if held < wanted:
        raise CheckpointError(
            f"the weights in {folder} have {held:,} numbers and its {CONFIG} asks for {wanted:,}",
            remedy="fetch the model again",
        )
    _check_shapes({n: torch.empty(s, device="meta") for n, s in shapes.items()}, config, folder)
    weights = read_weights(folder)
    if config.tied and family.has_own_head(weights):
        config = config.model_copy(update={"tied": False})
        _check_shapes(weights, config, folder)
    tensors = family.ours(weights, config)
    if config.positions == "learned":
        tensors["positions.weight"] = tensors["positions.weight"][: config.context]
    return config, {name: tensor.contiguous() for name, tensor in tensors.items()}


def read_hf_config(folder: Path) -> DecoderConfig:
    """The shape of the model in `folder`, as its config.json says it. Raises as `load_hf` does."""
    return _read(folder, None)[0]


def family_in(folder: Path) -> Family:
    """The family of the model in `folder`. Raises ConfigError for one that cannot be loaded."""
    return _family(_config_in(folder), folder / CONFIG)


def _config_in(folder: Path) -> Any:
    if not (folder / CONFIG).is_file():
        raise DataError(
            f"{folder} is no model of Hugging Face: it has no {CONFIG}",
            remedy=f"give a folder with {CONFIG} and *.safetensors",
        )
    return read_json(folder / CONFIG, remedy="fetch the model again")


def _read(folder: Path, context: int | None) -> tuple[DecoderConfig, Family]:
    path = folder / CONFIG
    data = _config_in(folder)
    family = _family(data, path)
    if data.get("auto_map"):
        raise ConfigError(
            f"{path} asks for code of its own (auto_map), which is never run",
            got=data["auto_map"],
            remedy=f"take a version whose class is transformers' own {family.architecture}",
        )
    try:
        fields = family.read(data, path)
        if context is not None:
            fields["context"] = min(context, fields["context"])
        if fields["context"] > LONGEST_CONTEXT:
            raise ConfigError(
                f"{path} is of a model that reads more than {LONGEST_CONTEXT} tokens",
                got=fields["context"],
                remedy="ask for fewer, as `homespun import --context 8192` does",
            )
    except HomespunError:
        raise
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise DataError(
            f"{path} has a field that is not of its kind: {error}", remedy="restore the file"
        ) from error
    return parse_config(DecoderConfig, fields, where=str(path)), family


def _family(data: Any, path: Path) -> Family:
    told = data.get("model_type") if isinstance(data, dict) else type(data).__name__
    for family in FAMILIES:
        if family.model_type == told:
            return family
    names = ", ".join(sorted(family.model_type for family in FAMILIES))
    if told in ("bert", "roberta"):
        raise ConfigError(
            f"{path} is of an encoder, which reads and does not write",
            got=told,
            remedy=f"use it as it is: `homespun serve {path.parent}` for embeddings, or "
            f"--base {path.parent} for a task",
        )
    raise ConfigError(
        f"{path} is of a kind of model that cannot be loaded",
        got=told,
        remedy=f"these model_types can: {names}",
    )


def _check_shapes(held: Mapping[str, Tensor], config: DecoderConfig, folder: Path) -> None:
    """Raises CheckpointError where weights are missing, too many, or of another shape.

    Only the shapes of `held` are looked at: they may be on the device "meta".
    """
    found = family_in(folder).ours(held, config)
    with torch.device("meta"):
        own = dict(config.empty().named_parameters())
    for name in found:
        if name not in own:
            raise CheckpointError(
                f"{folder} has weights that {config.__class__.__name__} knows no place for",
                got=name,
                remedy="only plain decoders of the families named can be loaded",
            )
    for name, parameter in own.items():
        if name not in found:
            raise CheckpointError(f"{folder} has no weights for '{name}'", remedy="fetch it again")
        got, want = tuple(found[name].shape), tuple(parameter.shape)
        # A context may be cut, and rows of a table of positions with it.
        is_cut = name == "positions.weight" and got[0] >= want[0] and got[1:] == want[1:]
        if got != want and not is_cut:
            raise CheckpointError(
                f"the weights for '{name}' in {folder} are not of the shape {want}",
                got=got,
                remedy="fetch the model again",
            )


def _sampling(settings: SamplingSettings) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "do_sample": settings.temperature > 0,
        "max_new_tokens": settings.max_tokens,
    }
    if settings.temperature > 0:
        fields |= {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
        }
        if settings.min_p > 0:
            fields["min_p"] = settings.min_p
    if settings.repetition_penalty != 1.0:
        fields["repetition_penalty"] = settings.repetition_penalty
    return fields
