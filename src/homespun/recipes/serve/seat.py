"""An engine as the server wants it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from homespun.core import CheckpointError, SamplingSettings

if TYPE_CHECKING:
    import torch

    from homespun.inference import Engine, EngineStats, Output


class EngineSeat:
    """An engine as the server wants it (`serving.ServedEngine`).

    Args:
        engine: answers.
        model: computes states for embeddings; the engine's own.
        advice: what is told where the engine has nothing to tell.
    """

    def __init__(self, engine: Engine, model: Any, advice: str = "") -> None:
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
        return 0

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
        return [self._embedded(prompt) for prompt in prompts]

    def _embedded(self, prompt_ids: Sequence[int]) -> list[float]:
        import torch

        from homespun.inference.runners import network_states

        ids = self._engine.check([*prompt_ids], SamplingSettings(max_tokens=1))
        with torch.inference_mode():
            ids_BT = torch.tensor([ids], device=self._device)
            states_BTD = network_states(self._model, self._model(ids_BT))
            mean_D = states_BTD[0].float().mean(0)
            found = torch.nn.functional.normalize(mean_D, dim=0).cpu()
        return checked([float(value) for value in found])

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
