"""`homespun serve`: by which names it may be called, and what is wrong with its files."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from homespun.cli.commands.serve.places import KEY_VARIABLE, host_names, key_hashes
from homespun.cli.main import main
from homespun.core import ConfigError
from homespun.serving import LOOPBACK, KeyRing, add_key, hash_of


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


@pytest.mark.parametrize("text", ['{"format": 1, "keys": {}}', "{}"])
def test_a_file_without_keys_does_not_open_the_server_to_everybody(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.json").write_text(text)
    assert main(["serve", "--keys", "keys.json"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: keys.json has no keys, and without any everybody would be")
    assert "--new-key NAME --keys keys.json" in told
    assert main(["serve", "--keys", "keys.json", "--new-key", "anna"]) == 0  # as told
    assert list(key_hashes(tmp_path / "keys.json")) == ["anna"]


def test_a_key_in_the_environment_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys.json").write_text("{}")
    monkeypatch.setenv(KEY_VARIABLE, "hs-0123456789abcdef")
    assert len(key_hashes(tmp_path / "keys.json")) == 1


@pytest.mark.parametrize("option", ["--keys", "--settings"])
def test_a_file_of_a_list_is_no_settings_and_no_keys(
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("[]", "[1]"):
        (tmp_path / "list.json").write_text(text)
        assert main(["serve", option, "list.json"]) == 2
        assert capsys.readouterr().err.startswith("error: list.json is not a JSON object")


@pytest.mark.parametrize("option", ["--log", "--preferences"])
def test_a_file_that_cannot_be_written_is_told_before_models_are_opened(
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from homespun.recipes import serve

    monkeypatch.setattr(serve, "open_desk", lambda *_, **__: pytest.fail("models were opened"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tales").mkdir(parents=True)
    (tmp_path / "runs" / "tales" / "run.json").write_text("{}")
    assert main(["serve", "tales", option, "runs", "--port", "0"]) == 1
    assert "Is a directory while writing runs" in capsys.readouterr().err


def test_a_port_in_use_is_told_before_models_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from homespun.recipes import serve

    monkeypatch.setattr(serve, "open_desk", lambda *_, **__: pytest.fail("models were opened"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tales").mkdir(parents=True)
    (tmp_path / "runs" / "tales" / "run.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "tales", "--port", str(port)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: cannot listen on 127.0.0.1:{port} (got Address already in use)")


def test_a_model_that_is_named_and_no_more_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "small="]) == 2
    assert "'small' is to be the name of a run, and none follows" in capsys.readouterr().err


def test_a_key_alone_is_printed_and_what_is_told_of_it_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that `KEY=$(homespun serve --new-key …)` is the key."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = tmp_path / "keys.json"
    assert main(["serve", "--new-key", "anna", "--keys", str(path)]) == 0
    captured = capsys.readouterr()
    assert key_hashes(path) == {"anna": hash_of(captured.out.removesuffix("\n"))}
    assert "this is the key 'anna'; it is shown once" in captured.err


def test_a_name_of_a_key_is_not_called_that_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--new-key", "a b", "--keys", str(tmp_path / "keys.json")]) == 2
    told = capsys.readouterr().err
    assert "got 'a b', a name has letters, digits" in told
    assert "run" not in told


@pytest.mark.parametrize("around", ["\n", " ", "\r\n", "\t"])
def test_a_key_of_the_environment_is_known_without_the_white_space_around_it(
    around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of secrets often end with a line break, which no request can send."""
    monkeypatch.setenv(KEY_VARIABLE, f"hs-0123456789abcdef{around}")
    assert KeyRing(key_hashes(None)).name_of(b"hs-0123456789abcdef") == "environment"


@pytest.mark.parametrize("key", ["short", "密" * 20, "hs-0123456789\x07abcdef"])
def test_a_key_of_the_environment_that_cannot_be_one_is_told_by_its_variable(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(ConfigError, match=f"^{KEY_VARIABLE}: a key has 16 to 512") as told:
        key_hashes(None)
    assert key not in str(told.value)


def test_a_key_of_the_environment_takes_the_place_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "hs-0123456789abcdef")
    add_key(tmp_path / "keys.json", "environment")
    with pytest.raises(ConfigError, match=f"a key called 'environment'.*{KEY_VARIABLE}"):
        key_hashes(tmp_path / "keys.json")
