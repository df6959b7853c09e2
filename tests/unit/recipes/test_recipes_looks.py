"""How much held-out text a training of masked words or pieces looks at, and what it is told."""

from __future__ import annotations

import pytest

from homespun.recipes.encoder.judging import Looks, MaskedScore


@pytest.mark.parametrize(
    ("num_tokens", "rows", "watched", "judged"),
    [
        (101, 10, 1, 1),  # ten rows of ten: one batch
        (51, 5, 1, 1),  # fewer rows than a batch has
        (1_001, 10, 8, 10),
        (100_001, 10, 8, 64),
    ],
)
def test_looks_are_as_many_batches_as_there_are(
    num_tokens: int, rows: int, watched: int, judged: int
) -> None:
    assert Looks.at(num_tokens, context=10, rows=10) == Looks(rows, watched, judged)


def test_a_training_is_told_of_few_batches_and_judged_on_all() -> None:
    asked: list[tuple[object, int]] = []

    def score(model: object, num_batches: int) -> MaskedScore:
        asked.append((model, num_batches))
        return MaskedScore(2.0, 3, 4)

    looks = Looks(10, 8, 20)
    assert looks.during(score)("model", 5) == {
        "loss": 2.0,
        "accuracy": 0.75,
        "split": "validation",
    }
    judge = looks.at_the_end(score)
    assert judge is not None
    assert judge.times == 2.5
    judge.evaluate("model", 5)
    assert asked == [("model", 8), ("model", 20)]


def test_where_no_more_text_is_there_nobody_judges_again() -> None:
    assert Looks(10, 3, 3).at_the_end(lambda *_: MaskedScore(0.0, 0, 0)) is None
