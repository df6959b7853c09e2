"""Messages as lines of JSON, for a process that computes: `messages` there and back.

NamedTuples become lists. What is a tuple there is one again here, since settings are hashed. Many
log probabilities are packed: reading them as numbers of JSON, if in another thread, would hold
Python's lock and with it the event loop for tenths of a second.
"""

from __future__ import annotations

import itertools
import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import homespun.core as core
from homespun.core import Completion, Constraint, HomespunError, SamplingSettings, TokenLogprob
from homespun.serving.computing.messages import Ask, Drop, Embed, Ended, News, Numbers, Said, Work

_DEFAULTS = SamplingSettings()
_FEW = 64
"""Tokens whose log probabilities are written as they are."""


def line_of(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def work_line(work: Work) -> bytes:
    if isinstance(work, Drop):
        return line_of(["drop", work.number])
    if isinstance(work, Embed):
        return line_of(["embed", work.number, work.model, work.prompts])
    settings = work.settings
    changed = {
        field.name: value
        for field in fields(settings)
        if (value := getattr(settings, field.name)) != getattr(_DEFAULTS, field.name)
    }
    if settings.constraint is not None:
        bound = settings.constraint
        changed["constraint"] = [bound.kind, bound.text, bound.choices]
    rest = (changed, work.salt.hex(), work.is_whole)
    return line_of(["ask", work.number, work.model, [*work.prompt_ids], *rest])


def read_work(line: bytes) -> Work:
    kind, *values = json.loads(line)
    if kind == "drop":
        return Drop(*values)
    if kind == "embed":
        return Embed(*values)
    number, model, ids, changed, salt, is_whole = values
    return Ask(number, model, ids, _settings(changed), bytes.fromhex(salt), is_whole)


def _settings(changed: dict[str, Any]) -> SamplingSettings:
    found = {name: _as_tuple(value) for name, value in changed.items()}
    if "constraint" in found:
        kind, text, choices = found["constraint"]
        found["constraint"] = Constraint(kind=kind, text=text, choices=choices)
    return SamplingSettings(**found)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def news_line(news: News) -> bytes:
    return line_of(
        [
            news.begun,
            news.admitted,
            [(number, list(map(_said, said))) for number, said in news.said],
            news.vectors,
            [one._replace(error=error_value(one.error)) for one in news.ended],
            news.broken,
            news.numbers,
        ]
    )


def _said(said: Said) -> tuple[Any, ...]:
    done = said.completion
    is_short = len(said.logprobs) <= _FEW and len(said.prompt_logprobs) <= _FEW
    if done is None and said.error is None and is_short:  # nearly all
        return said
    whole = None
    if done is not None:
        whole = [getattr(done, name) for name in Completion.__dataclass_fields__]
        whole = [_packed(each) if isinstance(each, tuple) else each for each in whole]
    new, of_prompt = _packed(said.logprobs), _packed(said.prompt_logprobs)
    error = error_value(said.error)
    return (said.answer, said.text, said.token_ids, new, whole, error, said.is_last, of_prompt)


def _packed(found: Sequence[Any]) -> Any:
    """Log probabilities of many tokens as five texts; anything else as it is."""
    if len(found) <= _FEW or not isinstance(found[0], TokenLogprob):
        return found
    tops = [pair for item in found for pair in item.top]
    return {
        "ids": _text("i", (item.token_id for item in found)),
        "values": _text("d", (item.logprob for item in found)),
        "nums": _text("i", (len(item.top) for item in found)),
        "top_ids": _text("i", (token for token, _ in tops)),
        "top_values": _text("d", (value for _, value in tops)),
    }


def _unpacked(values: dict[str, str]) -> tuple[TokenLogprob, ...]:
    tops = zip(_numbers("i", values["top_ids"]), _numbers("d", values["top_values"]), strict=True)
    nums = _numbers("i", values["nums"])
    rows = zip(_numbers("i", values["ids"]), _numbers("d", values["values"]), nums, strict=True)
    return tuple(
        TokenLogprob(token, value, tuple(itertools.islice(tops, num))) for token, value, num in rows
    )


def _text(kind: str, values: Iterable[float]) -> str:
    return b64encode(array(kind, values).tobytes()).decode()


def _numbers(kind: str, text: str) -> array[Any]:
    found: array[Any] = array(kind)
    found.frombytes(b64decode(text))
    return found


def read_news(line: bytes) -> News:
    begun, admitted, said, vectors, ended, broken, numbers = json.loads(line)
    return News(
        begun,
        admitted,
        [(number, list(map(_read_said, each))) for number, each in said],
        vectors,
        [Ended(number, read_error(error), *rest) for number, error, *rest in ended],
        broken,
        {model: Numbers(*values) for model, values in numbers.items()},
    )


def _read_said(value: Any) -> Said:
    answer, text, ids, logprobs, whole, error, is_last, of_prompt = value
    done = None
    if whole is not None:
        text_of_all, all_ids, reason, prompt, seconds, all_logprobs, cached, score, read = whole
        told, of_all = (None if each is None else _logprobs(each) for each in (all_logprobs, read))
        ids_of_all = tuple(all_ids)
        done = Completion(
            text_of_all, ids_of_all, reason, prompt, seconds, told, cached, score, of_all
        )
    new, of_prompt = _logprobs(logprobs), _logprobs(of_prompt)
    return Said(answer, text, tuple(ids), new, done, read_error(error), is_last, of_prompt)


def _logprobs(values: Any) -> tuple[TokenLogprob, ...]:
    if isinstance(values, dict):
        return _unpacked(values)
    return tuple(
        TokenLogprob(token, logprob, tuple((other, its) for other, its in top))
        for token, logprob, top in values
    )


def error_value(error: HomespunError | None) -> Any:
    """The name of its class, or of the nearest that `core` knows, and what it says."""
    if error is None:
        return None
    known = (of.__name__ for of in type(error).__mro__ if getattr(core, of.__name__, None) is of)
    return [next(known), str(error)]


def read_error(value: Any) -> HomespunError | None:
    if value is None:
        return None
    name, told = value
    found = getattr(core, name, HomespunError)
    assert issubclass(found, HomespunError)
    return found(told)
