"""Shared fixtures: where the real data sets are, and a calm torch."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

_CHECKOUT = Path(__file__).resolve().parents[1]


def _data_root() -> Path:
    return Path(os.environ.get("HOMESPUN_DATA", _CHECKOUT.parent / "shared" / "data"))


_MANY_MODULES = 200


@pytest.fixture(scope="session")
def _kept() -> list[int]:
    """How many modules were loaded when what was there was last kept."""
    return [0]


@pytest.fixture(autouse=True)
def _what_is_loaded_stays(_kept: list[int]) -> None:
    """Until the end, so that Python need not look through it again and again for what nobody holds
    any more, nor does the code that asks it to: all tests to begin with, and what they load."""
    if len(sys.modules) - _kept[0] > _MANY_MODULES:
        gc.collect()
        gc.freeze()
        _kept[0] = len(sys.modules)


@pytest.fixture(scope="session")
def _threads() -> int:
    return torch.get_num_threads()


@pytest.fixture(autouse=True)
def _as_many_threads_as_before(_threads: int) -> Iterator[None]:
    """What a test leaves behind must not decide about the bits of the next one's results: sums
    depend on the number of threads."""
    torch.set_num_threads(_threads)
    yield
    torch.set_num_threads(_threads)


@pytest.fixture(scope="session")
def write_bert() -> Callable[[Path, Sequence[str]], Path]:
    """Writes a BERT of two narrow layers with random weights, and a tokenizer of some texts."""

    def write(folder: Path, texts: Sequence[str]) -> Path:
        transformers = pytest.importorskip("transformers")
        from homespun.tokenizer.pieces import train_pieces

        tokenizer = train_pieces(texts, vocab_size=300, lowercase=True)
        tokenizer.save(folder)
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
        )
        transformers.BertModel(config).save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def data_set() -> Callable[[str], Path]:
    """Return the path of a file or folder under $HOMESPUN_DATA.

    Where the data sets are absent the test is skipped with the reason; in CI, which relies on
    them, it fails.
    """

    def locate(name: str) -> Path:
        path = _data_root() / name
        if not path.exists():
            message = f"the data set {name} is not under $HOMESPUN_DATA ({_data_root()})"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return locate
