"""Every way a command can end, as one sentence and an exit code.

0 done · 1 it could not be done · 2 it was not asked rightly · 70 our bug · 130 stopped by Ctrl-C
141 whoever read our output went away
"""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

from homespun.cli.terminal import err, visible

FAILED, USAGE, OUR_BUG = 1, 2, 70
_LONGEST_NAME = 100
_EXTRAS = {"transformers": "hf", "opencc": "zh"}
LOG_NAME = "homespun-error.log"


class Fault(NamedTuple):
    """Attributes:
    sentence: for the person, without the leading "error:".
    exit_code: for the shell.
    """

    sentence: str
    exit_code: int


def explain(error: BaseException) -> Fault:
    """The sentence and exit code for `error`; a traceback is saved only for our own bugs."""
    import typer

    from homespun.core import ConfigError, HomespunError, RequestError
    from homespun.core.files import os_error
    from homespun.core.machine import is_out_of_memory

    if isinstance(error, typer.TyperException):
        return Fault(_usage_sentence(error), USAGE)
    if isinstance(error, ConfigError | RequestError):
        return Fault(str(error), USAGE)
    if isinstance(error, HomespunError):
        return Fault(str(error), FAILED)
    if is_out_of_memory(error):
        remedy = "close other programs, or ask for a smaller model or a shorter text"
        return Fault(f"the machine has not enough memory for this; {remedy}", FAILED)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("homespun"):
        package = error.name or "a package"
        name = package.split(".")[0]
        wanted = f"'homespun[{_EXTRAS[name]}]'" if name in _EXTRAS else name
        remedy = f"install it with `pip install {wanted}`"
        return Fault(f"the package {package} is not installed; {remedy}", FAILED)
    if isinstance(error, OSError) and error.errno is not None:
        doing = f"using {_name(error.filename)}" if error.filename else "reading or writing"
        return Fault(str(os_error(error, doing)), FAILED)
    return Fault(_bug_sentence(error), OUR_BUG)


def print_error(sentence: str) -> None:
    """One red line on stderr."""
    line = " ".join(visible(sentence).split())
    err().print(f"error: {line}", style="red", soft_wrap=True)


def print_stopped() -> None:
    """What Ctrl-C is answered with."""
    err().print("stopped; run the same command to continue", soft_wrap=True)


def _usage_sentence(error: Exception) -> str:
    format_message = getattr(error, "format_message", lambda: str(error))
    message = " ".join(format_message().split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    message = message.replace(". Did you mean", "; did you mean")
    message = _about_a_number(error) or message
    context = getattr(error, "ctx", None)
    if context is not None and context.command_path.endswith(" export") and "command" in message:
        return f"{message}; write `homespun export hf RUN FOLDER`"
    near = getattr(error, "possibilities", None)
    if near:
        message = f"{message.partition(' (Possible')[0]}; did you mean {' or '.join(near)}?"
    command = context.command_path if context is not None else "homespun"
    return f"{message}{' See' if message.endswith('?') else '; see'} `{command} --help`"


def _about_a_number(error: Exception) -> str:
    """Our words where a number was no number or out of its range; empty where it is not that."""
    told = str(getattr(error, "message", ""))
    if told.startswith("minutes must be"):
        return told
    wrong = getattr(error.__cause__, "errors", None)  # pydantic's, which typer wraps
    name = getattr(getattr(error, "param", None), "name", None)
    if not callable(wrong) or name is None:
        return ""
    first = wrong()[0]
    kinds = {"float_parsing": "a number", "int_parsing": "a whole number"}
    kind = kinds.get(first["type"], "a whole number" if first["type"].startswith("int") else "")
    return f"{name.replace('_', '-')} must be {kind} (got {first['input']})" if kind else ""


def _name(path: str | bytes | int) -> str:
    """A path as told in a sentence: a very long one by its beginning."""
    name = str(path) if isinstance(path, int) else os.fsdecode(path)
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def _bug_sentence(error: BaseException) -> str:
    told = f"something unexpected went wrong ({type(error).__name__})"
    path = Path(tempfile.gettempdir()) / LOG_NAME
    text = "".join(traceback.format_exception(error))
    try:
        # Not through a link somebody else may have left in a shared folder.
        own = getattr(os, "O_NOFOLLOW", 0)  # not on every system
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | own, 0o600)
        with open(handle, "w", encoding="utf-8", errors="replace") as log:
            log.write(text)
    except OSError:
        return f"{told}; run it again with --debug to see where"
    return f"{told}; where is written in {path}, please report it with that file"
