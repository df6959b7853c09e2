"""Every way a command can end: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from homespun.cli import main as command
from homespun.cli.errors import explain
from homespun.core import BudgetError, ConfigError, DataError, RequestError, RunError
from homespun.training.step import ShortOfMemory


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `homespun runs` end with `error`."""
    from homespun import recipes

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(recipes, "list_runs", fail, raising=False)


class OutOfMemoryError(RuntimeError):
    """What torch raises for a GPU, by its name."""


@pytest.fixture(autouse=True)
def _own_temp_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a", remedy="b"), 2),
        (RequestError("a", remedy="b"), 2),
        (DataError("a", remedy="b"), 1),
        (RunError("a", remedy="b"), 1),
        (BudgetError("a", remedy="b"), 1),
    ],
)
def test_our_errors_are_said_in_their_own_words(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(monkeypatch, error)
    assert command(["runs"]) == code
    captured = capsys.readouterr()
    assert captured.err == "error: a; b\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "no space left while using /x/y",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "not allowed while using /x"),
        (OSError(errno.EFBIG, "File too large"), "File too large while reading or writing"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "not enough memory"),
        (ShortOfMemory(), "not enough memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "not enough memory"),
        (ModuleNotFoundError("no", name="transformers"), "transformers is not installed"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence_with_a_remedy(
    error: Exception, words: str
) -> None:
    fault = explain(error)
    assert fault.exit_code == 1
    assert words in fault.sentence
    assert "; " in fault.sentence


def test_our_own_bug_is_one_sentence_and_a_saved_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raising(monkeypatch, ZeroDivisionError("oh\nno"))
    assert command(["runs"]) == 70
    told = capsys.readouterr().err
    log = tmp_path / "homespun-error.log"
    assert told.count("\n") == 1
    assert "ZeroDivisionError" in told
    assert str(log) in told
    assert "Traceback" not in told
    assert "ZeroDivisionError: oh\nno" in log.read_text()


def test_the_traceback_is_not_written_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / "homespun-error.log").symlink_to(precious)
    assert "--debug" in explain(ZeroDivisionError()).sentence
    assert precious.read_text() == "keep"


def test_a_system_without_such_a_wish_has_its_traceback_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NOFOLLOW")
    assert "homespun-error.log" in explain(ZeroDivisionError()).sentence
    assert "ZeroDivisionError" in (tmp_path / "homespun-error.log").read_text()


def test_debug_shows_the_traceback_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, DataError("bad", remedy="mend"))
    for line in (["--debug", "runs"], ["runs", "--debug"]):
        assert command(line) == 1
        assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert command(["runs"]) == 130
    assert capsys.readouterr().err.strip() == "stopped; run the same command to continue"


def ended(code: str, *redirections: str) -> tuple[int, str]:
    """Exit status and errors of a process that runs `code` with streams as a shell is told."""
    line = f'exec "$0" -c "$1" {" ".join(redirections)}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, code], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr


COMMAND = "import sys; from homespun.cli import main; sys.exit(main(sys.argv[1:] or {words}))"
WRITES_MUCH = """
import sys
from homespun import recipes
from homespun.cli import main
recipes.list_runs = lambda *_: sys.stdout.write("word " * 100_000)
sys.exit(main(["runs"]))
"""
LEAVES_SOME = """
import errno, sys
from homespun import recipes
from homespun.cli import main
def list_runs(*_):
    sys.stdout.write("word ")  # is still to be written when the command has failed
    raise OSError(errno.ENOSPC, "No space left on device")
recipes.list_runs = list_runs
sys.exit(main(["runs"]))
"""


@pytest.mark.parametrize(
    "code", [COMMAND.format(words=["data", "list"]), COMMAND.format(words=["--help"]), WRITES_MUCH]
)
def test_a_reader_that_goes_away_is_left_in_silence(code: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_streams_that_are_closed_from_the_beginning_end_nothing() -> None:
    closed = ("<&-", ">&-")
    assert ended(COMMAND.format(words=["data", "list"]), *closed) == (0, "")
    asks = "import sys; from homespun.cli.main import open_streams; open_streams(); "
    asks += "from homespun.cli.terminal import interactive; sys.exit(interactive())"
    assert ended(asks, *closed) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
@pytest.mark.parametrize(
    "command",
    [
        COMMAND.format(words=["data", "list"]),
        WRITES_MUCH,
        LEAVES_SOME,
    ],
)
def test_a_full_disk_is_told_once(command: str) -> None:
    code, told = ended(command, ">/dev/full")
    assert code == 1
    assert told.startswith("error: no space left")
    assert told.count("\n") == 1


def test_a_name_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, DataError("no file \x1b]0;owned\x07", remedy="look"))
    command(["runs"])
    assert capsys.readouterr().err == "error: no file \\x1b]0;owned\\x07; look\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("spin --minutes ten", "minutes must be a number (got ten)"),
        ("spin --steps ten", "steps must be a whole number (got ten)"),
        ("spin --minutes -3", "minutes must be between 0.5 and 43200 (got -3)"),
        ("export runs/x out", "write `homespun export hf RUN FOLDER`"),
        (
            "spin python --lang english",
            "lang must be auto, code, or a language code such as en or zh",
        ),
        ("spin ~/nowhere.txt", "no such file or folder"),
    ],
)
def test_a_slip_is_told_in_our_own_words(
    words: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(words.split()) != 0
    said = capsys.readouterr().err
    assert told in said
    assert "choose one of" not in said
