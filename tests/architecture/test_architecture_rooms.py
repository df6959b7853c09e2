"""Every room has a map and an honest `__all__`; the rules of the house hold in every file."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "homespun"
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE = 500
MOST_FILES = 16
PICKLES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
_PUT_OFF = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


class Breach(NamedTuple):
    """A line that breaks a rule of the house."""

    line: int
    rule: str


def breaches(code: str, *, may_print: bool) -> Iterator[Breach]:
    """Lines of `code` that pickle, evaluate text, or print where nothing may print."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            if PICKLES & {module.split(".")[0] for module in modules}:
                yield Breach(node.lineno, "pickle")
        elif isinstance(node, ast.Call):
            name = plain_name(node.func)
            if name in ("eval", "exec"):
                yield Breach(node.lineno, name)
            elif name == "print" and not may_print:
                yield Breach(node.lineno, "print")
            elif name == "torch.load":
                yield Breach(node.lineno, "torch.load unpickles")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield Breach(node.value.lineno, "pickle")
        elif isinstance(node, ast.Raise) and _is_named(node, "NotImplementedError"):
            yield Breach(node.lineno, "a stub")


def _is_named(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


def plain_name(called: ast.expr) -> str:
    """`name` or `module.name` as it is written; empty for what is called otherwise."""
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return f"{called.value.id}.{called.attr}"
    return called.id if isinstance(called, ast.Name) else ""


def unfinished(code: str) -> list[int]:
    """Lines whose comments put work off."""
    if not _PUT_OFF.search(code):  # as in nearly all files, which then need not be read by token
        return []
    return [
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT and _PUT_OFF.search(token.string)
    ]


def test_there_are_rooms() -> None:
    assert {"core", "cli"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_opens_with_a_map_of_five_to_fifteen_lines(room: str) -> None:
    text = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text("utf-8")))
    assert text is not None, f"{room} has no map"
    num_lines = len(text.splitlines())
    num_written = len([line for line in text.splitlines() if line.strip()])
    assert num_lines >= 5, f"the map of {room} has {num_lines} lines"
    assert num_written <= 15, f"the map of {room} has {num_written} lines"


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_a_room_promises_can_be_imported(room: str) -> None:
    module = importlib.import_module(f"homespun.{room}")
    promised = module.__all__
    assert promised, f"{room} promises nothing"
    assert len(set(promised)) == len(promised)
    assert [name for name in promised if name.startswith("_")] == []
    assert [name for name in promised if not hasattr(module, name)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_few_enough_files_to_be_looked_over(room: str) -> None:
    for folder in [SOURCE / room, *(p for p in (SOURCE / room).rglob("*") if p.is_dir())]:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder


def test_no_file_is_longer_than_can_be_read_in_one_go() -> None:
    long = {str(p.relative_to(SOURCE)): len(p.read_text("utf-8").splitlines()) for p in FILES}
    assert {path: lines for path, lines in long.items() if lines >= LONGEST_FILE} == {}


def test_nothing_pickles_evaluates_text_or_prints_below_the_command_line() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{breach.line}": breach.rule
        for path in FILES
        for breach in breaches(
            path.read_text("utf-8"), may_print=path.relative_to(SOURCE).parts[0] == "cli"
        )
    }
    assert found == {}


def test_no_comment_puts_work_off() -> None:
    found = {
        str(path.relative_to(SOURCE)): lines
        for path in FILES
        if (lines := unfinished(path.read_text("utf-8")))
    }
    assert found == {}


def test_a_comment_that_puts_work_off_is_found_but_not_a_text_that_says_so() -> None:
    assert unfinished('a = 1\nb = 2  # TODO: more\nc = "# FIXME"\n#HACK\n') == [2, 4]
    assert unfinished("a = 1  # all done\n") == []


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle", "pickle"),
        ("from shelve import open", "pickle"),
        ("x = np.load(p, allow_pickle=True)", "pickle"),
        ("y = eval('1')", "eval"),
        ("print(1)", "print"),
        ("torch.load(path)", "torch.load unpickles"),
        ("raise NotImplementedError", "a stub"),
    ],
)
def test_the_search_finds_what_it_looks_for(code: str, rule: str) -> None:
    assert [breach.rule for breach in breaches(code, may_print=False)] == [rule]


def test_the_search_lets_honest_code_pass() -> None:
    code = "model.eval()\nrun.eval\nconsole.print(1)\nnp.load(p, allow_pickle=False)"
    code += "\ntry:\n    work()\nexcept NotImplementedError:\n    pass"
    assert list(breaches(code, may_print=False)) == []
