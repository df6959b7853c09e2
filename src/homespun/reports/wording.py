"""Numbers and texts as a person reads them. What is missing (None) shows as a dash."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Mapping
from typing import Any

from homespun.scaling import format_duration

DASH = "–"


def count(value: float | None) -> str:
    """1234567 as "1,234,567"."""
    return DASH if value is None else f"{value:,.0f}"


def short_count(value: float | None) -> str:
    """1234567 as "1.23 million"."""
    if value is None:
        return DASH
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= 0.9995 * size:  # what three digits round up to it
            amount = value / size
            return f"{count(amount) if amount >= 100 else f'{amount:.3g}'} {word}"
    return count(value)


def size(value: float | None) -> str:
    """Bytes as "8.4 MB" (powers of 1000)."""
    if value is None:
        return DASH
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * unit:  # what three digits round up to it
            amount = value / unit
            return f"{amount:.0f} {name}" if amount >= 100 else f"{amount:.3g} {name}"
    return f"{value:.0f} bytes"


def percent(value: float | None) -> str:
    """A share as "12%", with a decimal where it is small."""
    if value is None:
        return DASH
    scaled = 100 * value
    if 0 < abs(scaled) < 0.05:
        return "under 0.1%"
    return f"{scaled:.1f}%" if 0 < abs(scaled) < 9.95 else f"{scaled:.0f}%"


def decimal(value: float | None, digits: int = 3) -> str:
    return DASH if value is None else f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds as "45 s" or "6 min 30 s"; short ones with a decimal."""
    if seconds is None:
        return DASH
    return f"{seconds:.1f} s" if seconds < 9.95 else format_duration(seconds)


def clean(value: Any) -> Any:
    """Text that cannot disturb the page: controls as pictures of them, stray surrogates as U+FFFD.

    Tabs and line ends stay. Marks that turn the direction of writing are shown by their number,
    since one left open would turn all that follows. What is marked as HTML is left alone.
    """
    if not isinstance(value, str) or value.isprintable() or hasattr(value, "__html__"):
        return value
    return "".join(map(_clean_character, value))


def _clean_character(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or character.isprintable():
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    if unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI"}:
        return f"[U+{code:04X}]"
    return character


def visible(token: str) -> str:
    """A token that is nothing but spaces as marks that can be seen."""
    return token if token.strip(" ") else "\u2423" * len(token)


def shortened(text: str, limit: int) -> tuple[str, int]:
    """The first `limit` characters of a text, and how many are left out."""
    return (text, 0) if len(text) <= limit else (text[:limit], len(text) - limit)


def language_name(code: str) -> str:
    names = {
        "en": "English",
        "zh": "Chinese",
        "de": "German",
        "fr": "French",
        "es": "Spanish",
        "ja": "Japanese",
        "ko": "Korean",
        "ru": "Russian",
        "code": "source code",
        "und": "unknown",
    }
    return names.get(code, code)


def text_language(text: str) -> str:
    """The `lang` attribute of a text: "zh" where it has Chinese characters, so that the browser
    picks Chinese letterforms; else empty, which is "unknown"."""
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in text) else ""


# Where an option is not called after what run.json calls it.
_OPTIONS = {"language": "--lang"}
# What need not be said.
_DEFAULTS = (("language", "auto"),)


def command_words(asked: Mapping[str, Any], *, seed: int, name: str) -> list[str]:
    """The command that was given, from what run.json keeps of it: quoted for a shell, an option
    and its value in one piece."""
    given = {key: value for key, value in asked.items() if value is not None and value is not False}
    command = str(given.pop("command", "spin"))
    source, parent = given.pop("source", None), given.pop("parent", None)
    parts = [str(part) for part in given.pop("parts", ())]
    places = [parent] if parent is not None else []
    if command == "import":  # the text is for measuring alone
        places.append(given.pop("model", ""))
        given |= {} if source is None else {"text": source}
    elif command == "average":
        is_of_one_run = all(part.startswith("step-") for part in parts)
        given |= {"last": len(parts)} if is_of_one_run else {}
        places += [] if is_of_one_run else parts[1:]
    elif source is not None and (parent is None or command == "continue"):
        places.append(source)
    words = ["homespun", *command.split(), *(shlex.quote(str(place)) for place in places)]
    for key, value in given.items():
        if (key, value) not in _DEFAULTS:
            words += _option(_OPTIONS.get(key, f"--{key.replace('_', '-')}"), value)
    if seed and parent is None:  # a parent decides the seed
        words.append(f"--seed {seed}")
    return [*words, f"--name {shlex.quote(name)}"]


def _option(option: str, value: Any) -> list[str]:
    """An option with its value; numbers stand in one, other lists in several."""
    if value is True:
        return [option]
    values = value if isinstance(value, list) else [value]
    shown = [f"{one:g}" if isinstance(one, float) else str(one) for one in values]
    if values and all(isinstance(one, float) for one in values):
        shown = [",".join(shown)]
    return [f"{option} {shlex.quote(one)}" for one in shown]
