"""Files of tokenizers from elsewhere that are damaged, or of another kind than they seem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from homespun.core import DataError, HomespunError
from homespun.tokenizer import ImportedTokenizer, open_tokenizer, read_tokenizer_files
from homespun.tokenizer.imported import Marks

END = "<|endoftext|>"


def gpt2_files(folder: Path, **configs: dict[str, Any]) -> Path:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {text: index for index, text in enumerate([*letters, "he", END])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\nh e\n")
    for name, value in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def whole_folder(folder: Path, **config: Any) -> Path:
    """As the run of an imported model keeps it."""
    files = read_tokenizer_files(gpt2_files(folder, config={"eos_token_id": 257}))
    ImportedTokenizer(files.document, marks=files.marks, roles=files.roles).save(folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | config))
    return folder


@pytest.mark.parametrize(
    "configs",
    [
        {},
        {"config": {"model_type": "gpt2", "eos_token_id": 257}},
        {"config": {"model_type": "gpt_neo", "eos_token_id": 257}},
        {"tokenizer_config": {"tokenizer_class": "GPT2TokenizerFast"}},
        {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"}, "config": {"model_type": "x"}},
    ],
)
def test_gpt2s_two_files_are_taken(tmp_path: Path, configs: dict[str, Any]) -> None:
    files = read_tokenizer_files(gpt2_files(tmp_path, **configs))
    assert files.marks == Marks((), 257, 257, (257,))


@pytest.mark.parametrize(
    "configs",
    [
        {"tokenizer_config": {"tokenizer_class": "Qwen2Tokenizer"}},
        {"tokenizer_config": {"tokenizer_class": "RobertaTokenizerFast"}},
        {"config": {"model_type": "qwen2"}},
    ],
)
def test_two_files_that_do_not_say_how_texts_are_cut_are_refused(
    tmp_path: Path, configs: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="do not say how its texts are cut"):
        read_tokenizer_files(gpt2_files(tmp_path, **configs))


@pytest.mark.parametrize(
    ("told", "ends"), [(257, (257,)), ([257, 3], (3, 257)), (2.5, (257,)), ("257", (257,))]
)
def test_ends_that_are_no_ids_are_passed_over(
    tmp_path: Path, told: Any, ends: tuple[int, ...]
) -> None:
    files = read_tokenizer_files(gpt2_files(tmp_path, config={"eos_token_id": told}))
    assert files.marks.ends == ends


@pytest.mark.parametrize(
    ("told", "template"),
    [
        ([{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}], "a"),
        ([{"name": "tool_use", "template": "b"}], None),
        ([{"template": "a"}, "default", {"name": "default"}], None),
    ],
)
def test_of_several_templates_the_one_by_default_is_taken(
    tmp_path: Path, told: Any, template: str | None
) -> None:
    folder = gpt2_files(tmp_path, tokenizer_config={"chat_template": told})
    assert read_tokenizer_files(folder).chat_template == template


def test_what_a_run_keeps_is_read_again(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(whole_folder(tmp_path))
    assert tokenizer.decode(tokenizer.encode("hello " + END)) == "hello " + END
    assert tokenizer.vocab_size == 258


@pytest.mark.parametrize(
    "config",
    [
        {"chat_template": ["a"]},
        *(
            {"homespun": {"start": [], "end_of_text": 257, "end_of_turn": 257, "ends": [257]} | bad}
            for bad in (
                {"start": [258]},
                {"end_of_text": 9_999},
                {"end_of_turn": -1},
                {"ends": [257, 300]},
                {"ends": None},
            )
        ),
    ],
)
def test_a_damaged_config_of_a_run_is_told(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(HomespunError):
        open_tokenizer(whole_folder(tmp_path, **config))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"model": ' + "[" * 200_000, "{"])
def test_a_tokenizer_file_that_is_no_json_is_told(tmp_path: Path, text: str) -> None:
    folder = whole_folder(tmp_path)
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match="JSON"):
        open_tokenizer(folder)
    with pytest.raises(DataError, match="JSON"):
        read_tokenizer_files(folder)


@pytest.mark.parametrize("number", [-1, 3_000_000])
def test_an_added_token_of_an_id_that_cannot_be_is_told(tmp_path: Path, number: int) -> None:
    folder = whole_folder(tmp_path)
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    document["added_tokens"][0]["id"] = number
    (folder / "tokenizer.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match="ids that cannot be"):
        read_tokenizer_files(folder)
