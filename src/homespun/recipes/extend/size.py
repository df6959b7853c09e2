"""`homespun extend grow`: a larger model that begins where the smaller one stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import Progress, RunDirectory, Tokenizer, derive_seed
from homespun.recipes.extend import lineage
from homespun.recipes.extend.compare import Difference, Scores, in_numbers
from homespun.recipes.extend.engine import extend_run, link_texts, score_validation

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import Decoder, DecoderConfig


def grow_run(  # noqa: PLR0913 - the command, as one call
    parent: Path | str,
    *,
    layers: int | None = None,
    width: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    rewarm: float = 1.0,
    name: str | None = None,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> RunDirectory:
    """Grow a finished run's model, without changing what it says, and train it further on the same
    text, in a new run. Killed, the same call goes on.

    Args:
        parent: the finished run.
        layers, width: of the larger model; as before where None.
        minutes, steps, rewarm, strategy: as for `continue_run`.
        name: of the new run; by default the parent's with `-grown`.
        progress: who is told.

    Raises:
        ConfigError: the shape is no larger, or no whole number of heads.
    """
    return extend_run(
        parent,
        _Growth(layers, width),
        minutes=minutes,
        steps=steps,
        rewarm=rewarm,
        name=name or f"{Path(parent).resolve().name}-grown",
        strategy=strategy,
        progress=progress,
    )


class _Growth:
    kind: lineage.Kind = "grow"

    def __init__(self, layers: int | None, width: int | None) -> None:
        self._layers, self._width = layers, width

    def settings(self) -> dict[str, Any]:
        return {"layers": self._layers, "width": self._width}

    def check(self, old: RunDirectory, shape: DecoderConfig) -> None:
        self._grown(shape)

    def take_texts(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        link_texts(old, run)

    def take_table(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        lineage.take_table(old, run)

    def shape(self, run: RunDirectory, shape: DecoderConfig) -> DecoderConfig:
        return self._grown(shape)

    def weights(
        self,
        run: RunDirectory,
        old: RunDirectory,
        tensors: Mapping[str, Tensor],
        shapes: tuple[DecoderConfig, DecoderConfig],
    ) -> dict[str, Tensor]:
        import torch

        from homespun.models.reshape.grow import grow_weights

        generator = torch.Generator().manual_seed(derive_seed(run.record().seed, "grown"))
        return grow_weights(tensors, *shapes, generator)

    def score(self, model: Decoder, tokenizer: Tokenizer, run: RunDirectory) -> Scores:
        return score_validation(model, tokenizer, run)

    def sentences(
        self, at_start: Mapping[str, Difference], after: Mapping[str, Difference]
    ) -> list[str]:
        said = {
            "better": "The larger model became better with further training",
            "worse": "The larger model is worse after further training: it wants more minutes",
            "unclear": "Further training made no difference that can be measured",
            "unknown": "After further training",
        }[after["same"].outcome]
        return [
            f"{said}: {in_numbers(after['same'])}.",
            f"Growing itself changed {abs(at_start['same'].difference):.5f} bits per byte.",
        ]

    def _grown(self, shape: DecoderConfig) -> DecoderConfig:
        from homespun.models.reshape.grow import grow_config

        return grow_config(shape, num_layers=self._layers, width=self._width)
