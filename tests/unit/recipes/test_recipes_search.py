"""Passages of files, an index on disk, vectors, and answers with their source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from homespun.core import CheckpointError, DataError, RunError
from homespun.recipes.applications.answer import Found, Question
from homespun.recipes.applications.answer.overlap import LearnedNearest
from homespun.recipes.search import (
    PassageIndex,
    answer_over,
    build_index,
    open_index,
    passages_of,
)
from homespun.recipes.search.passages import LONGEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files about three things."""
    where = tmp_path / "texts"
    where.mkdir()
    (where / "fox.txt").write_text("The fox lives in the wood. " + "It runs at night. " * 80)
    (where / "hen.md").write_text("The hen lays an egg each day. She lives in a house.")
    (where / "猫.txt").write_text("猫坐在垫子上。狗在门口睡觉。" * 40)
    return where


def test_passages_cover_a_file_and_know_their_place(folder: Path) -> None:
    passages = passages_of(folder)
    for passage in passages:
        text = (folder / passage.source).read_text("utf-8")
        assert text[passage.start : passage.start + len(passage.text)] == passage.text
        assert len(passage.text) <= LONGEST
    fox = [p for p in passages if p.source == "fox.txt"]
    assert len(fox) > 1
    assert "".join(p.text for p in fox).count("night") == 80
    assert max(len(p.text) for p in passages if p.source == "猫.txt") <= LONGEST // 2


def test_an_index_finds_by_words_in_both_languages(folder: Path, tmp_path: Path) -> None:
    build_index(folder, tmp_path / "index")
    index = open_index(tmp_path / "index")
    assert index.search("who lays eggs? the hen", 2)[0].passage.source == "hen.md"
    assert index.search("狗在哪里睡觉", 1)[0].passage.source == "猫.txt"
    assert index.search("zebra", 3) == []


def test_an_index_is_made_anew_when_files_change(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    build_index(folder, index)
    before = (index / "passages.jsonl").stat().st_mtime_ns
    build_index(folder, index)
    assert (index / "passages.jsonl").stat().st_mtime_ns == before
    (folder / "owl.txt").write_text("The owl reads at dawn.")
    assert build_index(folder, index).search("owl", 1)[0].passage.source == "owl.txt"


def test_an_index_with_vectors_finds_what_shares_no_word(folder: Path) -> None:
    passages = passages_of(folder)
    vectors_ND = np.eye(len(passages), dtype=np.float32)
    hen = next(n for n, p in enumerate(passages) if p.source == "hen.md")

    class Fixed:
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return vectors_ND[[hen] * len(texts)]

    index = PassageIndex(passages, vectors_ND, Fixed())  # type: ignore[arg-type]
    assert index.search("poultry", 1)[0].passage.source == "hen.md"


class Reader:
    """Says "an egg" where it stands, and is half sure."""

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        found = []
        for example in examples:
            start = example.passage.find("an egg")
            found.append(Found("an egg", start, 0.5) if start >= 0 else Found("", -1, 0.1))
        return found


def test_answers_cite_their_place_or_are_not_given(folder: Path) -> None:
    index = PassageIndex(passages_of(folder))
    reply = answer_over(index, Reader(), "What does the hen lay?")
    assert reply.answer == "an egg"
    assert reply.passage is not None
    text = (folder / reply.passage.source).read_text("utf-8")
    assert text[reply.start : reply.start + 6] == "an egg"
    none = answer_over(index, Reader(), "Where does the fox run?", num_passages=1)
    assert (none.answer, none.start) == ("", -1)
    assert none.passage is not None
    nothing = answer_over(index, Reader(), "zebra")
    assert (nothing.answer, nothing.passage) == ("", None)


def test_an_answer_from_elsewhere_is_not_cited(folder: Path) -> None:
    """The answer to a like question that was learned from need not stand in any passage."""
    index = PassageIndex(passages_of(folder))
    questions = ["What does the hen lay?", "Where does the fox live?", "When does the fox run?"]
    answers = ["three eggs", "in the wood", "at noon"]
    nearest = LearnedNearest(list(zip(questions, answers, strict=True)))
    none = answer_over(index, nearest, "What does the hen lay each day?")
    assert (none.answer, none.start) == ("", -1)
    there = answer_over(index, nearest, "Where does the fox live now?")
    assert there.answer == "in the wood"
    assert there.passage is not None
    text = (folder / there.passage.source).read_text("utf-8")
    assert text[there.start : there.start + len(there.answer)] == there.answer

    class Sure:
        """Surest of what stands nowhere."""

        def answer(self, examples: Sequence[Question]) -> list[Found]:
            places = [example.passage.find("It runs at night.") for example in examples]
            return [
                Found("It runs at night.", place, 0.4) if place >= 0 else Found("at dawn", -1, 0.9)
                for place in places
            ]

    reply = answer_over(index, Sure(), "the hen and the fox", num_passages=9)
    assert reply.answer == "It runs at night."


def test_wrong_folders_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no index"):
        open_index(tmp_path)
    with pytest.raises(RunError, match="not empty"):
        build_index(folder, folder)
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.json").write_text('{"title": "mine"}')
    with pytest.raises(RunError, match="holds no index"):
        build_index(folder, site)
    with pytest.raises(DataError, match="no index"):
        open_index(site)
    with pytest.raises(DataError):
        passages_of(tmp_path / "none")
    build_index(folder, tmp_path / "index")
    (tmp_path / "index" / "passages.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="not whole"):
        open_index(tmp_path / "index")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no text"):
        passages_of(tmp_path / "empty")
