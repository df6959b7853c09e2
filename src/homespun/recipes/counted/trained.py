"""A model that is trained on a text within a budget: what is asked, and its resumable folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from homespun.core import ConfigError, Progress, Silent, WorkClock
from homespun.core.files import read_json
from homespun.recipes.counted.begun import CARD_FILE, TextAsk, asked_folder, ensure_text, settled

if TYPE_CHECKING:
    from homespun.training import TrainResult


class BudgetAsk(TextAsk):
    """What is to be learned, and for how long.

    Attributes:
        seconds: of training; what is prepared before does not count.
        steps: of training, in place of seconds or as their limit.
        size: width and layers, as "256x4"; None for what suits the time.
        vocab_size: of the tokenizer; None for what suits the text.
    """

    seconds: float | None = None
    steps: int | None = None
    size: str | None = None
    vocab_size: int | None = None


SAMPLE_BYTES = 16_000_000
"""Of training text, from which a tokenizer is learned."""
_SMALL_TEXT, _SMALL_VOCABULARY, _VOCABULARY = 2_000_000, 4096, 8192
_SIZE = re.compile(r"(\d{1,5})x(\d{1,3})")


def width_and_layers(size: str) -> tuple[int, int]:
    """Of a size, as "256x4"; zeros where it is none."""
    told = _SIZE.fullmatch(size)
    return (int(told[1]), int(told[2])) if told else (0, 0)


def usual_vocab_size(out: Path) -> int:
    """Tokens that suit the training text in `out`."""
    num_bytes = read_json(out / "corpus" / CARD_FILE)["splits"]["train"]["bytes"]
    return _SMALL_VOCABULARY if num_bytes < _SMALL_TEXT else _VOCABULARY


BudgetAskT = TypeVar("BudgetAskT", bound=BudgetAsk)
Train = Callable[[BudgetAskT, WorkClock, Progress], dict[str, Any]]


def check_budget(ask: BudgetAsk, *, what: str) -> None:
    """Raises ConfigError where training `what` would never end."""
    if ask.seconds is None and ask.steps is None:
        raise ConfigError(
            f"training {what} needs a budget", remedy="give --minutes 20, for example"
        )


def trained_folder(
    ask: BudgetAskT,
    out: Path,
    train: Train[BudgetAskT],
    *,
    command: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Clean the text into `out` and train there; returns card.json. Killed and called again, it
    goes on, and a folder that has its card is only read.

    Args:
        ask: settings that were checked.
        out: the folder, new or begun.
        train: called with `ask` as it is settled, the folder's clock and where to say how far it
            is, when the text is there; it writes card.json last, and returns it.
        command: for which the folder is.
        progress: told how far it is.

    Raises:
        ConfigError, DataError: the text cannot be used. RunError: the folder holds something else,
            was asked for other things, or another process works on it.
    """
    ask = settled(ask)
    progress = progress or Silent()
    with (
        asked_folder(out, ask, what=command),
        WorkClock(out / "clock.json").ticking() as clock,
    ):
        if (out / CARD_FILE).is_file():
            card: dict[str, Any] = read_json(out / CARD_FILE)
            return card
        ensure_text(out, ask, progress=progress)
        return train(ask, clock, progress)


def kept_weights(result: TrainResult) -> dict[str, Any]:
    """Of card.json: which step's weights are kept, and why."""
    kept = result.weights
    if kept is None:
        sentence = f"The weights of the last step ({result.steps:,}) are kept."
        return {"step": result.steps, "last_step": result.steps, "sentence": sentence}
    return {"step": kept.step, "last_step": kept.last_step, "sentence": _whole(kept.sentence)}


def judged_text(card: Mapping[str, Any]) -> str:
    """What text the numbers of a card are of, to be read behind "of": the corpus's third part,
    which had no say in anything, or for want of one the second, by which weights were chosen."""
    if card.get("judged_on") == "test":
        return "text it has not seen"
    return (
        "text it did not learn from, but by which its weights were chosen (for a third part there "
        "is too little text)"
    )


def _whole(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:].rstrip(".") + "."
