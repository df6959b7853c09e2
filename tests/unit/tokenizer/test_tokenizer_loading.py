from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homespun.core import ConfigError, DataError
from homespun.tokenizer import TokenizerConfig, load_tokenizer, train_tokenizer
from homespun.tokenizer.layout import Kind, write_token


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = ["the cat and the hat and the mat\n" * 3]
    train_tokenizer(texts, config=TokenizerConfig(vocab_size=300)).save(tmp_path)
    return tmp_path


def test_the_hash_is_that_of_the_file(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()
    assert load_tokenizer(folder).sha256 == hashlib.sha256(content).hexdigest()


def test_a_file_laid_out_otherwise_keeps_its_hash_when_saved_again(folder: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_bytes(json.dumps(json.loads(file.read_text("utf-8"))).encode() + b"\r\n")
    content = file.read_bytes()
    loaded = load_tokenizer(file)
    loaded.save(folder / "again")
    assert (folder / "again" / "tokenizer.json").read_bytes() == content
    assert loaded.sha256 == hashlib.sha256(content).hexdigest()


def test_the_template_is_the_default_where_none_is_beside_the_file(folder: Path) -> None:
    template = load_tokenizer(folder).chat_template
    (folder / "tokenizer_config.json").unlink()
    assert load_tokenizer(folder).chat_template == template


def test_nothing_else_is_left_in_the_folder(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no tokenizer in"):
        load_tokenizer(tmp_path)
    with pytest.raises(DataError, match="there is no tokenizer in"):
        load_tokenizer(tmp_path / "nowhere" / "tokenizer.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"model": 1}', b"[" * 200_000]
)
def test_a_file_that_is_something_else_is_refused(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        load_tokenizer(folder)


def _drop_a_token(document: Any) -> None:
    document["model"]["vocab"].popitem()


def _use_an_id_twice(document: Any) -> None:
    document["model"]["vocab"][next(iter(document["model"]["vocab"]))] = 5


def _swap_bytes(document: Any) -> None:
    vocab = document["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]


def _break_a_merge(document: Any) -> None:
    document["model"]["merges"][0] = ["never", "seen"]


def _drop_a_merge(document: Any) -> None:
    document["model"]["merges"].pop()


def _spoil_a_merge(document: Any) -> None:
    document["model"]["merges"][0] = ["a"]


def _name_no_byte(document: Any) -> None:
    document["model"]["vocab"]["你"] = len(document["model"]["vocab"])


def _drop_a_control_token(document: Any) -> None:
    document["added_tokens"].pop()


def _move_a_control_token(document: Any) -> None:
    document["added_tokens"][0]["id"] = 0


def _add_a_prefix(document: Any) -> None:
    document["post_processor"] = {"type": "ByteLevel"}


def _drop_the_normaliser(document: Any) -> None:
    del document["normalizer"]


def _an_id_that_is_text(document: Any) -> None:
    document["model"]["vocab"]["a"] = "97"


@pytest.mark.parametrize(
    "damage",
    [
        _drop_a_token,
        _use_an_id_twice,
        _swap_bytes,
        _break_a_merge,
        _drop_a_merge,
        _spoil_a_merge,
        _name_no_byte,
        _drop_a_control_token,
        _move_a_control_token,
        _add_a_prefix,
        _drop_the_normaliser,
        _an_id_that_is_text,
    ],
)
def test_a_damaged_file_is_refused(folder: Path, damage: Callable[[Any], None]) -> None:
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text("utf-8"))
    damage(document)
    file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match="is damaged"):
        load_tokenizer(folder)


def _rename(document: Any, text: bytes) -> None:
    vocab = document["model"]["vocab"]
    vocab[write_token(text)] = vocab.pop(write_token("é".encode()))


def _write_two_characters(document: Any) -> None:
    _rename(document, "éé".encode())


def _write_half_a_character(document: Any) -> None:
    _rename(document, "é".encode() + b"\xc3")


def _join_characters(document: Any) -> None:
    document["model"]["merges"] = [[write_token(b"\xc3"), write_token(b"\xa9")]]


def _add_a_character(document: Any) -> None:
    document["model"]["vocab"][write_token("é".encode())] = 256
    for token in document["added_tokens"]:
        token["id"] += 1


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("char", _write_two_characters),
        ("char", _write_half_a_character),
        ("char", _join_characters),
        ("byte", _add_a_character),
    ],
)
def test_what_its_kind_has_not_is_damage(
    tmp_path: Path, kind: Kind, damage: Callable[[Any], None]
) -> None:
    train_tokenizer(["é"], config=TokenizerConfig(kind=kind)).save(tmp_path)
    file = tmp_path / "tokenizer.json"
    document = json.loads(file.read_text("utf-8"))
    damage(document)
    file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match="is damaged"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"model": {"type": "WordPiece", "vocab": {}}},
        {"model": {"type": "Unigram", "vocab": []}},
    ],
)
def test_a_tokenizer_of_another_make_is_refused(folder: Path, change: dict[str, Any]) -> None:
    file = folder / "tokenizer.json"
    document = json.loads(file.read_text("utf-8")) | change
    file.write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match="is not a tokenizer made by homespun"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ("{", DataError),
        ("[]", DataError),
        ('{"chat_template": 3}', DataError),
        ('{"chat_template": "{% if %}"}', ConfigError),
    ],
)
def test_a_wrong_config_is_reported(folder: Path, config: str, error: type[Exception]) -> None:
    (folder / "tokenizer_config.json").write_text(config)
    with pytest.raises(error):
        load_tokenizer(folder)
