"""Spans: read by hand from every scheme, and counted as seqeval counts them."""

import warnings

import numpy as np
import pytest

from homespun.core import DataError
from homespun.evaluation.metrics import Span, span_counts, spans_of, token_accuracy


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("O I-PER I-PER O", [("PER", 1, 3)]),  # IOB1
        ("I-PER I-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),  # the type changes
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-PER I-PER E-PER S-PER", [("PER", 0, 3), ("PER", 3, 4)]),
        ("B-PER E-PER I-PER", [("PER", 0, 2), ("PER", 2, 3)]),
        ("S-LOC E-LOC", [("LOC", 0, 1), ("LOC", 1, 2)]),
        ("B M E S B E", [("", 0, 3), ("", 3, 4), ("", 4, 6)]),  # words of Chinese
        ("B-ORG L-ORG U-PER", [("ORG", 0, 2), ("PER", 2, 3)]),  # BILOU
        ("B-ADV-X I-ADV-X", [("ADV-X", 0, 2)]),
        ("O O", []),
        ("", []),
    ],
)
def test_spans(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split()) == [Span(*span) for span in spans]


def test_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
    found = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "I-LOC"]]
    counts = span_counts(gold, found)  # of 3 gold and 3 found spans 1 is right
    assert counts.f1("micro").value == pytest.approx(1 / 3)
    table = {row.label: row for row in counts.table()}
    assert table["PER"] == ("PER", 0.5, 1.0, pytest.approx(2 / 3), 1, 2)
    assert table["LOC"][1:4] == (0.0, 0.0, 0.0)
    assert token_accuracy(gold, found).value == pytest.approx(3 / 6)


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@pytest.mark.parametrize("seed", range(4))
def test_as_seqeval(scheme: str, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    random = np.random.default_rng(seed)
    tags = ["O", *(f"{b}-{t}" for b in scheme if b != "O" for t in ("PER", "LOC"))]
    sizes = random.integers(1, 12, size=60)
    gold, found = ([random.choice(tags, size=n).tolist() for n in sizes] for _ in range(2))
    found = [g if random.random() < 0.5 else f for g, f in zip(gold, found, strict=True)]
    counts = span_counts(gold, found)
    for average in ("micro", "macro", "weighted"):
        assert counts.f1(average).value == pytest.approx(
            seqeval.f1_score(gold, found, average=average, zero_division=0)
        )
    assert counts.precision().value == pytest.approx(seqeval.precision_score(gold, found))
    assert counts.recall().value == pytest.approx(seqeval.recall_score(gold, found))
    assert token_accuracy(gold, found).value == pytest.approx(seqeval.accuracy_score(gold, found))


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(DataError, match="no known scheme"):
        spans_of(["X-PER"])
    with pytest.raises(DataError, match="sentence 0 has another number"):
        span_counts([["O"]], [["O", "O"]])
    assert span_counts([["O"]], [["O"]]).f1().value == 0.0  # nothing there, nothing found
