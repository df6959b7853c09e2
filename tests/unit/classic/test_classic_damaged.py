"""Folders of counted models whose files were damaged on their way: one sentence, never a crash."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homespun.classic.bags import BagClassifier
from homespun.classic.bm25 import Bm25Index
from homespun.classic.extracts import ExtractRanker
from homespun.classic.tagging import CRF, HMM, LexiconSentiment, RulesTagger
from homespun.core import CheckpointError, RunError

TEXTS = ["a fine day", "a warm day", "a dull day", "a cold day"] * 3
LABELS = ["good", "good", "bad", "bad"] * 3
WORDS = [["the", "cat", "sleeps"], ["a", "dog", "barks"]]
TAGS = [["D", "N", "V"], ["D", "N", "V"]]
MODELS: dict[str, tuple[Callable[[], Any], Callable[[Path], Any]]] = {
    "bag": (lambda: BagClassifier().fit(TEXTS, [[label] for label in LABELS]), BagClassifier.load),
    "hmm": (lambda: HMM().fit(WORDS, TAGS), HMM.load),
    "crf": (lambda: CRF(max_steps=2).fit(WORDS, TAGS), CRF.load),
    "rules": (lambda: RulesTagger().fit(WORDS, TAGS), RulesTagger.load),
    "bm25": (lambda: Bm25Index(TEXTS), Bm25Index.load),
    "extracts": (
        lambda: ExtractRanker().fit(TEXTS, [(text,) for text in TEXTS], lambda a, b: float(a == b)),
        ExtractRanker.load,
    ),
    "sentiment": (
        lambda: LexiconSentiment().fit(TEXTS, [int(label == "good") for label in LABELS]),
        LexiconSentiment.load,
    ),
}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("bag", {"settings": {"kind": "logistic", "speed": 3}}),
    ("bag", {"settings": {"kind": ["logistic"]}}),
    ("bag", {"settings": None}),
    ("bag", {"vocabulary": "text"}),
    ("bag", {"vocabulary": [["a"], ["fine"]]}),
    ("bag", {"classes": ["good", ["bad"]]}),
    ("bag", {"classes": ["good", "good"]}),
    ("hmm", {"settings": {"max_suffix": "8", "smoothing": 0.001}}),
    ("hmm", {"settings": {"max_suffix": 8.5, "smoothing": 0.001}}),
    ("hmm", {"settings": {"max_suffix": -1, "smoothing": 0.001}}),
    ("hmm", {"settings": {"max_suffix": 8, "smoothing": 0.001, "speed": 3}}),
    ("hmm", {"settings": [8, 0.001]}),
    ("hmm", {"tags": ["D", "N", 7]}),
    ("crf", {"settings": {"features": ["words"]}}),
    ("crf", {"settings": {"features": "letters"}}),
    ("crf", {"settings": {"l2": "strong"}}),
    ("crf", {"tags": [["D"], ["N"], ["V"]]}),
    ("rules", {"patterns": [["(", "X"]]}),
    ("rules", {"patterns": [["a"]]}),
    ("rules", {"patterns": 3}),
    ("rules", {"max_suffix": "5"}),
    ("rules", {"words": {"cat": ["N"]}}),
    ("bm25", {"settings": {"k1": -1}}),
    ("bm25", {"settings": {"k1": "much"}}),
    ("bm25", {"texts": 12.0}),
    ("extracts", {"settings": {"speed": 3}}),
    ("extracts", {"length": "long"}),
    ("sentiment", {"settings": {"threshold": "high"}}),
    ("sentiment", {"weights": {"fine": "much"}}),
]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cut", "not JSON"),
        ("not json", "not JSON"),
        ("not utf-8", "not JSON"),
        ("nested", "not JSON"),
        ("list", "not a JSON object"),
        ("empty", "kind and version"),
    ],
)
def test_files_that_are_no_record_are_told(kind: str, how: str, why: str, tmp_path: Path) -> None:
    path, load = _saved(kind, tmp_path)
    whole = path.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "not json": b"words: a, b",
        "not utf-8": '{"名": 1}'.encode("gb18030"),
        "nested": b"[" * 100_000,
        "list": b"[]",
        "empty": b"{}",
    }
    path.write_bytes(damaged[how])
    with pytest.raises(
        CheckpointError, match=rf"no whole {kind} .*{why}.*; learn or make it again"
    ):
        load(tmp_path)


@pytest.mark.parametrize(("kind", "change"), CHANGES)
def test_records_of_another_shape_are_told(
    kind: str, change: dict[str, Any], tmp_path: Path
) -> None:
    path, load = _saved(kind, tmp_path)
    record = json.loads(path.read_text("utf-8"))
    assert change.keys() <= record.keys()
    path.write_text(json.dumps({**record, **change}), "utf-8")
    with pytest.raises(CheckpointError, match=f"no whole {kind} .*; learn or make it again"):
        load(tmp_path)


@pytest.mark.parametrize("kind", MODELS)
def test_what_cannot_be_read_now_is_not_called_damaged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, load = _saved(kind, tmp_path)

    def closed(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(RunError) as told:
        load(tmp_path)
    assert not isinstance(told.value, CheckpointError)
    assert "make it again" not in str(told.value)


def _saved(kind: str, folder: Path) -> tuple[Path, Callable[[Path], Any]]:
    """The file of its record, and what reads it; whole, it is read."""
    make, load = MODELS[kind]
    make().save(folder)
    load(folder)
    return folder / "classic.json", load
