"""Folders that lie about what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from homespun.core import DataError
from homespun.models.interchange.shards import read_header, read_weights, shard_files


def header(path: Path, entries: dict[str, Any], room: int = 16) -> Path:
    data = json.dumps(entries).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data + bytes(room))
    return path


def entry(shape: list[Any], begin: Any, end: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_true_header_gives_the_shapes(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert read_header(tmp_path / "model.safetensors") == {"a": (2, 3), "b": (5,)}
    assert set(read_weights(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"a": entry([2**40, 2**40], 0, 16)}, "does not fit"),
        ({"a": entry([4], 0, 2**63)}, "does not fit"),
        ({"a": entry([4], 8, 24)}, "does not fit"),
        ({"a": entry([-4], 0, 16)}, "cannot be"),
        ({"a": entry([4.0], 0, 16)}, "cannot be"),
        ({"a": entry([True], 0, 16)}, "cannot be"),
        ({"a": entry([4], 0, 16, "F8_E4M3")}, "kind that is not read"),
        ({"a": {"dtype": "F32"}}, "expected form"),
        ({"a": 3}, "expected form"),
        ({"a": entry([2], 0, 8)}, "do not fill"),
        ({"a": entry([4], 0, 16), "b": entry([4], 0, 16)}, "do not fill"),
    ],
)
def test_a_header_that_is_not_true_is_refused(
    entries: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told):
        read_header(header(tmp_path / "model.safetensors", entries))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "header of 0 bytes"),
        (b"\xff" * 8 + b"{}", "claims a header"),
        ((2**40).to_bytes(8, "little") + b"{}", "header of 1,099,511,627,776 bytes"),
        ((2).to_bytes(8, "little") + b"[]", "not an object"),
        ((4).to_bytes(8, "little") + b"\xff\xff{}", "not JSON"),
        ((10**5).to_bytes(8, "little") + b"[" * 10**5, "not JSON"),
    ],
)
def test_a_file_that_is_none_is_refused(data: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(DataError, match=told):
        read_header(path)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/b.safetensors",
        "a\\b.safetensors",
        "C:b.safetensors",
        ".model.safetensors",
        "model.bin",
        "",
        3,
        None,
    ],
)
def test_an_index_names_files_of_its_own_folder_only(name: object, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(DataError, match="in its own folder"):
        shard_files(tmp_path)


@pytest.mark.parametrize("value", [[], {}, {"weight_map": []}, {"weight_map": {}}])
def test_an_index_without_names_is_refused(value: object, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="has no weight_map"):
        shard_files(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused_unopened(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/evil'\ntR.")
    with pytest.raises(DataError, match="pickle, which can run any code"):
        shard_files(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.safetensors is missing"):
        shard_files(tmp_path)


def test_a_whole_file_counts_and_an_index_that_an_older_save_left_does_not(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert shard_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert set(read_weights(tmp_path)) == {"a"}
