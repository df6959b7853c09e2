"""The chat stage: files, card, splits, determinism, from each kind of material."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from corpus_chat_samples import library, read_jsonl, write_corpus, write_jsonl
from test_corpus_chat_texts import CHINESE, english_document

from homespun.core import DataError, Document
from homespun.corpus.api_entries import ENTRIES_NAME, EntryWriter
from homespun.corpus.chat import ChatConfig, build_chat, read_conversations
from homespun.corpus.chat import build as build_module


def build(out: Path, *, chat_file: Path | None = None, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "corpus_dir": out.parent / "corpus", "source": "folder", "chat_file": chat_file, "seed": 0
    }  # fmt: skip
    return build_chat(out, **{**settings, **options})


def own(tmp_path: Path, number: int, *, name: str = "mine.jsonl") -> Path:
    rows = [{"prompt": f"What is item {n}?", "answer": f"Item {n}."} for n in range(number)]
    return write_jsonl(tmp_path / name, rows)


def test_what_is_no_text_in_a_name_or_a_label_ends_nothing(tmp_path: Path) -> None:
    path = own(tmp_path, 20)
    row = {"prompt": "Is tea hot?", "answer": "Yes.", "category": "a\ud800", "source": "\udfffb"}
    named = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    named.write_text(f"{path.read_text()}{json.dumps(row)}\n")
    card = build(tmp_path / "out", chat_file=named)
    check_card(tmp_path / "out", card)
    assert card["input"]["name"] == "caf\\xe9.jsonl"
    assert "a?" in card["categories"]
    rows = read_jsonl(tmp_path / "out" / "train.jsonl")
    rows += read_jsonl(tmp_path / "out" / "validation.jsonl")
    assert {row["source"] for row in rows} == {"caf\\xe9", "?b", "identity"}


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "iter_api_entries", lambda: iter(library(40)))


def written(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def check_card(out: Path, card: dict[str, Any]) -> None:
    """The card agrees with the files beside it."""
    assert json.loads((out / "card.json").read_text("utf-8")) == card
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
        "train.jsonl",
        "validation.jsonl",
    ]
    for split in ("train", "validation"):
        rows = read_jsonl(out / f"{split}.jsonl")
        counts = card["splits"][split]
        assert counts["conversations"] == len(rows)
        assert all(row["category"] and row["source"] for row in rows)
        by_category = Counter(row["category"] for row in rows)
        assert by_category == Counter(
            {name: n[split] for name, n in card["categories"].items() if n[split]}
        )
        conversations = list(read_conversations(out / f"{split}.jsonl")) if rows else []
        assert len(conversations) == len(rows), "what is written can be read"
        characters = sum(len(m.content) for c in conversations for m in c.messages)
        assert counts["characters"] == characters
    assert [e["category"] for e in card["examples"]] == sorted(card["categories"])


def test_an_own_file_is_split_and_counted(tmp_path: Path) -> None:
    path = own(tmp_path, 200)
    card = build(tmp_path / "chat", chat_file=path)
    check_card(tmp_path / "chat", card)
    assert card["made_from"] == "file"
    assert card["categories"]["own"] == {"train": 190, "validation": 10}
    assert card["identity"]["train"] == 26  # 12% of the whole
    assert card["input"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["input"]["forms"] == {"prompt": 200}


@pytest.mark.parametrize(("number", "held_out"), [(1, 0), (9, 0), (10, 1), (30, 2), (6000, 200)])
def test_how_many_are_held_out(tmp_path: Path, number: int, held_out: int) -> None:
    card = build(tmp_path / "chat", chat_file=own(tmp_path, number))
    own_counts = card["categories"]["own"]
    assert own_counts == {"train": number - held_out, "validation": held_out}


def test_repeats_are_dropped_and_counted(tmp_path: Path) -> None:
    path = own(tmp_path, 20)
    path.write_text(path.read_text() * 2)
    card = build(tmp_path / "chat", chat_file=path)
    assert card["left_out"]["exact repeats"] == 20
    assert sum(card["categories"]["own"].values()) == 20


def test_one_question_is_never_in_both_splits(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n // 2}", "answer": f"a{n}"} for n in range(100)]
    build(tmp_path / "chat", chat_file=write_jsonl(tmp_path / "x.jsonl", rows))
    splits = []
    for split in ("train", "validation"):
        conversations = list(read_conversations(tmp_path / "chat" / f"{split}.jsonl"))
        splits.append({c.messages[0].content for c in conversations})
    assert splits[1]
    assert not splits[0] & splits[1]


def test_ways_to_write_one_question_are_never_in_both_splits(tmp_path: Path) -> None:
    forms = ("What is item {}?", "what is  item {}", "WHAT IS ITEM {} ??", "What is item {}？")
    rows = [
        {"prompt": form.format(n), "answer": f"{m}, {n}"}
        for n in range(40)
        for m, form in enumerate(forms)
    ]
    build(tmp_path / "chat", chat_file=write_jsonl(tmp_path / "x.jsonl", rows))
    splits = []
    for split in ("train", "validation"):
        conversations = list(read_conversations(tmp_path / "chat" / f"{split}.jsonl"))
        mine = [c.messages[0].content for c in conversations if c.category == "own"]
        splits.append({"".join(filter(str.isdigit, text)) for text in mine})
    assert len(splits[1]) == 2
    assert not splits[0] & splits[1]


def test_a_wrong_file_writes_nothing(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "x.jsonl", [{"prompt": "a", "answer": "b"}, {"prompt": "c"}])
    with pytest.raises(DataError, match="line 2"):
        build(tmp_path / "chat", chat_file=path)
    assert not (tmp_path / "chat").exists()
    card = build(tmp_path / "chat", chat_file=path, config=ChatConfig(max_errors=1))
    assert card["left_out"]["wrong rows"] == 1
    assert "line 2" in card["input"]["first_errors"][0]


def test_chinese_conversations_get_a_chinese_identity(tmp_path: Path) -> None:
    rows = [{"question": f"第{n}个是什么？", "answer": f"是{n}。"} for n in range(100)]
    card = build(tmp_path / "chat", chat_file=write_jsonl(tmp_path / "x.jsonl", rows))
    assert card["splits"]["train"]["chinese"] == card["splits"]["train"]["conversations"]


def test_documents_of_a_split_give_the_conversations_of_that_split(tmp_path: Path) -> None:
    train = [english_document(n) for n in range(20)]
    validation = [english_document(n) for n in range(100, 104)]
    write_corpus(tmp_path / "corpus", train, validation)
    card = build(tmp_path / "chat")
    check_card(tmp_path / "chat", card)
    assert card["made_from"] == "documents"
    for split, other in (("train", validation), ("validation", train)):
        answers = [
            c.messages[1].content
            for c in read_conversations(tmp_path / "chat" / f"{split}.jsonl")
            if c.source == "made"
        ]
        assert answers
        text = " ".join(" ".join(document.text.split()) for document in other)
        assert not any(" ".join(a.split()) in text for a in answers if len(a) > 60)


def test_a_chinese_folder_is_asked_in_chinese(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", [Document("zh", CHINESE, language="zh", source="x")], [])
    card = build(tmp_path / "chat")
    assert card["splits"]["train"]["chinese"] == card["splits"]["train"]["conversations"] > 100


def test_python_entries_kept_with_the_corpus_give_the_same_files_as_parsing(
    tmp_path: Path, python: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "parsed", source="python", corpus_dir=tmp_path / "none")
    with EntryWriter(tmp_path / "corpus" / ENTRIES_NAME) as writer:
        for entry in library(40):
            writer.add(entry)
    monkeypatch.setattr(build_module, "iter_api_entries", lambda: pytest.fail("parsed again"))
    build(tmp_path / "read", source="python")
    assert written(tmp_path / "parsed") == written(tmp_path / "read")


def test_python_is_asked_about_by_name(tmp_path: Path, python: None) -> None:
    card = build(tmp_path / "chat", source="python", corpus_dir=tmp_path / "not needed")
    check_card(tmp_path / "chat", card)
    assert card["made_from"] == "python"
    assert card["held_out_names"] > 0
    train = list(read_conversations(tmp_path / "chat" / "train.jsonl"))
    validation = list(read_conversations(tmp_path / "chat" / "validation.jsonl"))
    share = sum(c.source == "identity" for c in train) / len(train)
    assert 0.11 < share < 0.13
    made = [c for c in validation if c.source == "python"]
    given = {m.content for c in train for m in c.messages if m.role == "assistant"}
    assert made
    for conversation in made:
        for message in conversation.messages:
            assert message.role == "user" or message.content not in given


@pytest.mark.parametrize("kind", ["file", "python", "documents"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, kind: str, python: None) -> None:
    write_corpus(
        tmp_path / "corpus", [english_document(n) for n in range(5)], [english_document(9)]
    )
    options = {
        "source": "python" if kind == "python" else "folder",
        "chat_file": own(tmp_path, 50) if kind == "file" else None,
    }
    first, again, other = (tmp_path / name for name in ("a", "b", "c"))
    build(first, **options)
    build(again, **options)
    build(other, **options, seed=1)
    assert written(first) == written(again)
    assert written(first)["train.jsonl"] != written(other)["train.jsonl"]


def test_limits_are_kept(tmp_path: Path, python: None) -> None:
    config = ChatConfig(max_train=100, max_validation=7, identity_share=0)
    card = build(tmp_path / "chat", source="python", config=config)
    assert card["splits"]["train"]["conversations"] == 100
    assert card["splits"]["validation"]["conversations"] == 7
    assert not any(name.startswith("identity") for name in card["categories"])


def test_an_unfinished_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished corpus"):
        build(tmp_path / "chat")


def test_a_killed_rebuild_is_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own(tmp_path, 20)
    build(tmp_path / "chat", chat_file=path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "chat", chat_file=path)
    assert not (tmp_path / "chat" / "card.json").exists()
