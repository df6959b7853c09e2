"""A folder, or a model on a hub, becomes a run."""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.cli import main
from homespun.core import ConfigError, DataError, RequestError, RunError, Silent
from homespun.models import DecoderConfig, export_hf
from homespun.recipes import (
    average_run,
    continue_run,
    evaluate_stage,
    extend_context,
    extend_vocabulary,
    grow_run,
    import_model,
    open_run,
)
from homespun.recipes.imports import fetch_model, model_place
from homespun.recipes.imports import hub as hub_module
from homespun.recipes.stages import (
    chat_stage,
    plan_stage,
    pretrain_stage,
    train_tokenizer_stage,
)
from homespun.tokenizer import TokenizerConfig, train_tokenizer

NAME = "small-qwen"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 as others would publish it: none of our marks in its files."""
    out = tmp_path_factory.mktemp("models") / "small-qwen"
    texts = ["The fox ran over the hill, and the dog slept. 狐狸跑过山。"] * 50
    tokenizer = train_tokenizer(texts, config=TokenizerConfig(kind="bpe", vocab_size=300))
    config = DecoderConfig(
        vocab_size=304,
        num_layers=2,
        width=64,
        num_heads=2,
        num_kv_heads=1,
        head_width=32,
        mlp_width=96,
        context=128,
    )
    model = config.build(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(2))
    export_hf(model, config, [], out, end_of_text_id=tokenizer.end_of_text_id)
    tokenizer.save(out)
    path = out / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": CHATML}))
    return out


def test_an_imported_run_generates_chats_and_exports(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main(["import", str(folder), "--runs", str(runs)]) == 0
    told = capsys.readouterr().out
    assert "context of 128" in told
    assert "homespun chat" in told
    run = open_run(runs / "small-qwen")
    from homespun.models import load_hf

    theirs = load_hf(folder)
    ids_BT = torch.arange(100)[None]
    with torch.no_grad():
        assert torch.equal(run.model.head(run.model(ids_BT)), theirs.head(theirs(ids_BT)))
    assert run.can_chat
    assert len(run.generate("The fox", temperature=0.0, max_tokens=20).token_ids) <= 20
    assert isinstance(run.chat("The fox?", max_tokens=10), str)
    assert main(["generate", "small-qwen", "--runs", str(runs), "--prompt", "x"]) == 0
    assert main(["chat", "small-qwen", "--runs", str(runs), "--once", "x"]) == 0
    assert main(["runs", "--runs", str(runs)]) == 0
    assert "small-qwen" in capsys.readouterr().out
    assert main(["export", "hf", "small-qwen", str(tmp_path / "hf"), "--runs", str(runs)]) == 0
    again = load_hf(tmp_path / "hf")
    for ours, exported in zip(theirs.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, exported)


def test_the_tokenizer_of_an_imported_run_can_be_looked_at(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, run = tmp_path / "theirs", str(tmp_path / "run")
    shutil.copytree(folder, there)
    document = json.loads((there / "tokenizer.json").read_text("utf-8"))
    document["normalizer"] = None  # no tokenizer that is trained here
    (there / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    import_model(str(there), Path(run))
    assert main(["tokenizer", "inspect", run, "--text", "The fox"]) == 0
    assert "tokens for 7 bytes" in capsys.readouterr().out
    assert main(["tokenizer", "inspect", run]) == 0
    assert "longest tokens" in capsys.readouterr().out


def test_a_folder_without_a_model_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "is no model of Hugging Face: it has no config.json; give a folder with" in told
    assert not (tmp_path / "runs").exists()


def test_an_imported_run_is_measured_on_a_text(folder: Path, tmp_path: Path) -> None:
    from homespun.evaluation import score_model

    text = tmp_path / "text"
    text.mkdir()
    for number in range(30):
        line = f"On day {number} the fox ran over hill {number * 7}, and the dog slept on. "
        (text / f"{number}.txt").write_text(line * 12)
    path = tmp_path / "run"
    import_model(str(folder), path, text=str(text))
    before = (path / "tokenizer.json").read_bytes()
    found = evaluate_stage(path, seconds=5.0)
    assert (path / "tokenizer.json").read_bytes() == before
    run = open_run(path)
    assert found["model"]["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert score_model(run.model, run.tokenizer, ["The fox."]).num_tokens > 1
    assert found["validation"]["bits_per_byte"] > 1


def test_an_imported_run_has_no_text_to_go_on_from(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "more.txt"
    text.write_text("The fox ran over the hill. " * 200)
    path = tmp_path / "runs" / NAME
    import_model(str(folder), path, text=str(text))
    for command in (
        lambda: continue_run(path, text, steps=1),
        lambda: grow_run(path, layers=4, steps=1),
        lambda: extend_context(path, 256, steps=1),
        lambda: extend_vocabulary(path, 400, steps=1),
    ):
        with pytest.raises(RunError, match="was imported, without the text"):
            command()
    assert [run.name for run in path.parent.iterdir()] == [NAME]


def test_imported_runs_are_averaged(folder: Path, tmp_path: Path) -> None:
    runs, text, other = tmp_path / "runs", tmp_path / "text", tmp_path / "other"
    text.mkdir()
    for number in range(30):
        line = f"On day {number} the fox ran over hill {number * 7}, and the dog slept on. "
        (text / f"{number}.txt").write_text(line * 12)
    shutil.copytree(folder, other)
    weights = {name: 1.5 * t for name, t in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    document["normalizer"] = None  # no tokenizer that is trained here
    for place in (folder, other):
        shutil.copytree(place, tmp_path / "models" / place.name)
        path = tmp_path / "models" / place.name / "tokenizer.json"
        path.write_text(json.dumps(document), encoding="utf-8")
    first, second = runs / "first", runs / "second"
    import_model(str(tmp_path / "models" / folder.name), first)
    import_model(str(tmp_path / "models" / "other"), runs / "textless")
    with pytest.raises(RunError, match="was imported without a text"):
        average_run(first, [runs / "textless"])
    import_model(str(tmp_path / "models" / "other"), second, text=str(text))
    found = average_run(first, [second], name="mean")
    assert found["average"]["bits_per_byte"] > 1
    assert [part["name"] for part in found["parts"]] == ["first", "second"]
    mean = open_run(runs / "mean")
    theirs = [open_run(path).model.embedding.weight for path in (first, second)]
    torch.testing.assert_close(mean.model.embedding.weight, (theirs[0] + theirs[1]) / 2)
    assert isinstance(mean.chat("The fox?", max_tokens=4), str)
    assert evaluate_stage(mean.path, seconds=5.0)["validation"]["bits_per_byte"] > 1


def test_an_imported_run_is_used_and_not_trained(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "more.txt"
    text.write_text("".join(f"On day {n} the fox ran over hill {n * 7}. " for n in range(400)))
    chat = tmp_path / "chat.jsonl"
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The fox."}]
    chat.write_text(json.dumps({"messages": messages}) + "\n")
    path, bare = tmp_path / "runs" / NAME, tmp_path / "runs" / "bare"
    import_model(str(folder), path, text=str(text))
    import_model(str(folder), bare)
    plan = (path / "plan.json").read_bytes()
    commands: list[Callable[[Path], Any]] = [
        lambda run: plan_stage(run, steps=1),
        lambda run: pretrain_stage(run),
        lambda run: train_tokenizer_stage(run),
        lambda run: chat_stage(run, chat=chat, steps=1),
    ]
    for command in commands:
        for run in (path, bare):
            with pytest.raises(RunError, match=r"was imported .* is not trained here"):
                command(run)
    assert (path / "plan.json").read_bytes() == plan
    assert not any((path / name).exists() for name in ("shards", "chat", "sft"))
    with pytest.raises(RunError, match=r"without a text .*--text FOLDER"):
        evaluate_stage(bare)
    assert not (bare / "eval.json").exists()


def test_a_repeated_import_changes_nothing_and_another_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    first = import_model(str(folder), tmp_path / "run", context=64)
    done = tmp_path / "run" / "pretrain" / "done.json"
    when = done.stat().st_mtime_ns
    assert import_model(str(folder), tmp_path / "run", context=64) == first
    assert done.stat().st_mtime_ns == when
    assert open_run(tmp_path / "run").model.context == 64
    with pytest.raises(RunError, match="other settings: context"):
        import_model(str(folder), tmp_path / "run", context=32)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    there = import_model(str(copy), tmp_path / "second")
    shutil.rmtree(copy)  # what was taken in is asked for no more
    assert import_model(str(copy), tmp_path / "second") == there


def test_what_cannot_be_taken_in_is_told_before_there_is_a_run(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        import_model(str(tmp_path / "nowhere"), tmp_path / "run")
    with pytest.raises(DataError, match="no such file or folder"):
        import_model(str(folder), tmp_path / "run", text=str(tmp_path / "nowhere"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.Y"}}))
    (copy / "x.py").write_text("raise SystemExit('executed')")
    with pytest.raises(ConfigError, match="never run"):
        import_model(str(copy), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (copy / "config.json").write_text(json.dumps(config))
    import_model(str(copy), tmp_path / "run")
    assert open_run(tmp_path / "run").can_chat


class FakeHub:
    """A hub on this machine.

    Attributes:
        url: its address.
        asked: (path, Range header) of each request so far.
        lies: bytes to serve instead of a file's own, by its name.
        cuts: number of bytes after which the connection breaks, by name; each once.
        ranges: it knows how to go on in the middle of a file.
        troubles: status codes to answer with before all else, one a request.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self.lies: dict[str, bytes] = {}
        self.cuts: dict[str, int] = {}
        self.ranges = True
        self.troubles: list[int] = []
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.hidden: set[str] = set()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, name)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler, name: str) -> None:
        self.asked.append((request.path, request.headers.get("Range", "")))
        if self.troubles:
            request.send_error(self.troubles.pop(0))
            return
        if request.path == f"/api/models/{name}?blobs=true":
            data = json.dumps({"sha": "ab" * 20, "siblings": self.siblings()}).encode()
            start = 0
        elif request.path.startswith(f"/{name}/resolve/{'ab' * 20}/"):
            file = request.path.partition(f"{'ab' * 20}/")[2]
            data = self.lies.get(file, self.files[file])
            told = request.headers.get("Range", "bytes=0-") if self.ranges else "bytes=0-"
            start = int(told.removeprefix("bytes=").removesuffix("-"))
        else:
            request.send_error(404)
            return
        request.send_response(206 if start else 200)
        body = data[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cuts.pop(request.path.rsplit("/", 1)[-1], len(body))])

    def siblings(self) -> list[dict[str, Any]]:
        rows = []
        for file, data in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            row: dict[str, Any] = {"rfilename": file, "size": len(data), "blobId": blob}
            if file.endswith(".safetensors"):
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            if file not in self.hidden:
                rows.append(row)
        return rows


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    found = FakeHub(folder, "someone/small-qwen")
    found.files["evil.py"] = b"raise SystemExit"
    found.files["pytorch_model.bin"] = b"cos\nsystem"
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    monkeypatch.setattr(hub_module, "PAUSES", ())
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_model_on_a_hub_is_fetched_checked_and_made_a_run(
    hub: FakeHub, tmp_path: Path, folder: Path
) -> None:
    assert main(["import", "hub:someone/small-qwen", "--runs", str(tmp_path)]) == 0
    assert open_run(tmp_path / "small-qwen").can_chat
    cached = tmp_path / "cache" / "hub" / "someone--small-qwen" / ("ab" * 20)
    fetched = {path.name for path in cached.iterdir()}
    assert fetched == {path.name for path in folder.iterdir()}
    for path in cached.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()
    num_asked = len(hub.asked)
    fetch_model("someone/small-qwen", cache=tmp_path / "cache")
    assert len(hub.asked) == num_asked + 1  # which version there is; the files are there
    hub.troubles = [503] * 9
    import_model("hub:someone/small-qwen", tmp_path / "small-qwen")
    assert len(hub.asked) == num_asked + 1  # the model is there, and no network is needed


def test_an_encoder_on_a_hub_begins_a_task_and_makes_vectors(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.models import EncoderConfig, write_encoder
    from homespun.recipes.applications.embed.pooling import reading_of
    from homespun.tokenizer.pieces import train_pieces

    monkeypatch.chdir(tmp_path)
    tokenizer = train_pieces(["a fine film", "a dull book"] * 20, vocab_size=300)
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size, num_layers=1, width=16, num_heads=2, mlp_width=16,
        context=32,
    )  # fmt: skip
    own = tmp_path / "own"
    write_encoder(own, config.build(torch.Generator().manual_seed(0)), config)
    tokenizer.save(own)
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    files = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 20},
        "1_Pooling/config.json": {"pooling_mode_cls_token": True},
        "2_Dense/config.json": {},
    }
    hub.files = {path.name: path.read_bytes() for path in own.iterdir()}
    hub.files |= {name: json.dumps(value).encode() for name, value in files.items()}
    hub.files["spiece.model"] = b"pieces"
    place = model_place("hub:someone/small-qwen")
    assert place.parent.parent == tmp_path / "cache" / "hub"
    assert (place / "spiece.model").read_bytes() == b"pieces"
    assert not (place / "2_Dense").exists()
    assert reading_of(place) == ("first", 20)
    assert model_place(own) == own
    rows = [f"{label},a {label} {thing}" for label in ("fine", "dull") for thing in "abcdefgh"]
    (tmp_path / "rows.csv").write_text("\n".join(["label,text", *rows]))
    base = ["--base", "hub:someone/small-qwen"]
    words = ["finetune", "classify", "rows.csv", "--out", "out", "--no-baselines"]
    assert main([*words, *base, "--set", "epochs=1"]) == 0
    assert json.loads(Path("out/application.json").read_text())["base"] == base[1]
    assert "Begun with the encoder `small-qwen`" in Path("out/README.md").read_text("utf-8")
    assert main(["embed", "rows.csv", *base, "--out", "v.jsonl"]) == 0
    assert len(Path("v.jsonl").read_text().splitlines()) == 16
    asked = len(hub.asked)
    assert main([*words[:4], "x", *base, "--method", "linear"]) == 2
    assert len(hub.asked) == asked  # what begins with nothing fetches nothing


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_cut_short_goes_on_where_it_stopped(
    ranges: bool, hub: FakeHub, tmp_path: Path
) -> None:
    hub.cuts = {"model.safetensors": 50_000}
    hub.ranges = ranges
    with pytest.raises(DataError, match=r"cannot be reached .*after 50,000 bytes"):
        fetch_model("someone/small-qwen", cache=tmp_path)
    folder = fetch_model("someone/small-qwen", cache=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert "bytes=50000-" in {told for _, told in hub.asked}


def test_what_a_tokenizer_may_lie_in_is_fetched_and_pickles_are_not(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.files |= {"vocab.txt": b"[PAD]\n", "pytorch_model.bin": b"\x80", "tf_model.h5": b"\x89"}
    folder = fetch_model("someone/small-qwen", cache=tmp_path)
    assert (folder / "vocab.txt").read_bytes() == b"[PAD]\n"
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.h5"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_network_that_fails_now_and_then_is_tried_again(
    ranges: bool, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PAUSES", (0.0, 0.0, 0.0))
    hub.ranges = ranges
    hub.troubles = [503, 429]
    hub.cuts = {"model.safetensors": 50_000, "config.json": 3, f"{NAME}?blobs=true": 20}
    folder = fetch_model("someone/small-qwen", cache=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert (folder / "config.json").read_bytes() == hub.files["config.json"]
    hub.troubles = [503] * 4
    with pytest.raises(DataError, match=r"HTTP 503.*try again later"):
        fetch_model("someone/small-qwen", cache=tmp_path)
    hub.troubles = [403, 500]
    with pytest.raises(DataError, match="HTTP 403"):  # for good: not tried again
        fetch_model("someone/small-qwen", cache=tmp_path)
    assert hub.troubles == [500]


def test_two_processes_do_not_fetch_into_one_folder_at_once(hub: FakeHub, tmp_path: Path) -> None:
    lines: list[str] = []

    class Listener(Silent):
        def say(self, text: str) -> None:
            lines.append(text)
            os.close(other)  # the other process is done

    parent = tmp_path / "hub" / "someone--small-qwen"
    parent.mkdir(parents=True)
    other = os.open(parent / f".{'ab' * 20}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    folder = fetch_model("someone/small-qwen", cache=tmp_path, progress=Listener())
    assert (folder / "config.json").is_file()
    assert len(lines) == 1
    assert "another process" in lines[0]


def test_the_record_of_an_import_has_hashes_of_all_that_was_read(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "merges.txt").write_text("#version: 0.2\n")
    (copy / "chat_template.jinja").write_text(CHATML)
    (copy / "README.txt").write_text("not read")
    record = import_model(str(copy), tmp_path / "run")
    assert {"merges.txt", "chat_template.jinja", "model.safetensors"} <= record["sha256"].keys()
    assert "README.txt" not in record["sha256"]


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_what_is_not_as_promised_gets_no_name(file: str, hub: FakeHub, tmp_path: Path) -> None:
    true = hub.files[file]
    hub.lies[file] = true[:-1] + bytes([true[-1] ^ 1])
    with pytest.raises(DataError, match=r"not the file that the hub promised \(got (sha256|git)"):
        fetch_model("someone/small-qwen", cache=tmp_path)
    assert not list(tmp_path.rglob(file))
    hub.lies[file] = true + b"more"
    with pytest.raises(DataError, match="not the file that the hub promised"):
        fetch_model("someone/small-qwen", cache=tmp_path)
    del hub.lies[file]
    assert (fetch_model("someone/small-qwen", cache=tmp_path) / file).read_bytes() == true


def test_what_a_hub_cannot_give_is_said(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing at .*HTTP 404"):
        fetch_model("someone/else", cache=tmp_path)
    hub.hidden = {"model.safetensors"}
    with pytest.raises(DataError, match="no safetensors"):
        fetch_model("someone/small-qwen", cache=tmp_path)
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(DataError, match=r"127.0.0.1:\d+ cannot be reached .* another way"):
        fetch_model("someone/small-qwen", cache=tmp_path)


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "a/..", "a b", "/x", "a/b?x=1", "x/-"])
def test_what_is_no_name_asks_nobody(name: str, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no name of a model"):
        fetch_model(name, cache=tmp_path)
    assert hub.asked == []
