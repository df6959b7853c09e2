"""What a model wrote: as it is into a file or a pipe, and harmless on a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from homespun.cli.commands.tasks.search import _show_reply
from homespun.cli.main import main
from homespun.cli.summary import typed
from homespun.recipes.search import Reply
from homespun.recipes.search.passages import Passage

TEXT = "def f():\n\treturn '\x1b[2J'"
SHOWN = "def f():\n\treturn '\\x1b[2J'"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in `runs`, whose model says `TEXT`."""
    from homespun import recipes
    from homespun.recipes import recurrent, run, writing

    (tmp_path / "runs" / "tales").mkdir(parents=True)
    (tmp_path / "runs" / "tales" / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def stream(*_: object) -> Iterator[str]:
        yield from (TEXT[:12], TEXT[12:])

    engine = SimpleNamespace(notice="", stream=stream)
    opened = SimpleNamespace(engine=engine, objective="causal", prompt_ids=lambda prompt: [1])
    said = SimpleNamespace(text=TEXT, holds=True, tries=1)
    writer = SimpleNamespace(write=lambda prompt, **_: [TEXT])
    monkeypatch.setattr(recipes, "open_run", lambda *_, **__: opened, raising=False)
    monkeypatch.setattr(run, "open_run", lambda *_: opened)
    monkeypatch.setattr(writing, "write", lambda *_, **__: said)
    monkeypatch.setattr(recurrent, "open_recurrent", lambda *_: writer)
    return tmp_path


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that answers every row with `TEXT`."""
    from homespun.recipes import applications

    monkeypatch.setattr(applications, "open_application", lambda *_, **__: None)
    monkeypatch.setattr(applications, "answered", lambda *_: [{"plain": TEXT, "label": "a"}])


LINES = (
    "generate tales --prompt >",
    "write tales --kind code",
    "recurrent write model --prompt >",
    "apply classify folder",
)


@pytest.mark.usefixtures("folder", "applied")
@pytest.mark.parametrize("line", LINES)
def test_a_pipe_gets_every_character(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    prompt = ">" if "--prompt" in line else ""
    assert capsys.readouterr().out == f"{prompt}{TEXT}\n"


@pytest.mark.usefixtures("folder", "applied")
@pytest.mark.parametrize("line", LINES)
def test_a_terminal_is_not_steered(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert main(line.split()) == 0
    prompt = ">" if "--prompt" in line else ""
    assert terminal.getvalue() == f"{prompt}{SHOWN}\n"


def test_folders_are_told_as_they_are_typed() -> None:
    assert typed(Path("runs/我的文本")) == "runs/我的文本"
    assert typed("with space") == "'with space'"
    assert typed("a$b;c") == "'a$b;c'"


def test_an_answer_over_several_lines_is_told_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    passage = Passage("a.txt", 0, "He was\n    born in Rome.")
    _show_reply("Where?", Reply("was\n    born", passage, 3, 0.5), as_json=False)
    assert capsys.readouterr().out.splitlines()[0] == "was born"
