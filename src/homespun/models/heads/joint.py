"""Several heads on one encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from homespun.core import ConfigError
from homespun.models.extras import ParameterKind
from homespun.models.heads.base import OnEncoder


class JointHeads(nn.Module):
    """An encoder that learns several tasks at once, a head for each.

    Heads have no tensors in common but the encoder's: what one task teaches the encoder, all get.

    Args:
        heads: on the very same encoder.

    Raises:
        ConfigError: they stand on several encoders.
    """

    def __init__(self, heads: Sequence[OnEncoder]) -> None:
        super().__init__()
        if len({id(head.encoder) for head in heads}) != 1:
            raise ConfigError(
                "heads that learn together stand on one encoder", got=f"{len(heads)} heads"
            )
        self.heads = nn.ModuleList(heads)

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Precision of the encoder."""
        for head in self._each():
            head.set_compute_dtype(dtype)

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """The kind of each parameter, see `OnEncoder`; the encoder's are named after the first
        head."""
        kinds = {
            f"heads.{number}.{name}": kind
            for number, head in enumerate(self._each())
            for name, kind in head.parameter_kinds().items()
        }
        return {name: kinds[name] for name, _ in self.named_parameters()}

    def _each(self) -> list[OnEncoder]:
        return [head for head in self.heads if isinstance(head, OnEncoder)]
