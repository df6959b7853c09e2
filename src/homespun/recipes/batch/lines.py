"""What a line of a file of prompts asks.

`{"prompt": TEXT}` or `{"messages": [{"role", "content"}, …]}`, and perhaps `"id"` (a string or a
whole number; else the line's number, from 1) and `"settings"` (fields of `SamplingSettings`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import (
    Constraint,
    DataError,
    Message,
    RequestError,
    SamplingSettings,
    did_you_mean,
)

if TYPE_CHECKING:
    from homespun.recipes.run import Run

LineId = str | int
_FIELDS = ("id", "prompt", "messages", "settings")


class Line(NamedTuple):
    """A line that is not blank.

    Attributes:
        number: from 1, blank ones counted.
        id: its own, else its number.
        row: what it says; None where it is not a JSON object.
    """

    number: int
    id: LineId
    row: dict[str, Any] | None


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of a file, damaged ones too.

    Raises:
        DataError: the file is missing.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="name a file of JSON lines") from error
    with file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError):
                row = None
            row = row if isinstance(row, dict) else None
            given = None if row is None else row.get("id")
            is_id = isinstance(given, str | int) and not isinstance(given, bool)
            yield Line(number, given if is_id and given is not None else number, row)


def check_ids(path: Path) -> int:
    """How many lines there are. Raises DataError where two have one id."""
    seen: dict[LineId, int] = {}
    for line in read_lines(path):
        if line.id in seen:
            raise DataError(
                f"lines {seen[line.id]} and {line.number} of {path} have the same id",
                got=line.id,
                remedy="give each line an id of its own, or none of them one",
            )
        seen[line.id] = line.number
    if not seen:
        raise DataError(f"{path} has no lines", remedy='write one {"prompt": "…"} a line')
    return len(seen)


def asked(line: Line, run: Run, settings: SamplingSettings) -> tuple[list[int], SamplingSettings]:
    """Prompt and settings of a line; line n has the seed of the settings plus n - 1.

    Raises:
        RequestError: it cannot be asked.
    """
    row = line.row
    if row is None:
        raise RequestError("the line is not a JSON object", remedy='write {"prompt": "…"}')
    for name in row:
        if name not in _FIELDS:
            raise RequestError(f"unknown field '{name}'", remedy=did_you_mean(name, list(_FIELDS)))
    settings = dataclasses.replace(settings, seed=(settings.seed + line.number - 1) % 2**63)
    settings = _changed(settings, row.get("settings", {}))
    prompt, messages = row.get("prompt"), row.get("messages")
    if (prompt is None) == (messages is None):
        raise RequestError(
            "a line has a prompt or messages",
            got="neither" if prompt is None else "both",
            remedy="give one of them",
        )
    if messages is None:
        if prompt == "":
            raise RequestError("the prompt is empty", remedy="write one")
        if not isinstance(prompt, str):
            raise RequestError("the prompt is no text", got=prompt, remedy="write some")
        return run.prompt_ids(prompt), settings
    if not run.can_chat:
        raise RequestError("the model has not learnt to chat", remedy="give a prompt instead")
    tokens = run.tokenizer.encode_chat(_messages(messages), add_generation_prompt=True)
    return list(tokens.ids), settings


def _messages(value: Any) -> list[Message]:
    found = []
    for entry in value if isinstance(value, list) else [None]:
        role, content = (entry.get(n) if isinstance(entry, dict) else None for n in _MESSAGE)
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise RequestError("a message has a role and a content", got=entry, remedy="mend it")
        found.append(Message(role, content))
    return found


_MESSAGE = ("role", "content")


def _changed(settings: SamplingSettings, value: Any) -> SamplingSettings:
    if not isinstance(value, dict):
        raise RequestError("settings are an object", got=value, remedy='as in {"seed": 3}')
    known = list(SamplingSettings.__dataclass_fields__)
    changes: dict[str, Any] = {}
    for name, given in value.items():
        if name not in known:
            raise RequestError(f"unknown setting '{name}'", remedy=did_you_mean(name, known))
        changes[name] = _constraint(given) if name == "constraint" else _tupled(given)
    return dataclasses.replace(settings, **changes)


def _constraint(value: Any) -> Constraint | None:
    if value is None:
        return None
    kinds = ("json_schema", "regex", "choice", "grammar")
    if not isinstance(value, dict) or value.get("kind") not in kinds or value.keys() - _CONSTRAINT:
        raise RequestError(
            "a constraint has a kind and a text or choices",
            got=value,
            remedy="kinds are " + ", ".join(kinds),
        )
    text, choices = value.get("text", ""), value.get("choices", [])
    if not isinstance(text, str):
        text = json.dumps(text)  # a schema may stand there as it is
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise RequestError("choices are texts", got=choices, remedy="give a list of them")
    return Constraint(kind=value["kind"], text=text, choices=tuple(choices))


_CONSTRAINT = {"kind", "text", "choices"}


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
