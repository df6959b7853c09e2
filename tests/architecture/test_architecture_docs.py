"""What the documents say is so: the tree, the commands, the versions, the blocks that run.

A fenced block whose opening line ends in ` run`, as in "```python run", is executed here.
"""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import typer.main

from homespun.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"]
)
# These tell what was, the others what is.
HISTORY = {"CHANGELOG.md", "LOG.md"}
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```", re.M | re.S)
_BRANCHES = "│├└─ \t"


class Block(NamedTuple):
    """A fenced block: the words after the fence, and what stands inside."""

    info: tuple[str, ...]
    body: str


def blocks(text: str) -> list[Block]:
    return [Block(tuple(m["info"].split()), m["body"]) for m in _FENCE.finditer(text)]


def tree_paths(body: str) -> list[str]:
    """Paths of an indented or full-path tree; what follows a path on its line is its comment."""
    stack: list[tuple[int, str]] = []
    found = []
    for line in body.splitlines():
        rest = line.lstrip(_BRANCHES)
        if not rest:
            continue
        indent = len(line) - len(rest)
        while stack and stack[-1][0] >= indent:
            stack.pop()
        path = (stack[-1][1] if stack else "") + rest.split()[0]
        if path.endswith("/"):
            stack.append((indent, path))
        found.append(path)
    return found


def commands(text: str) -> Iterator[list[str]]:
    """What stands after `homespun` on the command lines of a document's blocks."""
    for block in blocks(text):
        if block.info[:1] not in [("console",), ("sh",), ("bash",), ("shell",)]:
            continue
        for line in block.body.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            if words and Path(words[0]).name == "homespun":
                yield words[1:]


def named_commands(text: str) -> Iterator[list[str]]:
    """What stands after `homespun` in the commands that sentences and tables name."""
    for named in re.findall(r"`homespun\s([^`]+)`", _FENCE.sub("", text)):
        yield shlex.split(named)


@functools.cache
def command_tree() -> Any:
    return typer.main.get_command(build_app())


def complaint(words: list[str]) -> str:
    """What is wrong with a command line, without running it; empty where nothing is. A name in
    capitals stands for whichever is meant."""
    command = command_tree()
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name.isupper():
            return ""
        if name not in command.commands:
            return f"there is no command {name}"
        command = command.commands[name]
    known = {"--help", "--debug"}
    for param in command.params:
        known |= {*param.opts, *param.secondary_opts}
    for word in rest:
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"there is no option {word}"
    return ""


def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def test_the_tree_in_the_readme_shows_what_is_there() -> None:
    tree = next(b.body for b in blocks(readme()) if "src/homespun" in b.body and "core" in b.body)
    paths = [path for path in tree_paths(tree) if "/" in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    rooms = {p.parent.name for p in (ROOT / "src/homespun").glob("*/__init__.py")}
    told = {m[1] for path in paths if (m := re.fullmatch(r"src/homespun/([a-z_]+)/", path))}
    assert told == rooms


def test_the_tour_names_files_and_functions_that_are_there() -> None:
    tour = (ROOT / "docs/tour.md").read_text("utf-8")
    source = ROOT / "src/homespun"
    paths = re.findall(r"`([a-z_]+/[\w/.]*(?:\.py|\.jinja|/))`", tour)
    paths = [path for path in paths if path.split("/")[0] not in ("src", "runs")]
    assert len(paths) > 60
    assert [path for path in paths if not (source / path).exists()] == []
    names = re.findall(r"`(\w+_obvious|reference_\w+|[A-Z]\w+\.\w+|_spin|train)`", tour)
    text = "\n".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    wanted = {name.rpartition(".")[2] for name in names}
    assert {name for name in wanted if f"def {name}(" not in text} == set()
    assert {"attend_obvious", "reference_generate", "forward"} <= wanted


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_a_document_shows_exists(document: Path) -> None:
    found = {" ".join(words): complaint(words) for words in commands(document.read_text("utf-8"))}
    assert {line: why for line, why in found.items() if why} == {}


@pytest.mark.parametrize(
    "document",
    [document for document in DOCUMENTS if document.name not in HISTORY],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_command_a_sentence_names_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    found = {" ".join(words): complaint(words) for words in named_commands(text)}
    assert {line: why for line, why in found.items() if why} == {}


def run_python(code: str) -> None:
    """Run a block as a program of its own would be, but in this process, where torch is loaded."""
    with torch.random.fork_rng():
        exec(compile(code, "<block>", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_marked_to_run_do_run(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(document.read_text("utf-8")):
        if block.info[-1:] != ("run",):
            continue
        if block.info[0] == "python":
            run_python(block.body)
            continue
        steps = [
            [sys.executable, "-c", "import sys, homespun.cli as c; sys.exit(c.main())", *words]
            for words in commands(f"```console\n{block.body}```")
        ]
        assert steps, f"nothing to run in {block.body!r}"
        for step in steps:
            done = subprocess.run(
                step, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{block.body}\n{done.stderr}"


def test_a_block_that_needs_a_name_nobody_gave_it_fails() -> None:
    run_python("import sys\nassert sys and __name__ == '__main__'")
    with pytest.raises(NameError):
        run_python("sys")
    with pytest.raises(AssertionError):
        run_python("assert 1 == 2")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text("utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    newest = re.search(
        r"^## \[?v?([0-9][^\]\s]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M
    )
    assert newest is not None
    assert newest[1] == version
    import homespun

    assert homespun.__version__ == version


def test_the_lock_pins_every_dependency_to_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    # The others are for comparisons with what is heavy, or has no wheel: nothing here needs them.
    assert set(extras) == {"hf", "zh", "pdf", "dev", "lm-eval", "parity"}
    groups = [project["dependencies"], *(extras[name] for name in ("hf", "zh", "pdf", "dev"))]
    asked = {_plain(re.split(r"[<>=!~\[; ]", line)[0]) for group in groups for line in group}
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line.split(" ")[0] for line in lines if line.strip() and line[0] not in "#-"]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.+!]+", pin)] == []
    assert asked - {_plain(pin.split("==")[0]) for pin in pins} == set()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_tree_is_read_indented_or_in_full() -> None:
    indented = "src/homespun/\n├── core/    nouns\n│   └── runs.py  one folder\n└── cli/\nMakefile"
    assert tree_paths(indented) == [
        "src/homespun/",
        "src/homespun/core/",
        "src/homespun/core/runs.py",
        "src/homespun/cli/",
        "Makefile",
    ]
    full = "src/homespun/core/   nouns\nsrc/homespun/cli/   commands"
    assert tree_paths(full) == ["src/homespun/core/", "src/homespun/cli/"]


def test_a_command_that_does_not_exist_is_found_in_a_document() -> None:
    text = "```console\n$ homespun spin texts --minuets 3\n$ homespun dance\n$ homespun runs\n```"
    assert [complaint(words) for words in commands(text)] == [
        "there is no option --minuets",
        "there is no command dance",
        "",
    ]


def test_a_command_that_a_sentence_names_is_read() -> None:
    text = (
        "`homespun finetune TASK FILE --out X` or `homespun\npretrain RUN --objectiv a|b`, never\n"
        "```console\n$ `homespun dance`\n```\n`homespun leap`"
    )
    assert [complaint(words) for words in named_commands(text)] == [
        "",
        "there is no option --objectiv",
        "there is no command leap",
    ]
