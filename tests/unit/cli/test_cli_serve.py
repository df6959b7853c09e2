"""`homespun serve`: by which names it may be called, and what is wrong with its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.cli.commands.serve.places import host_names
from homespun.cli.main import main
from homespun.core import ConfigError
from homespun.serving import LOOPBACK


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("Models.example", "Models.example"),
        ("my_box", "my_box"),
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::7", "[fd00::7]"),
        ("[fd00:0::7]", "[fd00::7]"),
        ("模型.example", "xn--xgs754b.example"),
    ],
)
def test_names_are_those_that_browsers_send(given: str, asked: str) -> None:
    assert host_names("0.0.0.0", [given]) == [*LOOPBACK, asked]
    assert host_names(given, []) == [*LOOPBACK, asked]


@pytest.mark.parametrize(
    "given", ["models.example:8000", "https://models.example", "models.example/", "a b", "", "..a"]
)
def test_what_no_request_can_name_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="no scheme, port or path"):
        host_names("127.0.0.1", [given])


@pytest.mark.parametrize(
    ("option", "remedy"),
    [("--keys", "name a file that `homespun serve --new-key` wrote"), ("--settings", "mend it")],
)
def test_a_file_that_is_no_json_is_told_with_what_helps(
    option: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "play.txt").write_text("To be")
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--runs", str(tmp_path), option, "play.txt"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith("error: play.txt is not valid JSON")
    assert told.endswith(f"; {remedy}")
