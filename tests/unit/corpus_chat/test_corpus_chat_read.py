"""Users' own conversations: the four forms, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from corpus_chat_samples import write_jsonl

from homespun.core import Conversation, DataError, Message
from homespun.corpus.chat import ReadCounts, read_conversations

ONE = (Message("user", "Is tea hot?"), Message("assistant", "Yes."))


def read(tmp_path: Path, *rows: object, **options: Any) -> list[Conversation]:
    return list(read_conversations(write_jsonl(tmp_path / "chat.jsonl", rows), **options))


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                {"role": "user", "content": "Is tea hot?"},
                {"role": "assistant", "content": "Yes."},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Is tea hot?"}]},
                {"role": "assistant", "content": [{"type": "text", "value": "Yes."}]},
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "Is tea hot?"},
                {"from": "gpt", "value": "Yes."},
            ]
        },
        {"instruction": "Is tea hot?", "input": "", "output": "Yes."},
        {"instruction": "Is tea hot?", "output": "Yes."},
        {"prompt": "Is tea hot?", "answer": "Yes."},
        {"question": "Is tea hot?", "completion": "Yes."},
        {"prompt": " Is tea hot?\r\n", "response": "\nYes. "},
        {"query": "Is tea hot?", "response": "Yes.", "history": []},
        {"instruction": "Is tea hot?", "context": "", "response": "Yes.", "category": "open_qa"},
        {"instruction": "Is tea hot?", "input": " \n", "output": "Yes."},
        {"instruction": "", "input": "Is tea hot?", "output": "Yes."},
        {
            "conversations": [
                {"role": "user", "content": "Is tea hot?"},
                {"role": "assistant", "content": "Yes."},
            ]
        },
        {
            "messages": [
                {"from": "Human", "value": "Is tea hot?"},
                {"from": "Assistant", "value": "Yes."},
            ]
        },
        {
            "system": " ",
            "messages": [
                {"role": "system", "content": ""},
                {"role": "USER", "content": "Is tea hot?"},
                {"role": "assistant", "content": "Yes."},
            ],
        },
    ],
)
def test_each_form_gives_the_same_conversation(tmp_path: Path, row: object) -> None:
    assert [c.messages for c in read(tmp_path, row)] == [ONE]


def test_forms_may_change_from_row_to_row(tmp_path: Path) -> None:
    counts = ReadCounts()
    rows = [
        {"prompt": "a", "answer": "b"},
        {"instruction": "a", "output": "b"},
        {"question": "a", "response": "b"},
    ]
    assert len(read(tmp_path, *rows, counts=counts)) == 3
    assert dict(counts.forms) == {"prompt": 2, "instruction": 1}


def test_alpaca_input_stands_under_the_instruction_and_history_before_it(tmp_path: Path) -> None:
    row = {
        "instruction": "Say it shorter.",
        "input": "Tea is hot.",
        "output": "Hot tea.",
        "history": [["Hello", "Hello!"]],
        "system": "Be brief.",
    }
    (conversation,) = read(tmp_path, row)
    assert conversation.messages == (
        Message("system", "Be brief."),
        Message("user", "Hello"),
        Message("assistant", "Hello!"),
        Message("user", "Say it shorter.\n\nTea is hot."),
        Message("assistant", "Hot tea."),
    )


@pytest.mark.parametrize("keys", [("prompt", "response"), ("query", "response")])
def test_what_was_said_before_a_prompt_is_part_of_it(tmp_path: Path, keys: tuple[str, str]) -> None:
    asked, answered = keys
    row = {asked: "And coffee?", answered: "Too.", "history": [["Is tea hot?", "Yes."]]}
    (conversation,) = read(tmp_path, {**row, "system_prompt": "Be brief."})
    assert conversation.messages == (
        Message("system", "Be brief."),
        *ONE,
        Message("user", "And coffee?"),
        Message("assistant", "Too."),
    )


def test_dolly_s_context_stands_under_the_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Sum up.", "context": "Tea is hot.", "response": "Hot."}
    (conversation,) = read(tmp_path, row)
    assert conversation.messages[0].content == "Sum up.\n\nTea is hot."


@pytest.mark.parametrize(
    ("context", "question"),
    [(["Tea is hot.", " ", "Milk is not."], "Sum up.\n\nTea is hot.\n\nMilk is not.")]
    + [(value, "Sum up.") for value in ({"page": 3}, 5, [1, "Tea is hot."])],
)
def test_contexts_in_a_list_are_joined_and_others_no_reason_to_refuse(
    tmp_path: Path, context: object, question: str
) -> None:
    rows = [
        {"instruction": "Sum up.", "context": context, key: "x"} for key in ("output", "response")
    ]
    assert [c.messages[0].content for c in read(tmp_path, *rows)] == [question, question]


@pytest.mark.parametrize("key", ["question", "prompt", "query"])
def test_a_response_beside_a_question_answers_it(tmp_path: Path, key: str) -> None:
    rows: list[dict[str, object]] = [
        {"instruction": "Be brief.", key: "Is tea hot?", "response": "Yes."},
        {"instruction": "Is tea hot?", key: "a", "output": "Yes.", "response": "b"},
    ]
    assert [c.messages for c in read(tmp_path, *rows)] == [ONE, ONE]


@pytest.mark.parametrize(("asked", "answered"), [("question", "answer"), ("instruction", "output")])
def test_a_history_may_be_turns(tmp_path: Path, asked: str, answered: str) -> None:
    history = [
        {"role": "user", "content": "Is tea hot?"},
        {"role": "assistant", "content": "Yes."},
    ]
    row = {asked: "And coffee?", answered: "Too.", "history": history}
    (conversation,) = read(tmp_path, row)
    assert conversation.messages[:2] == ONE
    assert len(conversation.messages) == 4


@pytest.mark.parametrize(
    "history",
    [
        "They spoke of tea.",
        5,
        {"a": "b"},
        ["Is milk hot?"],
        [["Is milk hot?", ""]],
        [{"role": "user", "content": "Is milk hot?"}],
        [{"role": "tool", "content": "a"}],
        [{"turn": "a"}],
    ],
)
def test_another_history_refuses_no_question(tmp_path: Path, history: object) -> None:
    row = {"question": "Is tea hot?", "answer": "Yes.", "history": history}
    assert [c.messages for c in read(tmp_path, row)] == [ONE]


def test_category_and_source_are_kept(tmp_path: Path) -> None:
    row = {"prompt": "a", "answer": "b", "category": "tea", "source": "me"}
    (conversation,) = read(tmp_path, row)
    assert (conversation.category, conversation.source) == ("tea", "me")


def test_text_becomes_nfc(tmp_path: Path) -> None:
    (conversation,) = read(tmp_path, {"prompt": "cafe\u0301?", "answer": "是的"})
    assert conversation.messages[0].content == "caf\u00e9?"


def test_an_unanswered_end_is_cut_and_counted(tmp_path: Path) -> None:
    counts = ReadCounts()
    turns = [("human", "a"), ("gpt", "b"), ("human", "c")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    (conversation,) = read(tmp_path, row, counts=counts)
    assert [m.content for m in conversation.messages] == ["a", "b"]
    assert counts.cut_turns == 1


def turns(*roles: str) -> dict[str, object]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 2], "expected a JSON object, got a list"),
        (3, "expected a JSON object, got a number"),
        ({}, "none of the four forms (keys: none)"),
        ({"text": "a"}, "none of the four forms (keys: text)"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "none of the four forms"),
        ({"messages": "hello"}, '"messages" should be a list of turns, got text'),
        ({"messages": []}, "no assistant turn"),
        ({"messages": [{"message": "a"}]}, 'turn 1 should be an object with "role" and "content"'),
        (turns("user"), "no assistant turn"),
        (turns("assistant"), "turn 1 should be from the user, got assistant"),
        (turns("user", "user", "assistant"), "turn 2 should be from the assistant, got user"),
        (turns("user", "assistant", "assistant"), "turn 3 should be from the user"),
        (turns("user", "system", "assistant"), "turn 2 should be from the assistant, got system"),
        (turns("system", "system", "user", "assistant"), "turn 2 should be from the user"),
        (turns("user", "tool"), "turn 2: \"role\" should be system, user or assistant, got 'tool'"),
        (
            {"conversations": [{"from": "function_call", "value": "x"}]},
            "\"from\" should be human, gpt or system, got 'function_call'",
        ),
        ({"prompt": "", "answer": "b"}, '"prompt" is empty'),
        ({"prompt": "a", "answer": " \n"}, '"answer" is empty'),
        ({"prompt": "a", "answer": None}, '"answer" should be text, got null'),
        ({"prompt": "a", "answer": 4}, '"answer" should be text, got a number'),
        ({"prompt": "a", "answer": True}, '"answer" should be text, got true'),
        ({"instruction": "a", "output": {"b": 1}}, '"output" should be text, got an object'),
        ({"instruction": "a", "output": "b", "history": ["c"]}, '"history" item 1 should be a'),
        ({"instruction": "a", "output": "b", "history": 5}, '"history" should be a list of pairs'),
        ({"instruction": "a", "output": "b", "history": {"c": "d"}}, "got an object"),
        ({"prompt": "a", "answer": "\ud800"}, "half a character"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "turn 1 has a part that is not text, got image_url",
        ),
    ],
)
def test_a_wrong_row_names_file_line_and_what_was_expected(
    tmp_path: Path, row: object, expected: str
) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(f'{{"prompt": "a", "answer": "b"}}\n\n{json.dumps(row)}\n')
    with pytest.raises(DataError) as caught:
        list(read_conversations(path))
    assert f"line 3 of {path}" in str(caught.value)
    assert expected in str(caught.value)


def test_an_unknown_form_lists_the_four(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, {"text": "a"})
    for word in ('"messages"', '"conversations"', '"instruction"', '"prompt" or "question"'):
        assert word in str(caught.value)


def test_rows_before_the_wrong_one_have_been_given(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "answer": "b"}, {}])
    rows = read_conversations(path)
    assert next(rows).messages[0].content == "a"
    with pytest.raises(DataError):
        next(rows)


def test_as_many_wrong_rows_as_allowed_are_left_out(tmp_path: Path) -> None:
    rows = [{}, {"prompt": "a", "answer": "b"}, {"prompt": "a"}, {"prompt": "c", "answer": "d"}]
    counts = ReadCounts()
    assert len(read(tmp_path, *rows, max_errors=2, counts=counts)) == 2
    assert counts.wrong_rows == 2
    assert "line 1" in counts.first_errors[0]
    with pytest.raises(DataError, match=r"line 3 of .* after 1 others"):
        read(tmp_path, *rows, max_errors=1)


@pytest.mark.parametrize("text", ['{"prompt": "a", ', "tea is hot", "\x00", "[" * 100_000, "NaN"])
def test_what_is_not_a_json_object_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"chat\.jsonl"):
        list(read_conversations(path))


@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
def test_a_file_without_conversations_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chat.json"
    path.write_text(text)
    with pytest.raises(DataError, match="holds no conversation"):
        list(read_conversations(path))


def test_missing_files_folders_and_other_encodings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        list(read_conversations(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_conversations(tmp_path))
    path = tmp_path / "gbk.jsonl"
    path.write_bytes('{"prompt": "你好", "answer": "你好！"}'.encode("gbk"))
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_conversations(path))


LINES = '{"prompt": "你好\u2028", "answer": "你好！"}\n{"prompt": "a", "answer": "b"}'


@pytest.mark.parametrize(
    "name",
    ["chat.jsonl", "chat.jsonl.gz", "chat.jsonl.zst", "chat.json", "CHAT.JSONL.GZ", "a.jsonl.ZST"],
)
def test_lines_arrays_and_compression_give_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = LINES.encode()
    if name == "chat.json":
        data = ("\ufeff\n[" + LINES.replace("\n", ",\n") + "]").encode()
    if name.lower().endswith(".gz"):
        data = gzip.compress(data)
    if name.lower().endswith(".zst"):
        # Two frames, as `cat a.zst b.zst` leaves them.
        first, second = LINES.encode().split(b"\n")
        data = zstandard.compress(first + b"\n") + zstandard.compress(second)
    path.write_bytes(data)
    questions = [c.messages[0].content for c in read_conversations(path)]
    assert questions == ["你好", "a"]


def test_items_of_an_array_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text('[{"prompt": "a", "answer": "b"}, {}]')
    with pytest.raises(DataError, match="item 2 of"):
        list(read_conversations(path))


@pytest.mark.parametrize("name", ["chat.jsonl.gz", "chat.jsonl.zst"])
def test_damaged_archives_are_errors(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = LINES.encode() * 50
    packed = gzip.compress(data) if name.endswith("gz") else zstandard.compress(data)
    for broken in (b"not packed at all", packed[: len(packed) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="chat"):
            list(read_conversations(path))


def test_a_packed_file_that_was_cut_off_at_the_end_of_a_line_is_an_error(tmp_path: Path) -> None:
    row = b'{"prompt": "a", "answer": "b"}\n'
    packer = zstandard.ZstdCompressor().compressobj()
    begun = packer.compress(row) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    path = tmp_path / "chat.jsonl.zst"
    path.write_bytes(begun)  # whole rows, but not the end of what is packed
    with pytest.raises(DataError, match="damaged archive"):
        list(read_conversations(path))
    path.write_bytes(begun + packer.flush())
    assert len(list(read_conversations(path))) == 1
