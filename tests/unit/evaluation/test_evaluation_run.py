"""Baselines and the whole evaluation, end to end on a tiny model."""

import json
import math
import random
from collections import Counter

import numpy as np
import pytest

from homespun.classic import KneserNey, XzLanguageModel, join_documents
from homespun.core import Conversation, DataError, Message
from homespun.evaluation import (
    ChatSubject,
    EvaluationData,
    bootstrap_ratio,
    evaluate_run,
    run_baselines,
)
from homespun.evaluation import run_eval as module
from homespun.evaluation.bits_per_byte import WindowScores
from homespun.evaluation.intervals import difference_interval
from homespun.evaluation.pieces import digest_of, draw_documents, han_share, sample_like
from homespun.evaluation.run_eval import compare, stretches
from homespun.inference import Engine

WORDS = ["the", "cat", "dog", "sat", "ran", "on", "mat", "in", "sun", "and", "猫", "狗", "太阳"]


def texts(seed: int, num: int) -> list[str]:
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(WORDS, k=chooser.randrange(5, 30))) for _ in range(num)]


TRAIN, VALIDATION = texts(0, 120), texts(1, 20)
CHAT = [
    Conversation((Message("user", f"Say {n}"), Message("assistant", f"{n}!")), category="say")
    for n in range(12)
]


@pytest.fixture(scope="module")
def baselines(byte_tokenizer) -> dict:
    return run_baselines(lambda: TRAIN, VALIDATION, byte_tokenizer, seconds_budget=10)


@pytest.fixture(scope="module")
def result(byte_tokenizer, tiny_decoder, baselines) -> dict:
    data = EvaluationData(VALIDATION, lambda: TRAIN, CHAT[:9], CHAT[9:], baselines)
    engine = Engine(tiny_decoder, byte_tokenizer)
    return evaluate_run(tiny_decoder, byte_tokenizer, engine, data, seconds_budget=3, seed=1)


def test_baselines_are_those_of_the_models_alone(byte_tokenizer, baselines) -> None:
    num_bytes = sum(len(text.encode()) for text in VALIDATION)
    assert baselines["num_bytes"] == num_bytes
    assert baselines["num_documents"] == baselines["num_pieces"] == 20
    found = {model["name"]: model for model in baselines["models"]}
    assert list(found) == ["xz", "unigram", "5-gram"]
    table = KneserNey(
        order=5,
        vocab_size=byte_tokenizer.vocab_size,
        end_of_text_id=byte_tokenizer.end_of_text_id,
    ).fit(byte_tokenizer.encode_batch(TRAIN))
    nats = table.document_nats(byte_tokenizer.encode_batch(VALIDATION))
    assert found["5-gram"]["bits_per_byte"] == pytest.approx(nats.sum() / np.log(2) / num_bytes)
    assert found["5-gram"]["detail"]["piece_nats"] == pytest.approx(nats, abs=0.01)
    xz = XzLanguageModel(join_documents(TRAIN)).score(VALIDATION)
    assert found["xz"]["bits_per_byte"] == pytest.approx(xz.bits_per_byte)
    assert found["xz"]["detail"]["all_training_text"]
    assert found["5-gram"]["bits_per_byte"] < found["unigram"]["bits_per_byte"]
    json.dumps(baselines, allow_nan=False)


def test_xz_reads_less_training_text_where_time_is_short(byte_tokenizer, monkeypatch) -> None:
    monkeypatch.setattr("homespun.evaluation.baselines._XZ_LEAST_SECONDS", 0.0)
    monkeypatch.setattr("homespun.evaluation.baselines._XZ_PROBE_BYTES", 20_000)
    train = texts(3, 4000)
    found = run_baselines(lambda: train, VALIDATION, byte_tokenizer, seconds_budget=0.0)
    detail = found["models"][0]["detail"]
    assert 10_000 < detail["training_bytes"] <= 20_000
    assert not detail["all_training_text"]


def test_the_ngram_reads_all_over_the_corpus_and_says_when_not_all(
    byte_tokenizer, monkeypatch
) -> None:
    monkeypatch.setattr("homespun.evaluation.baselines.MAX_TRAINING_TOKENS", 1000)
    monkeypatch.setattr("homespun.evaluation.baselines._BATCH_CHARACTERS", 50)
    train = ["a" * 60] * 100 + ["b" * 60] * 100
    held_out = ["a" * 60, "b" * 60]
    found = run_baselines(lambda: train, held_out, byte_tokenizer, seconds_budget=5)
    detail = found["models"][2]["detail"]
    assert not detail["all_training_text"]
    assert 1000 <= detail["training_tokens"] < 1200
    # Were one of the two never read, its text would cost many times as much.
    one, other = detail["piece_nats"]
    assert 0.4 < one / other < 2.5


def test_documents_are_drawn_whole_from_everywhere_within_the_limit() -> None:
    documents = [f"{number:04d}" for number in range(1000)]
    drawn, complete = draw_documents(iter(documents), 400, seed=0)
    assert len(drawn) == 100
    assert not complete
    assert all(documents[place] == text for place, text in drawn)
    places = [place for place, _ in drawn]
    assert places != sorted(places)
    assert 30 < sum(place < 500 for place in places) < 70
    assert sum(place < 500 for place in places[:20]) in range(3, 18)
    everything, complete = draw_documents(documents, 4000, seed=0)
    assert complete
    assert sorted(text for _, text in everything) == documents
    assert draw_documents(["long" * 100], 10, seed=0) == ([(0, "long" * 100)], True)
    assert draw_documents([], 10, seed=0) == ([], True)


def test_baselines_of_other_pieces_are_not_compared_with(byte_tokenizer, baselines) -> None:
    scores = module.DocumentScores(np.ones(20), np.ones(20), np.ones(20))
    order = list(range(20))
    right = digest_of(VALIDATION)
    assert baselines["pieces_sha256"] == right
    assert compare(scores, order, baselines, pieces_sha256=right, seed=0)
    other = digest_of([*VALIDATION[1:], VALIDATION[0]])
    assert compare(scores, order, baselines, pieces_sha256=other, seed=0) == {}
    assert digest_of(["ab", "c"]) != digest_of(["a", "bc"])


def test_missing_text_is_an_error(byte_tokenizer) -> None:
    with pytest.raises(DataError, match="no validation text"):
        run_baselines(lambda: TRAIN, [], byte_tokenizer)
    with pytest.raises(DataError, match="no training text"):
        run_baselines(list, VALIDATION, byte_tokenizer)


def test_the_result_has_the_agreed_form(result) -> None:
    json.dumps(result, allow_nan=False)
    assert result["model"] == {
        "parameters": result["model"]["parameters"],
        "layers": 2,
        "width": 16,
        "vocab_size": result["model"]["vocab_size"],
        "context": 16,
        "table": None,
    }
    assert set(result) == {
        "format", "model", "validation", "train", "gap", "samples", "diversity", "memorised",
        "chat", "read_enough", "seconds", "peak_memory_bytes", "verdict",
    }  # fmt: skip
    assert result["validation"]["bytes"] == sum(len(text.encode()) for text in VALIDATION)
    assert result["validation"]["complete"]
    assert result["validation"]["interval_over"] == "pieces"
    low, high = result["validation"]["interval"]
    assert low <= result["validation"]["bits_per_byte"] <= high
    assert result["train"]["bytes"] >= result["validation"]["bytes"]
    assert result["samples"][0]["prompt"] == ""
    assert result["diversity"]["num_samples"] == len(result["samples"])
    assert set(result["verdict"]) == {"summary", "points", "sections", "next"}


def test_an_untrained_model_is_not_said_to_beat_anything(result) -> None:
    against = result["validation"]["against"]
    assert set(against) == {"xz", "unigram", "5-gram"}
    assert against["5-gram"]["lead"] < 0
    assert "does not beat the 5-gram" in result["verdict"]["summary"].lower()


def test_chat_has_losses_and_answers(result) -> None:
    chat = result["chat"]
    assert chat["num_conversations"] == 9
    assert chat["answer_loss"] > 0
    assert chat["answer_bits_per_byte"] > 0


def test_the_chat_model_may_be_another(byte_tokenizer, tiny_decoder, make_parrot) -> None:
    data = EvaluationData(VALIDATION, lambda: TRAIN, CHAT[:9], CHAT[9:], None)
    parrot = make_parrot("3!")
    found = evaluate_run(
        tiny_decoder,
        byte_tokenizer,
        make_parrot("the cat sat on the mat"),
        data,
        chat=ChatSubject(tiny_decoder, parrot),
        seconds_budget=5,
    )
    assert found["samples"][0]["text"] == "the cat sat on the mat"
    assert found["chat"]["examples"][0]["answer"] == "3!"
    assert found["chat"]["num_questions"] == 9
    assert found["validation"]["against"] == {}


def test_no_time_still_gives_a_verdict(
    byte_tokenizer, tiny_decoder, make_parrot, baselines
) -> None:
    many = [text * 30 for text in VALIDATION] * 8
    data = EvaluationData(many, lambda: TRAIN, CHAT, CHAT, baselines)
    found = evaluate_run(tiny_decoder, byte_tokenizer, make_parrot("x"), data, seconds_budget=0.0)
    assert not found["validation"]["complete"]
    assert 0 < found["validation"]["pieces"] < len(many)
    assert found["validation"]["against"] == {}
    assert found["diversity"]["num_samples"] == 1
    assert found["memorised"]["searched_bytes"] > 0
    assert found["chat"]["num_questions"] == 1


def test_no_validation_text_is_an_error(byte_tokenizer, tiny_decoder, make_parrot) -> None:
    with pytest.raises(DataError, match="no validation text"):
        evaluate_run(
            tiny_decoder, byte_tokenizer, make_parrot("x"), EvaluationData([], lambda: TRAIN)
        )


def test_a_part_is_compared_with_the_baselines_on_that_part(baselines) -> None:
    order = list(range(19, -1, -1))
    nats = np.array(baselines["models"][2]["detail"]["piece_nats"])[order][:10]
    num_bytes = np.array([len(VALIDATION[at].encode()) for at in order[:10]])
    scores = module.DocumentScores(0.5 * nats, num_bytes, num_bytes + 1)
    found = compare(scores, order, baselines, pieces_sha256=digest_of(VALIDATION), seed=0)
    assert set(found) == {"unigram", "5-gram"}
    assert found["5-gram"]["lead"] == pytest.approx(0.5)
    assert found["5-gram"]["interval"] == pytest.approx([0.5, 0.5])
    expected = nats.sum() / np.log(2) / num_bytes.sum()
    assert found["5-gram"]["bits_per_byte"] == pytest.approx(expected)


def test_a_search_that_was_cut_short_says_so(byte_tokenizer, tiny_decoder, make_parrot) -> None:
    data = EvaluationData(VALIDATION, lambda: ["the cat"] * 3, baselines=None)
    engine = make_parrot("a cat")
    whole = evaluate_run(tiny_decoder, byte_tokenizer, engine, data, seconds_budget=5)
    assert whole["memorised"]["complete"]
    assert whole["memorised"]["searched_bytes"] == 21
    assert whole["memorised"]["longest_copied_text"] == " cat"
    part = evaluate_run(tiny_decoder, byte_tokenizer, engine, data, seconds_budget=-1)
    assert not part["memorised"]["complete"]
    assert part["memorised"]["searched_bytes"] == 7


def test_a_text_of_few_pieces_has_intervals_over_stretches_of_them(
    byte_tokenizer, tiny_decoder, make_parrot
) -> None:
    long, other = (" ".join(texts(seed, 60)) for seed in (5, 6))
    data = EvaluationData([long[:3000], long[3000:]], lambda: [other])
    found = evaluate_run(tiny_decoder, byte_tokenizer, make_parrot("x"), data, seconds_budget=30)
    for text in ("validation", "train"):
        low, high = found[text]["interval"]
        assert low < found[text]["bits_per_byte"] < high
        assert found[text]["interval_over"] == "stretches"
    low, high = found["gap"]["interval"]
    assert low < found["gap"]["bits_per_byte"] < high
    assert "too little text" not in found["verdict"]["sections"]["overfitting"]
    # A few lines are too little for that as well.
    few = EvaluationData(["the cat"], lambda: ["the dog"])
    found = evaluate_run(tiny_decoder, byte_tokenizer, make_parrot("x"), few, seconds_budget=5)
    assert found["validation"]["interval"] is found["gap"]["interval"] is None
    assert found["validation"]["interval_over"] is None
    assert "too little text to say how much" in found["verdict"]["sections"]["overfitting"]


def test_stretches_are_neighbours_of_one_piece() -> None:
    parts = (range(100), range(100, 145))
    windows = [WindowScores(np.array(part, float), np.ones(len(part))) for part in parts]
    nats, num_bytes = stretches(windows)
    assert num_bytes.tolist() == [7] * 14 + [2] + [7] * 6 + [3]
    assert nats[0] == sum(range(7))
    assert nats[14] == 98 + 99
    assert nats.sum() == sum(range(145))
    assert [len(part) for part in stretches(windows[:1])] == [20, 20]
    few = [one._replace(nats=one.nats[:9], num_bytes=one.num_bytes[:9]) for one in windows]
    assert stretches(few)[1].tolist() == [1] * 18


def test_training_text_is_sampled_evenly_and_the_same_every_time() -> None:
    train = [f"{number:03d} and some words" for number in range(100)]
    like = ["x" * 500]
    some = sample_like(train, like, seed=0)
    assert some == sample_like(iter(train), like, seed=0)
    assert some != sample_like(train, like, seed=1)
    assert set(some[:-1]) <= set(train)
    assert sum(len(text.encode()) for text in some) == 500
    assert sorted(sample_like(train, ["x" * 10**6], seed=0)) == train
    assert sample_like([], like, seed=0) == []
    assert sample_like(train, [], seed=0) == []
    often = Counter(text for seed in range(100) for text in sample_like(train, like, seed=seed))
    assert set(train) <= set(often)


def test_training_text_is_sampled_with_the_mix_of_the_validation_text() -> None:
    train = [f"{number} plain English words" * 5 for number in range(900)]
    train += [f"{number}黛玉听了这话冷笑" * 5 for number in range(100)]
    like = ["宝玉听了笑道" * 200, "The function returns " * 60]
    some = sample_like(train, like, seed=0)
    assert han_share(some) == pytest.approx(han_share(like), abs=0.01)
    assert han_share(some[: len(some) // 2]) == pytest.approx(han_share(like), abs=0.1)
    assert 0.7 < han_share(like) < 0.8
    assert han_share(sample_like(train[:900], like, seed=0)) == 0
    # Those of all planes: names and old books have them.
    assert han_share(["𠮷𠮷𠮷𠮷", "abcd" * 4]) == 0.5


def test_a_script_missing_from_the_training_text_leaves_the_gap_unclear(
    byte_tokenizer, tiny_decoder, make_parrot
) -> None:
    held_out = ["the cat sat on the mat", "宝玉听了笑道好姐姐"]
    for train, same in ((["a dog ran"] * 9, False), (["a dog ran", "黛玉听了这话"] * 9, True)):
        data = EvaluationData(held_out, lambda train=train: train)
        found = evaluate_run(tiny_decoder, byte_tokenizer, make_parrot("x"), data, seconds_budget=2)
        assert found["gap"]["same_mix"] is same
        assert same or found["gap"]["outcome"] == "unclear"


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random_numbers = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        sizes = random_numbers.uniform(50, 150, size=60)
        bits = sizes * random_numbers.normal(2.0, 0.3, size=60)
        interval = bootstrap_ratio(bits, sizes, seed=trial, num_resamples=200)
        assert interval is not None
        hits += interval[0] <= 2.0 <= interval[1]
    assert 85 <= hits <= 100


def test_a_difference_is_as_unsure_as_both_together() -> None:
    low, high = difference_interval(2.0, [1.9, 2.4], 1.5, [1.2, 1.7]) or (0.0, 0.0)
    assert low == pytest.approx(0.5 - math.hypot(0.1, 0.2))
    assert high == pytest.approx(0.5 + math.hypot(0.4, 0.3))
    assert difference_interval(2.0, None, 1.5, [1.2, 1.7]) is None
    assert difference_interval(2.0, [1.9, 2.4], 1.5, None) is None


def test_a_handful_of_items_has_no_interval() -> None:
    assert bootstrap_ratio(np.ones(7), np.ones(7), seed=0) is None
