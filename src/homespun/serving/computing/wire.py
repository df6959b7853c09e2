"""Messages as lines of JSON, for a process that computes: `messages` there and back.

NamedTuples become lists. What is a tuple there is one again here, since settings are hashed.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import homespun.core as core
from homespun.core import Completion, Constraint, HomespunError, SamplingSettings, TokenLogprob
from homespun.serving.computing.messages import Ask, Drop, Embed, Ended, News, Numbers, Said, Work

_DEFAULTS = SamplingSettings()


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
    return line_of(["ask", work.number, work.model, [*work.prompt_ids], changed, work.salt.hex()])


def read_work(line: bytes) -> Work:
    kind, *values = json.loads(line)
    if kind == "drop":
        return Drop(*values)
    if kind == "embed":
        return Embed(*values)
    number, model, ids, changed, salt = values
    return Ask(number, model, ids, _settings(changed), bytes.fromhex(salt))


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
    if done is None and said.error is None:  # nearly all
        return said
    whole = None
    if done is not None:
        whole = [getattr(done, name) for name in Completion.__dataclass_fields__]
    return (*said[:4], whole, error_value(said.error), *said[6:])


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
