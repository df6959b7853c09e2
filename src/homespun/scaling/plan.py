"""A budget of minutes in parts, and how often a text is worth reading."""

from __future__ import annotations

import math

import numpy as np

from homespun.core import BudgetError, Config

# Beyond 16 readings a text teaches next to nothing more: 16 are worth 10.6 fresh ones, 64 are
# worth 16.1 (Muennighoff et al. 2023, arXiv 2305.16264, R_D* = 15.39).
MAX_EPOCHS = 16.0
# Beside a table counted from the same text a model learns it by heart, the sooner the more its
# parameters times readings after the first are for each token of the text (`rereading`): up to 1.6
# runs on documentation are as good as the law says, at 3 and at 7.6 they are 3 and 7% worse. With
# dropout they go on getting better: on 2.9M tokens as the law says up to 6.6, within 1%. On 350,000
# 7.7 is 9% better than without and 2% better than ending sooner, on 700,000 0.4%, and both are 6 to
# 10% worse than the law of 2.9M says at 2 (LOG.md, 29 Nov 2026). At 16 they are no better.
LAW_REREAD, MOST_REREAD = 2.0, 8.0
_DROPOUT = ((2.0, 0.0), (4.0, 0.1), (8.0, 0.2))
MIN_TRAINING_SECONDS = 5.0


class StageBudget(Config):
    """Seconds for each stage that is still to come."""

    pretrain: float
    chat: float
    evaluate: float
    report: float


def rereading(parameters: float, tokens: float, unique_tokens: float) -> float:
    """Parameters times readings after the first, for each token of the text."""
    return parameters * max(0.0, tokens / unique_tokens - 1) / unique_tokens


def most_readings(parameters: float, unique_tokens: float, *, is_beside_table: bool) -> float:
    """How often a model may read a text before that makes it worse, or teaches it no more.

    Args:
        parameters: that every token is multiplied by.
        unique_tokens: of the text.
        is_beside_table: the model learns what an n-gram table of the same text leaves.
    """
    return _readings(MOST_REREAD, parameters, unique_tokens, is_beside_table)


def told_readings(
    parameters: float, unique_tokens: float, *, is_beside_table: bool, is_as_long: bool
) -> float:
    """Up to how many readings a law says what a model comes to; more of them, with dropout, come to
    no more than that.

    Args:
        is_as_long: the law is of texts of such a length, see `choose.is_of_texts_as`. The others:
            see `most_readings`.
    """
    most = MOST_REREAD if is_as_long else LAW_REREAD
    return _readings(most, parameters, unique_tokens, is_beside_table)


def _readings(most: float, parameters: float, unique_tokens: float, is_beside_table: bool) -> float:
    if not is_beside_table:
        return MAX_EPOCHS
    return min(MAX_EPOCHS, 1 + most * unique_tokens / parameters)


def suited_dropout(
    parameters: float, tokens: float, unique_tokens: float, *, is_beside_table: bool
) -> float:
    """What a plan takes unasked, and no less of when asked to regularise: none but beside a table,
    where the text would be learned by heart.

    Its measure is `rereading`, as of what is asked for (`training.regularisation`), which begins
    later and sets weight decay as well.

    Args:
        tokens: that are read. The others: see `most_readings`.
    """
    if not is_beside_table:
        return 0.0
    times = math.log(max(1e-9, rereading(parameters, tokens, unique_tokens)))
    at, shares = zip(*_DROPOUT, strict=True)
    return round(float(np.interp(times, np.log(at), shares)), 3)


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


def format_duration(seconds: float) -> str:
    """Seconds as a person says them: "45 s", "6 min 30 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 // 60 else "")
