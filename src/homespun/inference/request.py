"""One request: what may be asked, and what is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from homespun.core import (
    Completion,
    HomespunError,
    RequestError,
    SamplingSettings,
    TokenLogprob,
)

MOST_ANSWERS = 128
MOST_BEAMS = 64
MOST_LOGPROBS = 20
MOST_LOOKUP = 16
MOST_LISTED = 4096
"""Entries of a list of tokens or stop strings, and of biases."""


class Request(NamedTuple):
    """What is asked of the engine.

    Attributes:
        prompt_ids: what is to be continued.
        settings: how.
        salt: requests of other salts share nothing of what is remembered of prompts.
    """

    prompt_ids: Sequence[int]
    settings: SamplingSettings
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class Output:
    """What is new of an answer.

    Attributes:
        request_id: as `Engine.add_request` gave it.
        index: which of the request's answers.
        text: safe to show, often empty; all of an answer's together are its text.
        token_ids: chosen since the last output.
        logprobs: one a token, where they were asked for.
        completion: the answer as a whole, with its last output.
        error: why there is no answer, with its last output.
        is_last: nothing more comes of the request.
        prompt_logprobs: of the prompt's tokens but the first, with the answer's first output.
    """

    request_id: int
    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    completion: Completion | None = None
    error: HomespunError | None = None
    is_last: bool = False
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


def plain_settings(settings: SamplingSettings) -> SamplingSettings:
    """The same without NumPy's numbers, which overflow where Python's grow."""
    changed = {
        name: plain
        for name in settings.__dataclass_fields__
        if (plain := _plain(value := getattr(settings, name))) is not value
    }
    return replace(settings, **changed) if changed else settings


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        found = tuple(map(_plain, value))
        return found if any(a is not b for a, b in zip(found, value, strict=True)) else value
    return value


def rows_of(settings: SamplingSettings) -> int:
    """Rows that are computed together or not at all. Several answers are not: each goes its way."""
    return max(1, settings.beams, settings.top_k if settings.contrastive_alpha > 0 else 0)


def check_rows(settings: SamplingSettings, max_rows: int) -> None:
    """Raises RequestError where more rows are needed at once than there may ever be."""
    if (num_rows := rows_of(settings)) > max_rows:
        raise RequestError(
            f"the request is computed in {num_rows} rows together, and the engine has "
            f"{max_rows} (max_rows)",
            remedy="ask for fewer beams or a smaller top_k, or give the engine more rows",
        )


_RANGES: tuple[tuple[str, float, float, str, str], ...] = (
    # name, low, high, kind of range, hint
    ("temperature", 0, 100, "[]", "0 is greedy, as is all below 0.0001; 0.8 a good start"),
    ("top_p", 0, 1, "(]", "1 turns it off"),
    ("typical_p", 0, 1, "(]", "1 turns it off"),
    ("min_p", 0, 1, "[)", "0 turns it off, 0.05 is usual"),
    ("repetition_penalty", 0, 100, "(]", "1 turns it off, 1.1 is usual"),
    ("frequency_penalty", -100, 100, "[]", "0 turns it off"),
    ("presence_penalty", -100, 100, "[]", "0 turns it off"),
    ("length_penalty", -10, 10, "[]", "1 scores beams by their mean, 0 by their sum"),
    ("diversity_penalty", 0, 100, "[]", "0 turns it off"),
    ("contrastive_alpha", 0, 1, "[]", "0 turns it off, 0.6 is usual"),
    ("top_k", 0, math.inf, "int", "0 turns it off"),
    ("max_tokens", 1, math.inf, "int", "ask for one at least"),
    ("min_tokens", 0, math.inf, "int", "0 turns it off"),
    ("seed", 0, 2**63 - 1, "int", "choose any whole number"),
    ("num_answers", 1, MOST_ANSWERS, "int", "ask again for more"),
    ("best_of", 0, MOST_ANSWERS, "int", "0 turns it off"),
    ("beams", 0, MOST_BEAMS, "int", "0 turns it off"),
    ("beam_groups", 1, MOST_BEAMS, "int", "1 is plain beam search"),
    ("lookup_tokens", 0, MOST_LOOKUP, "int", "0 turns it off"),
)


def check_settings(settings: SamplingSettings, *, vocab_size: int | None = None) -> None:
    """Raises RequestError, naming the first setting that cannot be.

    Args:
        vocab_size: token ids are checked against it where it is given.
    """
    for name, low, high, kind, hint in _RANGES:
        _in_range(
            name,
            getattr(settings, name),
            low,
            high,
            hint,
            low_open=kind.startswith("("),
            high_open=kind.endswith(")"),
            whole=kind == "int",
        )
    if settings.logprobs is not None:
        _in_range("logprobs", settings.logprobs, 0, MOST_LOGPROBS, "None turns it off", whole=True)
    _check_kinds(settings)
    if isinstance(settings.stop, str):
        raise RequestError(
            "stop must be several strings, not one", got=settings.stop, remedy="put it in a tuple"
        )
    if not all(isinstance(stop, str) and stop for stop in settings.stop):
        raise RequestError(
            "a stop string must be text that is not empty",
            got=settings.stop,
            remedy="leave it out to have none",
        )
    _check_lists(settings, vocab_size)
    _check_together(settings)


def _check_kinds(settings: SamplingSettings) -> None:
    for name in ("stop_tokens", "banned_tokens", "forced_tokens", "logit_bias", "stop"):
        entries = getattr(settings, name)
        kinds = (str, tuple, list) if name == "stop" else (tuple, list)
        is_pairs = name != "logit_bias" or (
            isinstance(entries, tuple | list)
            and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in entries)
        )
        if not isinstance(entries, kinds) or not is_pairs:
            what = "pairs of a token's id and a number" if name == "logit_bias" else "a list"
            raise RequestError(f"{name} must be {what}", got=entries, remedy="put it in a tuple")


def _check_lists(settings: SamplingSettings, vocab_size: int | None) -> None:
    for name in ("stop", "stop_tokens", "banned_tokens", "forced_tokens", "logit_bias"):
        entries = getattr(settings, name)
        if len(entries) > MOST_LISTED:
            raise RequestError(
                f"{name} has at most {MOST_LISTED} entries", got=len(entries), remedy="give fewer"
            )
    for name in ("stop_tokens", "banned_tokens", "forced_tokens", "logit_bias"):
        entries = getattr(settings, name)
        ids = [entry[0] for entry in entries] if name == "logit_bias" else entries
        highest = math.inf if vocab_size is None else vocab_size - 1
        for token in ids:
            hint = "take ids of the model's own tokenizer"
            _in_range(f"a token of {name}", token, 0, highest, hint, whole=True)
    for _, bias in settings.logit_bias:
        _in_range("a bias of logit_bias", bias, -1000, 1000, "-100 to 100 are usual")


def _check_together(settings: SamplingSettings) -> None:
    """Settings that exclude each other or need each other."""
    best_of, beams = settings.best_of, settings.beams
    conflicts = (
        (
            0 < best_of < settings.num_answers,
            "best_of must not be less than num_answers",
            f"{best_of} < {settings.num_answers}",
        ),
        (
            0 < beams < settings.num_answers,
            "beams must not be fewer than num_answers",
            f"{beams} < {settings.num_answers}",
        ),
        (
            beams > 0 and beams % settings.beam_groups != 0,
            "beam_groups must divide beams",
            f"{settings.beam_groups} groups of {beams} beams",
        ),
        (beams > 0 and best_of > 0, "beams and best_of are two ways to search", "both"),
        (
            beams > 0 and settings.contrastive_alpha > 0,
            "beams and contrastive_alpha are two ways to search",
            "both",
        ),
        (
            settings.contrastive_alpha > 0 and not 1 <= settings.top_k <= MOST_BEAMS,
            f"contrastive search needs top_k from 1 to {MOST_BEAMS}",
            settings.top_k,
        ),
        (
            settings.contrastive_alpha > 0 and max(settings.num_answers, best_of) > 1,
            "contrastive search gives one answer",
            max(settings.num_answers, best_of),
        ),
        (
            settings.contrastive_alpha > 0 and len(settings.forced_tokens) > 0,
            "forced_tokens are for sampled and greedy answers",
            "contrastive_alpha too",
        ),
        (
            beams > 0 and settings.constraint is not None,
            "a constraint is for sampled and greedy answers",
            "beams too",
        ),
        (
            len(settings.forced_tokens) > 0 and settings.constraint is not None,
            "forced_tokens and a constraint both say how the answer begins",
            "both",
        ),
        (
            beams > 0
            and (
                settings.repetition_penalty != 1.0
                or settings.frequency_penalty != 0
                or settings.presence_penalty != 0
                or len(settings.forced_tokens) > 0
            ),
            "penalties and forced_tokens are for sampled and greedy answers",
            "beams too",
        ),
        (
            (beams > 0 or settings.contrastive_alpha > 0) and settings.logprobs is not None,
            "logprobs are for sampled and greedy answers",
            settings.logprobs,
        ),
        (
            settings.prompt_logprobs and settings.logprobs is None,
            "prompt_logprobs go with logprobs, which say how many are told a token",
            None,
        ),
    )
    for is_wrong, what, got in conflicts:
        if is_wrong:
            raise RequestError(what, got=got, remedy="leave one of them out or change it")


def _in_range(
    name: str,
    value: float,
    low: float,
    high: float,
    hint: str,
    *,
    low_open: bool = False,
    high_open: bool = False,
    whole: bool = False,
) -> None:
    kinds: tuple[type, ...] = (int, np.integer) if whole else (int, float, np.number)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    # Written so that NaN, which compares false to everything, is refused.
    above = number and (value > low if low_open else value >= low)
    below = number and (value < high if high_open else value <= high)
    if above and below:
        return
    if high == math.inf:
        bounds = f"{low:g} or more"
    else:
        start, end = "above" if low_open else "from", "to below" if high_open else "to"
        bounds = f"{start} {low:g} {end} {high:g}"
    kind = "a whole number" if whole else "a number"
    raise RequestError(f"{name} must be {kind}, {bounds}", got=value, remedy=hint)


def check_prompt(prompt_ids: Sequence[int], *, vocab_size: int, window: int) -> list[int]:
    """The prompt as a list of ints.

    Raises RequestError where it is empty, has ids that the vocabulary has not, or leaves no room
    for a single token of answer.
    """
    ids = check_ids(prompt_ids, vocab_size=vocab_size)
    if not ids:
        raise RequestError(
            "the prompt has no tokens", remedy="start a new document with the end-of-text id"
        )
    if len(ids) >= window:
        raise RequestError(
            f"the prompt has {len(ids)} tokens, and the model's window holds {window} tokens "
            "of prompt and answer together",
            remedy="shorten the prompt",
        )
    return ids


def check_ids(token_ids: Sequence[int], *, vocab_size: int) -> list[int]:
    """Ids as a list of ints, none is a list too. Raises RequestError where the vocabulary has not
    all of them."""
    ids = [int(token) for token in token_ids]
    if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
        wrong = next(token for token in ids if not 0 <= token < vocab_size)
        raise RequestError(
            f"token ids run from 0 to {vocab_size - 1}",
            got=wrong,
            remedy="encode the text with the tokenizer the model was trained with",
        )
    return ids
