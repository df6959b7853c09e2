"""The lines that are for the program, not the model."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    # name: what follows it, what it does
    "/help": ("", "this list"),
    "/new": ("", "forget the conversation and begin a new one"),
    "/undo": ("", "take back the last question and its answer"),
    "/retry": ("", "answer the last question once more, otherwise"),
    "/system": ("[TEXT]", "say who the model is to be from here on; - for nobody; alone, show it"),
    "/set": ("[NAME=VALUE …]", "change how answers are sampled; alone, show it"),
    "/seed": ("N", "answer with seed N from here on"),
    "/why": ("[N]", "how sure the model was of each word of its answer, and N others it weighed"),
    "/save": ("FILE", "write the conversation to a file (JSON, OpenAI's messages)"),
    "/load": ("FILE", "go on from one"),
    "/quit": ("", "leave, as Ctrl-D does"),
}
SAME = {"/reset": "/new", "/exit": "/quit"}
"""Other names."""

MANNERS = (
    'Text between two lines of three quotes (""") is one message, and so are a line that ends\n'
    "with \\ and the next. Ctrl-C stops an answer."
)
AT_A_TERMINAL = "Alt-Enter begins a new line, Up brings back what you typed, Ctrl-R looks for it."


def help_text(*, at_terminal: bool) -> str:
    calls = {name: f"{name} {what}".rstrip() for name, (what, _) in COMMANDS.items()}
    width = max(map(len, calls.values())) + 2
    lines = [f"{calls[name]:<{width}}{does}" for name, (_, does) in COMMANDS.items()]
    return "\n".join([*lines, MANNERS, *([AT_A_TERMINAL] if at_terminal else [])])
