"""Passages that an encoder reads to their ends, and what a passage's place is worth to a reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from homespun.cli import main
from homespun.core import Silent
from homespun.recipes.applications.answer import Found, Question
from homespun.recipes.applications.answer import several as several_passages
from homespun.recipes.applications.answer.several import Place, surest, thresholds_for_several
from homespun.recipes.search import Passage, PassageIndex, answer_over, build_index, passages_of
from homespun.recipes.search.passages import LONGEST
from homespun.tokenizer.byte_pieces import train_byte_pieces
from homespun.tokenizer.pieces import PieceTokenizer, train_pieces

RUNS = "狐狸在林中奔跑，母鸡每天下蛋，猫坐在垫子上，狗在门口睡觉，"
TEXTS = {
    "一句.txt": RUNS * 20 + "完。",
    "无标点.txt": RUNS.replace("，", "") * 20,
    "多句.txt": "狐狸在林中奔跑。母鸡每天下蛋！" * 30,
    "lines.txt": "The fox runs at night\n\n\nThe hen lays an egg each day.\n" * 20,
    "long.txt": "the fox runs, the hen lays an egg, and the cat sits on the mat, " * 20
    + "so it is.",
    "word.txt": "fox" * 400,
}


class Measured:
    def __init__(self, tokenizer: PieceTokenizer, longest: int) -> None:
        self.tokenizer, self.longest, self.room = tokenizer, longest, longest - 4

    def places(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [piece.offsets[1:-1] for piece in self.tokenizer.encode_batch(list(texts))]


class Said(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, text: str) -> None:
        self.sentences.append(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    where = tmp_path / "texts"
    where.mkdir()
    for name, text in TEXTS.items():
        (where / name).write_text(text, "utf-8")
    return where


@pytest.fixture(scope="module")
def bert(
    tmp_path_factory: pytest.TempPathFactory, write_bert: Callable[[Path, Sequence[str]], Path]
) -> Path:
    """It reads 64 tokens."""
    return write_bert(tmp_path_factory.mktemp("bert"), list(TEXTS.values()))


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_no_passage_is_longer_than_what_is_read(folder: Path, kind: str) -> None:
    texts = list(TEXTS.values())
    learned = train_pieces(texts, vocab_size=300)
    if kind == "bytes":
        learned = train_byte_pieces(texts, vocab_size=600)
    for longest in (16, 64, 100_000):
        measure = Measured(learned, longest)
        passages = passages_of(folder, measure=measure)
        for passage in passages:
            assert passage.text == passage.text.strip() != ""
            text = TEXTS[passage.source]
            assert text[passage.start : passage.start + len(passage.text)] == passage.text
            assert len(learned.encode(passage.text).ids) <= longest
        for name, text in TEXTS.items():
            told = "".join(passage.text for passage in passages if passage.source == name)
            assert "".join(told.split()) == "".join(text.split())
    # Where all is read, they are cut as if nothing were counted.
    assert passages == passages_of(folder)
    assert max(len(passage.text) for passage in passages) > LONGEST // 2


def test_long_sentences_are_cut_behind_clauses_and_between_words(folder: Path) -> None:
    measure = Measured(train_pieces(list(TEXTS.values()), vocab_size=300), 64)
    passages = passages_of(folder, measure=measure)
    assert all(p.text[-1] in "，。" for p in passages if p.source == "一句.txt")
    assert all(p.text[-1] in ",." for p in passages if p.source == "long.txt")
    words = set(TEXTS["long.txt"].replace(",", "").split())
    measure = Measured(measure.tokenizer, 10)  # there are less than a clause's tokens
    short = passages_of(folder / "long.txt", measure=measure)
    assert {word.strip(",") for p in short for word in p.text.split()} == words


def test_an_index_by_meaning_holds_passages_to_their_ends(
    folder: Path, tmp_path: Path, bert: Path
) -> None:
    said = Said()
    found = build_index(folder, tmp_path / "index", base=bert, progress=said)
    tokenizer = PieceTokenizer.load(bert)
    lengths = [len(tokenizer.encode(passage.text).ids) for passage in found.passages]
    assert max(lengths) <= 64
    assert json.loads((tmp_path / "index" / "index.json").read_text())["cut"] == 0
    assert not any("passages only" in line for line in said.sentences)
    # Before, most of them were longer.
    before = [len(tokenizer.encode(passage.text).ids) for passage in passages_of(folder)]
    assert max(before) > 128
    # Words alone have the passages they had.
    assert build_index(folder, tmp_path / "words").passages == passages_of(folder)


def test_what_is_left_out_all_the_same_is_counted(
    folder: Path, tmp_path: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.recipes.applications.embed.encoder import LearnedEmbedder

    monkeypatch.setattr(LearnedEmbedder, "room", 100_000)
    said = Said()
    found = build_index(folder, tmp_path / "index", base=bert, progress=said)
    tokenizer = PieceTokenizer.load(bert)
    num = sum(len(tokenizer.encode(passage.text).ids) > 64 for passage in found.passages)
    assert num > 0
    assert json.loads((tmp_path / "index" / "index.json").read_text())["cut"] == num
    (line,) = [line for line in said.sentences if "passages only" in line]
    assert line.startswith(f"of {num} of the {len(found.passages)} passages only the first 64 ")


def test_a_query_longer_than_what_is_read_is_told(
    folder: Path, tmp_path: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = build_index(folder, tmp_path / "index", base=bert)
    num = 62 // (len(PieceTokenizer.load(bert).encode("fox").ids) - 2)
    assert found.cut_to("fox " * num) is None
    assert found.cut_to("fox " * (num + 1)) == 64
    assert PassageIndex(found.passages).cut_to("fox " * 500) is None
    said = "only the first 64 tokens of the query count in the search by meaning"
    for query, wanted in (("the fox runs", 0), ("fox " * 100, 1)):
        assert main(["search", str(tmp_path / "index"), query, "--top", "1"]) == 0
        assert capsys.readouterr().err.count(said) == wanted


FACTS = {
    "en": [f"Who is it? It is number{n}, who lives in house {n % 3}." for n in range(9)],
    "zh": [f"他是谁？他是{name}，住在{name}家。" for name in "甲乙丙丁戊己庚辛壬"],
}
ASKED = {"en": "Who is it, number4 or number7?", "zh": "他是谁？是丁还是庚？"}


class Records:
    """A reader that wants to know what passages weigh; its answer is of the surest."""

    def __init__(self, scores: Sequence[float] = ()) -> None:
        self.weights: list[float] = []
        self.scores = scores

    def answer(self, examples: Sequence[Question]) -> list[Found]:
        raise AssertionError("asked one by one")

    def answer_from(
        self, question: str, passages: Sequence[str], weights: Sequence[float]
    ) -> tuple[int, Found]:
        self.weights = list(weights)
        scores = self.scores or [0.0] * len(passages)
        number = surest([Place(0, 2, score) for score in scores], weights)
        return number, Found(passages[number][:2], 0, 0.5)


def by_meaning(facts: Sequence[str]) -> PassageIndex:
    """By vectors the last passages are the nearest."""
    vectors_ND = np.zeros((len(facts), 2), np.float32)
    vectors_ND[:, 0] = np.linspace(0.1, 0.9, len(facts))
    vectors_ND[:, 1] = np.sqrt(1 - vectors_ND[:, 0] ** 2)

    class Fixed:
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return np.array([[1.0, 0.0]] * len(texts), np.float32)

    passages = [Passage(f"{n}.txt", 0, fact) for n, fact in enumerate(facts)]
    return PassageIndex(passages, vectors_ND, Fixed())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("num", [1, 3, 5, 8])
def test_a_place_weighs_the_same_by_words_by_meaning_and_where_thresholds_are_chosen(
    language: str, num: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, question = FACTS[language], ASKED[language]
    chosen_by: list[list[float]] = []

    def spied(places: Sequence[Place], weights: Sequence[float]) -> int:
        chosen_by.append(list(weights[: len(places)]))
        return surest(places, weights)

    class Looks:
        def best_places(self, questions: Sequence[Question]) -> list[Place]:
            return [Place(0, 1, 0.0) for _ in questions]

    monkeypatch.setattr(several_passages, "surest", spied)
    rows = [Question(question, facts[0])]
    thresholds_for_several(Looks(), rows, [Question("?", fact) for fact in facts])
    (wanted,) = [weights for weights in chosen_by if len(weights) == num]
    found: list[list[float]] = []
    for index in (by_meaning(facts), PassageIndex([Passage("a", 0, fact) for fact in facts])):
        reader = Records()
        answer_over(index, reader, question, num_passages=num)
        found.append(reader.weights)
    assert found[0] == found[1] == pytest.approx(wanted)
    assert wanted[0] == 1.0
    if num > 1:
        assert wanted[-1] < 0.95, "they are not those of fused ranks, which are nearly equal"


def test_a_later_passage_must_be_surer_by_meaning_too() -> None:
    index = by_meaning(FACTS["en"])
    hits = index.search(ASKED["en"], 5)
    little, much = [1.0, 0.0, 0.0, 0.0, 1.5], [-4.0, -9.0, -9.0, -9.0, 5.0]
    reply = answer_over(index, Records(little), ASKED["en"])
    assert reply.passage == hits[0].passage
    reply = answer_over(index, Records(much), ASKED["en"])
    assert reply.passage == hits[4].passage
    # By ratios of fused ranks the last one would be taken both times.
    ratios = [hit.score / hits[0].score for hit in hits]
    assert surest([Place(0, 2, score) for score in little], ratios) == 4


def test_passages_that_share_no_word_weigh_as_the_last_that_does() -> None:
    index = by_meaning(["the fox runs", "a hen", "an owl", "some cat"])
    assert index.weights("fox", 3) == [1.0, 1.0, 1.0]
    assert index.weights("zebra", 2) == [1.0, 1.0]
    first, second, third = index.weights("the fox and a hen", 3)
    assert first == 1.0 > second == third > 0
    assert index.weights("zebra", 0) == []
