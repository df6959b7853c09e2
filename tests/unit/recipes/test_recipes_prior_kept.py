"""A run's n-gram table: counted once, verified when read, and the same when it is counted again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from homespun.core import CheckpointError, RunDirectory, RunError, Silent, TextBlocks
from homespun.core.files import read_json, sha256_file, write_json
from homespun.models import DecoderConfig
from homespun.recipes.plan import RunPlan
from homespun.recipes.prior.counting import make_prior
from homespun.recipes.prior.kept import (
    attach_prior,
    counted_text,
    counting_seconds,
    ensure_prior,
    own_blocks,
    read_prior,
    record_path,
    same_table,
    table_path,
    text_blocks,
)
from homespun.tokenizer import TokenizerConfig, train_tokenizer

SHAPE = DecoderConfig(
    vocab_size=264, num_layers=1, width=8, num_heads=1, num_kv_heads=1, head_width=8,
    mlp_width=8, context=16, ngram_prior=True,
)  # fmt: skip


def plan(order: int = 3, blocks: int = 4, **model: object) -> RunPlan:
    return RunPlan(
        asked={}, size="", parameters=1, model={**SHAPE.model_dump(), **model}, rows=1,
        seconds=None, num_steps=1, expected_tokens=1, expected_epochs=1.0, speeds=[], reason="",
        compute_dtype="float32", threads=1, preset="fast", prior_order=order, prior_blocks=blocks,
    )  # fmt: skip


def write_shards(folder: Path, tokens: np.ndarray) -> None:
    folder.mkdir(parents=True)
    tokens.astype("<u2").tofile(folder / "train-000.bin")
    name = "train-000.bin"
    file = {"name": name, "tokens": len(tokens), "sha256": sha256_file(folder / name)}
    split = {"tokens": len(tokens), "documents": 1, "bytes": len(tokens), "files": [file]}
    write_json(
        folder / "index.json",
        {
            "format": 1, "dtype": "uint16", "vocab_size": 264, "tokenizer_sha256": "",
            "splits": {"train": split},
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    tokenizer = train_tokenizer(["abc"], config=TokenizerConfig(kind="byte"))
    tokenizer.save(folder)
    end = tokenizer.end_of_text_id
    text = np.random.default_rng(0).integers(97, 103, 900)
    write_shards(folder / "shards", np.concatenate([[end], text, [end]]))
    ensure_prior(RunDirectory(folder), plan(), progress=Silent())
    return folder


@pytest.fixture
def run(origin: Path, tmp_path: Path) -> RunDirectory:
    shutil.copytree(origin, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def damage(path: Path, name: str) -> None:
    """Change a number of the tensor `name` of a safetensors file."""
    with safe_open(path, "np") as file:
        wanted = file.get_tensor(name).tobytes()
    data = bytearray(path.read_bytes())
    at = data.index(wanted)
    data[at] ^= 1
    path.write_bytes(data)


def test_a_table_that_looks_at_its_context_keeps_its_odds(run: RunDirectory) -> None:
    before = ensure_prior(run, plan(), progress=Silent())
    assert before is not None
    assert before.copy_context is None
    assert read_prior(run, whole=True).copy_odds is None
    looking = plan().model_copy(update={"prior_copies": True})
    record = ensure_prior(run, looking, progress=Silent())  # another table: counted anew
    assert record is not None
    assert record.copy_context == SHAPE.context
    read = read_prior(run, whole=True)
    assert read.copy_odds is not None
    assert read.copy_odds.shape == (13,)
    tokens = np.asarray(counted_text(run).tokens)
    blocks = TextBlocks(tokens, end_of_text_id=int(tokens[0]), num_blocks=4)
    counted = make_prior(
        tokens, vocab_size=264, order=3, blocks=blocks, end_of_text_id=int(tokens[0]),
        copy_context=SHAPE.context,
    )  # fmt: skip
    ids = torch.from_numpy(tokens[:40].astype(np.int64))[None]
    assert torch.equal(read.log_probs(ids, last=40), counted.log_probs(ids, last=40))
    assert read.log_probs(ids, last=40).exp().sum(-1) == pytest.approx(1.0, abs=1e-4)
    table_path(run).unlink()  # lost, it comes out as it was
    assert ensure_prior(run, looking, progress=Silent()) == record


def test_what_is_read_is_what_was_counted(run: RunDirectory) -> None:
    tokens = np.asarray(counted_text(run).tokens)
    end = int(tokens[0])
    blocks = TextBlocks(tokens, end_of_text_id=end, num_blocks=4)
    counted = make_prior(tokens, vocab_size=264, order=3, blocks=blocks, end_of_text_id=end)
    ids = torch.from_numpy(tokens[:40].astype(np.int64))[None]
    third = torch.full_like(ids, 2)
    read = read_prior(run, whole=False)
    assert read.num_blocks == 4
    assert torch.equal(
        read.log_probs(ids, last=40, blocks_BT=third),
        counted.log_probs(ids, last=40, blocks_BT=third),
    )
    whole = read_prior(run, whole=True)
    assert (whole.order, whole.num_blocks) == (3, 0)
    assert torch.equal(whole.log_probs(ids, last=40), counted.log_probs(ids, last=40))
    record = read_json(record_path(run))
    assert record["num_ngrams"] == counted.num_ngrams
    assert record["num_bytes"] == whole.num_bytes() < read.num_bytes()
    assert record["tokens"] == 902


def test_a_table_that_is_there_is_not_counted_again(run: RunDirectory) -> None:
    before = [path.stat().st_mtime_ns for path in (table_path(run), record_path(run))]
    record = ensure_prior(run, plan(), progress=Silent())
    assert record is not None
    assert record.seconds == counting_seconds(run)
    assert [p.stat().st_mtime_ns for p in (table_path(run), record_path(run))] == before


def test_a_lost_table_comes_out_the_same_and_keeps_its_time(run: RunDirectory) -> None:
    data, said = table_path(run).read_bytes(), record_path(run).read_bytes()
    table_path(run).unlink()
    with pytest.raises(CheckpointError, match=r"prior\.safetensors is missing.*homespun pretrain"):
        read_prior(run, whole=True)
    ensure_prior(run, plan(), progress=Silent())
    assert table_path(run).read_bytes() == data
    assert record_path(run).read_bytes() == said


def test_a_lost_table_of_other_text_is_refused(run: RunDirectory) -> None:
    table_path(run).unlink()
    shard = run.shards / "train-000.bin"
    shard.write_bytes(bytes([100, 0]) + shard.read_bytes()[2:])
    with pytest.raises(CheckpointError, match="does not come out as it was"):
        ensure_prior(run, plan(), progress=Silent())
    assert not table_path(run).exists()


def test_another_plan_has_another_table(run: RunDirectory) -> None:
    ensure_prior(run, plan(order=2), progress=Silent())
    assert read_prior(run, whole=True).order == 2
    ensure_prior(run, plan(order=2, blocks=3), progress=Silent())
    assert read_prior(run, whole=False).num_blocks == 3


def test_a_table_of_a_plan_given_up_is_removed_once_another_is_carried_out(
    run: RunDirectory,
) -> None:
    assert counting_seconds(run) > 0
    ensure_prior(run, plan(order=0, ngram_prior=False), progress=Silent())
    assert not table_path(run).exists()
    assert counting_seconds(run) == 0


def test_the_table_of_a_trained_model_is_never_replaced(run: RunDirectory) -> None:
    data = table_path(run).read_bytes()
    run.stage("pretrain").mkdir(parents=True)
    write_json(run.stage("pretrain") / "config.json", {})
    end = int(counted_text(run).tokens[0])
    write_shards(run.path / "replay" / "a" / "shards", np.array([end, 97, end]))
    with pytest.raises(CheckpointError, match="a model was trained beside that table"):
        ensure_prior(run, plan(), progress=Silent())
    assert table_path(run).read_bytes() == data


def test_the_table_of_a_longer_context_is_its_parents(run: RunDirectory) -> None:
    looking = plan().model_copy(update={"prior_copies": True})
    record = ensure_prior(run, looking, progress=Silent())
    run.stage("pretrain").mkdir(parents=True)
    write_json(run.stage("pretrain") / "config.json", {})
    write_json(run.path / "parent.json", {})
    longer = plan(context=2 * SHAPE.context).model_copy(update={"prior_copies": True})
    assert ensure_prior(run, longer, progress=Silent()) == record
    table_path(run).unlink()
    assert ensure_prior(run, longer, progress=Silent()) == record
    assert read_prior(run, whole=False).order == 3


def test_damage_is_noticed_where_it_is_read(run: RunDirectory) -> None:
    damage(table_path(run), "blocks.2.mass")
    assert read_prior(run, whole=True).order == 3
    with pytest.raises(CheckpointError, match=r"is damaged.*counts it again"):
        read_prior(run, whole=False)
    damage(table_path(run), "3.mass")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_prior(run, whole=True)
    table_path(run).write_bytes(table_path(run).read_bytes()[:900])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_prior(run, whole=True)


def test_a_model_gets_a_table_where_its_shape_says_so(run: RunDirectory) -> None:
    model = attach_prior(SHAPE.empty(), run, SHAPE)
    assert model.prior is not None
    plain = SHAPE.model_copy(update={"ngram_prior": False})
    assert attach_prior(plain.empty(), run, plain).prior is None


def test_no_table_is_counted_without_an_order(run: RunDirectory, tmp_path: Path) -> None:
    bare = RunDirectory(tmp_path / "bare")
    assert ensure_prior(bare, plan(order=0, ngram_prior=False), progress=Silent()) is None
    assert counting_seconds(bare) == 0
    assert not same_table(run, bare)
    assert same_table(run, run)
    with pytest.raises(RunError, match=r"make the plan again"):
        ensure_prior(run, plan(order=0), progress=Silent())


def test_what_a_run_goes_on_from_is_counted_before_its_own_text(run: RunDirectory) -> None:
    end = int(counted_text(run).tokens[0])
    for name, value in (("b", 98), ("a", 97)):
        write_shards(run.path / "replay" / name / "shards", np.array([end, *[value] * 50, end]))
    text = counted_text(run)
    assert text.own_start == 104
    blocks = text_blocks(text, plan().prior_blocks)
    places = np.arange(902)
    own = own_blocks(run, plan())
    assert own is not None
    assert own.at(places).tolist() == blocks.at(places + 104).tolist()
    assert set(own.at(places)) == {0, 1, 2, 3}
    assert own_blocks(run, plan(order=0, ngram_prior=False)) is None
    assert np.asarray(text.tokens)[[1, 53, 104, 105]].tolist()[:3] == [97, 98, end]
