"""What to train in the time there is: arithmetic only, from measured speeds.

The rule of this first version: among the sizes that were timed on this machine, take the one whose
tokens per parameter come nearest to `TOKENS_PER_PARAMETER`, and read the corpus at most
`MAX_EPOCHS` times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from homespun.core import BudgetError, Config

# A first choice, not a fit. On two cores with the default corpus a model that read 8 tokens for
# each parameter beat xz and the 5-gram by far, and at equal time 1.1 tokens a parameter beat 0.35
# (LOG.md). Compute-optimal runs at larger scale use 10 to 20 (Hoffmann et al. 2022, arXiv
# 2203.15556); with text repeated several times the optimum lies lower.
TOKENS_PER_PARAMETER = 5.0
# Beyond 16 readings a text teaches next to nothing more: 16 are worth 10.6 fresh ones, 64 are
# worth 16.1 (Muennighoff et al. 2023, arXiv 2305.16264, R_D* = 15.39).
MAX_EPOCHS = 16.0
MIN_TRAINING_SECONDS = 5.0


class Speed(NamedTuple):
    """How fast a named size trains here."""

    size: str
    parameters: int
    tokens_per_second: float


class Choice(NamedTuple):
    """The size taken, what it will read, and why."""

    size: str
    parameters: int
    tokens: int
    epochs: float
    seconds: float
    reason: str


class StageBudget(Config):
    """Seconds for each stage that is still to come."""

    pretrain: float
    chat: float
    evaluate: float
    report: float


def split_budget(total: float, used: float) -> StageBudget:
    """Share out what is left of `total` working seconds after `used`.

    The chat fine-tune takes 14% of the whole (it learns form, not knowledge), the evaluation 8%
    (10 to 120 s), the report 1% (3 to 10 s); pretraining gets the rest.

    Raises:
        BudgetError: fewer than `MIN_TRAINING_SECONDS` would be left for pretraining.
    """
    chat = 0.14 * total
    evaluate = min(120.0, max(10.0, 0.08 * total))
    report = min(10.0, max(3.0, 0.01 * total))
    pretrain = total - used - chat - evaluate - report
    if pretrain < MIN_TRAINING_SECONDS:
        need = (used + chat + evaluate + report + MIN_TRAINING_SECONDS) / 60
        raise BudgetError(
            "the time does not suffice to train on this text",
            got=f"{total / 60:g} minutes, of which {used:.0f} s are used",
            remedy=f"ask for at least --minutes {math.ceil(need * 1.5 * 10) / 10:g}, and for "
            "another --name, since a run keeps the minutes it was started with",
        )
    return StageBudget(pretrain=pretrain, chat=chat, evaluate=evaluate, report=report)


def choose_size(
    speeds: Sequence[Speed],
    *,
    seconds: float,
    unique_tokens: int,
    tokens_per_parameter: float = TOKENS_PER_PARAMETER,
    max_epochs: float = MAX_EPOCHS,
) -> Choice:
    """Pick a size for `seconds` of training on `unique_tokens` of text.

    Args:
        speeds: at least one measured size.
        seconds: working seconds for pretraining.
        unique_tokens: tokens of the training split.

    Returns:
        the choice; `seconds` is less than asked where the corpus is read `max_epochs` times before
        the time is over.
    """
    assert speeds, "at least one size must have been measured"

    def distance(speed: Speed) -> float:
        tokens = min(speed.tokens_per_second * seconds, unique_tokens * max_epochs)
        return abs(math.log(tokens / speed.parameters / tokens_per_parameter))

    best = min(speeds, key=distance)
    reachable = best.tokens_per_second * seconds
    tokens = int(min(reachable, unique_tokens * max_epochs))
    epochs = tokens / max(1, unique_tokens)
    reason = (
        f"{best.parameters / 1e6:.1f}M parameters read {tokens / 1e6:.1f}M tokens in the time, "
        f"{tokens / best.parameters:.1f} for each parameter"
    )
    if unique_tokens * max_epochs < reachable:
        reason += f"; the text is read {max_epochs:g} times, more would teach little"
    return Choice(
        size=best.size,
        parameters=best.parameters,
        tokens=tokens,
        epochs=epochs,
        seconds=min(seconds, tokens / best.tokens_per_second),
        reason=reason,
    )


def format_duration(seconds: float) -> str:
    """Seconds as a person says them: "45 s", "6 min 30 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
