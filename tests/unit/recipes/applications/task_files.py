"""A small file of each task, and a small encoder in Hugging Face's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Make = Callable[[str, list[Mapping[str, Any]]], Path]
GOOD, BAD = ("fine", "warm", "lovely", "bright"), ("dull", "cold", "ugly", "dark")
THINGS = ("film", "day", "book", "song", "room", "soup", "dog", "road", "idea", "voice")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write rows as JSON lines."""

    def write(name: str, rows: list[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    return write


def reviews() -> list[Mapping[str, Any]]:
    """80 short texts, good and bad by their words."""
    return [
        {"text": f"a {word} {thing} and more", "label": label}
        for label, words in (("good", GOOD), ("bad", BAD))
        for word in words
        for thing in THINGS
    ]


def tagged() -> list[Mapping[str, Any]]:
    """60 sentences with names of two kinds."""
    people, places = ("Ann", "Bob", "Cem", "Dia", "Eve"), ("Rome", "Oslo", "Lima", "Bonn")
    rows: list[Mapping[str, Any]] = []
    for verb in ("left", "saw", "likes"):
        for person in people:
            for place in places:
                tokens = [person, "Smith", verb, place, "today"]
                tags = ["B-PER", "I-PER", "O", "B-LOC", "O"]
                rows.append({"tokens": tokens, "tags": tags})
    return rows


def pairs() -> list[Mapping[str, Any]]:
    """Numbers in two languages."""
    words = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
    return [
        {"source": f"{a} and {b} and {c}", "target": f"{words[a]} und {words[b]} und {words[c]}"}
        for a in words
        for b in words
        for c in words
    ]


def questions() -> list[Mapping[str, Any]]:
    """Who did what: half of the questions have no answer in their passage."""
    people, deeds = ("Ann", "Bob", "Cem", "Dia", "Eve", "Fay"), ("sings", "runs", "reads")
    rows: list[Mapping[str, Any]] = []
    for at, person in enumerate(people):
        for deed in deeds:
            other = people[(at + 1) % len(people)]
            passage = f"{person} {deed} at noon. {other} sleeps."
            rows.append({"question": f"Who {deed}?", "passage": passage, "answers": [person]})
            rows.append({"question": "Who swims?", "passage": passage, "answers": []})
    return rows


@pytest.fixture(scope="session")
def tiny_bert(
    tmp_path_factory: pytest.TempPathFactory, write_bert: Callable[[Path, Sequence[str]], Path]
) -> Path:
    """A little BERT that knows these words."""
    texts = [str(value) for row in (*reviews(), *questions()) for value in row.values()]
    return write_bert(tmp_path_factory.mktemp("bert"), texts)
