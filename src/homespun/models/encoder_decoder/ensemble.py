"""Several models of one vocabulary that write one text together.

Shape letters: B batch, H heads, S read tokens, T written tokens, D width, K head width,
V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from homespun.models.cache import KeyValueCache
from homespun.models.encoder_decoder.rewriter import Remembered, Rewriter


class Ensemble(Rewriter):
    """The mean of what its members hold probable, as Sutskever et al. 2014 (arXiv 1409.3215) write
    with several networks that were begun and taught in different orders. A hidden state is those
    of all members side by side.

    Args:
        members: of one vocabulary; each has learned by itself. They are not taught together.
    """

    def __init__(self, members: Sequence[Rewriter]) -> None:
        super().__init__()
        assert len({member.num_words for member in members}) == 1, "of one vocabulary"
        self.members = nn.ModuleList(members)
        self.context = min(member.context for member in members)

    @property
    def width(self) -> int:
        return sum(member.width for member in self._all)

    @property
    def num_words(self) -> int:
        return self._all[0].num_words

    @property
    def num_writer_layers(self) -> int:
        return sum(member.num_writer_layers for member in self._all)

    def read_alone(self, ids_BS: Tensor, is_token_BS: Tensor | None = None) -> Remembered:
        return Remembered(
            parts=tuple(member.read_alone(ids_BS, is_token_BS) for member in self._all)
        )

    def decode(
        self, ids_BT: Tensor, read: Remembered, cache: KeyValueCache | None = None
    ) -> Tensor:
        hidden: list[Tensor] = []
        before = 0
        for member, part in zip(self._all, read.parts, strict=True):
            own = None if cache is None else _OwnLayers(cache, before)
            hidden.append(member.decode(ids_BT, part, own))
            before += member.num_writer_layers
        return torch.cat(hidden, -1)

    def own_log_probs(self, hidden_BTD: Tensor, read: Remembered) -> Tensor:
        states = torch.split(hidden_BTD, [member.width for member in self._all], -1)
        told = [
            member.own_log_probs(state_BTD, part)
            for member, state_BTD, part in zip(self._all, states, read.parts, strict=True)
        ]
        return torch.stack(told).logsumexp(0) - math.log(len(told))

    def looked_at(self, written_BT: Tensor, read: Remembered) -> Tensor:
        """As one does, the mean of all."""
        pairs = zip(self._all, read.parts, strict=True)
        return torch.stack([member.looked_at(written_BT, part) for member, part in pairs]).mean(0)

    @property
    def _all(self) -> list[Rewriter]:
        return [member for member in self.members if isinstance(member, Rewriter)]


class _OwnLayers:
    """The layers of one member in a cache that all share.

    Args:
        cache: of all.
        before: layers of the members before it.
    """

    def __init__(self, cache: KeyValueCache, before: int) -> None:
        self._cache, self._before = cache, before

    @property
    def length(self) -> int:
        return self._cache.length

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        return self._cache.append(self._before + layer, k_BHTK, v_BHTK)

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        return self._cache.append_ids(ids_BT)

    def hidden_keys(self, *, like: Tensor) -> Tensor | None:
        return self._cache.hidden_keys(like=like)
