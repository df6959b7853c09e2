"""Messages that meet a user's own files and settings say what to do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import homespun

_ROOMS = (
    "recipes/applications",
    "recipes/families",
    "recipes/questions",
    "recipes/encoder",
    "recipes/rewriter",
    "recipes/recurrent",
    "recipes/counted",
    "recipes/search",
    "classic",
    "evaluation",
)
_ERRORS = ("DataError", "ConfigError", "RunError", "CheckpointError", "RequestError", "BudgetError")


def without_remedy(source: str) -> list[int]:
    """Lines of errors that are made without one. One that hands on another error's whole message
    has its remedy in it."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ERRORS
        and "remedy" not in {keyword.arg for keyword in node.keywords}
        and not ast.unparse(node.args[0]).endswith("{error}'")
    ]


def test_what_is_looked_for_is_found() -> None:
    assert without_remedy("raise DataError('x', got=1)") == [1]
    assert without_remedy("raise DataError('x', remedy='y')") == []
    assert without_remedy("raise DataError(f'row 1: {error}') from error") == []


@pytest.mark.parametrize("room", _ROOMS)
def test_every_message_says_what_to_do(room: str) -> None:
    files = sorted((Path(homespun.__file__).parent / room).rglob("*.py"))
    assert files
    lacking = {
        f"{path.name}:{line}" for path in files for line in without_remedy(path.read_text("utf-8"))
    }
    assert not lacking
