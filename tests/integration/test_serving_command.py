"""`homespun serve` as a process: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from homespun.cli import main
from homespun.core import ConfigError
from homespun.serving import KeyRing, add_key, check_open, hash_of, read_keys


def test_it_serves_until_it_is_told_to_stop(finished: Path) -> None:
    command = [sys.executable, "-m", "homespun", "serve", f"anna={finished}", "--port", "0"]
    environment = {**os.environ, "HOMESPUN_API_KEY": "a-key-of-sixteen-letters"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        told = ""
        while not (at := re.search(r":(\d+)/;", told)):
            line = process.stdout.readline()
            assert line, told
            told += line.replace("\n", " ")
        assert "serving anna at http://127.0.0.1:" in told
        with httpx2.Client(base_url=f"http://127.0.0.1:{at[1]}", trust_env=False) as client:
            assert client.get("/v1/models").status_code == 401
            client.headers["Authorization"] = "Bearer a-key-of-sixteen-letters"
            (model,) = client.get("/v1/models").json()["data"]
            assert model["id"] == "anna"
            body = {"model": "anna", "prompt": "The", "max_tokens": 3}
            answer = client.post("/v1/completions", json=body).json()
            assert answer["usage"]["completion_tokens"] <= 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_new_key_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    assert main(["serve", "--new-key", "anna", "--keys", str(path)]) == 0
    key = capsys.readouterr().out.split()[0]
    assert key.startswith("hs-")
    assert key not in path.read_text()
    hashes = read_keys(path)
    assert KeyRing(hashes).name_of(key.encode()) == "anna"
    assert KeyRing(hashes).name_of(key.encode() + b"x") is None
    other = add_key(path, "bert")
    assert KeyRing(read_keys(path)).name_of(other.encode()) == "bert"
    assert KeyRing(read_keys(path)).name_of(key.encode()) == "anna"
    with pytest.raises(ConfigError, match="already"):
        add_key(path, "anna")
    assert json.loads(path.read_text())["keys"].keys() == {"anna", "bert"}


def test_a_key_somebody_thought_up_must_be_long() -> None:
    with pytest.raises(ConfigError, match="16 to 512"):
        hash_of("short")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "myhost", ""])
def test_beyond_this_machine_nobody_listens_without_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="no key"):
        check_open(host, has_keys=False)
    check_open(host, has_keys=True)
    check_open("127.0.0.1", has_keys=False)
