import pytest

from homespun.evaluation import verdict
from homespun.evaluation.verdict import overfits


def evaluation(bits: float = 1.6, train: float = 1.55, **changes) -> dict:
    chat = {
        "rouge_l": 0.5,
        "rouge_l_nearest_question": 0.3,
        "num_questions": 100,
        "interval": [0.45, 0.55],
        "finished_answers": 0.98,
        "seen_questions": 0.0,
    }
    base = {
        "validation": {"bits_per_byte": bits, "bytes": 200_000, "interval": None},
        "train": {"bits_per_byte": train, "bytes": 200_000, "interval": None},
        "gap": {"bits_per_byte": bits - train, "overfitting": False},
        "diversity": {"repeating_samples": 0.04, "broken_characters": 0.0, "num_samples": 24},
        "memorised": {"longest_copied_characters": 31, "share_copied_50": 0.0},
        "chat": chat,
    }
    base["gap"]["overfitting"] = overfits(base["validation"], base["train"])
    for key, value in changes.items():
        base[key] = {**base[key], **value} if value is not None else None
    return base


BASELINES = {
    "models": [
        {"name": "xz", "bits_per_byte": 2.4, "detail": {}},
        {"name": "unigram", "bits_per_byte": 3.4, "detail": {}},
        {"name": "5-gram", "bits_per_byte": 2.0, "detail": {}},
    ]
}


def kinds(found: dict, word: str) -> list[str]:
    return [point["kind"] for point in found["points"] if word in point["text"]]


def test_a_good_run_is_praised_with_its_numbers() -> None:
    found = verdict(evaluation(), BASELINES)
    assert found["summary"].startswith(
        "Beats the 5-gram by 20%; not overfitting; repeats itself in 4% of samples;"
    )
    assert {point["kind"] for point in found["points"]} == {"good"}
    assert len(found["next"]) == 1
    assert "1.600 against 2.000 bits per byte" in found["points"][0]["text"]


def test_a_run_that_loses_is_told_so() -> None:
    found = verdict(evaluation(bits=2.3, train=2.3), BASELINES)
    assert found["summary"].startswith("Does not beat the 5-gram (15% worse);")
    assert kinds(found, "5-gram") == ["bad"]
    assert kinds(found, "xz") == ["good"]
    text = "Does not beat the 5-gram: 15% worse (2.300 against 2.000 bits per byte)."
    assert found["points"][0]["text"] == text
    assert "more minutes" in found["next"][0]


def test_a_run_that_learnt_nothing_is_not_praised_for_not_overfitting() -> None:
    found = verdict(evaluation(bits=6.7, train=6.6), BASELINES)
    assert "does not beat the unigram (97% worse)" in found["summary"]
    assert "(3.4 times its bits)" in found["summary"]
    assert kinds(found, "overfit") == ["note"]
    assert "went wrong" in found["next"][0]


def test_a_lead_within_chance_is_no_lead() -> None:
    against = {"5-gram": {"bits_per_byte": 1.65, "lead": 0.03, "interval": [-0.01, 0.07]}}
    found = verdict(evaluation(validation={"against": against}), None)
    assert found["summary"].startswith("Is about as good as the 5-gram;")
    assert kinds(found, "5-gram") == ["note"]


def test_part_of_the_text_is_not_compared_with_all_of_it() -> None:
    against = {"5-gram": {"bits_per_byte": 2.0, "lead": 0.2, "interval": [0.18, 0.22]}}
    found = verdict(
        evaluation(validation={"against": against, "complete": False, "bytes": 90_000}), BASELINES
    )
    assert kinds(found, "xz") == []
    assert kinds(found, "5-gram") == ["good"]
    assert kinds(found, "90,000 bytes were scored") == ["note"]


def test_overfitting_names_more_text_as_the_cure() -> None:
    found = verdict(evaluation(bits=1.9, train=1.2), BASELINES)
    assert "overfits (unseen text costs 58% more than training text)" in found["summary"]
    assert "needs more text" in found["next"][0]
    assert kinds(found, "Overfits:") == ["bad"]


@pytest.mark.parametrize(
    ("validation", "train", "expected"),
    [
        ((1.6, None), (1.5, None), False),
        ((1.7, None), (1.5, None), True),
        ((1.7, [1.5, 1.9]), (1.5, [1.4, 1.6]), False),
        ((1.7, [1.65, 1.75]), (1.5, [1.4, 1.6]), True),
    ],
)
def test_overfitting_is_a_gap_beyond_a_tenth_and_beyond_chance(validation, train, expected) -> None:
    def measures(values) -> dict:
        return {"bits_per_byte": values[0], "interval": values[1], "bytes": 1000}

    assert overfits(measures(validation), measures(train)) is expected
    assert not overfits(measures(validation), {**measures((0.0, None)), "bytes": 0})


def test_loops_copies_and_broken_characters_are_named() -> None:
    found = verdict(
        evaluation(
            diversity={"repeating_samples": 0.5, "broken_characters": 0.02},
            memorised={"share_copied_50": 0.6, "longest_copied_characters": 400},
        ),
        BASELINES,
    )
    assert "repeats itself in 50% of samples" in found["summary"]
    assert "2.0% broken characters" in found["summary"]
    assert "copies 60% of its text from the training text" in found["summary"]
    assert len([point for point in found["points"] if point["kind"] == "bad"]) == 3
    assert len(found["next"]) == 3


@pytest.mark.parametrize(
    ("own", "nearest", "interval", "kind"),
    [
        (0.5, 0.3, [0.45, 0.55], "good"),
        (0.32, 0.3, [0.25, 0.4], "note"),
        (0.2, 0.3, [0.15, 0.25], "bad"),
        (0.0, 0.0, [0.0, 0.0], "note"),
    ],
)
def test_answers_are_judged_against_the_search(own, nearest, interval, kind) -> None:
    chat = {"rouge_l": own, "rouge_l_nearest_question": nearest, "interval": interval}
    found = verdict(evaluation(chat=chat), BASELINES)
    assert kinds(found, "nearest training question") == [kind]


def test_what_was_not_measured_is_said_and_not_guessed() -> None:
    found = verdict(evaluation(diversity={"num_samples": 0}, chat={"num_questions": 0}), None)
    assert found["summary"].startswith("1.600 bits per byte;")
    assert kinds(found, "no baselines") == ["note"]
    assert kinds(found, "No samples") == ["note"]
    assert kinds(found, "No chat questions") == ["note"]
    assert kinds(verdict(evaluation(chat=None), BASELINES), "question") == []


def test_answers_that_do_not_end_are_named() -> None:
    found = verdict(evaluation(chat={"finished_answers": 0.4, "seen_questions": 0.5}), BASELINES)
    assert kinds(found, "Only 40% of its answers end") == ["bad"]
    assert kinds(found, "50% of the validation questions") == ["note"]


def test_few_items_are_not_judged() -> None:
    found = verdict(
        evaluation(
            validation={"bytes": 5000},
            diversity={"num_samples": 1, "repeating_samples": 1.0},
            chat={"num_questions": 4, "interval": None, "rouge_l": 0.0, "finished_answers": 0.0},
        ),
        BASELINES,
    )
    assert kinds(found, "5,000 bytes are few") == ["note"]
    assert kinds(found, "1 sample in the time there was") == ["note"]
    assert kinds(found, "4 chat questions in the time there was") == ["note"]
    assert not [point for point in found["points"] if point["kind"] == "bad"]
