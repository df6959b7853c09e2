from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from homespun.classic.tagging import HMM, Chain, LexiconSentiment, baum_welch
from homespun.classic.tagging.hmm_inference import (
    Floats,
    forward_backward,
    normalise,
    sequence_log_likelihood,
    viterbi,
)
from homespun.classic.tagging.sentiment import sentiment_units
from homespun.core import CheckpointError, ConfigError, DataError


def random_model(seed: int, num_states: int, num_symbols: int) -> tuple[Chain, Floats]:
    generator = np.random.default_rng(seed)
    shapes = ((num_states,), (num_states, num_states), (num_states,))
    chain = normalise(*(generator.random(shape) + 0.1 for shape in shapes))
    emissions = generator.random((num_states, num_symbols)) + 0.1
    return chain, np.log(emissions / emissions.sum(axis=1, keepdims=True))


def obvious_scores(chain: Chain, e_LT: Floats) -> dict[tuple[int, ...], float]:
    """The log-probability of the sequence along each path."""
    scores = {}
    for path in product(range(e_LT.shape[1]), repeat=len(e_LT)):
        score = chain.begin_T[path[0]] + chain.end_T[path[-1]]
        score += sum(e_LT[at, state] for at, state in enumerate(path))
        score += sum(chain.trans_TT[a, b] for a, b in pairwise(path))
        scores[path] = float(score)
    return scores


@pytest.mark.parametrize("length", [1, 2, 5])
def test_inference_agrees_with_all_paths(length: int) -> None:
    for seed in range(5):
        chain, emissions_TV = random_model(seed, 3, 4)
        symbols = np.random.default_rng(seed).integers(0, 4, length)
        e_LT = emissions_TV[:, symbols].T - 400.0  # as small as long sequences get
        scores = obvious_scores(chain, e_LT)
        best, value = viterbi(chain, e_LT)
        assert tuple(best.tolist()) == max(scores, key=lambda path: scores[path])
        assert value == pytest.approx(max(scores.values()))
        total = float(np.logaddexp.reduce(list(scores.values())))
        found = forward_backward(chain, e_LT)
        assert found.log_likelihood == pytest.approx(total)
        assert sequence_log_likelihood(chain, e_LT) == pytest.approx(total)
        p_LT, pairs_TT = np.zeros((length, 3)), np.zeros((3, 3))
        for path, score in scores.items():
            share = np.exp(score - total)
            p_LT[np.arange(length), path] += share
            np.add.at(pairs_TT, (path[:-1], path[1:]), share)
        assert np.allclose(found.p_LT, p_LT)
        assert np.allclose(found.pairs_TT, pairs_TT)


def test_a_round_of_baum_welch_is_the_expected_counts() -> None:
    chain, emissions_TV = random_model(1, 2, 3)
    sequences = [np.array([0, 1, 2, 1]), np.array([2, 2])]
    begin, trans, end, emit = np.zeros(2), np.zeros((2, 2)), np.zeros(2), np.zeros((2, 3))
    for sequence in sequences:
        scores = obvious_scores(chain, emissions_TV[:, sequence].T)
        total = np.logaddexp.reduce(list(scores.values()))
        for path, score in scores.items():
            share = np.exp(score - total)
            begin[path[0]] += share
            end[path[-1]] += share
            np.add.at(trans, (path[:-1], path[1:]), share)
            np.add.at(emit, (path, sequence), share)
    found = baum_welch(sequences, chain, emissions_TV, num_rounds=1)
    leaving = trans.sum(axis=1) + end
    assert np.allclose(np.exp(found.chain.begin_T), begin / begin.sum())
    assert np.allclose(np.exp(found.chain.trans_TT), trans / leaving[:, None])
    assert np.allclose(np.exp(found.chain.end_T), end / leaving)
    assert np.allclose(np.exp(found.emissions_TV), emit / emit.sum(axis=1, keepdims=True))


def test_baum_welch_never_falls_and_finds_alternation() -> None:
    chain, emissions_TV = random_model(3, 2, 4)
    generator = np.random.default_rng(0)
    sequences = [
        np.array([2 * (at % 2) + int(generator.integers(2)) for at in range(10)]) for _ in range(30)
    ]
    found = baum_welch(sequences, chain, emissions_TV, num_rounds=60, tolerance=0.0)
    assert all(b >= a - 1e-9 for a, b in zip(found.history, found.history[1:], strict=False))
    path, _ = viterbi(found.chain, found.emissions_TV[:, sequences[0]].T)
    assert len(set(path[::2].tolist())) == len(set(path[1::2].tolist())) == 1
    assert path[0] != path[1]


SENTENCES = [["the", "dog", "barks"], ["the", "cat", "sleeps"], ["a", "cat", "walks", "。"]]
TAGS = [["D", "N", "V"], ["D", "N", "V"], ["D", "N", "V", "P"]]


def test_tagger_guesses_unknown_words_by_ending_and_place(tmp_path: Path) -> None:
    model = HMM().fit(SENTENCES, TAGS)
    assert model.predict(SENTENCES) == TAGS
    assert model.predict([["the", "bird", "talks"], []]) == [["D", "N", "V"], []]
    (posterior,) = model.posteriors([["the", "bird", "talks"]])
    assert np.allclose(posterior.sum(axis=1), 1)
    assert posterior[2].argmax() == model.tags.index("V")
    model.save(tmp_path)
    again = HMM.load(tmp_path)
    assert np.array_equal(
        again.posteriors([["the", "bird"]])[0], model.posteriors([["the", "bird"]])[0]
    )
    # Half of a surrogate pair is no text, but a word that can be learned.
    halved = HMM().fit([["a\ud83d", "b"]], [["N", "V"]])
    halved.save(tmp_path / "halved")
    assert HMM.load(tmp_path / "halved").predict([["a\ud83d"]]) == halved.predict([["a\ud83d"]])
    (tmp_path / "weights.safetensors").write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="no whole hmm"):
        HMM.load(tmp_path)


@pytest.mark.parametrize("supervised", [True, False])
def test_the_language_model_is_a_distribution(supervised: bool) -> None:
    sentences = [["我", "你"], ["你"], ["我", "我", "你"]]
    model = HMM(smoothing=0.1)
    if supervised:
        model.fit(sentences, [["A", "B"], ["B"], ["A", "A", "B"]])
    else:
        generator = np.random.default_rng(0)
        model.fit_unsupervised(sentences, num_states=2, generator=generator)
    totals = [
        sum(np.exp(model.log_likelihood(words)) for words in product(["我", "你", "新"], repeat=n))
        for n in range(1, 9)
    ]
    assert 0.9 < sum(totals) < 1.0 + 1e-9
    assert totals[0] > 0.05
    assert model.log_likelihood(["我", "你"]) > model.log_likelihood(["新", "新"])


def test_states_found_without_tags_foretell_better_than_one() -> None:
    sentences = [list("abababab"), list("ababab"), list("ababababab")] * 5
    likelihoods = []
    for num_states in (1, 2):
        model = HMM()
        generator = np.random.default_rng(1)
        history = model.fit_unsupervised(
            sentences, num_states=num_states, generator=generator, num_rounds=50
        )
        likelihoods.append(history[-1])
        assert len(model.predict(sentences)[0]) == 8
    assert likelihoods[1] > likelihoods[0] + 50


def test_what_goes_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match="out of range"):
        HMM(smoothing=0.0)
    with pytest.raises(ConfigError, match="learnt nothing"):
        HMM().log_likelihood(["a"])
    with pytest.raises(DataError, match="no word"):
        HMM().fit_unsupervised([[]], num_states=2, generator=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="no state"):
        HMM().fit_unsupervised([["a"]], num_states=0, generator=np.random.default_rng(0))


GOOD = ["a good film", "good and fine", "really good fun", "很好看", "房间很好", "很好，满意"]
BAD = ["a bad film", "bad and dull", "not good at all", "很难看", "房间很差", "不好，很差"]


def test_sentiment_turns_about_behind_a_negation(tmp_path: Path) -> None:
    model = LexiconSentiment(threshold=0.5).fit([*GOOD, *BAD], [1] * 6 + [0] * 6)
    assert model.score([*GOOD, *BAD], [1] * 6 + [0] * 6) == 1.0
    assert model.weigh("good fun") > 0 > model.weigh("not good")
    assert model.weigh("it isn't bad") > model.weigh("it is bad")
    assert model.weigh("好") > 0 > model.weigh("不好")
    assert model.weigh("不差") > model.weigh("差")
    model.save(tmp_path)
    assert LexiconSentiment.load(tmp_path).lexicon == model.lexicon
    with pytest.raises(DataError, match="labelled 1"):
        LexiconSentiment().fit(GOOD, [1] * 6)
    with pytest.raises(ConfigError, match="learnt nothing"):
        LexiconSentiment().weigh("x")
    one_word = LexiconSentiment().fit(["好", "好", "好"], [1, 1, 0])
    assert (one_word.lexicon, one_word.predict(["好"])) == ({}, [1])


def test_negation_reaches_to_the_break() -> None:
    assert sentiment_units("don't like, fine") == ["do", "not", "NOT_like", ",", "fine"]
    assert sentiment_units("DON'T LIKE, fine") == sentiment_units("don’t like, fine")
    assert "NOT_好" in sentiment_units("不好，好")
    assert sentiment_units("不好，好").count("好") == 1
