"""Bytes to JSON, within limits and without the liberties Python's reader takes."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

from homespun.serving.errors import ApiError

_LONGEST_NUMBER = 400
"""Digits: more than any float has; Python reads whole numbers in quadratic time."""
_CONTAINERS = (dict, list)
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)


def check_json(body: bytes, *, deepest: int, most_objects: int) -> None:
    """Raises ApiError where `body` is not JSON that every reader reads the same, or too deep, or
    has too many objects and lists, or one of them too many entries: what is done with each on the
    event loop holds everybody up. These are counted before anything is made of them."""
    if (num := _num_containers(body, most_objects)) > most_objects:
        told = (
            f"the body holds {num} JSON objects and lists, and {most_objects} are the most; each "
            "message, each part of one and each tool is one: leave the earliest messages out"
        )
        raise ApiError(400, told, code="too_many_objects")
    # To look at each number takes twice as long as to read it.
    has_long = b"0" * (_LONGEST_NUMBER + 1) in body.translate(_DIGITS_ALIKE)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=partial(_object, most=most_objects),
            parse_constant=_constant,
            parse_int=_whole if has_long else None,
            parse_float=_fraction,
        )
    except UnicodeDecodeError as error:
        raise ApiError(400, "the body is not UTF-8", code="invalid_json") from error
    except RecursionError:
        raise _too_deep(deepest) from None
    except json.JSONDecodeError as error:
        told = f"the body is not JSON: {error.msg.lower()} at character {error.pos}"
        raise ApiError(400, told, code="invalid_json") from error
    if _depth(value, deepest) > deepest:
        raise _too_deep(deepest)
    if b"\\u" in body:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            told = "the body holds half of a surrogate pair, which is no character"
            raise ApiError(400, told, code="invalid_json") from error


def _depth(value: Any, deepest: int) -> int:
    """Containers within each other, counted level by level and not further than needed."""
    level, depth = ([value] if isinstance(value, _CONTAINERS) else []), 0
    while level and depth <= deepest:
        depth += 1
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        # A list of a prompt's ids may have a million: they are gone through once.
        level = [item for items in inner for item in items if isinstance(item, _CONTAINERS)]
    return depth


def _num_containers(body: bytes, enough: int) -> int:
    """Objects and lists of a body, where that could be more than `enough`; brackets within texts
    are none."""
    num = body.count(b"{") + body.count(b"[")
    if num <= enough:
        return num
    # What is left of quotation marks stands around texts.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b"{") + outside.count(b"[")


def _object(pairs: list[tuple[str, Any]], *, most: int) -> dict[str, Any]:
    if len(pairs) > most:
        told = f"an object in the body has {len(pairs)} entries, and {most} are the most"
        raise ApiError(400, told, code="too_many_objects")
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            told = f"'{name[:64]}' is there twice"
            raise ApiError(400, told, param=name[:64], code="invalid_json")
        found[name] = value
    return found


def _constant(name: str) -> float:
    raise ApiError(400, f"the body is not JSON: {name} is not a number", code="invalid_json")


def _whole(digits: str) -> int:
    if (num := len(digits.removeprefix("-"))) > _LONGEST_NUMBER:
        raise ApiError(400, f"a number has {num} digits", code="invalid_json")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        told = "a number is too large for a computer's floating point numbers"
        raise ApiError(400, told, code="invalid_json")
    return value


def _too_deep(deepest: int) -> ApiError:
    told = f"the body is nested too deeply; {deepest} levels are the most"
    return ApiError(400, told, code="too_deep")
