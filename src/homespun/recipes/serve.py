"""Runs behind the server: each is opened, named, and handed over with its engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import ConfigError, RunError, SamplingSettings, Tokenizer
from homespun.recipes.run import Run

if TYPE_CHECKING:
    import torch

    from homespun.inference import Engine, EngineStats, Output
    from homespun.serving import ServedModel


class EngineSeat:
    """An engine as the server wants it (`serving.ServedEngine`).

    Args:
        engine: answers.
        model: computes states for embeddings; the engine's own.
    """

    def __init__(self, engine: Engine, model: Any) -> None:
        self._engine = engine
        self._model = model

    @property
    def window(self) -> int:
        return self._engine.window

    @property
    def kv_capacity(self) -> int:
        return self._engine.kv_capacity

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

    def cancel(self, request_id: int) -> bool:
        return self._engine.cancel(request_id)

    def embed(self, prompt_ids: Sequence[int]) -> list[float]:
        """The mean of the last states of all tokens, scaled to length 1.

        Raises:
            RequestError: they do not fit the window. CheckpointError: they are no finite numbers.
        """
        import torch

        from homespun.core import CheckpointError

        ids = self._engine.check([*prompt_ids], SamplingSettings(max_tokens=1))
        with torch.inference_mode():
            ids_BT = torch.tensor([ids], device=self._device)
            mean_D = self._model(ids_BT)[0].float().mean(0)
            found = torch.nn.functional.normalize(mean_D, dim=0).cpu()
        if not bool(found.isfinite().all()):
            raise CheckpointError(
                "the model's states are not finite numbers",
                remedy="take an earlier checkpoint: this one comes from a run that diverged",
            )
        return [float(value) for value in found]

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(iter(self._model.parameters())).device
        return device


def served_model(run: Run, name: str) -> ServedModel:
    """A run under a name. Raises RunError or CheckpointError where it cannot be opened."""
    from homespun.serving import ServedModel

    return ServedModel(
        name=name,
        engine=EngineSeat(run.engine, run.model),
        tokenizer=run.tokenizer,
        can_chat=run.can_chat,
        created=int((run.path / "run.json").stat().st_mtime),
        width=run.config.width,
        control_names=_control_names(run.tokenizer),
    )


def served_models(places: Sequence[tuple[str, Path]]) -> list[ServedModel]:
    """Runs by the names they are to have.

    Raises:
        ConfigError: a name is there twice.
    """
    names = [name for name, _ in places]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two models are to be called '{twice}'", remedy="name them apart: NAME=RUN"
        )
    return [served_model(Run(path), name) for name, path in places]


def runs_in(folder: Path) -> list[Path]:
    """The runs of a folder that have a model, by name.

    Raises:
        RunError: there is none.
    """
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        stages = [path / stage / "done.json" for stage in ("sft", "pretrain")]
        if (path / "run.json").is_file() and any(stage.is_file() for stage in stages):
            found.append(path)
    if not found:
        raise RunError(
            f"there is no trained model in {folder}",
            remedy="make one with `homespun spin FOLDER --minutes 10`, or name a run",
        )
    return found


def _control_names(tokenizer: Tokenizer) -> Mapping[int, str]:
    from homespun.tokenizer import SPECIAL_TOKENS, ImportedTokenizer

    if isinstance(tokenizer, ImportedTokenizer):
        added = json.loads(tokenizer.document).get("added_tokens") or []
        names = {int(token["id"]): str(token["content"]) for token in added}
    else:
        first = tokenizer.vocab_size - len(SPECIAL_TOKENS)
        names = {first + at: name for at, name in enumerate(SPECIAL_TOKENS)}
    return {
        token: name
        for token, name in names.items()
        if token < tokenizer.vocab_size and not tokenizer.token_bytes(token)
    }
