"""A run whose model stands beside an n-gram table: the whole job, killed, used and gone on from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_input_stage import tales
from dying import killed, spin_with_table_until
from table_stage import BLOCKS, ORDER, plan_with_table

from homespun.core import (
    CheckpointError,
    ConfigError,
    RunDirectory,
    RunError,
    SamplingSettings,
    TextBlocks,
)
from homespun.core.files import read_json, sha256_file
from homespun.corpus import iter_documents
from homespun.evaluation import find_copies
from homespun.inference.reference import reference_generate
from homespun.recipes import (
    Run,
    average_run,
    chat_stage,
    continue_run,
    evaluate_stage,
    extend_context,
    extend_vocabulary,
    grow_run,
    open_run,
    pretrain_stage,
    spin,
)
from homespun.recipes import pipeline as pipeline_module
from homespun.recipes.extend.new_text import mixed_rows
from homespun.recipes.prior.kept import counted_text

STEPS = 6
ASKED: dict[str, Any] = {"name": "tiny", "steps": STEPS, "minutes": 0.5}


@pytest.fixture(scope="module")
def spun(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_module, "make_run_plan", plan_with_table)
        return spin(texts, runs=runs, **ASKED)


@pytest.fixture
def copied(spun: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(spun.path, tmp_path / "tiny"))


def test_the_run_keeps_one_table_and_no_checkpoint_has_it(spun: Run) -> None:
    record = read_json(spun.path / "prior.json")
    assert (record["order"], record["num_blocks"]) == (ORDER, BLOCKS)
    assert [path.parent for path in spun.path.rglob("prior.safetensors")] == [spun.path]
    assert read_json(spun.path / "pretrain" / "config.json")["source"]["blocks"] == BLOCKS
    assert spun.model.prior is not None
    assert spun.model.prior.num_blocks == 0, "those of the blocks are for training"


def test_a_run_that_was_killed_again_and_again_ends_the_same(
    spun: Run, texts: Path, tmp_path: Path
) -> None:
    for when in ("counting n-grams", "pretrain@3", "sft@2"):
        assert killed(spin_with_table_until, when, str(texts), str(tmp_path), ASKED)
    again = spin(texts, runs=tmp_path, **ASKED)
    for stage in ("pretrain", "sft"):
        ends = [read_json(run.path / stage / "done.json") for run in (spun, again)]
        assert ends[0]["weights_sha256"] == ends[1]["weights_sha256"]
    tables = [sha256_file(run.path / "prior.safetensors") for run in (spun, again)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("stage", ["pretrain", "sft"])
def test_the_engine_says_what_the_slow_version_says(spun: Run, stage: str) -> None:
    run = open_run(spun.path, stage=stage)
    wish = SamplingSettings(max_tokens=12, temperature=0.9, seed=3)
    prompts = [run.tokenizer.encode(text).tolist() for text in ("The fox", "The bird said it", "q")]
    together = run.engine.generate_batch(prompts, wish)
    for row, prompt in enumerate(prompts):
        asked = replace(wish, seed=wish.seed + row)
        slow = reference_generate(run.model, run.tokenizer, prompt, asked, window=run.model.context)
        assert together[row].token_ids == slow.token_ids
        assert run.engine.generate(prompt, asked).token_ids == slow.token_ids


def test_what_is_measured_is_the_model_with_its_table(spun: Run) -> None:
    found = read_json(spun.directory.eval)
    samples = [sample["text"] for sample in found["samples"]]
    assert found["memorised"]["longest_copied_characters"] >= 30, "a table recites"
    learnt = [document.text for document in iter_documents(spun.directory.corpus, "train")]
    shown = find_copies(samples, learnt)["longest_copied_characters"]
    assert 0 < shown <= found["memorised"]["longest_copied_characters"]
    # Six steps of so little a network alone would know next to nothing.
    assert found["validation"]["bits_per_byte"] < 1.0
    assert found["model"]["table"]["order"] == ORDER
    assert "n-gram table" in spun.directory.report.read_text()


def test_a_conversation_is_answered(spun: Run) -> None:
    assert isinstance(spun.chat("Who are you?", max_tokens=8), str)


def test_it_is_not_exported(spun: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"n-gram table.*--portable"):
        spun.export_hf(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_lost_table_is_asked_for_and_comes_back(spun: Run, copied: Path) -> None:
    (copied / "prior.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"homespun pretrain {copied}"):
        open_run(copied).generate("The fox")
    pretrain_stage(copied)
    wish = {"max_tokens": 6, "seed": 1}
    told = [run.generate("The fox", **wish).token_ids for run in (spun, open_run(copied))]
    assert told[0] == told[1]
    assert sha256_file(copied / "prior.safetensors") == sha256_file(spun.path / "prior.safetensors")


def test_a_longer_context_keeps_the_table(copied: Path) -> None:
    context = open_run(copied).config.context
    run = extend_context(copied, 2 * context, steps=3, name="long")
    assert sha256_file(run.path / "prior.json") == sha256_file(copied / "prior.json")
    source = read_json(run.path / "pretrain" / "config.json")["source"]
    assert source["blocks"] == BLOCKS
    told = open_run(run.path).generate("The fox", max_tokens=3).token_ids
    assert told
    (run.path / "prior.safetensors").unlink()
    with pytest.raises(CheckpointError, match="repeat the command it was begun with"):
        open_run(run.path).generate("The fox", max_tokens=3)
    extend_context(copied, 2 * context, steps=3, name="long")
    assert open_run(run.path).generate("The fox", max_tokens=3).token_ids == told


def test_new_text_is_counted_beside_the_old(copied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "new.txt").write_text(tales(150).replace("fox", "wolf").replace("bird", "whale"))
    old, runs = read_json(copied / "prior.json"), []
    for replay in (0.5, 0.0):
        run = continue_run(copied, folder, steps=3, replay=replay, name=f"replay-{replay:g}")
        runs.append(run)
        record = read_json(run.path / "prior.json")
        assert record["tokens"] > old["tokens"]
        assert record["whole_sha256"] != old["whole_sha256"]
        change = read_json(run.path / "change.json")["texts"]
        # Before, the parent's own table was beside its model.
        assert change["old"]["before"] < change["new"]["before"] - 0.2
        assert change["new"]["after"] < change["new"]["before"] - 0.2
    sources = [read_json(run.path / "pretrain" / "config.json")["source"] for run in runs]
    assert [part["blocks"] for part in sources[0]["sources"].values()] == [BLOCKS, BLOCKS]
    assert sources[1]["blocks"] == BLOCKS
    tokens = np.asarray(counted_text(runs[0]).tokens)
    whole = TextBlocks(tokens, end_of_text_id=tokens[0], num_blocks=BLOCKS)
    rows, num_found = mixed_rows(runs[0], replay=0.5).batch(0), [0, 0]
    for row, blocks in zip(rows.targets_BT.numpy(), rows.blocks_BT.numpy(), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(tokens, len(row))
        at = np.flatnonzero((windows == row).all(1))  # none where a row goes round the end
        if len(at) == 1:
            num_found[int(at[0]) < old["tokens"]] += 1
            assert np.array_equal(blocks, whole.at(np.arange(at[0], at[0] + len(row))))
    assert min(num_found) > 0
    (runs[1].path / "prior.safetensors").unlink()
    continue_run(copied, folder, steps=3, replay=0.0, name="replay-0")
    assert open_run(runs[1].path).generate("The fox", max_tokens=3).token_ids
    chat_stage(runs[0].path, steps=1)
    assert open_run(runs[0].path).chat("Who are you?", max_tokens=3) is not None
    # A run that goes on from this one has both in its replay, and counts them.
    further = extend_context(runs[0].path, open_run(copied).config.context + 8, steps=1, name="l")
    assert read_json(further.path / "prior.json") == read_json(runs[0].path / "prior.json")
    with pytest.raises(RunError, match="another n-gram table"):
        average_run(copied, [runs[0].path])


def test_runs_beside_equal_tables_are_averaged(copied: Path) -> None:
    context = open_run(copied).config.context
    first, second = (
        extend_context(copied, 2 * context, steps=steps, name=f"long-{steps}") for steps in (1, 2)
    )
    found = average_run(first.path, [second.path], name="mean")
    assert found["average"]["bits_per_byte"] < 1.0
    assert open_run(Path(found["run"])).generate("The fox", max_tokens=3).token_ids


def test_a_grown_model_keeps_the_table(copied: Path) -> None:
    layers = open_run(copied).config.num_layers
    run = grow_run(copied, layers=layers + 2, steps=2, name="grown")
    assert open_run(run.path).config.num_layers == layers + 2
    assert sha256_file(run.path / "prior.json") == sha256_file(copied / "prior.json")
    change = read_json(run.path / "change.json")
    assert abs(change["at_start"]["same"]["difference"]) < 1e-3
    assert open_run(run.path).generate("The fox", max_tokens=3).token_ids


def test_a_larger_vocabulary_has_a_table_of_its_own_tokens(copied: Path, tmp_path: Path) -> None:
    size = open_run(copied).config.vocab_size
    chinese = tmp_path / "zh.txt"
    line = "第{}天，狐狸在银河边遇见一只鸟，问它明天会不会下雨。"
    chinese.write_text("\n\n".join(line.format(day) for day in range(90)))
    asked: dict[str, Any] = {"text": chinese, "steps": 2, "name": "wider"}
    run = extend_vocabulary(copied, size + 20, **asked)
    wider = open_run(run.path)
    assert size < wider.config.vocab_size <= size + 20
    old, new = (read_json(path / "prior.json") for path in (copied, run.path))
    same = ("order", "num_blocks", "tokens", "copy_context")  # English text has no new tokens
    assert [new[name] for name in same] == [old[name] for name in same]
    assert new["whole_sha256"] != old["whole_sha256"]  # marks have other ids
    told = wider.generate("The fox", max_tokens=3).token_ids
    assert told
    change = read_json(run.path / "change.json")
    assert abs(change["at_start"]["same"]["difference"]) < 1e-3
    (run.path / "prior.safetensors").unlink()
    extend_vocabulary(copied, size + 20, **asked)
    assert open_run(run.path).generate("The fox", max_tokens=3).token_ids == told


def test_evaluating_again_finds_the_same(copied: Path) -> None:
    before = json.loads((copied / "eval.json").read_text())
    after = evaluate_stage(copied, seconds=5.0)
    assert after["validation"]["bits_per_byte"] == before["validation"]["bits_per_byte"]


def test_training_refuses_a_damaged_table(copied: Path) -> None:
    for part in ("pretrain", "sft"):
        shutil.rmtree(copied / part)
    path = copied / "prior.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        pretrain_stage(copied)
    path.unlink()
    assert pretrain_stage(copied)["result"]["steps"] == STEPS
    assert RunDirectory(copied).record().name == "tiny"
    assert torch.isfinite(open_run(copied, stage="pretrain").model.head_weight).all()
