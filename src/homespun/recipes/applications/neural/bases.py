"""Encoders to begin with: pretrained ones from a folder, or fresh ones for a lesson's texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import DataError, derive_seed, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.contract import Lesson

if TYPE_CHECKING:
    from homespun.models import EncoderConfig
    from homespun.models.heads import Reader
    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import PieceTokenizer

ENCODER_FILE = "encoder.json"


class Base(NamedTuple):
    """Attributes:
    encoder: a Transformer, or LSTMs from both ends; its weights are set.
    config: its shape.
    tokenizer: that it was taught with.
    is_pretrained: whether it knows anything.
    """

    encoder: Reader
    config: EncoderConfig | ReaderConfig
    tokenizer: PieceTokenizer
    is_pretrained: bool


def base_of(lesson: Lesson[Any], texts: Sequence[str], **shape: Any) -> Base:
    """The encoder that a lesson names, else a fresh one for `texts`, see `fresh_base`."""
    if lesson.base is not None:
        return open_base(lesson.base)
    return fresh_base(texts, seed=lesson.seed, **shape)


def open_base(folder: Path) -> Base:
    """The BERT or MiniLM in a Hugging Face folder, or what `homespun encoder` left, without its
    head of masked words.

    Raises:
        ConfigError, DataError, CheckpointError: it cannot be read, see `read_encoder`.
    """
    from homespun.models import load_weights, read_encoder
    from homespun.tokenizer.pieces import PieceTokenizer

    config, weights = read_encoder(folder)
    config = config.model_copy(update={"masked_head": False})
    weights = {name: held for name, held in weights.items() if not name.startswith("head.")}
    tokenizer = PieceTokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise DataError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} ids and the model knows "
            f"{config.vocab_size}",
            remedy="fetch the model again: its files do not belong together",
        )
    encoder = config.empty()
    load_weights(encoder, weights, where=str(folder))
    return Base(encoder, config, tokenizer, is_pretrained=True)


def fresh_base(
    texts: Sequence[str],
    *,
    seed: int,
    width: int = 128,
    num_layers: int = 2,
    context: int = 256,
    vocab_size: int = 8192,
    num_types: int = 2,
    cased: bool = False,
) -> Base:
    """An encoder that knows nothing, with rotary positions and norms first, and a tokenizer learned
    from `texts`, which tells capitals from small letters where it is `cased`."""
    import torch

    from homespun.models import EncoderConfig
    from homespun.tokenizer.pieces import train_pieces

    tokenizer = train_pieces(texts, vocab_size=vocab_size, lowercase=not cased)
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=num_layers,
        width=width,
        num_heads=max(1, width // 64),
        mlp_width=4 * width,
        context=context,
        num_types=num_types,
        positions="rotary",
        norm="rms",
        norm_first=True,
        norm_eps=1e-6,
        bias=False,
        masked_head=False,
        dropout=0.1,
    )
    weights = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    return Base(config.build(weights), config, tokenizer, is_pretrained=False)


def fresh_reader(
    texts: Sequence[str],
    *,
    seed: int,
    vocab_size: int = 8192,
    **shape: Any,
) -> Base:
    """LSTMs, or other cells, from both ends that know nothing, and a tokenizer learned from
    `texts`; capitals are told from small letters, as names are.

    Args:
        shape: fields of `ReaderConfig`.
    """
    import torch

    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import train_pieces

    tokenizer = train_pieces(texts, vocab_size=vocab_size)
    fields = {**shape, "vocab_size": tokenizer.vocab_size}
    config = parse_config(ReaderConfig, fields, where="the reader")
    weights = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    return Base(config.build(weights), config, tokenizer, is_pretrained=False)


def save_base(folder: Path, base: Base, **more: Any) -> None:
    """What `load_base` needs but for weights: shape, tokenizer, and what a head adds (`more`)."""
    base.tokenizer.save(folder)
    shape = base.config.model_dump(mode="json")
    if "masked_head" in shape:
        shape["masked_head"] = False
    write_json(folder / ENCODER_FILE, {"encoder": shape, **more})


def load_base(folder: Path) -> tuple[Base, dict[str, Any]]:
    """An encoder whose weights are not set yet, see `load_model`, and what `save_base` was given
    more. Raises DataError or ConfigError where it is damaged."""
    from homespun.models import EncoderConfig
    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import PieceTokenizer

    path = folder / ENCODER_FILE
    data: dict[str, Any] = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("encoder"), dict):
        raise DataError(f"{path} has no encoder", remedy="learn the task again")
    shape = data.pop("encoder")
    kind = ReaderConfig if "cell" in shape else EncoderConfig
    config: Any = parse_config(kind, shape, where=str(path))
    tokenizer = PieceTokenizer.load(folder)
    return Base(config.empty(), config, tokenizer, is_pretrained=True), data
