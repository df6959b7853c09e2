"""The one training loop for what stands on an encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import CheckpointError, Config, derive_seed
from homespun.core.files import atomic_path
from homespun.core.machine import num_threads
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural.bases import Base
from homespun.recipes.applications.neural.choosing import Looks, choosing, judge_of, write_kept
from homespun.recipes.applications.neural.options import read_option
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from torch import nn

    from homespun.core import Objective
    from homespun.training import BatchSource, TrainConfig

WEIGHTS_FILE, STAGE = "weights.safetensors", "training"
_HEAD_RATE = 20.0
"""How much faster than a pretrained encoder the new part on it learns."""
_LEAST_STEPS, _MOST_EPOCHS = 200, 20.0
"""Of a pretrained encoder. How many steps it makes counts, and not how often rows are read: with a
few hundred rows four readings are a dozen steps, in which nothing is learned yet. Mosbach et al.
2021 (arXiv 2006.04884, section 6) read small sets 20 times; Zhang et al. 2021 (arXiv 2006.05987,
section 6) find hundreds of steps better than three readings of a thousand rows."""


class FitSettings(Config):
    """How a model is learned.

    Attributes:
        epochs: how often examples are read, where time allows.
        least_steps: that are made, by reading examples more often; 0 for as many as `epochs` are.
        most_epochs: that they are read for it.
        batch_tokens: of a batch, see `LengthGroups`.
        learning_rate: peak, of the encoder.
        head_rate: factor on it for what stands on the encoder.
        weight_decay: of matrices.
        warmup: share of the run.
    """

    epochs: float
    least_steps: int = 0
    most_epochs: float = 0.0
    batch_tokens: int = 2048
    learning_rate: float = 1e-3
    head_rate: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.1


def fit_settings(base: Base) -> FitSettings:
    """The usual ones: few gentle passes over a pretrained encoder (Devlin et al. 2019, A.3), more
    of them where rows are few; and faster ones from nothing."""
    if base.is_pretrained:
        return FitSettings(
            epochs=4,
            least_steps=_LEAST_STEPS,
            most_epochs=_MOST_EPOCHS,
            learning_rate=5e-5,
            head_rate=_HEAD_RATE,
        )
    return FitSettings(epochs=12, learning_rate=1e-3, weight_decay=0.1)


def chosen_settings(base: Base, options: Mapping[str, str]) -> FitSettings:
    """The usual settings, with what the user set of `epochs`, `rate` and `tokens`.

    Raises:
        ConfigError: one of these is no number, or out of range.
    """
    updates: dict[str, Any] = {}
    if options.get("epochs"):
        updates["epochs"] = read_option(options, "epochs", float, low=0.01, high=1000)
        updates["least_steps"] = 0  # so many as was asked for, then
    if options.get("rate"):
        updates["learning_rate"] = read_option(options, "rate", float, low=1e-7, high=1.0)
    if options.get("tokens"):
        updates["batch_tokens"] = read_option(options, "tokens", int, low=1, high=1 << 20)
    return fit_settings(base).model_copy(update=updates)


def fit_with(
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    lesson: Lesson[Any],
    config: TrainConfig,
    looks: Looks,
) -> None:
    """Train `model` on `source` through the one loop, on a GPU where there is one, and leave its
    weights in the lesson's folder: those of the last step, or better ones from before, see
    `choosing`.

    A killed call that is repeated goes on from its newest checkpoint; a finished one reads the
    weights back. The model is in evaluation mode then, and computes in float32.
    """
    import torch

    from homespun.training import set_threads, train

    path = lesson.folder / WEIGHTS_FILE
    set_threads(num_threads())
    if not path.is_file():
        stage = lesson.folder / STAGE
        config = choosing(config, looks)
        result = train(
            model.to(training_device()),
            objective,
            source,
            config=config,
            stage_dir=stage,
            clock=lesson.clock,
            evaluate=looks.evaluate,
            progress=lesson.progress,
            judge=judge_of(looks, config),
        )
        kept = write_kept(lesson.folder, result, looks)
        if result.weights is None:  # else training has said so
            lesson.progress.say(kept.sentence)
        save_weights(model, lesson.folder)
    drop_states(lesson.folder)
    load_model(model, lesson.folder)
    set_dtype: Any = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(torch.float32)


def drop_states(folder: Path) -> None:
    """Take away what only training needed, once weights are kept in `folder`: the states of an
    optimiser are several times as large. A process may have been killed before it came to that."""
    for checkpoint in (folder / STAGE / "checkpoints").glob("step-*/*.safetensors"):
        checkpoint.unlink()


def num_steps(settings: FitSettings, batches_per_epoch: int) -> int:
    """How many steps learning takes at most: `epochs` of all examples, and where these are few
    steps more, up to `least_steps` or `most_epochs`, whichever is less."""
    usual = settings.epochs * batches_per_epoch
    longer = min(float(settings.least_steps), settings.most_epochs * batches_per_epoch)
    return max(1, math.ceil(max(usual, longer)))


def train_config(source: Any, lesson: Lesson[Any], settings: FitSettings) -> TrainConfig:
    """What the loop is told."""
    from homespun.training import OptimizerConfig, ScheduleConfig, TrainConfig
    from homespun.training.optim import KindConfig, KindsConfig

    return TrainConfig(
        num_steps=num_steps(settings, source.batches_per_epoch),
        seconds=lesson.seconds,
        optimizer=OptimizerConfig(
            learning_rate=settings.learning_rate,
            kinds=KindsConfig(head=KindConfig(rate=settings.head_rate)),
            beta2=0.999,
            weight_decay=settings.weight_decay,
        ),
        schedule=ScheduleConfig(kind="linear", warmup=settings.warmup),
        compute_dtype=best_dtype_name(training_device()),
        seed=derive_seed(lesson.seed, "loop"),
        eval_share=0.1,
        eval_cost=0.1,
    )


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write the weights of `model` where `load_model` reads them."""
    import safetensors.torch

    from homespun.models import state_to_safetensors

    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        safetensors.torch.save_file(state_to_safetensors(model), temporary)


def load_model(model: nn.Module, folder: Path) -> None:
    """Set the weights of `model` from `folder`; it is in evaluation mode then, and on a GPU where
    there is one.

    Raises:
        CheckpointError: the file is missing, damaged or of another model.
    """
    import safetensors.torch

    from homespun.models import load_weights

    path = folder / WEIGHTS_FILE
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}", remedy="learn the task again"
        ) from error
    load_weights(model, tensors, where=str(path))
    model.to(training_device()).eval()
