"""How large an encoder is, and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homespun.core import ConfigError, derive_seed
from homespun.recipes.counted.trained import width_and_layers
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.models import EncoderConfig
    from homespun.training import OptimizerConfig, TrainConfig

CONTEXT = 256
ROWS = 8
MASKED_SHARE = 0.2
"""More than BERT's 0.15; 0.2 is what the smallest models of Wettig et al. 2023 (arXiv 2202.08005)
did best with, larger ones with up to 0.4."""
_HEAD_WIDTH = 64


def usual_size(seconds: float | None) -> str:
    """Width and layers for so long a training."""
    if seconds is None or seconds < 600:
        return "128x4"
    return "256x4" if seconds < 2400 else "256x6"


def encoder_shape(size: str, *, vocab_size: int, portable: bool) -> EncoderConfig:
    """The shape of a size, as "256x4": width and layers.

    Args:
        portable: BERT's own, which `transformers` reads: learned positions, norms behind layers.
            Else rotary positions, norms first, squared ReLU.

    Raises:
        ConfigError: it is no size, or the width is no multiple of 64.
    """
    from homespun.models import EncoderConfig

    width, num_layers = width_and_layers(size)
    if width == 0 or num_layers == 0 or width % _HEAD_WIDTH or width > 4096:
        raise ConfigError(
            "an encoder's size is its width, a multiple of 64, and its layers",
            got=size,
            remedy="give 128x4 or 256x6, for example",
        )
    common = {
        "vocab_size": vocab_size,
        "num_layers": num_layers,
        "width": width,
        "num_heads": width // _HEAD_WIDTH,
        "mlp_width": 4 * width,
        "context": CONTEXT,
    }
    if portable:
        return EncoderConfig(**common)
    return EncoderConfig(
        **common,
        positions="rotary",
        norm="rms",
        norm_first=True,
        norm_eps=1e-6,
        activation="relu2",
        bias=False,
    )


def muon(*, tied: bool, pace: float = 1.0) -> OptimizerConfig:
    """Muon for matrices, AdamW for the rest, at rates that suit a width of 128.

    Args:
        tied: the head is the embedding.
        pace: times these rates.
    """
    from homespun.scaling.rules import MATRIX_RATES, optimizer_settings
    from homespun.training import OptimizerConfig

    return OptimizerConfig(
        **optimizer_settings(tied=tied),
        learning_rate=6e-3 * pace,
        matrix_learning_rate=MATRIX_RATES["portable"] * pace,
    )


def encoder_training(
    *, seconds: float | None, steps: int | None, seed: int, portable: bool
) -> TrainConfig:
    """What the loop is told."""
    from homespun.training import BestConfig, ScheduleConfig, TrainConfig

    return TrainConfig(
        num_steps=steps,
        seconds=seconds,
        # With norms behind the layers rates have not been searched: half as fast.
        optimizer=muon(tied=True, pace=0.5 if portable else 1.0),
        schedule=ScheduleConfig(kind="wsd", warmup=0.02, decay=0.6),
        compute_dtype=best_dtype_name(training_device()),
        seed=derive_seed(seed, "loop"),
        eval_share=0.05,
        eval_cost=0.04,
        best=BestConfig(),
    )
