"""An engine as the server wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from homespun.core import CheckpointError, SamplingSettings

if TYPE_CHECKING:
    import torch

    from homespun.inference import Engine, EngineStats, Output
    from homespun.inference.search.both_ways import BothWaysEngine
    from homespun.inference.search.rewriting import RewritingEngine


class EngineSeat:
    """An engine as the server wants it (`serving.ServedEngine`).

    Args:
        engine: answers.
        model: computes states for embeddings; the engine's own.
        advice: what is told where the engine has nothing to tell.
    """

    def __init__(
        self, engine: Engine | BothWaysEngine | RewritingEngine, model: Any, advice: str = ""
    ) -> None:
        self._engine = engine
        self._model = model
        self._advice = advice

    @property
    def window(self) -> int:
        return min(self._engine.window, self._engine.kv_capacity)

    @property
    def kv_capacity(self) -> int:
        return self._engine.kv_capacity

    @property
    def width(self) -> int:
        return int(self._model.head_weight.shape[1])

    @property
    def notice(self) -> str:
        """Why answers come slower than they could; "" where they do not."""
        return self._engine.notice or self._advice

    @property
    def most_embedded(self) -> int:
        from homespun.inference.runners.vectors import MOST_TOGETHER

        return MOST_TOGETHER

    @property
    def has_work(self) -> bool:
        return self._engine.has_work

    @property
    def stats(self) -> EngineStats:
        return self._engine.stats

    def check(self, prompt_ids: Sequence[int], settings: SamplingSettings) -> list[int]:
        return self._engine.check(prompt_ids, settings)

    def submit(self, prompt_ids: Sequence[int], settings: SamplingSettings, *, salt: bytes) -> int:
        from homespun.inference import Request

        return self._engine.add_request(Request(prompt_ids, settings, salt))

    def step(self) -> list[Output]:
        return self._engine.step()

    def admitted(self) -> list[int]:
        return self._engine.admitted()

    def cancel(self, request_id: int) -> bool:
        return self._engine.cancel(request_id)

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each text the mean of the last states of all tokens, scaled to length 1.

        Raises:
            RequestError: they do not fit the window. CheckpointError: they are no finite numbers.
        """
        import torch

        from homespun.inference import mean_states

        wish = SamplingSettings(max_tokens=1)
        texts = [self._engine.check([*prompt], wish) for prompt in prompts]
        means_ND = mean_states(self._model, texts, device=self._device)
        found_ND = torch.nn.functional.normalize(means_ND, dim=-1)
        return [checked(row) for row in found_ND.tolist()]

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(iter(self._model.parameters())).device
        return device


def checked(vector: Sequence[float]) -> list[float]:
    """Raises CheckpointError where a vector is no finite numbers."""
    if not all(map(math.isfinite, vector)):
        raise CheckpointError(
            "the model's states are not finite numbers",
            remedy="take an earlier checkpoint: this one comes from a run that diverged",
        )
    return [*vector]
