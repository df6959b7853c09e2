"""A command is built alone where it alone is asked for, and is the same as in the whole tree."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from homespun.cli.main import build_app, main

PLAIN = (str, int, float, bool, list, tuple, type(None))


def test_a_command_built_alone_is_the_one_of_the_whole_tree() -> None:
    whole: Any = typer.main.get_command(build_app())
    assert len(whole.commands) > 20
    for name, command in whole.commands.items():
        alone: Any = typer.main.get_command(build_app(name))
        assert list(alone.commands) == [name]
        assert told(alone.commands[name]) == told(command)


@pytest.mark.parametrize("word", [None, "", "dance", "--help", "context"])
def test_what_names_no_command_leaves_all(word: str | None) -> None:
    app, whole = build_app(word), build_app()
    assert len(app.registered_commands) == len(whole.registered_commands)
    assert len(app.registered_groups) == len(whole.registered_groups)


def test_only_the_command_that_is_run_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str | None] = []

    def build(only: str | None = None) -> typer.Typer:
        asked.append(only)
        return build_app(only)

    monkeypatch.setattr(importlib.import_module("homespun.cli.main"), "build_app", build)
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert main(["runs", "--no-such-option"]) == 2
    assert main([]) == 0
    assert asked == ["runs", "runs", None]


def told(command: Any) -> Any:
    """All that a command, and those below it, say of themselves and of their options."""
    params = [
        {name: value for name, value in vars(one).items() if isinstance(value, PLAIN)}
        for one in command.params
    ]
    assert all(len(param) > 5 for param in params)
    below = {name: told(one) for name, one in getattr(command, "commands", {}).items()}
    return command.name, command.help, command.callback.__wrapped__.__code__, params, below
