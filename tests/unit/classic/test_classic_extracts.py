"""Extracts: sentences and clauses, lead and TextRank, the learned judge, BM25."""

import random
from pathlib import Path

import numpy as np
import pytest

from homespun.classic.bm25 import Bm25Index, bm25_obvious
from homespun.classic.extracts import (
    ExtractRanker,
    candidates,
    central,
    clauses_of,
    lead,
    sentences_of,
    text_rank,
)
from homespun.classic.extracts.central import centrality, centrality_obvious, votes_obvious
from homespun.core import CheckpointError, ConfigError, DataError

TALE = (
    "Dr. Grey saw the fox, e.g. by night. The fox saw the hen! Did the hen see the fox? "
    '"No," said J. Brown.'
)


def test_sentences_end_at_marks_but_not_behind_abbreviations() -> None:
    assert sentences_of(TALE) == [
        "Dr. Grey saw the fox, e.g. by night.",
        "The fox saw the hen!",
        "Did the hen see the fox?",
        '"No," said J. Brown.',
    ]
    assert sentences_of("We went to the forest. The total was final. Best.") == [
        "We went to the forest.", "The total was final.", "Best.",
    ]  # fmt: skip
    assert sentences_of("See (Fig. 3) and cf. the casino.") == ["See (Fig. 3) and cf. the casino."]
    assert sentences_of("Take No. 7 of them. He said no. She left.") == [
        "Take No. 7 of them.", "He said no.", "She left.",
    ]  # fmt: skip
    assert sentences_of("他来了。她走了！为什么？") == ["他来了。", "她走了！", "为什么？"]
    assert sentences_of("好吗?很好!他说3.5元。Is it?yes") == [
        "好吗?",
        "很好!",
        "他说3.5元。",
        "Is it?yes",
    ]
    assert sentences_of("好吗?𠮷野说好。") == ["好吗?", "𠮷野说好。"]
    assert sentences_of("one\ntwo") == ["one", "two"]
    assert sentences_of("  ") == []


def test_chinese_sentences_stand_together_without_a_space() -> None:
    text = "他来了。“她走了！”天黑了。The end. 完了。"
    assert lead(text, 3) == "他来了。“她走了！”天黑了。"
    assert lead(text, 5) == "他来了。“她走了！”天黑了。The end. 完了。"
    assert lead("He said “No.” Then he left.", 2) == "He said “No.” Then he left."
    assert lead("One. Two. Three.", 2) == "One. Two."
    assert text_rank("狐狸在河边。天黑了。狐狸在河边写信。", 2) == "狐狸在河边。狐狸在河边写信。"


def test_clauses_stand_between_commas() -> None:
    assert clauses_of("本文提出了方法，给出了证明；最后做了实验。") == [
        "本文提出了方法", "给出了证明", "最后做了实验",
    ]  # fmt: skip
    found = candidates("本文提出了方法，给出了证明。效果好。")
    assert "本文提出了方法，给出了证明" in found
    assert "效果好。" in found
    assert candidates("One, two. Three.") == ["One, two.", "Three."]


def test_text_rank_is_the_power_method_on_shared_words() -> None:
    sentences = ["the fox runs fast", "the fox sees the hen", "a hen runs", "green leaves fall"]
    ranks_S = centrality(sentences)
    assert ranks_S.sum() == pytest.approx(1.0)
    assert ranks_S.argmin() == 3
    words = [set(s.split()) for s in sentences]
    votes_SS = np.array(
        [
            [
                0.0 if a == b else len(words[a] & words[b])
                / (np.log(max(2, len(words[a]))) + np.log(max(2, len(words[b]))))
                for b in range(4)
            ]
            for a in range(4)
        ]
    )  # fmt: skip
    total_S1 = votes_SS.sum(1, keepdims=True)
    shares_SS = np.where(total_S1 > 0, votes_SS / np.maximum(total_S1, 1e-9), 0.25)
    np.testing.assert_allclose(ranks_S, 0.15 / 4 + 0.85 * shares_SS.T @ ranks_S, atol=1e-6)
    assert text_rank(". ".join(sentences) + ".") != ""


def some_sentences(num: int, language: str) -> list[str]:
    """Drawn from few words, some of which are rare; a few say nothing, or what no other says."""
    draw = random.Random(num)
    words = [f"word{n}" for n in range(60)] if language == "en" else list("天地玄黄宇宙洪荒日月盈")
    joined = " " if language == "en" else ""
    drawn = [
        joined.join(words[int(len(words) * draw.random() ** 3)] for _ in range(draw.randint(1, 25)))
        for _ in range(num)
    ]
    return [*drawn, "!", "alone", drawn[0]]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("num", [2, 30, 600])
def test_fast_ranks_are_those_of_the_slow_version_to_the_last_bit(num: int, language: str) -> None:
    sentences = some_sentences(num, language)
    assert centrality(sentences).tolist() == centrality_obvious(sentences).tolist()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_many_sentences_are_ranked_by_their_votes_alone(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = some_sentences(600, language)
    slow_S = centrality_obvious(sentences)
    monkeypatch.setattr(central, "MOST_COMPARED", 600)
    monkeypatch.setattr(central, "_votes", None)  # no table is made
    ranks_S = centrality(sentences)
    total_S = votes_obvious(sentences).sum(axis=1)
    wanted_S = 0.15 / len(sentences) + 0.85 * total_S / total_S.sum()
    np.testing.assert_allclose(ranks_S, wanted_S, rtol=1e-9)
    assert ranks_S.sum() == pytest.approx(1.0)
    # They are near those that TextRank has, in order too.
    both = np.corrcoef(slow_S.argsort().argsort(), ranks_S.argsort().argsort())
    assert both[0, 1] > 0.99
    assert centrality(["!"] * 700).tolist() == pytest.approx([1 / 700] * 700)


@pytest.mark.parametrize("mark", [". ", "。"])
def test_a_long_book_is_summarised_without_a_table_of_all_pairs(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    language = "en" if mark == ". " else "zh"
    book = mark.join(some_sentences(3000, language)) + mark
    texts = ["a fox sleeps. a fox writes a letter.", "天地玄黄，宇宙洪荒。日月盈。"] * 4
    ranker = ExtractRanker().fit(texts, [(text.split(mark)[0],) for text in texts], shared)
    monkeypatch.setattr(central, "_votes", None)
    assert len(candidates(book)) > central.MOST_COMPARED
    assert ranker.best(book) in book
    assert text_rank(book) in book


def test_lead_is_the_beginning() -> None:
    assert lead(TALE, 2) == "Dr. Grey saw the fox, e.g. by night. The fox saw the hen!"
    with pytest.raises(ConfigError, match="one sentence"):
        lead(TALE, 0)


def shared(summary: str, part: str) -> float:
    one, two = set(summary.lower().split()), set(part.lower().split())
    return 2 * len(one & two) / max(1, len(one) + len(two))


def test_the_judge_learns_which_sentences_are_summaries(tmp_path: Path) -> None:
    texts = [
        f"There is much noise about case {n}. We show that case {n} works well. Others say no."
        for n in range(30)
    ]
    summaries = [(f"We show that case {n} works",) for n in range(30)]
    ranker = ExtractRanker().fit(texts[:25], summaries[:25], shared)
    assert ranker.best(texts[28]) == "We show that case 28 works well."
    ranker.save(tmp_path)
    again = ExtractRanker.load(tmp_path)
    assert [again.best(text) for text in texts] == [ranker.best(text) for text in texts]
    (tmp_path / "classic.json").write_text("{}")
    with pytest.raises(CheckpointError):
        ExtractRanker.load(tmp_path)
    with pytest.raises(ConfigError, match="fitted"):
        ExtractRanker().best("a")
    for wrong in (summaries[:29], [*summaries[:29], ()]):
        with pytest.raises(DataError, match="a summary for each"):
            ExtractRanker().fit(texts, wrong, shared)


def test_bm25_is_kept_and_damage_is_told(tmp_path: Path) -> None:
    texts = ["the cat sat", "the dog", "猫坐在垫子上", ""]
    index = Bm25Index(texts, k1=1.5)
    index.save(tmp_path)
    again = Bm25Index.load(tmp_path)
    assert len(again) == 4
    for query in ("the cat", "猫 dog", "zebra", ""):
        assert again.scores(query).tolist() == index.scores(query).tolist()
        assert again.best(query, 2) == index.best(query, 2)
    Bm25Index([]).save(tmp_path / "none")
    assert Bm25Index.load(tmp_path / "none").best("cat", 3) == []
    record = (tmp_path / "classic.json").read_text("utf-8")
    (tmp_path / "classic.json").write_text(record.replace('"texts": 4', '"texts": 1'), "utf-8")
    with pytest.raises(CheckpointError, match="no whole bm25"):
        Bm25Index.load(tmp_path)


def test_bm25_is_its_formula() -> None:
    texts = ["the cat sat on the mat", "the dog sat", "猫坐在垫子上", "cats and dogs", ""]
    index = Bm25Index(texts)
    for query in ("the cat sat", "猫", "zebra", "the the the"):
        np.testing.assert_allclose(index.scores(query), bm25_obvious(texts, query), atol=1e-12)
    assert index.best("cat mat", 3)[0] == 0
    assert index.best("猫在哪里", 2) == [2]
    assert index.best("zebra", 2) == []
    with pytest.raises(ConfigError, match="BM25"):
        Bm25Index(texts, b=2.0)
