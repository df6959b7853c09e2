"""A real model from elsewhere says, word for word, what its authors published."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stories import GREEDY, write_folder

from homespun.core import Message
from homespun.recipes import import_model, open_run
from homespun.tokenizer import ImportedTokenizer

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def folder(data_set: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stories") / "stories260k"
    write_folder(data_set("stories260k"), out)
    return out


@pytest.fixture(scope="module")
def run_dir(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "stories"
    import_model(str(folder), path)
    return path


def test_greedy_text_is_the_published_one(run_dir: Path) -> None:
    run = open_run(run_dir)
    found = run.generate("", temperature=0.0, max_tokens=257)
    assert found.text.removeprefix(" ").startswith(GREEDY.rstrip("\n"))
    assert not run.can_chat


@torch.no_grad()
def test_ids_and_scores_are_those_of_transformers(folder: Path, run_dir: Path) -> None:
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    run = open_run(run_dir)
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    ids = [*run.tokenizer.start_ids, *map(int, run.tokenizer.encode(GREEDY))]
    assert ids == theirs(GREEDY)["input_ids"]
    assert run.tokenizer.decode(ids) == GREEDY
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids_BT = torch.tensor([ids])
    # Single scores of 132,096 differ by 1.3e-5, which is float32's own rounding over 239 tokens.
    torch.testing.assert_close(
        run.model.head(run.model(ids_BT)), model(ids_BT).logits, atol=2e-5, rtol=1e-5
    )


def test_an_export_of_an_import_is_the_model_that_came_in(
    folder: Path, run_dir: Path, tmp_path: Path
) -> None:
    from homespun.models import read_hf

    run = open_run(run_dir)
    out = run.export_hf(tmp_path / "out")
    before, after = read_hf(folder), read_hf(out)
    assert before[0] == after[0]
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
    again = import_model(str(out), tmp_path / "again")
    assert again["parameters"] == 260_032
    tokenizer = open_run(tmp_path / "again").tokenizer
    assert isinstance(tokenizer, ImportedTokenizer)
    assert tokenizer.start_ids == run.tokenizer.start_ids == (1,)
    assert tokenizer.end_of_text_id == 2
    with pytest.raises(Exception, match="no chat template"):
        tokenizer.encode_chat([Message("user", "hi")])
