"""Counting what a tagger finds in a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from homespun.core import DataError, Tagged, Tagger
from homespun.core.files import read_json
from homespun.corpus import build_corpus, tag_corpus, tagging
from homespun.corpus.tagging import LONGEST, sentences_in


class Capitals:
    """Words with a capital letter are names; all others are words."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def tagged(self, texts: Sequence[str]) -> list[list[Tagged]]:
        self.read += texts
        return [
            [Tagged(word, "name" if word[0].isupper() else "word") for word in text.split()]
            for text in texts
        ]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(30):
        lines = [f"stone {number} of Ann lies by {k} rivers and Bob saw it" for k in range(20)]
        (texts / f"{number}.txt").write_text("\n".join(lines))
    build_corpus(texts, tmp_path / "corpus")
    return tmp_path / "corpus"


def test_kinds_are_counted_and_kept_beside_the_card(corpus: Path) -> None:
    tagger = Capitals()
    assert isinstance(tagger, Tagger)
    told = tag_corpus(corpus, tagger, named="capitals")
    assert told == read_json(corpus / "tags.json")
    lines = len(tagger.read)
    assert told["read"] == {"sentences": lines, "characters": sum(map(len, tagger.read))}
    assert list(told["kinds"]) == ["word", "name"]  # the more there are, the earlier
    names = told["kinds"]["name"]
    assert (names["num"], names["different"]) == (2 * lines, 2)
    assert names["common"] == [["Ann", lines], ["Bob", lines]]
    assert tag_corpus(corpus, Capitals(), named="capitals") == told


def test_of_a_corpus_that_is_built_anew_nothing_is_told_yet(corpus: Path, tmp_path: Path) -> None:
    tag_corpus(corpus, Capitals(), named="capitals")
    build_corpus(tmp_path / "texts", corpus)
    assert not (corpus / "tags.json").exists()


def test_no_more_is_read_than_asked_for(corpus: Path) -> None:
    tagger = Capitals()
    told = tag_corpus(corpus, tagger, named="capitals", most_characters=500)
    assert 400 < told["read"]["characters"] <= 500


def test_of_very_many_texts_the_common_ones_are_kept(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "_MOST_KEPT", 12)
    monkeypatch.setattr(tagging, "_AT_ONCE", 8)
    told = tag_corpus(corpus, Capitals(), named="capitals")
    words = told["kinds"]["word"]
    assert words["different"] <= 12
    assert {"stone", "of", "lies"} <= {text for text, _ in words["common"]}
    assert words["num"] > 10 * words["different"]


def test_sentences_of_both_languages_and_long_ones_parted() -> None:
    assert list(sentences_in("One is here. Two is there.\n\n天下大勢。分久必合！")) == [
        "One is here.",
        "Two is there.",
        "天下大勢。",
        "分久必合！",
    ]
    words = "word " * 100
    parts = list(sentences_in(words))
    assert all(len(part) <= LONGEST for part in parts)
    assert " ".join(parts).split() == words.split()
    assert "".join(sentences_in("字" * 450)) == "字" * 450


def test_without_a_corpus_one_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="build the corpus first"):
        tag_corpus(tmp_path, Capitals(), named="x")
