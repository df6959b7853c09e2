"""Context, vocabulary and size of a finished run, and averages: the new runs are runs like any."""

from __future__ import annotations

import errno
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_input_stage import tales

from homespun.core import ConfigError, DataError, RunError, Silent
from homespun.recipes import (
    average_run,
    build_corpus_stage,
    continue_run,
    extend_context,
    extend_vocabulary,
    grow_run,
    open_run,
    plan_stage,
    pretrain_stage,
    train_tokenizer_stage,
)
from homespun.training import load_weights, save_checkpoint


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pretrained run with a tokenizer of merges, to be copied."""
    folder = tmp_path_factory.mktemp("merged")
    (folder / "texts").mkdir()
    (folder / "texts" / "tales.txt").write_text(tales(200))
    run = folder / "small"
    build_corpus_stage(run, str(folder / "texts"))
    train_tokenizer_stage(run, vocab_size=300)
    plan_stage(run, steps=30, size="0.2m", preset="portable")
    pretrain_stage(run)
    return run


@pytest.fixture
def small(merged: Path, tmp_path: Path) -> Path:
    shutil.copytree(merged, tmp_path / "runs" / "small")
    return tmp_path / "runs" / "small"


def change(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "change.json").read_text())
    return found


def same_as_transformers(path: Path, out: Path, *, length: int) -> None:
    transformers = pytest.importorskip("transformers")
    run = open_run(path)
    run.export_hf(out)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    ids = torch.arange(length)[None] % 250
    with torch.no_grad():
        expected, got = theirs(ids).logits, run.model.head(run.model(ids))
    torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("method", ["base", "linear", "yarn"])
def test_a_longer_context_is_learnt_and_exported(small: Path, tmp_path: Path, method: Any) -> None:
    before = open_run(small).config
    longer = 2 * before.context
    run = extend_context(small, longer, method=method, steps=3, name="long")
    config = open_run(run.path).config
    assert config.context == longer
    assert (config.rope_scaling is None) == (method == "base")
    found = change(run.path)
    assert set(found["texts"]) == {"within", "beyond"}
    assert len(found["sentences"]) == 3
    same_as_transformers(run.path, tmp_path / "hf", length=longer)
    assert extend_context(small, longer, method=method, steps=3, name="long").path == run.path
    if method != "base":
        with pytest.raises(ConfigError, match="rescaled before"):
            extend_context(run.path, 2 * longer, steps=1)


def test_a_context_that_cannot_be_is_refused(small: Path) -> None:
    context = open_run(small).config.context
    with pytest.raises(ConfigError, match=f"context is {context} tokens already"):
        extend_context(small, context, steps=1)
    with pytest.raises(ConfigError, match="did you mean 'yarn'"):
        extend_context(small, 4 * context, method="yam", steps=1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="shorter than a context"):
        extend_context(small, 100_000, steps=1)
    assert [path.name for path in small.parent.iterdir()] == ["small"]


def test_a_grown_run_begins_where_the_small_one_stands(small: Path, tmp_path: Path) -> None:
    run = grow_run(small, layers=4, width=96, steps=3)
    assert run.path.name == "small-grown"
    sizes = [json.loads((path / "plan.json").read_text())["size"] for path in (small, run.path)]
    assert sizes == ["0.2m", "96x4"]
    found = change(run.path)
    assert abs(found["at_start"]["same"]["difference"]) < 1e-5
    ids = torch.arange(30)[None]
    old, new = open_run(small), open_run(run.path, stage="start")
    with torch.no_grad():
        expected, got = old.model.head(old.model(ids)), new.model.head(new.model(ids))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert open_run(run.path).config.num_heads == 3
    same_as_transformers(run.path, tmp_path / "hf", length=30)


def test_a_larger_vocabulary_keeps_the_old_ids(small: Path, tmp_path: Path) -> None:
    run = extend_vocabulary(small, 330, steps=3)
    old, new = open_run(small), open_run(run.path)
    assert (old.tokenizer.vocab_size, new.tokenizer.vocab_size) == (300, 330)
    assert new.config.vocab_size == 330
    text = "The quick fox met a blue bird by the river."
    assert len(new.tokenizer.encode(text)) < len(old.tokenizer.encode(text))
    start = open_run(run.path, stage="start").model.embedding.weight
    assert torch.equal(start[:292], old.model.embedding.weight[:292])
    assert torch.equal(start[-8:], old.model.embedding.weight[-8:])
    said = change(run.path)["sentences"]
    assert "fewer tokens" in said[1]
    same_as_transformers(run.path, tmp_path / "hf", length=30)
    chinese = small.parent / "zh.txt"
    line = "第{}天，狐狸在银河边遇见一只鸟，问它明天会不会下雨。"
    chinese.write_text("\n\n".join(line.format(day) for day in range(90)))
    other = extend_vocabulary(small, 330, text=chinese, steps=1, name="zh")
    zh = open_run(other.path).tokenizer.encode("狐狸在银河边")
    assert len(zh) < len(new.tokenizer.encode("狐狸在银河边"))
    with pytest.raises(ConfigError, match="330 tokens already"):
        extend_vocabulary(run.path, 330, steps=1)


def test_checkpoints_are_averaged_and_measured(small: Path) -> None:
    final = load_weights(small / "pretrain")
    earlier = {name: 1.05 * tensor for name, tensor in final.items()}
    save_checkpoint(small / "pretrain", 29, earlier, {}, {"step": 29})
    found = average_run(small)
    assert [part["name"] for part in found["parts"]] == ["step-00000029", "step-00000030"]
    assert len(found["parts"]) == 2
    assert found["run"] is None
    assert found["best"] in found["sentences"][0]
    bits = [part["bits_per_byte"] for part in found["parts"]]
    assert found["change"]["before"] == min(bits)
    alone = average_run(small, weights=[0, 1])
    assert alone["average"]["bits_per_byte"] == pytest.approx(bits[1], abs=1e-5)
    with pytest.raises(ConfigError, match="keeps 2 whole checkpoints"):
        average_run(small, last=9)
    with pytest.raises(ConfigError, match="at least two"):
        average_run(small, last=1)
    with pytest.raises(ConfigError, match="as many weights"):
        average_run(small, weights=[1, 2, 3])


def test_a_checkpoint_that_cannot_be_read_is_left_out_of_an_average(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = load_weights(small / "pretrain")
    for step in (28, 29):
        save_checkpoint(small / "pretrain", step, final, {}, {"step": step}, keep=9)
    bad = small / "pretrain" / "checkpoints" / "step-00000028"
    opened, said = io.open, []

    class Told(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    def fail(path: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(path, int) and Path(path) == bad / "weights.safetensors":
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", fail)
    found = average_run(small, progress=Told())
    assert [part["name"] for part in found["parts"]] == ["step-00000029", "step-00000030"]
    assert any("step-00000028 could not be read" in text for text in said)
    assert bad.is_dir()


def test_runs_of_one_parent_are_averaged_and_kept(small: Path, finished: Path) -> None:
    text = small.parent / "more.txt"
    text.write_text(tales(300)[30_000:])
    first = continue_run(small, text, steps=3, name="first")
    second = continue_run(small, text, steps=3, name="second", rewarm=0.2)
    found = average_run(first.path, [second.path], name="soup")
    soup = open_run(found["run"])
    weights = [open_run(path).model.embedding.weight for path in (first.path, second.path)]
    torch.testing.assert_close(soup.model.embedding.weight, (weights[0] + weights[1]) / 2)
    assert soup.generate("The", max_tokens=3).token_ids
    kept = (soup.path / "average.json").read_text()
    with pytest.raises(RunError, match="other settings: weights"):
        average_run(first.path, [second.path], weights=[1, 3], name="soup")
    assert (soup.path / "average.json").read_text() == kept
    tilted = average_run(first.path, [second.path], weights=[1, 3], name="tilted")
    again = average_run(first.path, [second.path], weights=[2, 6], name="tilted")
    assert again["run"] == tilted["run"]
    assert "What has changed" in (soup.path / "report.html").read_text()
    shutil.copytree(finished, small.parent / "bytes")
    with pytest.raises(RunError, match="another tokenizer"):
        average_run(first.path, [small.parent / "bytes"])
    with pytest.raises(RunError, match="another shape"):
        average_run(first.path, [grow_run(small, layers=4, steps=1).path])
    with pytest.raises(ConfigError, match="leave --last"):
        average_run(first.path, [second.path], last=2)
    # Runs of one name in different folders are different runs.
    other = shutil.copytree(second.path, small.parent / "b" / "first")
    apart = average_run(first.path, [other], name="apart")
    home = first.path.resolve().parent.name
    assert [part["name"] for part in apart["parts"]] == [f"{home}/first", "b/first"]
    assert apart["average"] == found["average"]
    assert json.loads((Path(apart["run"]) / "run.json").read_text())["asked"]["parts"] == [
        "first",
        str(other.resolve()),
    ]
    assert average_run(first.path, [other], name="apart")["run"] == apart["run"]
    third = shutil.copytree(first.path, small.parent / "c" / "first")
    with pytest.raises(RunError, match="other settings: parts"):
        average_run(first.path, [third], name="apart")
    # With how much dropout weights were learnt does not make them others.
    plan = json.loads((second.path / "plan.json").read_text())
    plan["model"]["dropout"] = 0.1
    (second.path / "plan.json").write_text(json.dumps(plan))
    dropped = average_run(first.path, [second.path])
    assert dropped["average"] == found["average"]
