import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.classic.tagging import CRF, HMM, RulesTagger, Segmenter

pytestmark = pytest.mark.data
Rows = list[list[str]]


@pytest.fixture(scope="module")
def treebank(data_set: Callable[[str], Path]) -> tuple[Rows, Rows]:
    """Words and the first letter of their tags, of 2,000 sentences."""
    with zipfile.ZipFile(data_set("nltk-nc/sinica_treebank.zip")) as archive:
        lines = archive.read("sinica_treebank/parsed").decode().splitlines()
    rows = [re.findall(r":([^:()|]+):([^:()|]+)", line) for line in lines]
    rows = [row for row in rows if row][:2000]
    return [[word for _, word in row] for row in rows], [[tag[0] for tag, _ in row] for row in rows]


def test_each_tagger_is_better_than_the_simpler_one(treebank: tuple[Rows, Rows]) -> None:
    words, tags = treebank
    train, test = slice(0, 1800), slice(1800, None)
    rules, hmm, crf = (
        tagger.fit(words[train], tags[train]).score(words[test], tags[test])
        for tagger in (RulesTagger(), HMM(), CRF("mixed", max_steps=30))
    )
    assert 0.7 < rules < hmm < crf < 0.99


def test_chinese_words_are_cut(treebank: tuple[Rows, Rows]) -> None:
    words, _ = treebank
    hmm, crf = (
        Segmenter(tagger).fit(words[:1800]).scores(words[1800:]).f1
        for tagger in (HMM(), CRF("characters", spans=True, max_steps=30))
    )
    assert 0.6 < hmm < crf < 0.99
