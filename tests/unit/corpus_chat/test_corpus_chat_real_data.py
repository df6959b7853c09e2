"""Published chat files and real texts: they are read as they come, or refused with the reason."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.core import Conversation, DataError, Document
from homespun.corpus.chat import ReadCounts, read_conversations
from homespun.corpus.chat.texts import text_conversations

pytestmark = pytest.mark.data
DataSet = Callable[[str], Path]


def unpacked(data_set: DataSet, folder: Path, archive: str, member: str) -> Path:
    path = folder / member
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(data_set(archive)) as tar:
        file = tar.extractfile(member)  # `extract` has filters from Python 3.11.4 on alone
        assert file is not None
        path.write_bytes(file.read())
    return path


def read(path: Path, *, max_errors: int = 0) -> tuple[list[Conversation], ReadCounts]:
    counts = ReadCounts()
    return list(read_conversations(path, max_errors=max_errors, counts=counts)), counts


DEMOS = "llamafactory-demos/llamafactory-demos.tar.xz"


@pytest.mark.parametrize(
    ("member", "number", "wrong"),
    [
        ("alpaca_en_demo.json", 999, 0),
        ("alpaca_zh_demo.json", 1000, 0),
        ("identity.json", 91, 0),
        ("v1_sft_demo.jsonl", 500, 0),
    ],
)
def test_demo_files_are_read_whole(
    data_set: DataSet, tmp_path: Path, member: str, number: int, wrong: int
) -> None:
    path = unpacked(data_set, tmp_path, DEMOS, member)
    conversations, counts = read(path, max_errors=wrong)
    assert (len(conversations), counts.wrong_rows) == (number, wrong)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("glaive_toolcall_en_demo.json", "should be human, gpt or system, got 'function_call'"),
        ("c4_demo.jsonl", "none of the four forms"),
        ("dpo_en_demo.json", "should be a list of turns|no assistant turn|nothing to learn"),
        ("wiki_demo.txt", "not JSON"),
    ],
)
def test_other_kinds_of_files_are_refused_with_the_reason(
    data_set: DataSet, tmp_path: Path, member: str, expected: str
) -> None:
    path = unpacked(data_set, tmp_path, DEMOS, member)
    with pytest.raises(DataError, match=expected):
        read(path)


def test_instruction_rows_with_more_keys_are_read(data_set: DataSet) -> None:
    conversations, counts = read(
        data_set("llms-from-scratch-instruct/instruction-data-with-response.json")
    )
    assert len(conversations) == counts.forms["instruction"] > 100


def test_dialogue_files_in_other_forms_are_refused(data_set: DataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1 of .* none of the four forms"):
        read(data_set("self-instruct/data/seed_tasks.jsonl"))
    film = unpacked(data_set, tmp_path, "kdconv/kdconv.tar.xz", "film/dev.json")
    with pytest.raises(DataError, match=r'item 1 of .* "role" and "content"'):
        read(film)


def test_chinese_prose_is_quoted_without_broken_lines_or_characters(data_set: DataSet) -> None:
    text = data_set("zh-luxun/野草.txt").read_text("utf-8")
    made = text_conversations([Document("luxun", text, language="zh")], seed=0, limit=10_000)
    assert len(made) > 200
    flat = "".join(text.split())
    for conversation in made:
        answer = conversation.messages[1].content
        assert "".join(answer.split()) in flat
        assert sum(len(m.content) for m in conversation.messages) <= 300
        json.dumps(answer, ensure_ascii=False).encode("utf-8")


def test_shakespeare_is_asked_line_by_line(data_set: DataSet) -> None:
    text = data_set("tiny-shakespeare/input.txt").read_text("utf-8")[:200_000]
    made = text_conversations([Document("plays", text)], seed=0, limit=10_000)
    lines = {line.strip() for line in text.splitlines()}
    verse = [c for c in made if c.category == "text.verse"]
    assert len(verse) > 1000
    for conversation in verse:
        assert set(conversation.messages[1].content.splitlines()) <= lines
