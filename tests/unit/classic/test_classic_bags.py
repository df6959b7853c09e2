"""Bags of words against scikit-learn's own pipeline, and on disk."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from homespun.classic.bags import BagClassifier, BagFeatures, Kind, classifier
from homespun.core import CheckpointError, ConfigError, DataError

GOOD = ["a fine warm film", "warm and fine", "what a fine day", "这部电影很好看", "很好看的书"]
BAD = ["a dull cold film", "cold and dull", "what a dull day", "这部电影很难看", "很难看的书"]
TEXTS = GOOD + BAD
LABELS = [["good"]] * 5 + [["bad"]] * 5


def test_features_are_words_pairs_chinese_runs_and_parts_of_words() -> None:
    plain = list(BagFeatures(parts=False).of("Fine films, 很好看"))
    assert plain[:5] == ["fine", "films", ",", "很", "好"]
    assert "fine films" in plain
    assert "很 好 看" in plain
    assert "fine films ," not in plain
    parts = set(BagFeatures().of("fine")) - {"fine"}
    assert parts == {"\n\tfi", "\nfin", "\nine", "\nne\t", "\n\tfin", "\nfine", "\nine\t",
                     "\n\tfine", "\nfine\t"}  # fmt: skip


def test_tfidf_is_scikit_learns() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    ours = BagFeatures(fewest=2).fit(TEXTS)
    found = ours.transform([*TEXTS, "nothing known 无"]).toarray()
    theirs = TfidfVectorizer(
        analyzer=lambda text: list(ours.of(text)), min_df=2, sublinear_tf=True
    ).fit(TEXTS)
    wanted = theirs.transform([*TEXTS, "nothing known 无"]).toarray()
    names = theirs.get_feature_names_out().tolist()
    assert sorted(ours.vocabulary_) == sorted(names)
    order = [names.index(name) for name in ours.vocabulary_]
    np.testing.assert_allclose(found, wanted[:, order], atol=1e-12)


def test_rows_are_gathered_in_numbers_of_their_own_size() -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in random.integers(0, 3000, 200)) for _ in range(1000)]
    features = BagFeatures(weighting="counts", parts=False).fit(texts)
    tracemalloc.start()
    rows = features.transform(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.nnz > 190_000
    assert peak < 28 * rows.nnz  # bytes; 36 in lists


def test_naive_bayes_is_scikit_learns() -> None:
    from sklearn.naive_bayes import MultinomialNB

    ours = BagClassifier("bayes").fit(TEXTS, LABELS)
    rows = ours.features_.transform(TEXTS)
    theirs = MultinomialNB(alpha=1.0).fit(rows, [label for (label,) in LABELS])
    asked = ["a warm cold day", "难看", "fine"]
    wanted = theirs.predict_proba(ours.features_.transform(asked))
    np.testing.assert_allclose(ours.scores(asked), wanted, rtol=1e-9)
    assert list(theirs.classes_) == ours.classes_


@pytest.mark.parametrize("kind", ["logistic", "bayes"])
def test_it_learns_and_comes_back_from_disk(kind: str, tmp_path: Path) -> None:
    model = BagClassifier(kind).fit(TEXTS, LABELS, dev_texts=TEXTS, dev_labels=LABELS)
    assert model.predict(["fine and warm", "dull and cold", "好看", "难看"]) == [
        ["good"], ["bad"], ["good"], ["bad"],
    ]  # fmt: skip
    model.save(tmp_path)
    again = BagClassifier.load(tmp_path)
    np.testing.assert_allclose(again.scores(TEXTS), model.scores(TEXTS), atol=1e-6)
    (tmp_path / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="bag"):
        BagClassifier.load(tmp_path)


def test_several_labels_are_questions_of_their_own() -> None:
    texts = ["red round", "red", "round", "blue flat", "blue", "flat"] * 3
    labels = [text.split() for text in texts]
    model = BagClassifier(penalty=100.0).fit(texts, labels, is_multi=True)
    assert [set(row) for row in model.predict(["red round", "blue", "green"])] == [
        {"red", "round"}, {"blue"}, set(),
    ]  # fmt: skip


def test_three_classes_add_up_to_one() -> None:
    texts = ["red", "blue", "green", "red red", "blue blue", "green green"]
    model = BagClassifier().fit(texts, [["r"], ["b"], ["g"]] * 2)
    np.testing.assert_allclose(model.scores(["red", "blue green"]).sum(axis=1), 1.0)
    assert model.predict(["green"]) == [["g"]]


@pytest.mark.parametrize("learned", [["red"], ["red", "blue"]])
def test_classes_that_stand_in_held_out_texts_alone_are_learned_too(learned: list[str]) -> None:
    """Before these are learned from, one or two of three classes are there."""
    held_out = [word for word in ("red", "blue", "green") if word not in learned]
    model = BagClassifier().fit(
        learned * 2,
        [[word] for word in learned * 2],
        dev_texts=held_out * 2,
        dev_labels=[[word] for word in held_out * 2],
    )
    assert model.predict(["red", "blue", "green"]) == [["red"], ["blue"], ["green"]]


@pytest.mark.parametrize(
    ("kind", "num", "is_multi", "most"),
    [
        ("logistic", 2, False, 1 << 19),
        ("logistic", 10, False, 1 << 19),
        ("logistic", 16, False, 1 << 19),
        ("logistic", 100, False, 83_886),
        ("logistic", 1000, False, 8_388),
        ("logistic", 60, True, 1 << 19),
        ("logistic", 1000, True, 33_554),
        ("bayes", 60, False, 1 << 19),
        ("bayes", 1000, False, 33_554),
    ],
)
def test_features_times_classes_are_bounded(
    kind: Kind, num: int, is_multi: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BagClassifier, "_learn", lambda *_: None)
    labels = [[f"class {n}"] for n in range(num)] * 2
    model = BagClassifier(kind).fit(["a fine day"] * 2 * num, labels, is_multi=is_multi)
    assert model.features_.most_features == most


def test_many_classes_learn_from_the_commonest_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = ["red", "blue", "green", "红", "蓝", "绿"]
    texts = [f"{colour} once" for colour in colours] * 3 + ["rare bird", "rare bird"]
    labels = [[colour] for colour in colours] * 3 + [["red"], ["red"]]
    whole = BagClassifier().fit(texts, labels, dev_texts=texts, dev_labels=labels)
    assert whole.features_.num_left_out_ == 0
    # "once" and its nine parts, six colours, each with "once", and 27 parts of the English ones.
    monkeypatch.setattr(classifier, "MOST_WEIGHTS", 6 * 49)
    model = BagClassifier().fit(texts, labels, dev_texts=texts, dev_labels=labels)
    kept, everything = model.features_.vocabulary_, whole.features_.vocabulary_
    assert len(kept) == 49
    assert model.features_.num_left_out_ == len(everything) - 49
    assert "once" in kept
    assert "rare bird" in everything.keys() - kept.keys()
    assert model.predict(["红 once", "blue once"]) == [["红"], ["blue"]]
    model.save(tmp_path)
    again = BagClassifier.load(tmp_path)
    assert again.features_.num_left_out_ == model.features_.num_left_out_
    np.testing.assert_allclose(again.scores(texts), model.scores(texts), atol=1e-6)
    # What an earlier version left says nothing of it.
    record = json.loads((tmp_path / "classic.json").read_text("utf-8"))
    del record["left_out"]
    (tmp_path / "classic.json").write_text(json.dumps(record), "utf-8")
    assert BagClassifier.load(tmp_path).features_.num_left_out_ == 0


def test_wrong_use_is_told() -> None:
    with pytest.raises(DataError, match="two classes"):
        BagClassifier().fit(["a b", "a b"], [["x"], ["x"]])
    with pytest.raises(DataError, match="labels for each"):
        BagClassifier().fit(["a"], [])
    # A string is a sequence of strings: its letters are no classes.
    for labels, is_multi in ((["x", "y"], False), (["x", "y"], True), ([["x"], []], False)):
        with pytest.raises(DataError, match="must have a list of"):
            BagClassifier().fit(["a b", "a b"], labels, is_multi=is_multi)
    with pytest.raises(DataError, match="a list of one label"):
        BagClassifier().fit(["a b", "a b"], [["x"], ["x", "y"]])
    with pytest.raises(DataError, match="a list of one label"):
        BagClassifier().fit(
            ["a b", "a b"], [["x"], ["y"]], dev_texts=["a"], dev_labels=[["x", "y"]]
        )
    with pytest.raises(ConfigError, match="fitted"):
        BagFeatures().transform(["a"])
    with pytest.raises(DataError, match="no word stands"):
        BagFeatures(fewest=2).fit(["a", "b"])


def test_nearly_as_many_classes_as_texts_are_learned_without_a_warning() -> None:
    texts = [f"text {number} of many" for number in range(40)]
    BagClassifier().fit(texts, [[f"class {number}"] for number in range(40)])
