"""Conversations made from documents, in English, Chinese, verse and code."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.core import Conversation, Document
from homespun.corpus.chat.sentences import _ABBREVIATION, is_chinese, split_sentences
from homespun.corpus.chat.text_phrasings import TEXT_QUESTIONS
from homespun.corpus.chat.texts import text_conversations


def english_document(number: int) -> Document:
    draw = random.Random(number)
    words = ["river", "stone", "light", "house", "garden", "winter", "music", "letter", "road"]

    def sentence() -> str:
        return " ".join(draw.choices(words, k=draw.randint(5, 14))).capitalize() + "."

    paragraphs = [" ".join(sentence() for _ in range(6)) for _ in range(5)]
    paragraphs.insert(2, f"## About the garden {number}")
    return Document(f"doc{number}", "\n\n".join(paragraphs), source="made", language="en")


CHINESE = "\n\n".join(
    f"第{n}天早上，他走出门去看河。河水很清，能看见石头。“今天冷吗？”他问。老人说：“不冷，只是有风！”"
    f"后来他们一起回家，喝了{n}杯热茶……夜里下雪了；第二天路都白了。"
    for n in range(1, 60)
)
POEM = "静夜思\n\n床前明月光，疑是地上霜。\n举头望明月，低头思故乡。"
PLAY = "\n\n".join(
    f"KING {n}:\nGood morrow, friends of the {n} lands,\nThe day is long,\nLet us begin."
    for n in range(30)
)


def make(*documents: Document, limit: int = 1000) -> list[Conversation]:
    return text_conversations(documents, seed=1, limit=limit)


def quoted(conversation: Conversation) -> str:
    return conversation.messages[0].content


def reply(conversation: Conversation) -> str:
    return conversation.messages[1].content


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_english_answers_are_whole_sentences_of_the_document() -> None:
    documents = [english_document(n) for n in range(10)]
    made = make(*documents)
    kinds = Counter(c.category for c in made)
    assert set(kinds) == {"text.continue", "text.next", "text.complete", "text.heading"}
    everything = flat("".join(document.text for document in documents))
    for conversation in made:
        assert reply(conversation).endswith(".")
        assert flat(reply(conversation)) in everything
        assert sum(len(m.content) for m in conversation.messages) <= 900
        assert conversation.source == "made"


def test_what_is_asked_stands_right_before_the_answer() -> None:
    document = english_document(0)
    text = flat(document.text)
    for conversation in make(document):
        if conversation.category in ("text.continue", "text.next"):
            place = text.index(flat(reply(conversation)))
            before = text[:place]
            assert before[-12:] in flat(quoted(conversation))


def test_chinese_is_asked_in_chinese_and_cut_at_punctuation() -> None:
    made = make(Document("zh", CHINESE, language="zh"))
    assert {"text.continue", "text.complete"} <= {c.category for c in made}
    for conversation in made:
        question, answer = quoted(conversation), reply(conversation)
        assert is_chinese(question)
        assert flat(answer) in flat(CHINESE)
        assert re.search(r"[。！？…][”]?$", answer)
        assert len(question) + len(answer) <= 300
        if conversation.category == "text.complete":
            before = flat(CHINESE)[: flat(CHINESE).index(flat(answer))]
            assert before[-1] in "，：,:"


def test_wrapped_chinese_lines_are_joined() -> None:
    wrapped = (
        "他走了很远的路才看见那条河河水很清能看见许多\n的石头，后来他又走了很远才回到家里。\n"
        "\u3000\u3000第二天他没有出门，因为下雪了，路都白了。"
    )
    answers = " ".join(reply(c) + quoted(c) for c in make(Document("w", wrapped, language="zh")))
    assert "许多\n" not in answers
    assert "许多的石头" in answers


def test_poems_ask_for_the_next_line_and_by_title() -> None:
    made = make(Document("poem", POEM, language="zh"))
    by_kind = {c.category: c for c in made}
    assert reply(by_kind["text.heading"]) == "床前明月光，疑是地上霜。"
    assert "静夜思" in quoted(by_kind["text.heading"])
    assert "text.verse" in by_kind
    assert reply(by_kind["text.verse"]) == "举头望明月，低头思故乡。"


def test_english_verse_gives_a_line_and_never_a_speaker_alone() -> None:
    made = [c for c in make(Document("play", PLAY)) if c.category == "text.verse"]
    assert made
    lines = set(PLAY.splitlines())
    for conversation in made:
        assert set(reply(conversation).splitlines()) <= lines
        assert not reply(conversation).endswith(":")


def test_lists_tables_and_fenced_code_are_left_out() -> None:
    text = "First sentence here it is. Second one follows it. Third is the last one.\n\n"
    text += "- a point. Another point.\n- more of it. And more.\n\n"
    text += "```\nprint('never. Quoted. As. Prose.')\n```\n\n| a | b |\n| c | d |\n"
    everything = "".join(quoted(c) + reply(c) for c in make(Document("d", text)))
    assert everything
    for never in ("point", "print", "|"):
        assert never not in everything


def test_code_is_continued_line_by_line_with_its_indentation() -> None:
    code = "def run(step):\n" + "".join(f"    value = step + {n}\n" for n in range(60))
    made = make(Document("m.py", code, language="code"))
    assert {c.category for c in made} == {"text.code"}
    for conversation in made:
        lines = reply(conversation).splitlines()
        assert (lines[0], lines[-1]) == ("```", "```")
        assert all(line.startswith("    value") for line in lines[1:-1])


@pytest.mark.parametrize(
    "text", ["", "word", "No end here", "One. ", "。。。", "\n\n#\n\n", "x" * 5000]
)
def test_texts_without_material_give_nothing(text: str) -> None:
    assert make(Document("d", text)) == []


def test_the_limit_keeps_an_even_sample_that_does_not_depend_on_the_rest() -> None:
    documents = [english_document(n) for n in range(60)]
    everything = make(*documents, limit=10_000)
    some = make(*documents, limit=100)
    assert len(some) == 100
    assert {c.messages for c in some} <= {c.messages for c in everything}
    assert make(*documents, limit=100) == some
    # All documents have a fair chance: no more than a tenth of the sample from any one.
    origin = Counter(
        next(d.doc_id for d in documents if flat(reply(c)) in flat(d.text)) for c in some
    )
    assert len(origin) > 30
    assert max(origin.values()) <= 10


def test_one_question_is_asked_once() -> None:
    document = english_document(1)
    twice = make(document, Document("copy", document.text, source="made", language="en"))
    questions = [quoted(c) for c in twice]
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He came. She left!", ["He came.", "She left!"]),
        ("See e.g. Dr. Doe and J. R. Roe. Go.", ["See e.g. Dr. Doe and J. R. Roe.", "Go."]),
        ("It costs 3.5 or so. (He said.) Yes", ["It costs 3.5 or so.", "(He said.)", "Yes"]),
        ("冷。明天呢？“热！”他说……好；走", ["冷。", "明天呢？", "“热！”", "他说……", "好；", "走"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text(alphabet="ab .!?\n。！？；…”中文é😀", max_size=80), st.booleans())
def test_sentences_lose_no_character(text: str, chinese: bool) -> None:
    assert flat("".join(split_sentences(text, chinese=chinese))) == flat(text)


def test_every_text_phrasing_has_its_field() -> None:
    for kind, by_language in TEXT_QUESTIONS.items():
        field = "{heading}" if kind == "heading" else "{text}"
        for phrasings in by_language.values():
            assert all(phrasing.count(field) == 1 for phrasing in phrasings)
            assert len(set(phrasings)) == len(phrasings)


def _sentences_slowly(text: str) -> list[str]:
    """English ones: for each mark that may be an end, all of the text before it is looked at."""
    flat = " ".join(text.split())
    found, start = [], 0
    for match in re.finditer(r"""[.!?]+["'”’)\]`*_]*\s+(?=["'“‘(\[`*_]*[A-Z0-9])""", flat):
        if not _ABBREVIATION.search(flat[: match.start() + 1]):
            found.append(flat[start : match.end()].strip())
            start = match.end()
    return [sentence for sentence in [*found, flat[start:].strip()] if sentence]


_PARTS = [
    "Mr",
    "xMr",
    "e.g",
    "a.m",
    "approx",
    "Figs",
    "A",
    "b",
    "No",
    " ",
    ".",
    "!?",
    "...",
    "”",
    "Z",
]


@given(st.lists(st.sampled_from(_PARTS), max_size=30).map("".join))
def test_looking_back_a_little_finds_the_same_sentences(text: str) -> None:
    assert split_sentences(text, chinese=False) == _sentences_slowly(text)


def test_a_paragraph_of_a_whole_book_is_cut_into_sentences() -> None:
    # Looking at all before each end, or at each of many dots anew, would take an hour.
    assert len(split_sentences("It rains. " * 100_000, chinese=False)) == 100_000
    assert split_sentences("." * 300_000, chinese=False) == ["." * 300_000]
