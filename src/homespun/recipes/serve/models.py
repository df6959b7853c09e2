"""Runs behind the server: each is opened, named, and handed over with its engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.core import ConfigError, RunError, Tokenizer
from homespun.recipes.run import Run
from homespun.recipes.serve.behind import blank_mark

if TYPE_CHECKING:
    from homespun.serving import EngineFacts, ServedModel


def served_model(run: Run, name: str, engine: EngineFacts) -> ServedModel:
    """A run under a name. Raises RunError where it cannot be opened.

    Args:
        engine: what is to be known of the engine that answers for it.
    """
    from homespun.serving import ServedModel

    return ServedModel(
        name=name,
        engine=engine,
        tokenizer=run.tokenizer,
        can_chat=run.can_chat,
        created=int((run.path / "run.json").stat().st_mtime),
        control_names=control_names(run.tokenizer),
        blank_mark=blank_mark(run),
    )


def check_names(names: Sequence[str]) -> None:
    """Raises ConfigError where a name is there twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"two models are to be called '{twice}'", remedy="name them apart: NAME=RUN"
        )


def runs_in(folder: Path) -> list[Path]:
    """The runs of a folder that have a model, by name.

    Raises:
        RunError: there is none.
    """
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        stages = [path / stage / "done.json" for stage in ("sft", "pretrain")]
        if not ((path / "run.json").is_file() and any(stage.is_file() for stage in stages)):
            continue
        found.append(path)
    if not found:
        raise RunError(
            f"there is no trained model in {folder}",
            remedy="make one with `homespun spin FOLDER --minutes 10`, or name a run",
        )
    return found


def control_names(tokenizer: Tokenizer) -> Mapping[int, str]:
    """What to call tokens of ours, or of an imported tokenizer, that stand for no text."""
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
