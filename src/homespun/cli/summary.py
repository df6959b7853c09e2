"""What a finished run says of itself, read from the JSON its stages wrote."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from homespun.cli.terminal import bytes_text, count_text, out, say
from homespun.core.files import typed

__all__ = ["command_name", "print_next", "print_summary", "typed"]

_MARKS = {"good": ("+", "green"), "bad": ("-", "red"), "note": ("·", "cyan")}


def print_summary(run: Path) -> None:
    """Print the verdict of `eval.json`, where there is one."""
    from homespun.core.files import read_json

    path = run / "eval.json"
    if not path.is_file():
        return
    result: dict[str, Any] = read_json(path)
    model = result.get("model", {})
    validation = result.get("validation", {})
    if {"parameters", "layers", "width"} <= model.keys() and "bits_per_byte" in validation:
        say(
            f"{run.name}: {count_text(model['parameters'])} parameters, {model['layers']} layers "
            f"of width {model['width']}{_beside(model)}; "
            f"{validation['bits_per_byte']:.3f} bits per byte on text it has not seen",
            "bold",
        )
    verdict = result.get("verdict", {})
    if verdict.get("summary"):
        say(verdict["summary"])
    console = out()
    for point in verdict.get("points", []):
        mark, style = _MARKS.get(point.get("kind", "note"), _MARKS["note"])
        console.print(f"  {mark} ", style=style, end="")
        say(point.get("text", ""))
    for advice in verdict.get("next", []):
        say(f"  next: {advice}", "dim")


def _beside(model: dict[str, Any]) -> str:
    """The n-gram table of a model that has one."""
    table = model.get("table")
    if not table:
        return ""
    return (
        f", an n-gram table ({count_text(table['ngrams'])} n-grams of up to {table['order']} "
        f"tokens, {bytes_text(table['bytes'])})"
    )


def print_next(run: Path) -> None:
    """Print the commands that make sense now."""
    say("What to do now:")
    name = typed(run.name if run.parent == Path("runs") else run)
    command = command_name()
    if (run / "sft" / "done.json").is_file():
        say(f"  {command} chat {name}")
    say(f'  {command} generate {name} --prompt "{_opening(run)}"')
    if (run / "report.html").is_file():
        say(f"  {command} report {name} --open")


def command_name() -> str:
    """How to call this command again: by name where the PATH has it, else where it lies."""
    if shutil.which("homespun") is not None:
        return "homespun"
    started = Path(sys.argv[0])
    if started.name.partition(".")[0] != "homespun" or not started.is_file():
        return "homespun"
    started = Path(os.path.abspath(started))
    here = Path.cwd()
    return shlex.quote(str(started.relative_to(here) if started.is_relative_to(here) else started))


def _opening(run: Path) -> str:
    """A prompt in the language most of the run's text is in."""
    from homespun.core.files import read_json

    path = run / "corpus" / "card.json"
    languages: dict[str, Any] = read_json(path)["languages"] if path.is_file() else {}
    main = max(languages, key=lambda name: languages[name]["bytes"], default="en")
    return "从前" if main == "zh" else "Once"
