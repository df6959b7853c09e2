"""`homespun serve` as a process: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2
import numpy as np
import psutil
import pytest

from homespun.cli import main
from homespun.core import ConfigError
from homespun.recipes.search import open_embedder
from homespun.serving import KeyRing, add_key, check_open, hash_of, read_keys

TEXTS = ["The fox runs.", "A bird sang to the fox of the old wood.", "狗在门口睡觉。"]
KEY = "a-key-of-sixteen-letters"
KILLED = "ended with status -9; it is started again"
RESTARTED = f"{KILLED}|another process computes now"


@contextlib.contextmanager
def serving(
    *words: str, errors: Path | None = None, may_log: str = r"(?!)", **environment: str
) -> Iterator[tuple[httpx2.Client, str]]:
    """`homespun serve WORDS`: a client of it, and what it told; it must end well when told to, and
    log no line but such as match `may_log`. What it logs is in the file `errors`, where there is
    one."""
    command = [sys.executable, "-m", "homespun", "serve", *words, "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") if errors is None else errors.open("w+") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        ) as process,
    ):
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
        log.seek(0)
        assert [line for line in log if not re.search(may_log, line)] == []


class Served(NamedTuple):
    """A server of a run `anna` and an encoder `words`, with a key.

    Attributes:
        client: has the key.
        told: what the command told.
        encoder: the folder of `words`.
        errors: what it logs.
    """

    client: httpx2.Client
    told: str
    encoder: Path
    errors: Path


@pytest.fixture(scope="module")
def served(
    finished: Path,
    tmp_path_factory: pytest.TempPathFactory,
    write_bert: Callable[[Path, Sequence[str]], Path],
) -> Iterator[Served]:
    """One for all tests: it takes seconds to start. It must end well behind the last."""
    folder = tmp_path_factory.mktemp("served")
    encoder = write_bert(folder / "bert", TEXTS * 3)
    (encoder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    places = (f"anna={finished}", f"words={encoder}")
    errors = folder / "errors.log"
    with serving(*places, errors=errors, may_log=RESTARTED, HOMESPUN_API_KEY=KEY) as (client, told):
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield Served(client, told, encoder, errors)


def test_it_serves_who_has_the_key(served: Served) -> None:
    assert "serving anna" in served.told
    assert " at http://127.0.0.1:" in served.told
    address = served.client.base_url.join("/v1/models")
    assert httpx2.get(address, trust_env=False).status_code == 401
    models = served.client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["anna", "words"]
    body = {"model": "anna", "prompt": "The", "max_tokens": 3}
    answer = served.client.post("/v1/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] <= 3
    assert served.errors.read_text() == ""


def test_an_encoder_is_served_beside_a_run(served: Served) -> None:
    client = served.client
    body = {"model": "words", "input": TEXTS, "encoding_format": "float"}
    answer = client.post("/v1/embeddings", json=body).json()
    found = np.array([one["embedding"] for one in answer["data"]], dtype=np.float32)
    assert found == pytest.approx(open_embedder(served.encoder).embed(TEXTS), abs=1e-5)
    cut = client.post("/tokenize", json={"model": "words", "prompt": TEXTS[0]}).json()
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
    assert served.errors.read_text() == ""


def test_it_goes_on_after_the_process_that_computes_was_killed(served: Served) -> None:
    own = served.client
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
    assert KILLED in served.errors.read_text()


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
