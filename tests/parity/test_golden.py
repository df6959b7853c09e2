"""What KenLM and sentence-transformers answered once, compared where they are not installed."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_texts import CASES, ENCODER, NGRAMS, SENTENCES, TEXTS, VECTORS, held_out

from homespun.classic.kneser_ney import KneserNeyModel
from homespun.recipes.search.embedding import open_embedder

NEAR = 1e-5


def kept(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert told["package"]
    assert told["version"]
    assert told["command"] == "make golden"
    return told


def test_the_n_gram_model_says_what_kenlm_read_in_its_files() -> None:
    cases = kept(NGRAMS)["cases"]
    assert len(cases) == len(CASES)
    for case, (name, order, discounts, min_count) in zip(cases, CASES, strict=True):
        asked = (case["text"], case["order"], case["discounts"], case["min_count"])
        assert asked == (name, order, discounts, min_count)
        model = KneserNeyModel(order=order, discounts=discounts, min_count=min_count)
        model.fit(TEXTS[name])
        for words, log10 in zip(held_out(TEXTS[name]), case["log10"], strict=True):
            ours = model.token_log_probs(words) / math.log(10)
            np.testing.assert_allclose(ours, log10, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_those_of_sentence_transformers(pooling: str, tmp_path: Path) -> None:
    """Of a folder that its version 6 wrote, which says otherwise than older ones what pooling it
    has and how much is read."""
    folder = tmp_path / "encoder"
    shutil.copytree(ENCODER, folder)
    path = folder / "1_Pooling" / "config.json"
    path.write_text(path.read_text("utf-8").replace('"mean"', f'"{pooling}"'), encoding="utf-8")
    embedder = open_embedder(folder)
    theirs = kept(VECTORS)["vectors"][pooling]
    for text, vector in zip(SENTENCES, theirs, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=NEAR, rtol=0.0)
    together = embedder.embed(SENTENCES)
    np.testing.assert_allclose(together, theirs, atol=NEAR, rtol=0.0)
