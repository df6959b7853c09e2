"""A pretrained T5 goes on learning pairs: its tokenizer, its prefix, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from task_files import Make, pairs, reviews  # type: ignore[import-not-found]

from homespun.cli import main
from homespun.core import DataError, SamplingSettings
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.serve import EngineWish
from homespun.recipes.serve.rewriting import rewriter_seat, served_rewriter

PREFIX = "translate English to German: "
UNTAUGHT = {"epochs": "0.01", "rate": "1e-7", "beams": "1"}
QUICK = {"epochs": "50", "rate": "0.01", "tokens": "512", "dropout": "0", "beams": "2"}


def learn(task: str, data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return learn_application(Asked(task, data, out, judge_baselines=False, **more))


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little T5 with random weights, and a tokenizer as T5 has it, as `transformers` writes."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("bases") / "tiny-t5"
    texts = [PREFIX, *(str(text) for row in pairs() for text in row.values())]
    words = sorted({word for text in texts for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -8.0)]
    vocab += [(f"▁{word}", -3.0) for word in words] + [(letter, -9.0) for letter in letters]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens(["<extra_id_0>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=tokenizer.get_vocab_size() + 5,  # as T5's table, which has rows for no token
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        decoder_start_token_id=0,
        initializer_factor=1.0,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_pairs_are_learned_by_a_t5_and_applied(make: Make, tmp_path: Path, tiny_t5: Path) -> None:
    out = tmp_path / "out"
    options = {**QUICK, "prefix": PREFIX}
    told = learn("translate", make("p.jsonl", pairs()), out, base=tiny_t5, options=options)
    assert told["method"] == "t5"
    assert told["measures"][0]["value"] > 60
    (row,) = answered(
        open_application(out), make("q.jsonl", [{"source": "two and two and one"}]), {}
    )
    assert row["target"].startswith("zwei und zwei")
    assert_served_alike(out, "two and two and one", row["target"])
    card = (out / "README.md").read_text("utf-8")
    begun = "Begun with the encoder-decoder `tiny-t5`. Before every text that is read stands"
    assert f"{begun} `{PREFIX}`." in card


def assert_served_alike(folder: Path, text: str, wanted: str) -> None:
    """The server reads the prefix and the marks, and writes without the blank a piece begins
    with, in streams too."""
    seat = rewriter_seat(folder, EngineWish())
    served = served_rewriter(folder, "t5", seat)
    ids = served.tokenizer.encode(text).tolist()
    assert served.tokenizer.decode(ids).strip() == PREFIX + text
    for beams in (2, 0):
        settings = SamplingSettings(max_tokens=99, temperature=0.0, top_p=1.0, beams=beams)
        seat.submit(ids, settings, salt=b"")
        outputs = [output for _ in range(40) if seat.has_work for output in seat.step()]
        done = outputs[-1].completion
        assert done is not None
        assert done.text == "".join(output.text for output in outputs) == done.text.strip()
        assert beams == 0 or done.text == wanted
    assert len(outputs) > 1


def test_what_was_hardly_taught_writes_as_transformers_does(
    make: Make, tmp_path: Path, tiny_t5: Path
) -> None:
    """The prefix, the tokenizer, the marks and the weights are all as they were."""
    transformers = pytest.importorskip("transformers")
    data, asked = make("p.jsonl", pairs()), ["one and five and two", "four and one"]
    said = {}
    for name, prefix in (("with", PREFIX), ("without", "")):
        out = tmp_path / name
        options = {**UNTAUGHT, "prefix": prefix}
        learn("translate", data, out, base=tiny_t5, options=options)
        rows = make("q.jsonl", [{"source": text} for text in asked])
        said[name] = [row["target"] for row in answered(open_application(out), rows, {})]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_t5)
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(tiny_t5).eval()
    never = [n for n in range(theirs.config.vocab_size) if n >= len(tokenizer) - 1 or n in (0, 2)]
    for name, prefix in (("with", PREFIX), ("without", "")):
        for text, ours in zip(asked, said[name], strict=True):
            ids = tokenizer(prefix + text, return_tensors="pt").input_ids
            assert int(ids[0, -1]) == 1
            most = 2 * len(ids[0]) + 10
            with torch.inference_mode():
                written = theirs.generate(
                    ids, do_sample=False, max_new_tokens=most, suppress_tokens=never
                )
            assert tokenizer.decode(written[0], skip_special_tokens=True).strip() == ours
    assert said["with"] != said["without"]


def test_a_summary_begins_with_a_t5_too(make: Make, tmp_path: Path, tiny_t5: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"text": row["source"], "summary": row["target"]} for row in pairs()
    ]
    data, out = make("s.jsonl", rows), tmp_path / "out"
    told = learn("summarise", data, out, base=tiny_t5, options=UNTAUGHT)
    assert told["method"] == "t5"
    assert "Begun with the encoder-decoder `tiny-t5`.\n" in (out / "README.md").read_text("utf-8")


def test_the_command_takes_a_base_and_a_prefix(
    make: Make,
    tmp_path: Path,
    tiny_t5: Path,
    tiny_bert: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make("p.jsonl", pairs())
    make("r.jsonl", reviews())
    settings = [f"--set={name}={value}" for name, value in UNTAUGHT.items()]
    words = ["finetune", "translate", "p.jsonl", "--out", "o", "--base", str(tiny_t5), *settings]
    assert main([*words, "--prefix", PREFIX, "--no-baselines"]) == 0
    record = json.loads((tmp_path / "o" / "application.json").read_text("utf-8"))
    assert record["options"]["prefix"] == PREFIX  # with the space at its end
    assert json.loads((tmp_path / "o/model/transformer.json").read_text())["prefix"] == PREFIX
    capsys.readouterr()
    refused = {
        "one with `homespun encoder-decoder`": ["translate", "p.jsonl", "--base", str(tiny_bert)],
        "has nothing of --prefix": ["classify", "r.jsonl", "--prefix", "x"],
        "is not of a BERT": ["classify", "r.jsonl", "--base", str(tiny_t5)],
        "take --method t5": [
            "translate", "p.jsonl", "--base", str(tiny_t5), "--method", "transformer",
        ],
        "begins with a pretrained encoder-decoder": ["translate", "p.jsonl", "--method", "t5"],
    }  # fmt: skip
    for says, rest in refused.items():
        assert main(["finetune", *rest, "--out", "x"]) != 0
        told = capsys.readouterr().err
        assert says in told
        assert "Traceback" not in told
        assert not (tmp_path / "x").exists()


def test_wrong_folders_are_told_and_leave_nothing(
    make: Make, tmp_path: Path, tiny_t5: Path
) -> None:
    data, out, base = make("p.jsonl", pairs()), tmp_path / "out", tmp_path / "base"

    def refused(error: type[Exception], says: str) -> None:
        with pytest.raises(error, match=says):
            learn("translate", data, out, base=base, options=UNTAUGHT)
        assert not out.exists()

    base.mkdir()
    refused(DataError, "not the folder of a pretrained encoder-decoder")
    shutil.copytree(tiny_t5, base, dirs_exist_ok=True)
    (base / "tokenizer.json").rename(base / "kept.json")
    refused(DataError, "there is no tokenizer in")
    (base / "kept.json").rename(base / "tokenizer.json")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "eos_token_id": 10_000}))
    refused(DataError, "a mark that is no token")
    (base / "config.json").write_text("[]")
    refused(DataError, "is not a JSON object")
    (base / "config.json").write_text(json.dumps(config))
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(DataError, "not a whole safetensors file")
    (base / "model.safetensors").unlink()
    refused(DataError, "safetensors")


def test_a_model_without_the_words_is_refused(make: Make, tmp_path: Path, tiny_t5: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"source": row["source"], "target": "你好世界"} for row in pairs()
    ]
    with pytest.raises(DataError, match=r"no pieces for many characters.*unknown tokens"):
        learn("translate", make("zh.jsonl", rows), tmp_path / "out", base=tiny_t5)
    assert not (tmp_path / "out").exists()
