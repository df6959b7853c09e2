"""Everything a person or a machine can get wrong, one case each."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import resource
import shutil
from collections.abc import Callable, Sequence

import bad_input_serving  # noqa: F401 - its cases join those below
from bad_input_stage import (
    CASES,
    Place,
    case,
    obey_permissions,
    plain,
    small_disk,
    started_again,
    tales,
)

__all__ = ["CASES"]


# --- sources -----------------------------------------------------------------------------------

plain("a folder that does not exist", "spin nowhere", "nowhere", code=1)
plain("a corpus name with a slip", "spin tinystorys", "tinystories", code=1)
plain("a corpus to fetch that does not exist", "data get tinystorys", "tinystories", code=1)
plain("a corpus that cannot be fetched", "data get python", "python", code=1)


@case("a corpus to fetch without a network", "tinystories", "cannot be reached", as_process=True)
def _(place: Place) -> list[str]:
    nowhere = "http://127.0.0.1:9"  # the discard port: refused at once
    proxies = {f"{scheme}_proxy": nowhere for scheme in ("http", "https", "HTTPS", "HTTP")}
    # Nor is it here already.
    changed = {**proxies, "no_proxy": "", "NO_PROXY": "", "HOMESPUN_DATA": ""}
    place.arguments["env"] = {**os.environ, **changed}
    return ["data", "get", "tinystories"]


def source_case(kind: str, name: str, content: str | bytes, *mentions: str) -> None:
    """Register: spin on a folder whose only file is unusable."""

    def prepare(place: Place) -> list[str]:
        place.write(f"texts/{name}", content)
        return ["spin", "texts", "--steps", "1"]

    case(kind, *mentions)(prepare)


source_case("only a program and a picture", "a.out", b"\x7fELF\x02\x01\x01" + bytes(5000), "text")
source_case("only an empty file", "a.txt", "", "text")
source_case("only white space", "a.txt", " \n\t\n" * 500, "text")
source_case("a text of one line", "a.txt", "Too short.\n", "text")
source_case("bytes that are no text in any encoding", "a.txt", bytes(range(256)) * 40, "text")
source_case("JSON lines without text", "a.jsonl", '{"id": 1, "n": 2}\n' * 50, "text field")
source_case("JSON lines that are not JSON", "a.jsonl", "{no}\n" * 50, "JSON")
source_case("a table without a column of text", "a.csv", "n,m\n" + "1,2\n" * 50, "text")
source_case("a damaged gzip file", "a.txt.gz", gzip.compress(b"word " * 9999)[:40], "a.txt.gz")
source_case("a damaged zstandard file", "a.txt.zst", b"\x28\xb5\x2f\xfd" + b"x" * 99, "a.txt.zst")
source_case("a damaged Parquet file", "a.parquet", b"PAR1" + b"x" * 99 + b"PAR1", "a.parquet")


@case("an empty folder", "texts")
def _(place: Place) -> list[str]:
    (place.folder / "texts").mkdir()
    return ["spin", "texts"]


@case("a folder that leads back into itself", "texts")
def _(place: Place) -> list[str]:
    (place.folder / "texts").mkdir()
    (place.folder / "texts" / "again").symlink_to(place.folder / "texts")
    (place.folder / "texts" / "gone.txt").symlink_to(place.folder / "missing.txt")
    return ["spin", "texts"]


@case("a file that may not be read", "secret.txt", as_process=True)
def _(place: Place) -> list[str]:
    place.write("texts/secret.txt", tales()).chmod(0)
    obey_permissions(place)
    return ["spin", "texts"]


@case("a name longer than the system allows", "too long")
def _(place: Place) -> list[str]:
    return ["spin", "x" * 5000]


@case("a source whose name is not UTF-8", code=2, as_process=True)
def _(place: Place) -> list[str]:
    return ["spin", os.fsdecode(b"caf\xe9")]


# --- settings ----------------------------------------------------------------------------------

for minutes in ("0", "-3", "nan", "inf", "1e12", "ten"):
    plain(f"{minutes} minutes", f"spin --minutes {minutes}", "minutes")
plain("fewer minutes than any training needs", "spin python --minutes 0.01", "minutes", code=1)
plain("a seed that is no number", "spin --seed lucky", "seed")
plain("a negative seed", "spin --seed -1", "seed")
plain("no steps", "spin --steps 0", "steps")
plain("an option with a slip", "spin --mintues 3", "--mintues", "--minutes")
plain("an option without its value", "spin --minutes", "--minutes")
plain("a command with a slip", "spinn", "spinn", "'spin'")
plain("a command of a group with a slip", "corpus biuld texts", "biuld", "'build'")
plain("one argument too many", "spin a b", "b")
plain("a missing argument", "pretrain", "RUN")
plain("a measurement that does not exist", "bench machin", "machine")
for name in ('""', "a/b", "..", "/tmp/x", "-x", ".hidden"):
    plain(f"{name} as a run's name", f"spin --name={name}", "--name")


@case("a language nobody knows", "klingon", code=2)
def _(place: Place) -> list[str]:
    return ["spin", place.text(), "--lang", "klingon", "--steps", "1"]


# --- conversations -----------------------------------------------------------------------------


def chat_case(kind: str, rows: str | bytes, *mentions: str) -> None:
    """Register: spin on good text with a chat file that is wrong."""

    def prepare(place: Place) -> list[str]:
        place.write("chat.jsonl", rows)
        return ["spin", place.text(), "--chat", "chat.jsonl", "--steps", "1"]

    case(kind, "chat.jsonl", *mentions)(prepare)


def turns(*pairs: tuple[str, str]) -> str:
    """One row of a chat file."""
    return json.dumps({"messages": [{"role": r, "content": c} for r, c in pairs]}) + "\n"


GOOD_ROW = turns(("user", "Hello?"), ("assistant", "Hello."))
TEMPLATE = ("chat", "tiny", "--once", "Hello", "--template")


@case(
    "a value for a template without any", "does not ask for this option", "enable_thinking", code=2
)
def _(place: Place) -> list[str]:
    place.run()
    return [*TEMPLATE, "enable_thinking=false"]


@case("a value without a name", "gives a name a value", code=2)
def _(place: Place) -> list[str]:
    place.run()
    return [*TEMPLATE, "false"]


chat_case("a chat file with a broken third line", GOOD_ROW * 2 + '{"messages": [\n', "line 3")
chat_case("a chat file with a role nobody has", GOOD_ROW + turns(("wizard", "Abra")), "wizard")
chat_case("a chat file without an answer", turns(("user", "Hello?")), "line 1")
chat_case("a chat file that speaks out of turn", turns(("assistant", "a"), ("assistant", "b")))
chat_case("an empty chat file", "")
chat_case("a chat file of numbers", "1\n2\n")
chat_case("a chat file that is not UTF-8", b'{"messages": "\xff\xfe"}\n')


@case("a chat file that does not exist", "gone.jsonl")
def _(place: Place) -> list[str]:
    return ["spin", place.text(), "--chat", "gone.jsonl"]


# A stage that stopped begins anew the next time; what it had written till then may lie there.
UNFINISHED = ("runs/tiny/run.json", "runs/tiny/corpus/[!.]*.jsonl.zst")

# --- where runs live ---------------------------------------------------------------------------


@case("a file where the runs should go", "runs")
def _(place: Place) -> list[str]:
    place.write("runs", "in the way")
    return ["spin", place.text(), "--name", "tiny", "--steps", "1"]


@case("a folder that is no run under the run's name", "runs/tiny")
def _(place: Place) -> list[str]:
    place.write("runs/tiny/diary.txt", "dear diary")
    return ["spin", place.text(), "--name", "tiny", "--steps", "1"]


@case("a run that was started with other settings", "steps", may_change=("runs/tiny/lock",))
def _(place: Place) -> list[str]:
    place.run()
    return ["spin", place.text(), "--name", "tiny", "--steps", "77"]


@case("a folder of runs that may not be written", "runs", as_process=True)
def _(place: Place) -> list[str]:
    place.text()
    (place.folder / "runs").mkdir()
    (place.folder / "runs").chmod(0o555)
    obey_permissions(place)
    return ["spin", "texts", "--name", "tiny", "--steps", "1"]


@case("no room for a run", "no space left", may_change=UNFINISHED)
def _(place: Place) -> list[str]:
    small_disk(place, place.folder / "runs", kilobytes=8)
    return ["corpus", "build", place.text(), "--name", "tiny"]


@case("no room for a checkpoint", "has room for", "checkpoint", may_change=("runs/tiny/sft/*",))
def _(place: Place) -> list[str]:
    run = place.run()
    shutil.rmtree(run / "sft")
    moved = place.folder / "aside"
    run.rename(moved)
    used = sum(path.stat().st_size for path in moved.rglob("*")) // 1024
    small_disk(place, place.folder / "runs" / "tiny", kilobytes=used + 400)
    shutil.copytree(moved, run, dirs_exist_ok=True)
    shutil.rmtree(moved)
    return ["finetune", "chat", "tiny", "--steps", "2"]


@case(
    "a file larger than the system allows",
    "too large",
    as_process=True,
    may_change=UNFINISHED,
)
def _(place: Place) -> list[str]:
    limit = (2048, 2048)
    place.arguments["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    place.write("texts/tales.txt", tales(3000))
    return ["corpus", "build", "texts", "--name", "tiny"]


@case("a run another process works on", "another process", "pid")
def _(place: Place) -> list[str]:
    run = place.run()
    started_again(run)
    handle = place.stack.enter_context((run / "lock").open("w"))
    handle.write("4242")
    handle.flush()
    fcntl.flock(handle, fcntl.LOCK_EX)
    return ["pretrain", "tiny"]


# --- stages out of order -----------------------------------------------------------------------

for command in ("pretrain", "eval", "report", "chat", "generate", "plan --minutes 3"):
    plain(f"{command.split()[0]} of a run that does not exist", f"{command} gone", "gone", code=1)


def unfinished_case(kind: str, missing: Sequence[str], line: str, *mentions: str) -> None:
    """Register: a command on a run of which `missing` parts are not there yet."""

    def prepare(place: Place) -> list[str]:
        run = place.run()
        for name in missing:
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return line.split()

    case(kind, *mentions)(prepare)


NEW = ("corpus", "tokenizer.json", "tokenizer_stats.json", "shards", "plan.json", "pretrain", "sft")
unfinished_case("a tokenizer before the corpus", NEW, "tokenizer train tiny", "corpus")
unfinished_case("a plan before the tokenizer", NEW, "plan tiny --minutes 3", "tokenizer")
unfinished_case("pretraining before the corpus", NEW, "pretrain tiny", "corpus")
unfinished_case("a chat before any training", NEW, "chat tiny --once Hi", "trained")
unfinished_case("an evaluation before training", ("pretrain",), "eval tiny", "pretrain")
unfinished_case("a fine-tune before training", ("pretrain",), "finetune chat tiny", "pretrain")
unfinished_case("a chat without the fine-tune", ("sft",), "chat tiny --once Hi", "finetune")
unfinished_case("a corpus to inspect that is not there", NEW, "corpus inspect tiny", "card.json")
plain("a plan after training began", "plan tiny --steps 9", "begun", "new run", code=1, run=True)
plain("an objective with a slip", "pretrain tiny --objective blnk", "'blank'", run=True)
plain(
    "another objective than it began with",
    "pretrain tiny --objective prefix",
    "causal",
    "--objective",
    code=1,
    run=True,
)
plain("other steps for a fine-tune", "finetune chat tiny --steps 9", "sft", code=1, run=True)
plain("a plan without a budget", "plan tiny", "minutes", run=True)
plain("memory without a unit", "plan tiny --steps 9 --memory lots", "4GB", run=True)
plain("a ramp that is none", "plan tiny --steps 9 --ramp 4x128", "4x128", "0.3:4x128", run=True)
plain("a plan in no time", "plan tiny --minutes 0", "minutes", run=True)
plain("a tokenizer of a kind nobody knows", "tokenizer train tiny --kind x", "kind", run=True)
plain("an empty vocabulary", "tokenizer train tiny --vocab-size 0", "vocab-size", run=True)


# --- going on from a finished run ----------------------------------------------------------------

plain("a run that does not exist to continue", "continue gone tiny", "gone", code=1)
plain(
    "a new text that does not exist", "continue tiny nowhere.txt", "nowhere.txt", code=1, run=True
)
plain("all of it old text", "continue tiny runs --replay 1.5", "--replay", run=True)
plain("a rate above any use", "continue tiny runs --rewarm 9", "--rewarm", run=True)
plain("a context smaller than now", "extend context tiny --context 16", "already", code=2, run=True)
plain("a context of no number", "extend context tiny --context long", "context", run=True)
plain("a context without its length", "extend context tiny", "--context", run=True)
plain(
    "a context longer than the text",
    "extend context tiny --context 9999",
    "shorter",
    code=1,
    run=True,
)
plain(
    "positions rescaled in an unknown way",
    "extend context tiny --context 999 --method yam",
    "'yarn'",
    code=2,
    run=True,
)
plain(
    "a vocabulary of another kind", "extend vocabulary tiny --vocab 999", "merges", code=2, run=True
)
plain("a model grown smaller", "extend grow tiny --layers 1", "larger", code=2, run=True)
plain("a model grown to its own size", "extend grow tiny", "already", code=2, run=True)
plain("a width of half a head", "extend grow tiny --width 70", "multiple", code=2, run=True)
plain("an average of too many checkpoints", "average tiny --last 99", "keeps", code=2, run=True)
plain("an average of words", "average tiny --weights a,b", "--weights", run=True)
plain("an average of one checkpoint", "average tiny", "two checkpoints", code=2, run=True)
plain("an average with a run that is gone", "average tiny gone", "gone", code=1, run=True)


@case("a new text that was read before", "learnt from")
def _(place: Place) -> list[str]:
    place.run()
    return ["continue", "tiny", place.text(), "--steps", "1"]


@case("a run to continue that was never trained", "go on from")
def _(place: Place) -> list[str]:
    shutil.rmtree(place.run() / "pretrain")
    return ["continue", "tiny", place.text(), "--steps", "1"]


@case("a plan for a size that does not exist", "7x", code=2)
def _(place: Place) -> list[str]:
    run = place.run()
    shutil.rmtree(run / "pretrain")
    return ["plan", "tiny", "--steps", "9", "--size", "7x"]


@case("a plan for memory that holds no model", "smallest size", "50 MB", code=1)
def _(place: Place) -> list[str]:
    shutil.rmtree(place.run() / "pretrain")
    return ["plan", "tiny", "--steps", "9", "--memory", "50MB"]


@case("other conversations for a fine-tune", "mine.jsonl", "chat", "sft")
def _(place: Place) -> list[str]:
    place.run()
    place.write("mine.jsonl", GOOD_ROW)
    return ["finetune", "chat", "tiny", "--chat", "mine.jsonl"]


@case("a fine-tune of weights that are no more", "other weights", "sft")
def _(place: Place) -> list[str]:
    base = place.run() / "sft" / "base.json"
    base.write_bytes(with_key("weights_sha256", "0" * 64)(base.read_bytes()))
    return ["finetune", "chat", "tiny"]


# --- damaged runs ------------------------------------------------------------------------------


def damage_case(
    kind: str, name: str, damage: Callable[[bytes], bytes], line: str, *mentions: str, code: int = 1
) -> None:
    """Register: a command on a run in which the files that fit `name` are damaged."""

    def prepare(place: Place) -> list[str]:
        run = place.run()
        for path in run.glob(name):
            path.write_bytes(damage(path.read_bytes()))
        if line.startswith("pretrain"):
            started_again(run)
        return line.split()

    case(kind, *mentions, code=code, may_change=("*.damaged/*", "*/step-*/*"))(prepare)


def flip(data: bytes) -> bytes:
    """One bit, in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def with_key(key: str, value: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), key: value}).encode()


GENERATE = "generate tiny --prompt Hi --max-tokens 3"
WEIGHTS = "sft/checkpoints/*/weights.safetensors"
damage_case("a run record that is not JSON", "run.json", lambda _: b"{", "report tiny", "run.json")
damage_case(
    "a run record with a slip in a key", "run.json", with_key("sead", 1), "report tiny", "sead",
    "'seed'", code=2,
)  # fmt: skip
damage_case("a run of a later format", "run.json", with_key("format", 2), "report tiny", "format 2")
damage_case("a run record that is a list", "run.json", lambda _: b"[]", "report tiny", "run.json")
damage_case(
    "a tokenizer that is not JSON", "tokenizer.json", lambda _: b"\0", GENERATE, "tokenizer"
)
damage_case("half a tokenizer", "tokenizer.json", lambda b: b[: len(b) // 2], GENERATE, "tokenizer")
damage_case("a plan that is not JSON", "plan.json", lambda _: b"", GENERATE, "plan.json")
damage_case("one bit of the weights", WEIGHTS, flip, GENERATE, "weights", "damaged")
damage_case("half of the weights", WEIGHTS, lambda b: b[: len(b) // 2], GENERATE, "weights")
damage_case(
    "a stage's end that is not JSON", "sft/done.json", lambda _: b"{", GENERATE, "done.json"
)
damage_case(
    "a shard cut short", "shards/train-000.bin", lambda b: b[:-3], "pretrain tiny", "train-000"
)
damage_case("one bit of a shard", "shards/train-000.bin", flip, "pretrain tiny", "train-000")
damage_case("a shard list that is not JSON", "shards/index.json", lambda _: b"x", "pretrain tiny")
damage_case(
    "one bit of every checkpoint", "pretrain/checkpoints/*/weights.safetensors", flip,
    "pretrain tiny", "every checkpoint", "damaged",
)  # fmt: skip


@case("weights that are gone", "weights")
def _(place: Place) -> list[str]:
    shutil.rmtree(place.run() / "sft" / "checkpoints")
    return GENERATE.split()


@case("a tokenizer that is gone", "tokenizer.json")
def _(place: Place) -> list[str]:
    (place.run() / "tokenizer.json").unlink()
    return GENERATE.split()


# --- requests ----------------------------------------------------------------------------------


def request_case(kind: str, words: Sequence[str], *mentions: str) -> None:
    """Register: a wrong request to a good model."""

    def prepare(place: Place) -> list[str]:
        place.run()
        return list(words)

    case(kind, *mentions, code=2)(prepare)


def ask(*options: str) -> list[str]:
    return ["generate", "tiny", "--prompt", "Hi", *options]


request_case("an empty prompt", ["generate", "tiny", "--prompt", ""], "prompt is empty")
request_case("a prompt too long", ["generate", "tiny", "--prompt", "x" * 9000], "prompt", "window")
request_case("a temperature below zero", ask("--temperature", "-1"), "temperature")
request_case("a temperature that is no number", ask("--temperature", "nan"), "temperature")
request_case("a share above one", ask("--top-p", "2"), "top-p")
request_case("a share of nothing", ask("--top-p", "0"), "top-p")
request_case("a minimum above one", ask("--min-p", "1.5"), "min-p")
request_case("no tokens", ask("--max-tokens", "0"), "max-tokens")
request_case("a negative number of choices", ask("--top-k", "-1"), "top-k")
request_case("a penalty of zero", ask("--repetition-penalty", "0"), "repetition-penalty")
request_case("an empty stop", ask("--stop", ""), "stop")
request_case("an empty question", ["chat", "tiny", "--once", ""], "question is empty")
request_case("a question of spaces", ["chat", "tiny", "--once", "  "], "question is empty")
request_case("a question too long", ["chat", "tiny", "--once", "x" * 9000], "window")


@case("a prompt that is not UTF-8", "prompt", "UTF-8", code=2, as_process=True)
def _(place: Place) -> list[str]:
    place.run()
    return ["generate", "tiny", "--prompt", os.fsdecode(b"caf\xe9")]


@case("an export onto existing files", "out", "not", code=2)
def _(place: Place) -> list[str]:
    place.run()
    place.write("out/model.safetensors", "precious")
    return ["export", "hf", "tiny", "out"]


@case("an export onto a file", "out", code=2)
def _(place: Place) -> list[str]:
    place.run()
    place.write("out", "precious")
    return ["export", "hf", "tiny", "out"]


# --- models from elsewhere ---------------------------------------------------------------------

plain("a model that is not there", "import nowhere", "not a folder", code=1)
plain("a model's name that is none", "import hub:a/b/c", "no name of a model")


@case("a model of an unknown family", "cannot be loaded", "mamba", code=2)
def _(place: Place) -> list[str]:
    place.write("model/config.json", json.dumps({"model_type": "mamba"}))
    return ["import", "model"]


@case("an encoder to be imported", "reads and does not write", "bert", "--base", code=2)
def _(place: Place) -> list[str]:
    place.write("model/config.json", json.dumps({"model_type": "bert"}))
    return ["import", "model"]


@case("a model that wants to run code", "never run", code=2)
def _(place: Place) -> list[str]:
    fields = {"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}
    place.write("model/config.json", json.dumps(fields))
    return ["import", "model"]
