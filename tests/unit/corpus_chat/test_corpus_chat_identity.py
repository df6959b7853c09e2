"""The assistant's voice: what it says of itself, and how often it is told."""

from __future__ import annotations

from collections import Counter

import pytest

from homespun.core import Conversation, Message
from homespun.corpus.chat import load_identity
from homespun.corpus.chat.identity import language_of, repeat_to_share, split_identity


def test_both_languages_cover_the_same_ground() -> None:
    english = {c.category for c in load_identity(["en"])}
    chinese = {c.category for c in load_identity(["zh"])}
    assert chinese <= english
    assert len(chinese) >= 25
    for name in ("greeting", "who", "human", "browse", "date", "medical", "harmful", "unknown"):
        assert f"identity.{name}" in chinese


def test_no_question_is_asked_twice_and_answers_are_short() -> None:
    single = [c for c in load_identity() if len(c.messages) == 2]
    questions = Counter(c.messages[0].content for c in single)
    assert max(questions.values()) == 1
    for conversation in load_identity():
        for message in conversation.messages:
            assert len(message.content) <= 200
            if message.role == "assistant":
                assert message.content[-1] in ".?!。？！"


def test_it_claims_no_company_model_name_or_date() -> None:
    for conversation in load_identity():
        for message in conversation.messages:
            if message.role == "assistant":
                for never in ("OpenAI", "GPT", "Claude", "Google", "202", "Gemini", "公司"):
                    assert never not in message.content


def test_who_it_is_names_homespun_in_both_languages() -> None:
    for conversation in load_identity():
        if conversation.category == "identity.who":
            assert "Homespun" in conversation.messages[-1].content


def test_held_out_phrasings_ask_for_answers_that_were_taught() -> None:
    train, validation = split_identity(load_identity(), seed=0)
    assert len(train) + len(validation) == len(load_identity())
    assert 0.1 < len(validation) / len(load_identity()) < 0.25
    taught = {c.messages[-1].content for c in train}
    asked = {c.messages[0].content for c in train if len(c.messages) == 2}
    for conversation in validation:
        assert conversation.messages[-1].content in taught
        assert conversation.messages[0].content not in asked
    assert {language_of(c) for c in validation} == {"en", "zh"}
    assert {"Who are you?", "你是谁？", "Hello", "你好"} <= asked


@pytest.mark.parametrize("num_others", [20, 400, 5_000, 40_000])
def test_the_share_is_as_wanted(num_others: int) -> None:
    train, _ = split_identity(load_identity(), seed=0)
    added = repeat_to_share(train, num_others, wanted=0.05, seed=0)
    assert abs(len(added) / (len(added) + num_others) - 0.05) < 0.01
    counts = Counter(c.messages for c in added)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_few_are_spread_over_categories() -> None:
    train, _ = split_identity(load_identity(["en"]), seed=0)
    few = repeat_to_share(train, 190, wanted=0.05, seed=0)
    assert len(few) == 10
    assert len({c.category for c in few}) == 10


def test_nothing_to_repeat_is_nothing() -> None:
    assert repeat_to_share([], 100, wanted=0.05, seed=0) == []
    one = [Conversation((Message("user", "a"), Message("assistant", "b")), category="x")]
    assert repeat_to_share(one, 0, wanted=0.05, seed=0) == one
