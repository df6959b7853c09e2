"""Questions about Python: answers, languages, turns, and what is held out."""

from __future__ import annotations

import string
from collections import Counter

import pytest
from corpus_chat_samples import function, library

from homespun.core import Conversation
from homespun.corpus.chat.python import python_conversations
from homespun.corpus.chat.python.answers import MAX_ANSWER, Subject, answer, parameter, shown_name
from homespun.corpus.chat.python.docstrings import parse_docstring
from homespun.corpus.chat.python.held_out import HeldOut
from homespun.corpus.chat.python.phrasings import FOLLOW_UPS, QUESTIONS
from homespun.corpus.chat.sentences import has_chinese
from homespun.corpus.sources.python_docs import ApiEntry, iter_api_entries


def subject(entry: ApiEntry) -> Subject:
    names = [name for name, _, _ in entry.parameters]
    return Subject(entry, parse_docstring(entry.docstring, names), shown_name(entry))


FIND = subject(library(1)[1])


@pytest.mark.parametrize(
    ("kind", "english", "chinese"),
    [
        (
            "describe",
            "`lib0.amber.find_kettle` returns the amber kettle that is nearest to the given place.",
            "`lib0.amber.find_kettle` 是一个函数。文档的说明是："
            "Return the amber kettle that is nearest to the given place.",
        ),
        (
            "args",
            "`lib0.amber.find_kettle` takes two arguments:\n- `place`: where to look for the "
            "kettle.\n- `limit` (default `10`): the largest distance in steps.",
            "`lib0.amber.find_kettle` 有 2 个参数：`place`、`limit`（默认值 `10`）。",
        ),
        (
            "returns",
            "`lib0.amber.find_kettle` returns the amber kettle, or None.",
            "`lib0.amber.find_kettle` 的返回值：the amber kettle, or None.",
        ),
        (
            "raises",
            "`lib0.amber.find_kettle` raises `ValueError` if there is no such kettle.",
            "`lib0.amber.find_kettle` 可能引发 `ValueError`（if there is no such kettle）。",
        ),
        (
            "signature",
            "The signature of `lib0.amber.find_kettle` is `find_kettle(place, limit=10)`.",
            "`lib0.amber.find_kettle` 的签名是 `find_kettle(place, limit=10)`。",
        ),
        (
            "import",
            "`lib0.amber.find_kettle` is a function of the module `lib0.amber`. "
            "Import it with `from lib0.amber import find_kettle`.",
            "`lib0.amber.find_kettle` 是模块 `lib0.amber` 的函数，"
            "用 `from lib0.amber import find_kettle` 导入。",
        ),
        (
            "example",
            "Here is `lib0.amber.find_kettle` in use:\n```python\n>>> find_kettle(3)\n"
            "'amber kettle'\n```",
            "`lib0.amber.find_kettle` 的例子：\n```python\n>>> find_kettle(3)\n'amber kettle'\n```",
        ),
        (
            "find",
            "That is `lib0.amber.find_kettle`, a function of the module `lib0.amber`.",
            "是 `lib0.amber.find_kettle`，它是模块 `lib0.amber` 的函数。",
        ),
    ],
)
def test_answers_say_what_the_docstring_says(kind: str, english: str, chinese: str) -> None:
    assert answer(kind, FIND, "en") == english
    assert answer(kind, FIND, "zh") == chinese


def test_an_argument_is_explained_with_its_default() -> None:
    assert parameter(FIND, "en", "limit") == (
        "`limit` is an argument of `lib0.amber.find_kettle`: the largest distance in steps. "
        "Its default is `10`."
    )
    assert parameter(FIND, "en", "unknown") == ""


def test_what_is_not_documented_is_not_answered() -> None:
    bare = subject(function("m.f", "See the other one."))
    kinds = ("describe", "returns", "raises", "example")
    assert [answer(kind, bare, "en") for kind in kinds] == ["", "", "", ""]
    # A signature that is not known, and one that still has `self`.
    unknown = ApiEntry("m", "m.g", "function", "g", "Do it now.", (), None, "m")
    assert (
        answer("args", subject(unknown), "en") == answer("signature", subject(unknown), "en") == ""
    )
    bound = subject(function("m.h", "Do it now.", parameters=[("self", None, None)]))
    assert answer("args", bound, "en") == ""


def test_a_function_is_not_said_to_be_what_it_gives() -> None:
    connection = subject(function("m.connect", "A connection to the store."))
    assert answer("describe", connection, "en") == (
        "`m.connect` is a function. Its documentation says: A connection to the store."
    )
    wrapper = subject(function("m.wrap", "A thin wrapper around the store."))
    assert answer("describe", wrapper, "en") == "`m.wrap` is a thin wrapper around the store."


def test_built_ins_need_no_import() -> None:
    built_in = subject(function("builtins.abs", "Return the absolute value of the argument."))
    assert answer("import", built_in, "en") == (
        "`abs` is built into Python, so no import is needed."
    )
    assert answer("describe", built_in, "en") == "`abs` returns the absolute value of the argument."


def test_methods_are_imported_by_their_class() -> None:
    method = subject(function("m.Box.open", "Open the box.", kind="method"))
    assert answer("import", method, "en") == (
        "`open` is a method of the class `m.Box`. Import the class with `from m import Box`."
    )


def test_every_phrasing_has_its_fields_and_there_are_enough() -> None:
    fields = {"parameter": {"name", "parameter"}, "list": {"name", "things"}}
    find = {"en": {"thing", "predicate"}, "zh": {"thing", "summary"}}
    for kind, by_language in QUESTIONS.items():
        for language, phrasings in by_language.items():
            assert len(set(phrasings)) == len(phrasings) >= 6, kind
            expected = find[language] if kind == "find" else fields.get(kind, {"name"})
            for phrasing in phrasings:
                found = {field for _, field, _, _ in string.Formatter().parse(phrasing) if field}
                assert found == expected, phrasing
                assert has_chinese(phrasing) == (language == "zh"), phrasing
    for kind, by_language in FOLLOW_UPS.items():
        for phrasings in by_language.values():
            assert len(set(phrasings)) == len(phrasings) >= 4, kind
            assert not any("{" in phrasing for phrasing in phrasings)


@pytest.fixture(scope="module")
def chat() -> tuple[list[Conversation], list[Conversation], HeldOut]:
    entries = library(100)
    made = python_conversations(entries, seed=3)
    return made.train, made.validation, HeldOut(entries, seed=3)


def texts(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


def test_held_out_names_are_a_small_share_and_in_validation_only(
    chat: tuple[list[Conversation], list[Conversation], HeldOut],
) -> None:
    train, validation, held_out = chat
    assert 0.02 < len(held_out.names) / 1300 < 0.09
    assert validation
    everything = "\n".join(text for c in train for text in texts(c))
    for name in held_out.names:
        assert f"`{name}`" not in everything
        assert f" {name} " not in everything
    for conversation in validation:
        assert held_out.mentioned_in(texts(conversation)), texts(conversation)


def test_a_training_list_of_a_module_leaves_held_out_functions_out(
    chat: tuple[list[Conversation], list[Conversation], HeldOut],
) -> None:
    train, _, held_out = chat
    lists = [c for c in train if c.category == "python.list"]
    assert lists
    for conversation in lists:
        question, listed = texts(conversation)
        module = next(m for m in (f"lib{n}." for n in range(99, -1, -1)) if m in question)
        hidden = [n.rpartition(".")[2] for n in held_out.names if n.startswith(module)]
        assert not any(f"`{name}`" in listed for name in hidden)


def test_a_class_is_held_out_with_its_methods() -> None:
    entries = library(200)
    held_out = HeldOut(entries, seed=1)
    boxes = [n for n in held_out.names if n.endswith("Box")]
    assert boxes
    for box in boxes:
        assert f"{box}.open" in held_out.names
        assert held_out.mentioned_in([f"What does {box}.open do?"])


def test_another_name_with_the_same_docstring_is_not_taught() -> None:
    entries = library(60)
    held_out = HeldOut(entries, seed=0)
    name = next(n for n in sorted(held_out.names) if "find_" in n)
    docstring = next(e.docstring for e in entries if e.qualified_name == name)
    copy = function("other.alias", docstring)
    assert HeldOut([*entries, copy], seed=0).copies == {"other.alias"}
    made = python_conversations([*entries, copy], seed=0)
    assert not any("other.alias" in text for c in made.train for text in texts(c))


def test_mentions_are_found_at_name_boundaries_only() -> None:
    held_out = HeldOut([], seed=0)
    held_out._units = {"os.path.join"}
    assert held_out.mentioned_in(["use os.path.join."])
    assert held_out.mentioned_in(["`os.path.join.x`"])
    assert not held_out.mentioned_in(["os.path.joined", "my.os.path.join", "os.path", "join"])


def test_answers_are_bounded_and_end(
    chat: tuple[list[Conversation], list[Conversation], HeldOut],
) -> None:
    for conversation in [*chat[0], *chat[1]]:
        roles = [message.role for message in conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        for message in conversation.messages:
            if message.role == "assistant":
                assert 20 <= len(message.content) <= MAX_ANSWER
                assert message.content.endswith((".", "。", "```", "`。")), message.content


def test_all_kinds_both_languages_and_several_turns_appear(
    chat: tuple[list[Conversation], list[Conversation], HeldOut],
) -> None:
    kinds = Counter(c.category for c in chat[0])
    assert set(kinds) >= {f"python.{kind}" for kind in ("describe", "args", "find", "module")}
    chinese = sum(has_chinese(c.messages[0].content) for c in chat[0]) / len(chat[0])
    assert 0.1 < chinese < 0.3
    for conversation in chat[0]:
        languages = {has_chinese(text) for text in texts(conversation)}
        assert len(languages) == 1, "question and answer are in one language"
        if conversation.category == "python.turns":
            assert len(conversation.messages) in (4, 6)
            answers = texts(conversation)[1::2]
            assert len(set(answers)) == len(answers)


def test_the_seed_decides_everything_and_more_names_change_little() -> None:
    entries = library(20)
    first = python_conversations(entries, seed=5)
    assert python_conversations(list(entries), seed=5).train == first.train
    assert python_conversations(entries, seed=6).train != first.train
    more = {c.messages for c in python_conversations([*entries, *library(21)[-13:]], seed=5).train}
    assert sum(c.messages in more for c in first.train) > 0.95 * len(first.train)


@pytest.mark.slow
def test_the_documentation_on_this_machine_gives_enough_and_leaks_nothing() -> None:
    entries = list(iter_api_entries())
    made = python_conversations(entries, seed=0)
    assert 15_000 <= len(made.train) <= 60_000
    held_out = HeldOut(entries, seed=0)
    given = {text for c in made.train for text in texts(c)[1::2]}
    for conversation in made.train:
        assert not held_out.mentioned_in(texts(conversation))
    for conversation in made.validation:
        assert not given.intersection(texts(conversation)[1::2])
