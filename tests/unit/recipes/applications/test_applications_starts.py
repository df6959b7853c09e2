"""What classifiers begin with and what they leave out: word vectors of a file, features that would
not fit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from task_files import Make  # type: ignore[import-not-found]

from homespun.classic.bags import classifier
from homespun.classic.vectors import WordVectors
from homespun.core import ConfigError, DataError, HomespunError, RunError
from homespun.core.files import read_json
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.applications.classify.cnn import LearnedCnn

QUICK = {"epochs": "0.01", "rate": "1e-7"}
"""A step that moves nothing by more than a millionth."""
WORDS = {
    "en": (["fine", "warm", "dull", "cold"], ["film", "day", "book", "song"], " "),
    "zh": (["好", "美", "坏", "差"], ["书", "歌", "天", "人"], ""),
}
KNOWN = {"en": ("fine", "dull", "film", "unicorn"), "zh": ("好", "坏", "书", "麟")}
"""Words of the rows that a file has; the last stands in one row alone."""


def rows(language: str) -> list[Mapping[str, Any]]:
    told, things, joined = WORDS[language]
    found: list[Mapping[str, Any]] = [
        {"text": joined.join([word, thing, thing, str(n)]), "label": "good" if at < 2 else "bad"}
        for at, word in enumerate(told)
        for thing in things
        for n in range(3)
    ]
    rare = KNOWN[language][-1]
    return [*found, *({"text": joined.join([rare * 2, w]), "label": "good"} for w in told[:1])]


def vectors_of(language: str, *more: str) -> WordVectors:
    words = [*KNOWN[language], "elsewhere", *more]
    draw = np.random.default_rng(0)
    return WordVectors(words, draw.normal(size=(len(words), 12)).astype(np.float32))


def write(vectors: WordVectors, path: Path, form: str) -> Path:
    if form == "folder":
        vectors.save(path)
        return path
    vectors.save_text(path)
    if form == "glove":
        path.write_text(path.read_text("utf-8").split("\n", 1)[1], "utf-8")
    return path


def table(out: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Each word's vector as it was kept, and as it is drawn."""
    learned: Any = open_application(out).learned
    assert isinstance(learned, LearnedCnn)
    record = read_json(out / "model" / "cnn.json")
    drawn = LearnedCnn.new(record, seed=0).model.embedding.weight.detach()
    kept = learned.model.embedding.weight.detach().cpu()
    numbers = {unit: n for n, unit in enumerate(record["vocabulary"], 2)}
    return {u: kept[n] for u, n in numbers.items()}, {u: drawn[n] for u, n in numbers.items()}


def learn(data: Path, out: Path, **options: str) -> dict[str, Any]:
    asked = Asked(
        "classify",
        data,
        out,
        test=data,
        method="cnn",
        options={**QUICK, **options},
        judge_baselines=False,
    )
    return learn_application(asked)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", ["word2vec", "glove", "folder"])
def test_textcnn_begins_with_the_vectors_of_a_file(
    make: Make, tmp_path: Path, form: str, language: str
) -> None:
    vectors = vectors_of(language)
    path = write(vectors, tmp_path / "words.txt", form)
    data, out = make("r.jsonl", rows(language)), tmp_path / "out"
    told = learn(data, out, vectors=str(path))
    kept, drawn = table(out)
    for unit, vector_D in kept.items():
        wanted = torch.from_numpy(vectors[unit].copy()) if unit in vectors else drawn[unit]
        torch.testing.assert_close(vector_D, wanted, atol=1e-5, rtol=0)
    known = [unit for unit in kept if unit in vectors]
    assert set(known) <= set(KNOWN[language])
    assert len(kept) > len(known) >= 3
    note = (
        f"Begun with the word vectors of words.txt, which has {len(known)} of the {len(kept)} "
        "words; they were learned on."
    )
    assert note in told["notes"]
    assert note in (out / "README.md").read_text("utf-8")
    # Without a file it begins as it did: with words that stand there twice, each drawn.
    learn(data, tmp_path / "plain", width="12")
    plain, drawn = table(tmp_path / "plain")
    assert all(torch.allclose(plain[unit], drawn[unit], atol=1e-5) for unit in plain)
    assert set(plain) <= set(kept)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_static_vectors_stay_as_they_are_and_others_move(
    make: Make, tmp_path: Path, language: str
) -> None:
    vectors = vectors_of(language)
    path = write(vectors, tmp_path / "words.txt", "word2vec")
    data = make("r.jsonl", rows(language))
    much = {"vectors": str(path), "epochs": "3", "rate": "0.01"}
    for static in ("1", "0"):
        out = tmp_path / f"static-{static}"
        told = learn(data, out, static=static, **much)
        kept, drawn = table(out)
        unit = KNOWN[language][0]
        wanted = torch.from_numpy(vectors[unit].copy())
        assert torch.equal(kept[unit], wanted) == (static == "1")
        # Static means those the file lacks, too (Kim 2014, section 3.3).
        other = next(unit for unit in kept if unit not in vectors)
        assert torch.equal(kept[other], drawn[other]) == (static == "1")
        assert any("stayed as they were" in note for note in told["notes"]) == (static == "1")
    assert told["measures"][0]["value"] > 0.8


def test_a_learned_folder_needs_the_file_no_more(make: Make, tmp_path: Path) -> None:
    path = write(vectors_of("en"), tmp_path / "words.txt", "word2vec")
    data, out = make("r.jsonl", rows("en")), tmp_path / "out"
    told = learn(data, out, vectors=str(path))
    path.unlink()
    again = learn(data, out, vectors=str(path))
    for known in ("measures", "notes", "weights"):
        assert again[known] == told[known]
    shutil.move(out, tmp_path / "moved")
    asked = make("a.jsonl", [{"text": "a fine film"}])
    (row,) = answered(open_application(tmp_path / "moved"), asked, {})
    assert row["label"] in ("good", "bad")


def test_words_in_other_case_have_a_vector_too(make: Make, tmp_path: Path) -> None:
    vectors = WordVectors(["Fine", "FINE", "Dull", "dull"], np.eye(4, dtype=np.float32))
    path = write(vectors, tmp_path / "words.txt", "word2vec")
    out = tmp_path / "out"
    learn(make("r.jsonl", rows("en")), out, vectors=str(path))
    kept, _ = table(out)
    assert kept["fine"].argmax() == 0
    assert kept["dull"].argmax() == 3


def test_a_killed_run_does_not_go_on_with_another_file(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.training.objectives.classify import ClassifyObjective

    path = write(vectors_of("en"), tmp_path / "words.txt", "word2vec")
    data, out = make("r.jsonl", rows("en")), tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ClassifyObjective, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            learn(data, out, vectors=str(path))
    write(vectors_of("en", "warm"), path, "word2vec")
    with pytest.raises(RunError, match="begun with other word vectors"):
        learn(data, out, vectors=str(path))
    write(vectors_of("en"), path, "word2vec")
    assert learn(data, out, vectors=str(path))["notes"]


@pytest.mark.parametrize(
    ("text", "options", "kind", "match"),
    [
        (None, {}, DataError, "there is no file"),
        ("4 2\nfine 1 2\n", {}, DataError, "cut short"),
        ("fine 1 2\ndull 1\n", {}, DataError, "line 2"),
        ("zebra 1 2 3 4\n", {}, DataError, "no vector of any word"),
        ("fine 1 2 3 4\n", {"width": "8"}, ConfigError, "4 numbers wide"),
        ("fine 1 2 3 4\n", {"static": "maybe"}, ConfigError, "static must be 0 or 1"),
        ("fine 1 nan 3 4\n", {}, DataError, "not finite"),
    ],
)
def test_wrong_vectors_are_told_and_leave_nothing_behind(
    make: Make,
    tmp_path: Path,
    text: str | None,
    options: dict[str, str],
    kind: type[HomespunError],
    match: str,
) -> None:
    path, out = tmp_path / "words.txt", tmp_path / "out"
    if text is not None:
        path.write_text(text, "utf-8")
    data = make("r.jsonl", rows("en"))
    with pytest.raises(kind, match=match):
        learn(data, out, vectors=str(path), **options)
    assert not out.exists()
    with pytest.raises(ConfigError, match="there are none"):
        learn(data, out, static="1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        learn(data, out, vectors=str(tmp_path / "empty"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_card_says_that_features_were_left_out(
    make: Make, tmp_path: Path, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, things, joined = WORDS[language]
    classes = [
        {"text": joined.join([word, thing, thing]), "label": word}
        for word in told
        for thing in things
    ] * 3
    data = make("r.jsonl", classes)
    asked = Asked("classify", data, tmp_path / "whole", test=data, judge_baselines=False)
    assert not any("commonest" in note for note in learn_application(asked)["notes"])
    monkeypatch.setattr(classifier, "MOST_WEIGHTS", 4 * 10)
    out = tmp_path / "out"
    notes = learn_application(asked._replace(out=out))["notes"]
    (note,) = [note for note in notes if "commonest" in note]
    assert "the 10 commonest were learned from: with 4 classes" in note
    assert note in (out / "README.md").read_text("utf-8")
