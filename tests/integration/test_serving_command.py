"""`homespun serve` as a process: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest

from homespun.cli import main
from homespun.core import ConfigError
from homespun.recipes.search import open_embedder
from homespun.serving import KeyRing, add_key, check_open, hash_of, read_keys


@contextlib.contextmanager
def serving(*words: str, logs: str = "", **environment: str) -> Iterator[tuple[httpx2.Client, str]]:
    """`homespun serve WORDS`: a client of it, and what it told; it must end well when told to, and
    log nothing but `logs`."""
    command = [sys.executable, "-m", "homespun", "serve", *words, "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        told = ""
        while not (at := re.search(r":(\d+)/;", told)):
            line = process.stdout.readline()
            assert line, told
            told += line.replace("\n", " ")
        with httpx2.Client(base_url=f"http://127.0.0.1:{at[1]}", trust_env=False) as client:
            yield client, told
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        told = process.stderr.read()
        assert logs in told if logs else told == ""


def test_it_serves_until_it_is_told_to_stop(finished: Path) -> None:
    key = "a-key-of-sixteen-letters"
    with serving(f"anna={finished}", HOMESPUN_API_KEY=key) as (client, told):
        assert "serving anna at http://127.0.0.1:" in told
        assert client.get("/v1/models").status_code == 401
        client.headers["Authorization"] = f"Bearer {key}"
        (model,) = client.get("/v1/models").json()["data"]
        assert model["id"] == "anna"
        body = {"model": "anna", "prompt": "The", "max_tokens": 3}
        answer = client.post("/v1/completions", json=body).json()
        assert answer["usage"]["completion_tokens"] <= 3


def test_it_goes_on_after_the_process_that_computes_was_killed(finished: Path) -> None:
    with serving(f"anna={finished}", logs="ended with status -9; it is started again") as (own, _):
        body = {"model": "anna", "prompt": "The", "max_tokens": 5, "temperature": 0}
        first = own.post("/v1/completions", json=body).json()["choices"]
        found = psutil.Process().children(recursive=True)
        (child,) = [one for one in found if "homespun.recipes.serve.child" in one.cmdline()]
        child.kill()
        end = time.monotonic() + 60
        while "engine_restarts_total 1.0" not in own.get("/metrics").text or (
            own.get("/ready").status_code != 200
        ):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert own.post("/v1/completions", json=body).json()["choices"] == first


def test_an_encoder_is_served_beside_a_run(
    finished: Path, tmp_path: Path, write_bert: Callable[[Path, Sequence[str]], Path]
) -> None:
    texts = ["The fox runs.", "A bird sang to the fox of the old wood.", "狗在门口睡觉。"]
    folder = write_bert(tmp_path, texts * 3)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    with serving(f"anna={finished}", f"words={folder}") as (client, _):
        body = {"model": "words", "input": texts, "encoding_format": "float"}
        answer = client.post("/v1/embeddings", json=body).json()
        found = np.array([one["embedding"] for one in answer["data"]], dtype=np.float32)
        assert found == pytest.approx(open_embedder(folder).embed(texts), abs=1e-5)
        cut = client.post("/tokenize", json={"model": "words", "prompt": texts[0]}).json()
        assert cut["max_model_len"] == 32
        ids = {"model": "words", "input": [cut["tokens"]], "encoding_format": "float"}
        by_ids = client.post("/v1/embeddings", json=ids).json()["data"][0]["embedding"]
        assert by_ids == pytest.approx(found[0].tolist(), abs=1e-5)
        refused = client.post("/v1/embeddings", json={"model": "words", "input": "fox " * 31})
        assert "has 33 tokens, and 'words' reads 32" in refused.json()["error"]["message"]
        asked = {"model": "words", "prompt": "The"}
        refused = client.post("/v1/completions", json=asked)
        assert refused.json()["error"]["code"] == "model_cannot_write"
        prompt = {"model": "anna", "prompt": "The", "max_tokens": 2}
        assert client.post("/v1/completions", json=prompt).is_success


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
