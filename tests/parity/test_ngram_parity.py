"""The n-gram model beside NLTK's interpolated Kneser-Ney, and its ARPA files in KenLM."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from golden_texts import TEXTS, held_out

from homespun.classic.kneser_ney import KneserNeyModel


@pytest.fixture(params=sorted(TEXTS))
def text(request: pytest.FixtureRequest) -> list[list[str]]:
    return TEXTS[request.param]


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("discount", [0.1, 0.75])
def test_probabilities_are_nltks_where_it_defines_them_alike(
    text: list[list[str]], order: int, discount: float
) -> None:
    """With a whole history, `<s>` included; `KneserNeyModel` says why not nearer to the start."""
    lm = pytest.importorskip("nltk.lm", reason="nltk is not installed")
    from nltk.util import everygrams

    # One mark at either end, which is what ours has; NLTK's own padding adds more.
    marked = [["<s>", *words, "</s>"] for words in text]
    theirs = lm.KneserNeyInterpolated(order, discount=discount)
    theirs.fit(
        [list(everygrams(words, max_len=order)) for words in marked],
        [word for words in marked for word in words],
    )
    ours = KneserNeyModel(
        order=order, discounts="absolute", discount=discount, interpolate_unigrams=False
    ).fit(text)
    compared = 0
    for words in held_out(text):
        scores = ours.token_log_probs(words)
        marked_words = ["<s>", *words, "</s>"]
        for place in range(order - 1, len(marked_words)):
            history = tuple(marked_words[place - order + 1 : place])
            expected = theirs.score(marked_words[place], history)
            assert math.exp(scores[place - 1]) == pytest.approx(expected, abs=1e-6)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("discounts", ["modified", "absolute"])
@pytest.mark.parametrize("min_count", [1, 2])
def test_kenlm_reads_our_files_and_gives_the_same_answers(
    text: list[list[str]], tmp_path: Path, order: int, discounts: str, min_count: int
) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed (pip install kenlm)")
    model = KneserNeyModel(order=order, discounts=discounts, min_count=min_count).fit(text)
    path = tmp_path / "model.arpa"
    model.write_arpa(path)
    theirs = kenlm.Model(str(path))
    assert theirs.order == order
    for words in held_out(text):
        rows = list(theirs.full_scores(" ".join(words)))
        log10 = model.token_log_probs(words) / math.log(10)
        np.testing.assert_allclose([row[0] for row in rows], log10, atol=1e-4)
        unknown = [word not in model.vocabulary for word in words]
        assert [row[2] for row in rows] == [*unknown, False]
