"""Who may import whom, and what a light command must not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch", "transformers", "matplotlib", "pyarrow", "tensorboardX", "numpy", "pydantic",
    "fastapi", "jsonschema", "sklearn", "uvicorn",
)  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Which heavy packages are in memory after `code` ran in a fresh interpreter."""
    told = f"{code}\nimport sys\nprint(*({HEAVY!r} & sys.modules.keys()))".replace(
        repr(HEAVY), repr(set(HEAVY))
    )
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_rooms_import_one_way_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import homespun") == set()


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import homespun.cli.main") == set()


@pytest.mark.parametrize("command", [["--help"], ["spin", "--help"], ["--version"], ["spin", "-x"]])
def test_a_command_that_does_no_work_loads_no_torch(command: list[str]) -> None:
    loaded = loaded_after(f"from homespun.cli.main import main; main({command!r})")
    assert loaded <= {"pydantic"}


@pytest.mark.parametrize("command", [["data", "list"], ["runs", "--runs", "/nowhere"]])
def test_listing_loads_no_torch(command: list[str]) -> None:
    loaded = loaded_after(f"from homespun.cli.main import main; assert main({command!r}) == 0")
    assert loaded.isdisjoint({"torch", "transformers", "matplotlib", "pyarrow"})


def test_importing_a_room_without_torch_leaves_torch_out() -> None:
    rooms = ("core", "corpus", "tokenizer", "classic", "scaling", "reports", "serving", "recipes")
    code = "\n".join(f"import homespun.{room}" for room in rooms)
    code += "\nfrom homespun.serving import *"  # whose names load when they are first used
    assert loaded_after(code).isdisjoint({"torch", "transformers", "matplotlib", "pyarrow"})


def test_the_process_that_computes_begins_without_the_web_and_without_tasks() -> None:
    """Each start of `homespun serve` and each one after a crash waits for it."""
    loaded = loaded_after("import homespun.recipes.serve.child, homespun.serving.computing")
    assert loaded <= {"numpy", "pydantic"}
