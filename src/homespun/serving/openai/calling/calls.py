"""From what a model wrote to the calls in it, whole or as it comes.

A call that is not JSON, names no tool or whose arguments do not fit the tool's schema is left in
the text as it was written: nobody is handed a call that is not one.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import regex
from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry

from homespun.serving.openai.calling.tools import Toolbox

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_KEYS = ({"name", "arguments"}, {"name", "parameters"})
"""What a call holds; Llama's have parameters."""
_MOST_CHECKS = 20_000
"""Of one keyword on one value, some 0.1 s: a schema of little text can ask for any number. Counted
and not timed, so that the same call is a call on a busy machine too."""
_PATTERN_SECONDS = 0.1
"""For all expressions of a schema together."""
_MOST_SECONDS = 0.5
"""Of the processor, for what few checks can take, such as long lists."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call: its number within the answer, and OpenAI's shape of it."""

    index: int
    value: dict[str, Any]


class Said(NamedTuple):
    """What can be told: text, and calls that are complete."""

    text: str
    calls: tuple[Call, ...] = ()


class CallReader:
    """Reads one answer.

    Args:
        box: the tools; None where there are none, and all is text.
        is_either: the answer is bound to be calls or JSON: JSON has none, whatever its strings say.

    Attributes:
        num_calls: found so far.
    """

    def __init__(self, box: Toolbox | None, *, is_either: bool = False) -> None:
        self._box = box if box is not None and box.may_call else None
        self._is_either = is_either
        self._held = ""
        self._is_after_call = False
        self.num_calls = 0

    def push(self, text: str) -> Said:
        """Take more of the answer; give what is certain."""
        if self._box is not None and self._is_either and text:
            self._is_either = False
            if not text.startswith(OPEN[0]):
                self._box = None
        if self._box is None:
            return Said(text)
        self._held += text
        if self._box.must_call:
            return Said("")
        found: list[str] = []
        calls: list[Call] = []
        while (start := self._held.find(OPEN)) >= 0:
            # White space before a call belongs to it, and so does what follows it.
            before = self._held[:start].rstrip()
            end = self._held.find(CLOSE, start)
            if end < 0:
                found.append(self._told(before))
                self._held = self._held[len(before) :]
                return Said("".join(found), tuple(calls))
            end += len(CLOSE)
            call = self._call(self._held[start + len(OPEN) : end - len(CLOSE)])
            if call is None:
                found.append(self._told(self._held[:end]))
            else:
                found.append(self._told(before))
                calls.append(call)
                self._is_after_call = True
            self._held = self._held[end:]
        sure = self._held[: len(self._held) - num_begun(self._held, OPEN)].rstrip()
        found.append(self._told(sure))
        self._held = self._held[len(sure) :]
        return Said("".join(found), tuple(calls))

    def finish(self) -> Said:
        """What was held back: the answer has ended."""
        held, self._held = self._held, ""
        if self._box is None or not held:
            return Said("")
        if self._box.must_call:
            call = self._call(held)
        else:
            begun = held.lstrip()
            call = self._call(begun.removeprefix(OPEN)) if begun.startswith(OPEN) else None
        return Said(self._told(held)) if call is None else Said("", (call,))

    def _told(self, text: str) -> str:
        if self._is_after_call:
            text = text.lstrip()
            self._is_after_call = not text
        return text

    def _call(self, written: str) -> Call | None:
        assert self._box is not None
        if self.num_calls and not self._box.parallel:
            return None
        try:
            value = strict_json(written)
        except (ValueError, RecursionError):
            return None
        if self._box.named is not None:
            name, arguments = self._box.named, value
        elif isinstance(value, dict) and set(value) in _KEYS:
            name = value.pop("name")
            (arguments,) = value.values()
        else:
            return None
        function = self._box.functions.get(name) if isinstance(name, str) else None
        if function is None or not fits(arguments, function.schema_of_arguments):
            return None
        call = Call(
            self.num_calls,
            {
                "id": f"call_{secrets.token_hex(12)}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": json.dumps(arguments, ensure_ascii=False),
                },
            },
        )
        self.num_calls += 1
        return call


def strict_json(text: str) -> Any:
    """What a JSON text says. Raises ValueError, or RecursionError, also for what not every reader
    takes and no answer can hold: NaN, numbers beyond all floats, half of a surrogate pair."""
    value = json.loads(text)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is as a JSON schema of somebody else's says. Nothing is fetched, the work is
    limited, and a schema that is none, or asks for too much work, fits nothing."""
    extend: Any = validators.extend  # the library has no types
    work = _Work()
    own = {"pattern": work.pattern, "uniqueItems": _unique_items}
    keywords = {**Draft202012Validator.VALIDATORS, **own}
    limited = {keyword: work.limited(check) for keyword, check in keywords.items()}
    checker = extend(Draft202012Validator, limited)
    try:
        return bool(checker(_without_dialects(schema), registry=Registry()).is_valid(value))
    except Exception:  # of a schema that is none, refers to itself or elsewhere, or takes too long
        return False


class _Work:
    """What holding one value against its schema has taken so far."""

    def __init__(self) -> None:
        self.num_checks = 0
        self.until = time.thread_time() + _MOST_SECONDS
        self.pattern_seconds = _PATTERN_SECONDS

    def limited(self, check: Any) -> Any:
        """A keyword's check that gives up once the work is too much."""

        def limited(*arguments: Any) -> Iterator[ValidationError]:
            self.num_checks += 1
            if self.num_checks > _MOST_CHECKS or time.thread_time() > self.until:
                raise TimeoutError
            yield from check(*arguments) or ()

        return limited

    def pattern(self, _: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        """The library's own check of `pattern` has no limit."""
        search: Any = regex.search  # neither has this one types
        if not isinstance(value, str):
            return
        begun = time.thread_time()
        try:
            found = search(pattern, value, timeout=max(1e-3, self.pattern_seconds))
        except regex.error:
            found = None
        self.pattern_seconds -= time.thread_time() - begun
        if found is None:
            yield ValidationError("it does not match")


def _unique_items(_: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    """The library's own check compares every item with all others, and nothing can stop it."""
    if wanted is True and isinstance(value, list) and len({*map(_same, value)}) < len(value):
        yield ValidationError("two items are the same")


def _same(value: Any) -> Hashable:
    """Equal for values that JSON schemas hold to be equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return frozenset((name, _same(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(map(_same, value))
    return isinstance(value, bool), value


def _without_dialects(schema: Any) -> Any:
    """Without `$schema`: a part that names another dialect would be checked without limits."""
    if isinstance(schema, list):
        return [_without_dialects(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_dialects(value) for key, value in schema.items() if key != "$schema"}


def num_begun(text: str, tag: str) -> int:
    """How many characters at the end might be the beginning of a tag."""
    for num in range(min(len(tag) - 1, len(text)), 0, -1):
        if tag.startswith(text[-num:]):
            return num
    return 0
