"""Shards hold what the tokenizer said, read back as one array, and damage is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homespun.core import SPLITS, ChatTokens, ConfigError, DataError, Message
from homespun.corpus import (
    build_corpus,
    iter_documents,
    open_split,
    shards,
    verify_shards,
    write_shards,
)
from homespun.corpus.token_view import TokenView


class Bytes:
    """The simplest tokenizer: a byte is its id, the end of text comes after."""

    def __init__(self, vocab_size: int = 258, shift: int = 0) -> None:
        self.vocab_size = vocab_size
        self.end_of_text_id = 256
        self.end_of_turn_id = 257
        self.start_ids = (256,)
        self._shift = shift

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.frombuffer(text.encode(), np.uint8).astype(np.uint32) + self._shift

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else b""

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        raise AssertionError("not used here")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    lines = [f"第{number}段：山高水长，number {number * 7919}." for number in range(300)]
    (root / "book.txt").write_text("\n\n".join(lines))
    build_corpus(root / "book.txt", root / "out")
    return root / "out"


def _obvious(corpus: Path, split: str) -> list[int]:
    ids = [256]
    for document in iter_documents(corpus, split):  # type: ignore[arg-type]
        ids += [*document.text.encode(), 256]
    return ids


def test_shards_hold_documents_between_end_marks(corpus: Path, tmp_path: Path) -> None:
    index = write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="abc")
    assert index.dtype == "uint16"
    assert index.tokenizer_sha256 == "abc"
    for split in SPLITS:
        ids = open_split(tmp_path, split)
        assert ids.tolist() == _obvious(corpus, split)  # type: ignore[union-attr]
        assert index.splits[split].tokens == len(ids)
        assert index.splits[split].bytes == len(ids) - index.splits[split].documents - 1
    assert verify_shards(tmp_path) == index


def test_a_mapped_split_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="")
    ids = open_split(tmp_path, "train")
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1  # type: ignore[index]


def test_large_vocabularies_take_four_bytes(corpus: Path, tmp_path: Path) -> None:
    index = write_shards(corpus, Bytes(70_000, shift=65_000), tmp_path, tokenizer_sha256="")
    assert index.dtype == "uint32"
    assert open_split(tmp_path, "train")[1] >= 65_000


def test_several_files_read_as_one(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_FILE_TOKENS", 1000)
    index = write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="")
    assert len(index.splits["train"].files) > 3
    ids = open_split(tmp_path, "train")
    assert isinstance(ids, TokenView)
    assert np.asarray(ids).tolist() == _obvious(corpus, "train")
    verify_shards(tmp_path)


def test_writing_again_leaves_no_old_file(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shards, "MAX_FILE_TOKENS", 1000)
        write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="")
    write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.json",
        "test-000.bin",
        "train-000.bin",
        "validation-000.bin",
    ]


def test_damage_is_noticed(corpus: Path, tmp_path: Path) -> None:
    write_shards(corpus, Bytes(), tmp_path, tokenizer_sha256="")
    path = tmp_path / "train-000.bin"
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    with pytest.raises(DataError, match=r"train-000\.bin is damaged.*encode the corpus again"):
        verify_shards(tmp_path)
    path.write_bytes(data[:-2])
    with pytest.raises(DataError, match="wrong length"):
        open_split(tmp_path, "train")
    path.unlink()
    with pytest.raises(DataError, match="is missing"):
        open_split(tmp_path, "train")
    (tmp_path / "index.json").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_split(tmp_path, "validation")


def test_an_id_outside_the_vocabulary_is_an_error_and_leaves_no_index(
    corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="outside its vocabulary"):
        write_shards(corpus, Bytes(258, shift=200), tmp_path, tokenizer_sha256="")
    assert not (tmp_path / "index.json").exists()


def test_an_unfinished_corpus_is_not_encoded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"card\.json is missing"):
        write_shards(tmp_path, Bytes(), tmp_path / "out", tokenizer_sha256="")


_parts = st.lists(st.lists(st.integers(0, 65535), max_size=9), min_size=1, max_size=5)


@given(_parts, st.slices(40), st.data())
def test_a_view_is_the_concatenation(
    parts: list[list[int]], key: slice, data: st.DataObject
) -> None:
    view = TokenView([np.array(part, np.uint16) for part in parts])
    whole = np.concatenate([np.array(part, np.uint16) for part in parts])
    assert len(view) == len(whole)
    assert view.shape == whole.shape
    assert view.dtype == whole.dtype
    assert view[key].tolist() == whole[key].tolist()
    assert np.asarray(view).tolist() == whole.tolist()
    if len(whole):
        places = data.draw(
            st.lists(st.integers(-len(whole), len(whole) - 1), min_size=1, max_size=6)
        )
        assert view[places[0]] == whole[places[0]]
        assert view[np.array(places)].tolist() == whole[np.array(places)].tolist()
    with pytest.raises(IndexError):
        view[len(whole)]
