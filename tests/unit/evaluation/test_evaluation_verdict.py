import pytest

from homespun.evaluation import verdict
from homespun.evaluation.verdict import gap


def evaluation(bits: float = 1.6, train_bits: float = 1.55, **changes) -> dict:
    chat = {
        "rouge_l": 0.5,
        "rouge_l_nearest_question": 0.3,
        "num_questions": 100,
        "interval": [0.45, 0.55],
        "difference": 0.2,
        "difference_interval": [0.15, 0.25],
        "finished_answers": 0.98,
        "seen_questions": 0.0,
    }
    base = {
        "validation": {"bits_per_byte": bits, "bytes": 200_000, "interval": None},
        "train": {"bits_per_byte": train_bits, "bytes": 200_000, "interval": None},
        "diversity": {"repeating_samples": 0.04, "broken_characters": 0.0, "num_samples": 24},
        "memorised": {"longest_copied_characters": 31, "share_copied_50": 0.0},
        "chat": chat,
    }
    for key, value in changes.items():
        base[key] = {**base[key], **value} if value is not None else None
    base["gap"] = gap(base["validation"], base["train"])
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
    assert found["summary"] == (
        "The model beats the 5-gram by 20%. It overfits little, repeats itself in 4% of samples "
        "and comes nearer to the reference answers than a nearest-question search."
    )
    assert found["sections"]["baselines"] == (
        "The model needs 20% fewer bits than the best baseline, the 5-gram."
    )
    assert kinds(found, "it does not say that an answer is true") == ["note"]
    assert {point["kind"] for point in found["points"] if "true" not in point["text"]} == {"good"}
    assert len(found["next"]) == 1
    assert "1.600 against 2.000 bits per byte" in found["points"][0]["text"]


def test_a_run_that_loses_is_told_so() -> None:
    found = verdict(evaluation(bits=2.3, train_bits=2.3), BASELINES)
    assert found["summary"].startswith("The model does not beat the 5-gram (15% worse).")
    assert "15% more bits than the best baseline, the 5-gram" in found["sections"]["baselines"]
    assert kinds(found, "5-gram") == ["bad"]
    assert kinds(found, "xz") == ["good"]
    text = "Does not beat the 5-gram: 15% worse (2.300 against 2.000 bits per byte)."
    assert found["points"][0]["text"] == text
    assert "more minutes" in found["next"][0]


def test_a_run_that_learnt_nothing_is_not_praised_for_not_overfitting() -> None:
    found = verdict(evaluation(bits=6.7, train_bits=6.6), BASELINES)
    assert "and does not beat the unigram (97% worse)" in found["summary"]
    assert "(3.4 times its bits)" in found["summary"]
    assert kinds(found, "overfit") == ["note"]
    assert "went wrong" in found["next"][0]


def test_a_lead_within_chance_is_no_lead() -> None:
    against = {"5-gram": {"bits_per_byte": 1.65, "lead": 0.03, "interval": [-0.01, 0.07]}}
    found = verdict(evaluation(validation={"against": against}), None)
    assert found["summary"].startswith("The model is about as good as the 5-gram.")
    assert "about as many bits" in found["sections"]["baselines"]
    assert kinds(found, "5-gram") == ["note"]


def test_part_of_the_text_is_not_compared_with_all_of_it() -> None:
    against = {"5-gram": {"bits_per_byte": 2.0, "lead": 0.2, "interval": [0.18, 0.22]}}
    found = verdict(
        evaluation(validation={"against": against, "complete": False, "bytes": 90_000}), BASELINES
    )
    words = "xz reaches 2.40 on all of the held-out text, not as good as the model's 1.60"
    assert kinds(found, words) == ["note"]
    assert kinds(found, "Beats the 5-gram") == ["good"]
    assert "best baseline that is known for this text" in found["sections"]["baselines"]
    assert kinds(found, "90,000 bytes were scored") == ["note"]


def test_a_baseline_that_wins_is_named_beside_a_part_of_the_text() -> None:
    against = {"5-gram": {"bits_per_byte": 2.2, "lead": 0.1, "interval": [0.08, 0.12]}}
    models = [{"name": "xz", "bits_per_byte": 1.79, "detail": {}}]
    part = {"against": against, "complete": False}
    found = verdict(evaluation(bits=1.98, validation=part), {"models": models})
    words = (
        "xz reaches 1.79 on all of the held-out text, better than the model's 1.98 on the part "
        "that was scored."
    )
    assert kinds(found, words) == ["bad"]
    assert words in found["sections"]["baselines"]
    assert "does not reach xz" in found["summary"]


def test_a_gap_between_other_mixes_of_languages_is_no_blame() -> None:
    measured = evaluation(bits=1.9, train_bits=1.2)
    measured["gap"] = gap(measured["validation"], measured["train"], same_mix=False)
    found = verdict(measured, BASELINES)
    assert measured["gap"]["outcome"] == "unclear"
    assert "another mix of languages" in found["sections"]["overfitting"]
    assert "overfit" not in found["summary"]


def test_text_that_a_table_has_counted_tells_nothing_of_overfitting() -> None:
    measured = evaluation(bits=1.9, train_bits=0.9)
    measured["gap"] = gap(measured["validation"], measured["train"], is_counted=True)
    found = verdict(measured, BASELINES)
    assert measured["gap"]["outcome"] == "unclear"
    assert "its n-gram table has counted the training text" in found["sections"]["overfitting"]
    assert "overfits" not in found["summary"]


def test_one_question_is_counted_in_the_singular() -> None:
    identity = {"num_questions": 1, "rouge_l": 0.9, "rouge_l_nearest_question": 1.0}
    found = verdict(evaluation(chat={"identity": identity}), BASELINES)
    assert kinds(found, "1 question about the model itself is not counted there") == ["note"]


def test_overfitting_names_more_text_as_the_cure() -> None:
    found = verdict(evaluation(bits=1.9, train_bits=1.2), BASELINES)
    assert "overfits (unseen text costs 58% more bits than training text)" in found["summary"]
    assert "needs more text" in found["next"][0]
    assert kinds(found, "Overfits:") == ["bad"]


def test_a_text_read_as_often_as_pays_needs_more_text_and_no_minutes() -> None:
    advice = verdict(evaluation(bits=1.99, train_bits=1.95), BASELINES)["next"][0]
    assert "give it more minutes" in advice
    measured = {**evaluation(bits=1.99, train_bits=1.95), "read_enough": True}
    advice = verdict(measured, BASELINES)["next"][0]
    assert "needs more text, not more minutes" in advice


def test_a_gap_whose_held_out_loss_still_fell_is_no_call_for_fewer_minutes() -> None:
    measured = evaluation(bits=1.9, train_bits=1.2)
    measured["gap"] = gap(measured["validation"], measured["train"], lowest_last=True)
    found = verdict(measured, BASELINES)
    assert measured["gap"]["outcome"] == "not yet"
    assert not measured["gap"]["overfitting"]
    assert kinds(found, "does not overfit yet: unseen text costs 58% more bits") == ["note"]
    assert "overfit" not in found["summary"]
    assert any("more minutes still do" in advice for advice in found["next"])
    assert not any("fewer" in advice for advice in found["next"])
    measured["gap"]["interval"] = None
    told = verdict(measured, BASELINES)["sections"]["overfitting"]
    assert "too little text to say how much of that may be chance" in told
    turned = gap(measured["validation"], measured["train"], lowest_last=False)
    assert turned["outcome"] == "overfits"
    little = gap({**measured["validation"], "bits_per_byte": 1.25}, measured["train"])
    assert little["outcome"] == "does not"


def test_a_lead_and_overfitting_share_a_sentence() -> None:
    found = verdict(evaluation(bits=1.6, train_bits=1.2), BASELINES)
    assert found["summary"].startswith(
        "The model beats the 5-gram by 20%, but overfits (unseen text"
    )


@pytest.mark.parametrize(
    ("validation", "train", "expected", "kind"),
    [
        ((1.51, None), (1.5, None), "does not", "good"),
        ((1.6, None), (1.5, None), "does not", "good"),
        ((1.7, None), (1.5, None), "overfits", "bad"),
        ((1.7, [1.5, 1.9]), (1.5, [1.4, 1.6]), "unclear", "note"),
        ((1.7, [1.65, 1.75]), (1.5, [1.4, 1.6]), "overfits", "bad"),
    ],
)
def test_overfitting_is_a_gap_beyond_a_tenth_and_beyond_chance(
    validation, train, expected, kind
) -> None:
    def measures(values) -> dict:
        return {"bits_per_byte": values[0], "interval": values[1], "bytes": 100_000}

    found = gap(measures(validation), measures(train))
    assert found["outcome"] == expected
    assert found["overfitting"] is (expected == "overfits")
    assert found["share"] == pytest.approx(validation[0] / 1.5 - 1)
    judged = verdict(evaluation(validation=measures(validation), train=measures(train)), BASELINES)
    assert kinds(judged, "unseen text costs") == [kind]
    assert f"{found['share']:.0%}" in judged["sections"]["overfitting"]


@pytest.mark.parametrize("bits", [1.52, 1.6, 1.9])
def test_a_gap_without_an_interval_says_why(bits: float) -> None:
    told = "too little text to say how much of that may be chance"
    measured = evaluation(bits=bits, train_bits=1.5)
    assert measured["gap"]["interval"] is None
    assert told in verdict(measured, BASELINES)["sections"]["overfitting"]
    del measured["gap"]["interval"]  # as in files of before
    assert told not in verdict(measured, BASELINES)["sections"]["overfitting"]
    ends = {"interval": [bits - 0.01, bits + 0.01]}
    measured = evaluation(
        bits=bits, train_bits=1.5, validation=ends, train={"interval": [1.4, 1.5]}
    )
    low, high = measured["gap"]["interval"]
    assert low < bits - 1.5 < high
    assert told not in verdict(measured, BASELINES)["sections"]["overfitting"]


def test_a_gap_that_may_be_chance_is_no_praise_and_no_blame() -> None:
    unclear = {"bits_per_byte": 1.2, "interval": [1.0, 1.7]}
    found = verdict(evaluation(validation={"interval": [1.5, 1.7]}, train=unclear), BASELINES)
    assert "cannot be told" in found["sections"]["overfitting"]
    assert "overfit" not in found["summary"]
    assert gap({"bits_per_byte": 2.0}, {"bits_per_byte": 0.0, "bytes": 0})["outcome"] == "unclear"


def test_loops_copies_and_broken_characters_are_named() -> None:
    found = verdict(
        evaluation(
            diversity={"repeating_samples": 0.5, "broken_characters": 0.02},
            memorised={"share_copied_50": 0.6, "longest_copied_characters": 400},
        ),
        BASELINES,
    )
    assert "repeats itself in 50% of samples" in found["summary"]
    assert "writes broken characters (2.0% of all)" in found["summary"]
    assert "copies 60% of its text from the training text" in found["summary"]
    assert len([point for point in found["points"] if point["kind"] == "bad"]) == 3
    assert len(found["next"]) == 3


@pytest.mark.parametrize(
    ("difference", "kind"),
    [([0.02, 0.25], "good"), ([-0.05, 0.1], "note"), ([-0.2, -0.1], "bad"), ([0.0, 0.0], "note")],
)
def test_answers_are_judged_by_the_paired_difference(difference, kind) -> None:
    # The model's own interval holds the search's number: what decides is the difference.
    chat = {"rouge_l_nearest_question": 0.5, "difference_interval": difference}
    found = verdict(evaluation(chat=chat), BASELINES)
    assert kinds(found, "nearest training question") == [kind]
    assert "nearest training question" in found["sections"]["chat"]


def test_what_the_questions_are_is_said() -> None:
    identity = {"num_questions": 7, "rouge_l": 0.9, "rouge_l_nearest_question": 1.0}
    exact = {"exact_answers": 0.0, "exact_answers_nearest_question": 0.25}
    chat = {**exact, "by_category": {"python.args": {}}, "identity": identity, "num_too_long": 2}
    found = verdict(evaluation(chat=chat), BASELINES)
    assert kinds(found, "held out of the fine-tuning only") == ["note"]
    words = "None of its answers is the reference word for word (looking up: 25%)"
    assert kinds(found, words) == ["note"]
    assert kinds(found, "7 questions about the model itself are not counted") == ["note"]
    assert kinds(found, "too long for the model: 2 questions") == ["note"]
    found = verdict(evaluation(chat={"only_identity": True, "identity": identity}), BASELINES)
    assert kinds(found, "100 questions about itself") == ["good"]


def test_a_baseline_that_has_not_read_all_is_called_so() -> None:
    models = [
        {
            "name": "xz",
            "bits_per_byte": 2.4,
            "detail": {"all_training_text": False, "training_bytes": 12_000_000},
        },
        {
            "name": "5-gram",
            "bits_per_byte": 2.0,
            "detail": {"all_training_text": False, "training_tokens": 6_000_000},
        },
    ]
    found = verdict(evaluation(), {"models": models})
    words = "xz has read only 12.0 MB and the 5-gram has read only 6.0 million tokens"
    assert kinds(found, words) == ["note"]
    assert kinds(verdict(evaluation(), BASELINES), "has read only") == []


def test_baselines_that_do_not_fit_are_not_denied() -> None:
    found = verdict(evaluation(validation={"against": {}, "complete": False}), BASELINES)
    assert kinds(found, "there are no baselines") == []
    assert kinds(found, "for just this text is not known") == ["note"]


def test_copies_and_broken_characters_are_named_in_a_few_samples_too() -> None:
    found = verdict(
        evaluation(
            diversity={"num_samples": 3, "repeating_samples": 1.0, "broken_characters": 0.02},
            memorised={"share_copied_50": 0.6},
        ),
        BASELINES,
    )
    assert kinds(found, "60% of what it writes") == ["bad"]
    assert kinds(found, "broken UTF-8") == ["bad"]
    assert kinds(found, "repeat themselves") == []


def test_nothing_is_said_in_odd_numbers() -> None:
    found = verdict(
        evaluation(diversity={"repeating_samples": 0.0}, chat={"finished_answers": 0.0}), BASELINES
    )
    assert "does not repeat itself" in found["summary"]
    assert kinds(found, "None of its answers ended by itself.") == ["bad"]


def test_what_was_not_measured_is_said_and_not_guessed() -> None:
    found = verdict(evaluation(diversity={"num_samples": 0}, chat={"num_questions": 0}), None)
    assert found["summary"].startswith("The model needs 1.600 bits per byte.")
    assert kinds(found, "no baselines") == ["note"]
    assert kinds(found, "No samples") == ["note"]
    assert kinds(found, "No chat questions") == ["note"]
    assert kinds(verdict(evaluation(chat=None), BASELINES), "question") == []


def test_answers_that_do_not_end_are_named() -> None:
    found = verdict(evaluation(chat={"finished_answers": 0.4, "seen_questions": 0.5}), BASELINES)
    assert kinds(found, "Only 40% of its answers end") == ["bad"]
    assert kinds(found, "50% of these questions") == ["note"]


def test_few_items_are_not_judged() -> None:
    found = verdict(
        evaluation(
            validation={"bytes": 5000},
            diversity={"num_samples": 1, "repeating_samples": 1.0},
            chat={"num_questions": 4, "rouge_l": 0.0, "finished_answers": 0.0},
        ),
        BASELINES,
    )
    assert kinds(found, "5,000 bytes are few") == ["note"]
    assert kinds(found, "1 sample in the time there was") == ["note"]
    assert kinds(found, "4 chat questions in the time there was") == ["note"]
    assert not [point for point in found["points"] if point["kind"] == "bad"]
