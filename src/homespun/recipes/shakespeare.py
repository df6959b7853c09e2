"""Tiny Shakespeare, character by character: the smallest training that others publish figures of.

The split is nanoGPT's: the first 90% of the characters to learn from, the rest to predict, and a
vocabulary of the characters of the whole text.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from homespun.core import ConfigError, DataError, Progress, Silent
from homespun.recipes.bench.ours import Budget, TokenText, as_stream, learn_and_judge
from homespun.recipes.bench.recipe import StartingRecipe
from homespun.recipes.learn import PATIENCE
from homespun.scaling.rules import optimizer_settings

TRAIN_SHARE = 0.9


class ShakespeareConfig(StartingRecipe):
    """The recipe of `homespun bench shakespeare`: a million characters in some minutes, which are
    read so often that the lowest held-out loss need not be the last."""

    table_order: ClassVar[int] = 6
    table_matrix_rate: ClassVar[float] = 9e-3
    rows: int = Field(default=16, gt=0)
    optimizer: dict[str, Any] = Field(
        default_factory=lambda: {
            **optimizer_settings(tied=False),
            "learning_rate": 1e-2,
            "matrix_learning_rate": 9e-3,
            "beta1": 0.9,
            "beta2": 0.99,
            "weight_decay": 0.1,
        }
    )
    train: dict[str, Any] = Field(
        default_factory=lambda: {"best": {}, "eval_share": 0.05, "eval_cost": 0.02}
    )

    @classmethod
    def from_preset(cls, name: str) -> Self:
        """As `StartingRecipe` has it. Beside a table, rows are as long as a scene, since names and
        turns of phrase come again (a row of 1,024 for four of 256: 0.03 nats better after as many
        characters, and what the table copies from there another 0.03), and decay is ten times as
        strong (0.01; LOG.md).

        Raises:
            ConfigError: there is no such preset.
        """
        recipe = super().from_preset(name)
        if not recipe.prior_order:
            return recipe
        return recipe.model_copy(
            update={
                "rows": 4,
                "prior_copies": True,
                "model": {**recipe.model, "context": 1024},
                "optimizer": {**recipe.optimizer, "weight_decay": 1.0},
            }
        )

    def by_the_last(self) -> Self:
        """The same, but its last weights are judged."""
        looks = ("best", "eval_share", "eval_cost")
        kept = {name: value for name, value in self.train.items() if name not in looks}
        return self.model_copy(update={"train": kept})

    def stopping_early(self) -> Self:
        """The same, but it ends where the held-out loss has turned."""
        return self.model_copy(update={"train": {**self.train, "best": {"patience": PATIENCE}}})


def read_characters(path: Path) -> TokenText:
    """Split `path` as nanoGPT does, and number its characters by our character tokenizer.

    The tokenizer knows all bytes; the ids of those that the text has are numbered anew from 0, so
    that the model has a score for each character of the text and for nothing else.

    Raises:
        DataError: the file is missing, is not UTF-8, or is too short to split.
    """
    from homespun.tokenizer import TokenizerConfig, train_tokenizer

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read",
            got=error.strerror or str(error),
            remedy="give --data FILE, or set HOMESPUN_DATA",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", remedy="save it as UTF-8") from error
    place = int(TRAIN_SHARE * len(text))
    if place < 2 or place == len(text):
        raise DataError(f"{path} is too short to split", got=len(text), remedy="give more text")
    tokenizer = train_tokenizer([text], config=TokenizerConfig(kind="char", vocab_size=1 << 16))
    learnt, held_out = tokenizer.encode(text[:place]), tokenizer.encode(text[place:])
    characters, numbers = np.unique(np.concatenate([learnt, held_out]), return_inverse=True)
    ids = as_stream(numbers)
    return TokenText(
        train=ids[: len(learnt)],
        # The last character to learn from is what the first one to predict follows.
        held_out=ids[len(learnt) - 1 :],
        vocab_size=len(characters),
        num_bytes=len(text[place:].encode("utf-8")),
    )


def check_keep(keep: Path | None) -> None:
    """Raises ConfigError where the folder that is to keep a training has something in it."""
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(
            f"{keep} is not empty", remedy="give --keep a folder that is not there yet"
        )


def train_shakespeare(
    text: TokenText,
    config: ShakespeareConfig,
    *,
    budget: Budget,
    seed: int = 0,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on `text` for the budget and judge the result; `keep` holds the stage afterwards.

    Returns:
        JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: `keep` has something in it, or a setting is wrong.
    """
    check_keep(keep)
    folder = keep or Path(tempfile.mkdtemp(prefix="homespun-shakespeare-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return learn_and_judge(
            text,
            config,
            budget=budget,
            seed=seed,
            stage_dir=folder / "pretrain",
            progress=progress or Silent(),
        )
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
