"""A corpus is built whole, deterministically, without leaks between splits, or not at all."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.core import SPLITS, ConfigError, DataError, Document, parse_config
from homespun.corpus import build, build_corpus, inspect_corpus, iter_documents, read_card
from homespun.corpus.api_entries import ENTRIES_NAME, read_api_entries
from homespun.corpus.clean import normal_form, paragraphs, width
from homespun.corpus.config import CorpusConfig

WORDS = (
    *("the", "a", "of", "river", "stone", "house", "light"),
    *("winter", "garden", "walked", "slowly", "toward", "bright", "morning"),
)


def prose(num_paragraphs: int, seed: int = 0) -> str:
    choose = random.Random(seed)
    return "\n\n".join(
        " ".join(choose.choice(WORDS) for _ in range(30)).capitalize() + "."
        for _ in range(num_paragraphs)
    )


def folder_of_texts(root: Path, num_files: int = 30) -> Path:
    folder = root / "texts"
    folder.mkdir()
    for number in range(num_files):
        (folder / f"{number:02d}.txt").write_text(prose(8, seed=number))
    return folder


def all_documents(out: Path) -> dict[str, list[Document]]:
    return {split: list(iter_documents(out, split)) for split in SPLITS}


def test_of_a_document_sixteen_bytes_stay_in_memory() -> None:
    kept = build._Kept()
    kept.keys.append(2**64 - 1)
    kept.sizes.append(1)
    assert kept.keys.itemsize + kept.sizes.itemsize == 16


def test_a_folder_gives_three_splits_and_a_card_that_adds_up(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    card = build_corpus(source, tmp_path / "out")
    assert card == json.loads((tmp_path / "out" / "card.json").read_text())
    documents = all_documents(tmp_path / "out")
    assert all(documents.values())
    for split, found in documents.items():
        assert card["splits"][split]["documents"] == len(found)
        assert card["splits"][split]["bytes"] == sum(len(d.text.encode()) for d in found)
        assert card["splits"][split]["characters"] == sum(len(d.text) for d in found)
    assert card["read"]["files"] == 30
    assert card["languages"].keys() == {"en"}
    assert card["encodings"] == {"utf-8": 30}
    assert card["dropped"] == {}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "card.json",
        "test.jsonl.zst",
        "train.jsonl.zst",
        "validation.jsonl.zst",
    ]


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    for name in ("one", "two"):
        build_corpus(source, tmp_path / name)
    for split in SPLITS:
        first = (tmp_path / "one" / f"{split}.jsonl.zst").read_bytes()
        assert first == (tmp_path / "two" / f"{split}.jsonl.zst").read_bytes()


def test_a_half_made_corpus_is_not_readable_and_is_made_anew(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    out = tmp_path / "out"
    build_corpus(source, out)
    (out / "card.json").unlink()
    (out / "dropped").mkdir()
    (out / "dropped" / "old.jsonl.zst").write_bytes(b"")
    with pytest.raises(DataError, match="no finished corpus"):
        next(iter_documents(out, "train"))
    build_corpus(source, out)
    assert next(iter_documents(out, "train")).text
    assert not (out / "dropped").exists()


def test_a_failed_build_leaves_no_card(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    out = tmp_path / "out"
    build_corpus(source, out)

    def fail(text: str) -> str:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        build_corpus(source, out, redact=fail)
    assert not (out / "card.json").exists()
    assert not list(out.glob(".pending*"))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(0, 25), min_size=1, max_size=6), min_size=3, max_size=25))
def test_no_text_and_no_long_paragraph_stands_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, choices: list[list[int]]
) -> None:
    pool = [prose(1, seed=number) for number in range(29)]
    choices = [[26], [27], [28], *choices]
    root = tmp_path_factory.mktemp("leak")
    rows = [json.dumps({"text": "\n\n".join(pool[i] for i in row)}) for row in choices]
    (root / "rows.jsonl").write_text("\n".join(rows))
    build_corpus(root / "rows.jsonl", root / "out")
    seen: set[str] = set()
    for found in all_documents(root / "out").values():
        here = {
            normal_form(piece)
            for document in found
            for piece in paragraphs(document.text)
            if width(piece) >= 60
        }
        assert not here & seen
        seen |= here
    assert seen == {normal_form(pool[i]) for row in choices for i in row}


def test_every_reason_is_counted_and_kept_for_inspection(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    text = (source / "00.txt").read_text()
    (source / "copy.txt").write_text(text.upper())
    (source / "again.txt").write_text(prose(3, seed=99) + "\n\n" + prose(8, seed=3)[:1000])
    (source / "broken.txt").write_text("word \ufffd\ufffd " * 50)
    (source / "empty.txt").write_text("")
    (source / "image.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (source / "numbers.txt").write_text("1 2 3 4 5\n" * 20)
    (source / "zzz.txt").write_text(prose(8, seed=4).replace("\n\n", "\n\n \n") + "\n\nEnd.")
    card = build_corpus(source, tmp_path / "out")
    dropped = {reason: row["documents"] for reason, row in card["dropped"].items()}
    assert dropped == {
        "empty": 1,
        "binary": 1,
        "undecodable": 1,
        "near-empty": 1,
        "exact-duplicate": 1,
        "repeated-paragraph": 1,
        "near-repeated-paragraph": 0,
    }
    assert card["dropped"]["near-repeated-paragraph"]["paragraphs"] == 1
    assert card["dropped"]["repeated-paragraph"]["paragraphs"] > 0
    view = inspect_corpus(tmp_path / "out")
    examples = {row["reason"]: row["examples"][0]["id"] for row in view["dropped"]}
    assert examples["exact-duplicate"] == "copy.txt"
    assert examples["undecodable"] == "broken.txt"
    assert len(view["samples"]) == 3
    assert view["card"] == read_card(tmp_path / "out")


def test_another_language_is_dropped_only_when_one_is_asked_for(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path)
    chinese = "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？" * 3
    (source / "zh.txt").write_text(chinese)
    card = build_corpus(source, tmp_path / "out")
    assert set(card["languages"]) == {"en", "zh"}
    card = build_corpus(source, tmp_path / "out", config=CorpusConfig(language="en"))
    assert set(card["languages"]) == {"en"}
    assert card["dropped"]["wrong-language"]["documents"] == 1


@pytest.mark.parametrize("size", [300, 5_000, 60_000])
def test_one_file_is_divided_by_its_paragraphs(tmp_path: Path, size: int) -> None:
    path = tmp_path / "book.txt"
    path.write_text(prose(size // 150 + 1)[:size])
    build_corpus(path, tmp_path / "out", config=CorpusConfig(remove_repeated_paragraphs=False))
    documents = all_documents(tmp_path / "out")
    held_out = [d for split in ("validation", "test") for d in documents[split]]
    assert all(documents.values())
    share = sum(len(d.text) for d in held_out) / size
    assert share < {300: 0.7, 5_000: 0.3, 60_000: 0.25}[size]


def test_four_books_give_held_out_text_of_a_few_percent_from_several(tmp_path: Path) -> None:
    source = tmp_path / "books"
    source.mkdir()
    for number in range(4):
        (source / f"{number}.md").write_text(prose(600, seed=number))
    card = build_corpus(source, tmp_path / "out")
    total = sum(row["bytes"] for row in card["splits"].values())
    assert 0.04 < card["splits"]["validation"]["bytes"] / total < 0.1
    documents = all_documents(tmp_path / "out")
    books = {d.doc_id.partition("#")[0] for d in documents["validation"] + documents["test"]}
    assert len(books) > 1


def test_one_row_of_json_is_divided_too(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"text": prose(20)}))
    build_corpus(path, tmp_path / "out")
    assert all(all_documents(tmp_path / "out").values())


def test_redaction_is_applied_before_anything_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": prose(2, seed=i) + f"\n\nWrite to user{i}@example.org."} for i in range(9)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    build_corpus(path, tmp_path / "out", redact=lambda text: text.replace("@example.org", "@…"))
    texts = [d.text for found in all_documents(tmp_path / "out").values() for d in found]
    assert len(texts) == 9
    assert all("@…" in text and "example" not in text for text in texts)


def test_several_sources_keep_their_names_apart(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "notes").mkdir(parents=True)
        for number in range(3):
            text = prose(3, seed=number + (parent == "b") * 50)
            (tmp_path / parent / "notes" / f"{number}.txt").write_text(text)
    card = build_corpus([tmp_path / "a/notes", str(tmp_path / "b/notes")], tmp_path / "out")
    assert card["name"] == "notes+notes-2"
    assert set(card["sources"]) == {"notes", "notes-2"}
    ids = [d.doc_id for found in all_documents(tmp_path / "out").values() for d in found]
    assert {name.partition("#")[0] for name in ids} == {
        f"{name}/{number}.txt" for name in ("notes", "notes-2") for number in range(3)
    }


def test_the_output_inside_the_source_is_not_read(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path, 5)
    for _ in range(2):
        card = build_corpus(source, source / "corpus")
        assert card["read"]["files"] == 5


def test_nothing_to_read_is_said_with_what_can_be(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"no file to read in empty.*\.txt"):
        build_corpus(empty, tmp_path / "out")
    (empty / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (empty / "y.txt").write_text("12")
    with pytest.raises(DataError, match="1 binary, 1 near-empty"):
        build_corpus(empty, tmp_path / "out")
    assert not (tmp_path / "out" / "card.json").exists()


def test_too_little_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Only a few words stand here, alas.")
    with pytest.raises(DataError, match="too little text"):
        build_corpus(tmp_path / "x.txt", tmp_path / "out")


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'tinystories'"):
        build_corpus("tinystorys", tmp_path / "out")


def test_a_file_named_by_the_user_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.txt.gz"
    path.write_bytes(b"\x1f\x8b nonsense")
    with pytest.raises(DataError, match=r"x\.txt\.gz cannot be read"):
        build_corpus(path, tmp_path / "out")


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean 'min_letters'"):
        parse_config(CorpusConfig, {"min_leters": 3}, where="test")
    with pytest.raises(ConfigError, match="language"):
        parse_config(CorpusConfig, {"language": "English"}, where="test")


def test_entries_of_the_python_corpus_are_kept_until_another_is_built(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build_corpus("python", out, config=CorpusConfig(max_bytes=900_000))
    names = {entry.qualified_name for entry in read_api_entries(out)}
    assert "builtins.abs" in names
    (tmp_path / "notes.txt").write_text(
        "\n\n".join(f"Note number {n}, of words." for n in range(99))
    )
    build_corpus(tmp_path / "notes.txt", out)
    assert not (out / ENTRIES_NAME).exists()


def test_a_language_is_one_that_texts_can_be_found_to_be_in() -> None:
    assert CorpusConfig(language="ceb").language == "ceb"
    for variety in ("yue", "lzh"):  # which texts are told to be in Chinese
        with pytest.raises(ConfigError, match="take zh"):
            parse_config(CorpusConfig, {"language": variety}, where="test")


def test_a_folder_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    source = folder_of_texts(tmp_path).rename(tmp_path / os.fsdecode(b"caf\xe9"))
    card = build_corpus(source, tmp_path / "out")
    assert card["name"] == "caf\\xe9"
    assert {d.source for found in all_documents(tmp_path / "out").values() for d in found} == {
        "caf\\xe9"
    }


@pytest.mark.parametrize("left", [0, 0.5, -1])
def test_a_split_that_is_cut_off_is_damaged_and_not_short(tmp_path: Path, left: float) -> None:
    """As short as it may be: its whole text unpacks at once, or not at all."""
    build_corpus(folder_of_texts(tmp_path), tmp_path / "out")
    path = tmp_path / "out" / "validation.jsonl.zst"
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))] if left >= 0 else data[:-1])
    with pytest.raises(DataError, match=r"validation\.jsonl\.zst is damaged"):
        list(iter_documents(tmp_path / "out", "validation"))


def test_texts_of_other_languages_only_are_told_with_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(
        "The river runs behind the old house of the miller.\n" * 3
    )
    with pytest.raises(DataError, match=r"1 wrong-language; leave --lang out or .* found: en"):
        build_corpus(tmp_path / "in", tmp_path / "out", config=CorpusConfig(language="fr"))


def test_a_text_of_a_few_bytes_is_told_to_be_too_short(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello world.")
    with pytest.raises(DataError, match="1 near-empty; it is too short"):
        build_corpus(tmp_path / "a.txt", tmp_path / "out", config=CorpusConfig())
