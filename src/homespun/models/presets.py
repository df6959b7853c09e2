"""Sizes that have names, shapes for any width and depth, and the two presets.

A preset says which parts of `DecoderConfig` a model has. "portable" is what Hugging Face and
llama.cpp know as Qwen3, with a head of its own, since embedding and head want other rates; "fast"
is whatever reached the lowest loss in a given time here (LOG.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from homespun.core import ConfigError, did_you_mean, parse_config
from homespun.models.config import DecoderConfig

Preset = Literal["portable", "fast"]

_BIGRAM_ROWS_PER_TOKEN = 5
"""As in the modded-nanogpt speedrun, record 62."""

# name: layers, width, heads, key-value heads, head width, mlp width, vocabulary the name counts
_SIZES: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "0.2m": (3, 64, 2, 2, 32, 160, 512),
    "0.5m": (4, 96, 3, 3, 32, 256, 1024),
    "1m": (4, 128, 4, 4, 32, 352, 2048),
    "2m": (6, 160, 5, 5, 32, 416, 2048),
    "4m": (8, 192, 6, 6, 32, 512, 4096),
    "8m": (9, 256, 4, 4, 64, 704, 4096),
    "15m": (10, 320, 5, 5, 64, 896, 8192),
    "30m": (12, 448, 7, 7, 64, 1216, 8192),
    "60m": (16, 512, 8, 4, 64, 1408, 16384),
    "125m": (18, 704, 11, 11, 64, 1920, 16384),
    "350m": (24, 1024, 16, 8, 64, 2816, 32768),
    "1b": (24, 1792, 14, 7, 128, 4864, 32768),
}


_PORTABLE: dict[str, Any] = {
    "tied": False,
    "embedding_std": 0.8,
    "head_std": 0.001,
    "induction": True,
}
"""A first embedding as large as the stream that it begins, and a head that says nothing yet, as in
nanochat: what they learn in some thousand steps is not held up by what they began with; and two
heads that can copy already (LOG.md)."""

_FAST: dict[str, Any] = {
    "tied": False,
    "induction": True,
    "activation": "relu2",
    "softcap": 15.0,
    "qk_scale": 1.44,
    "embedding_norm": True,
    "residual_scalars": True,
    "value_embeddings": True,
    "embedding_std": 1.0,
    "head_std": 0.0,
    "uniform_init": True,
    "mlp_init_scale": 0.4,
}
"""Mostly as in nanochat, whose author measured each part (its dev/LOG.md), but for weights in
norms, which heads that copy need."""

# Parts that no Qwen3 has, in words. The others can be written as one, see `export_hf`.
_NOT_PORTABLE = {
    "activation": ("relu2", "squared ReLU"),
    "softcap": (None, "softcap of scores"),
    "head_gate": (False, "head gates"),
    "residual_scalars": (False, "residual scalars"),
    "value_embeddings": (False, "value embeddings"),
    "bigram_rows": (0, "bigram table"),
    "smear": (False, "smear"),
    "ngram_prior": (False, "n-gram table"),
}


def decoder_sizes() -> list[str]:
    """Names that `decoder_size` knows, smallest first."""
    return list(_SIZES)


def decoder_size(
    name: str,
    *,
    vocab_size: int | None = None,
    context: int = 256,
    preset: Preset = "portable",
    changes: Mapping[str, Any] | None = None,
) -> DecoderConfig:
    """The shape that goes by `name`, which is its number of parameters at its usual vocabulary,
    embedding and head counted once.

    Args:
        name: one of `decoder_sizes()`. A "fast" model of the same name does as many operations a
            token, and has tables besides.
        vocab_size: of the tokenizer; None takes the vocabulary the name counts with.
        context: longest sequence in tokens.
        preset: which parts the model has.
        changes: fields of `DecoderConfig` that are to differ from the preset's.

    Raises:
        ConfigError: there is no such size or preset, or no such field.
    """
    if name.lower() not in _SIZES:
        raise ConfigError(
            "there is no model size of that name",
            got=name,
            remedy=did_you_mean(name.lower(), list(_SIZES)),
        )
    layers, width, heads, kv_heads, head_width, mlp_width, vocabulary = _SIZES[name.lower()]
    shape = {
        "vocab_size": vocab_size or vocabulary,
        "num_layers": layers,
        "width": width,
        "num_heads": heads,
        "num_kv_heads": kv_heads,
        "head_width": head_width,
        "context": context,
    }
    return _config(shape, preset, changes or {}, gated_width=mlp_width)


def decoder_shape(
    *,
    width: int,
    num_layers: int,
    vocab_size: int,
    context: int = 256,
    preset: Preset = "portable",
    changes: Mapping[str, Any] | None = None,
) -> DecoderConfig:
    """A model of any width and depth, its heads and feed-forward layer chosen to suit.

    Heads are 32 wide below a width of 64, 128 wide from 1536, and 64 between, whether or not that
    divides the width: what copies from the context needs room to tell tokens apart. Feed-forward
    layers have 8·width² parameters. Other arguments, and what is raised, as in `decoder_size`.
    """
    head_width = 128 if width >= 1536 else 64 if width >= 64 else 32
    num_heads = max(1, (width + head_width // 2) // head_width)  # halves upwards
    shape = {
        "vocab_size": vocab_size,
        "num_layers": num_layers,
        "width": width,
        "num_heads": num_heads,
        "num_kv_heads": num_heads,
        "head_width": head_width,
        "context": context,
    }
    return _config(shape, preset, changes or {}, gated_width=max(32, round(width / 12) * 32))


def preset_options(preset: str, vocab_size: int) -> dict[str, Any]:
    """The fields of `DecoderConfig` in which `preset` differs from the defaults.

    Raises:
        ConfigError: there is no such preset.
    """
    if preset == "portable":
        return dict(_PORTABLE)
    if preset != "fast":
        raise ConfigError(
            "there is no preset of that name",
            got=preset,
            remedy=did_you_mean(preset, ["portable", "fast"]),
        )
    rows = min(_BIGRAM_ROWS_PER_TOKEN * vocab_size, vocab_size**2)
    return {**_FAST, "bigram_rows": rows}


def preset_of(config: DecoderConfig) -> Preset:
    """ "portable" where the model can be exported, else "fast"."""
    return "fast" if not_portable(config) else "portable"


def not_portable(config: DecoderConfig) -> list[str]:
    """In words, the parts of a model that other tools have not; none where it can be exported."""
    return [
        words
        for field, (plain, words) in _NOT_PORTABLE.items()
        # Of activations one is strange; of all other fields one value is plain.
        if (getattr(config, field) == plain) == (field == "activation")
    ]


def _config(
    shape: dict[str, Any], preset: str, changes: Mapping[str, Any], *, gated_width: int
) -> DecoderConfig:
    vocab_size = changes.get("vocab_size", shape["vocab_size"])
    fields = {**shape, **preset_options(preset, vocab_size), **changes}
    # An ungated layer has two matrices to the gated one's three.
    is_gated = fields.get("activation", "swiglu") == "swiglu"
    fields.setdefault("mlp_width", gated_width if is_gated else 4 * fields["width"])
    return parse_config(DecoderConfig, fields, where="the model's shape")
