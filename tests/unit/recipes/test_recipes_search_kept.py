"""An index that is kept: what it is made anew for, what it leaves out, and what it opens with; and
how sure a reader must be of the best of several passages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from homespun.classic.bm25 import Bm25Index
from homespun.core import CheckpointError, Silent
from homespun.corpus.sources.files import INDEX_KIND
from homespun.recipes.applications.answer import Found, Question, ReadsSeveral
from homespun.recipes.applications.answer.several import (
    Place,
    confidence_of,
    surest,
    threshold_for,
    thresholds_for_several,
)
from homespun.recipes.search import (
    PassageIndex,
    answer_over,
    build_index,
    open_index,
    passages_of,
)
from homespun.recipes.search.index import FORMAT
from homespun.recipes.serve import EngineWish
from homespun.recipes.serve.child import _seat as served_seat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "texts"
    where.mkdir()
    (where / "fox.txt").write_text("The fox lives in the wood. It runs at night.")
    (where / "hen.txt").write_text("The hen lays an egg each day. 母鸡每天下蛋。")
    return where


def made(index: Path) -> int:
    return (index / "passages.jsonl").stat().st_mtime_ns


@pytest.fixture
def bert(tmp_path: Path, write_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    return write_bert(tmp_path / "bert", ["the fox lives in the wood", "the hen lays an egg"])


def test_an_index_within_the_folder_is_no_text_of_it(folder: Path) -> None:
    index = folder / "index"
    found = build_index(folder, index)
    assert {passage.source for passage in found.passages} == {"fox.txt", "hen.txt"}
    before = made(index)
    again = build_index(folder, index)
    assert made(index) == before
    assert again.passages == found.passages
    # Nor is one that another command finds there, or that was moved into it.
    shutil.copytree(index, folder / "old")
    assert passages_of(folder) == found.passages
    assert json.loads((index / "index.json").read_text())["kind"] == INDEX_KIND
    # Of other programs a file of that name says nothing.
    (folder / "site").mkdir()
    (folder / "site" / "index.json").write_text('{"kind": "mine"}')
    (folder / "site" / "owl.txt").write_text("The owl reads at dawn.")
    assert "site/owl.txt" in {passage.source for passage in passages_of(folder)}


def test_places_in_a_long_file_are_those_of_the_file(tmp_path: Path) -> None:
    where = tmp_path / "long"
    where.mkdir()
    text = "The river was calm and wide. " * 40_000 + "The heron stood on one leg."
    assert len(text) > 1_000_000
    (where / "river.txt").write_text(text)
    (hit,) = PassageIndex(passages_of(where)).search("heron", 1)
    passage = hit.passage
    assert passage.source == "river.txt"
    assert text[passage.start : passage.start + len(passage.text)] == passage.text
    assert passage.start > 1_000_000


def test_words_are_kept_and_not_counted_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    found = build_index(folder, index)

    def never(*_: object) -> None:
        raise AssertionError("words are counted again")

    monkeypatch.setattr("homespun.classic.bm25.features", _only_of_queries(never))
    again = open_index(index)
    for query in ("who lays an egg", "母鸡", "zebra"):
        assert again.search(query, 3) == found.search(query, 3)
    monkeypatch.undo()
    # One that kept none is still opened, and made anew by the next build.
    told = json.loads((index / "index.json").read_text())
    shutil.rmtree(index / "words")
    with pytest.raises(CheckpointError, match="no whole bm25"):
        open_index(index)
    (index / "index.json").write_text(json.dumps({**told, "format": 1, "mark": "of before"}))
    assert open_index(index).search("egg", 1)[0].passage.source == "hen.txt"
    build_index(folder, index)
    assert json.loads((index / "index.json").read_text())["format"] == FORMAT
    Bm25Index(["one"]).save(index / "words")
    with pytest.raises(CheckpointError, match="not whole"):
        open_index(index)


def test_a_build_that_was_killed_is_begun_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, new = tmp_path / "index", tmp_path / "new"
    build_index(folder, index)
    (folder / "owl.txt").write_text("The owl reads at dawn.")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("homespun.recipes.search.index.json_lines", killed)
    for place in (index, new):
        with pytest.raises(KeyboardInterrupt):
            build_index(folder, place)
        with pytest.raises(CheckpointError, match="not made to its end"):
            open_index(place)
    monkeypatch.undo()
    for place in (index, new):
        assert build_index(folder, place).search("owl", 1)[0].passage.source == "owl.txt"
        assert open_index(place).search("owl", 1)[0].passage.source == "owl.txt"


def test_files_that_could_not_be_read_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    progress = Silent()
    monkeypatch.setattr(progress, "say", said.append)
    passages_of(folder, progress=progress)
    assert said == []
    for number in range(7):
        (folder / f"{number}.txt.gz").write_bytes(b"not packed at all")
    (folder / "photo.jpg").write_bytes(bytes(range(256)) * 20)
    (folder / "slides.ppt").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(range(256)) * 20)
    found = passages_of(folder, progress=progress)
    assert {passage.source for passage in found} == {"fox.txt", "hen.txt"}
    assert [line[: len("not read: 0.txt.gz")] for line in said[:5]] == [
        f"not read: {number}.txt.gz" for number in range(5)
    ]
    assert said[5:] == [
        "and 2 more not read",
        "2 files hold no text that is read here, as photo.jpg",
    ]


def _only_of_queries(never: Callable[..., None]) -> Callable[[str], object]:
    from homespun.classic.tfidf import features

    return lambda text: never() if len(text) > 20 else features(text)


def test_an_index_with_an_encoder_is_kept_and_knows_when_it_changed(
    folder: Path, tmp_path: Path, bert: Path
) -> None:
    index = tmp_path / "index"
    found = build_index(folder, index, base=bert)
    before = made(index)
    again = build_index(folder, index, base=bert)
    assert made(index) == before
    hits = found.search("egg", 2)
    assert len(hits) == 2
    assert again.search("egg", 2) == open_index(index).search("egg", 2) == hits
    # A copy of the encoder in its place is the same one.
    shutil.copytree(bert, tmp_path / "copy")
    shutil.rmtree(bert)
    shutil.copytree(tmp_path / "copy", bert)
    build_index(folder, index, base=bert)
    assert made(index) == before
    # Other weights under the same name make other vectors.
    import safetensors.torch

    path = bert / "model.safetensors"
    weights = {name: held * 1.5 for name, held in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(weights, path)
    with pytest.raises(CheckpointError, match="was changed since"):
        open_index(index)
    build_index(folder, index, base=bert)
    assert made(index) != before
    assert len(open_index(index).search("egg", 2)) == 2


def test_a_served_encoder_computes_on_the_threads_that_are_asked_for(bert: Path) -> None:
    wanted = torch.get_num_threads() + 2
    seat = served_seat(bert, EngineWish(num_threads=wanted))
    assert torch.get_num_threads() == wanted
    assert seat.notice == ""


class Looks:
    """Finds "NAME" of "Who is NAME?", or the first word where it is not there, with a score that
    hangs on the passage: 2 where the name stands, else as many as the passage has "!"."""

    threshold = 0.0

    def best_places(self, questions: Sequence[Question]) -> list[Place]:
        found = []
        for asked in questions:
            name = asked.question.split()[-1].rstrip("?")
            start = asked.passage.find(name)
            score = 2.0 if start >= 0 else asked.passage.count("!") / 4
            found.append(Place(max(0, start), max(0, start) + len(name), score))
        return found


def test_of_several_passages_the_best_must_be_surer() -> None:
    # Everyone's passage is told in the same words; those of the last have marks that mislead.
    names = [f"Ann{number}" for number in range(12)]
    known = [
        Question(f"Who is {name}?", f"Who is it? It is {name}. {'!' * (number % 6)}", (name,))
        for number, name in enumerate(names)
    ]
    nobody = [
        Question(f"Who is Bob{number}?", f"Who is it? It is {name}. {'!' * (number % 6)}")
        for number, name in enumerate(names)
    ]
    thresholds = thresholds_for_several(Looks(), [*known, *nobody], known)
    assert set(thresholds) == {1, 2, 3, 5, 8}
    # The largest score that misleads is 5/4: all but one passage hide it, eight do not.
    assert thresholds[8] == pytest.approx(1.25)
    assert thresholds[1] <= thresholds[8]
    assert thresholds_for_several(Looks(), known, known) == {}


def test_a_question_is_kept_from_passages_that_answer_it_by_another_row() -> None:
    asked = [
        Question("Who is Ann?", "It is Bob!"),
        Question("Who is Ann?", "It is Ann.", ("Ann",)),
    ] * 6
    thresholds = thresholds_for_several(Looks(), asked, asked)
    # Were "It is Ann." shown to the first, its 2 would count as a mistake.
    assert list(thresholds.values()) == pytest.approx([0.25] * 5)


def test_thresholds_are_those_of_as_many_passages_or_more() -> None:
    known = {1: 0.1, 3: 0.3, 8: 0.8}
    assert [threshold_for(known, n, usual=9.0) for n in (1, 2, 3, 4, 8, 99)] == [
        0.1, 0.3, 0.3, 0.8, 0.8, 0.8,
    ]  # fmt: skip
    assert threshold_for({}, 5, usual=9.0) == 9.0
    places = [Place(0, 1, 1.0), Place(0, 1, 2.0)]
    assert surest(places, [1.0, 1.0]) == 1
    assert surest(places, [1.0, 0.5]) == 0
    assert surest([places[0], places[0]], [1.0, 1.0]) == 0
    assert confidence_of(float("-inf")) < 1e-9


class Knows:
    """A reader that is asked for the best of several passages, and wants to be sure of it."""

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        raise AssertionError("asked one by one")

    def answer_from(
        self, question: str, passages: Sequence[str], weights: Sequence[float]
    ) -> tuple[int, Found]:
        assert weights[0] == 1.0
        assert len(passages) == len(weights)
        number = next((n for n, text in enumerate(passages) if "an egg" in text), 0)
        if len(passages) > 1 and "night" in question:
            return 0, Found("", -1, 0.5)
        return number, Found("an egg", passages[number].find("an egg"), 0.9)


def test_a_reader_of_several_passages_is_asked_once(folder: Path) -> None:
    index, reader = PassageIndex(passages_of(folder)), Knows()
    assert isinstance(reader, ReadsSeveral)
    reply = answer_over(index, reader, "What does the hen lay?")
    assert reply.passage is not None
    text = (folder / reply.passage.source).read_text("utf-8")
    assert text[reply.start : reply.start + 6] == "an egg"
    none = answer_over(index, reader, "Who runs at night in the wood with the hen?")
    assert (none.answer, none.start) == ("", -1)
    assert none.passage is not None
    assert none.passage.source == "fox.txt"
