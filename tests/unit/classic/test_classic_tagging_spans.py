import itertools
from pathlib import Path

import numpy as np
import pytest

from homespun.classic.tagging import (
    RulesTagger,
    Segmenter,
    Span,
    accuracy,
    bmes_to_words,
    convert_tags,
    span_scores,
    spans_in_text,
    spans_to_tags,
    tags_to_spans,
    word_offsets,
    words_to_bmes,
)
from homespun.classic.tagging.hmm import HMM
from homespun.classic.tagging.spans import allowed_pairs
from homespun.core import CheckpointError, ConfigError, DataError


def test_spans_of_each_scheme() -> None:
    spans = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 7, "LOC")]
    bio = ["B-PER", "I-PER", "B-PER", "O", "B-LOC", "I-LOC", "I-LOC"]
    bioes = ["B-PER", "E-PER", "S-PER", "O", "B-LOC", "I-LOC", "E-LOC"]
    assert spans_to_tags(spans, 7, "bio") == bio
    assert spans_to_tags(spans, 7, "bioes") == bioes
    assert tags_to_spans(bio) == tags_to_spans(bioes) == spans
    assert convert_tags(bio, "bmes")[5] == "M-LOC"
    bilou = ["B-PER", "L-PER", "U-PER", "O", "B-LOC", "I-LOC", "L-LOC"]
    assert convert_tags(bio, "bilou") == bilou
    assert tags_to_spans(bilou) == spans
    assert convert_tags(convert_tags(bio, "bmes"), "bio") == bio


def test_random_spans_survive_every_scheme() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        cuts = sorted(set(generator.integers(0, 12, 6).tolist()))
        spans = [
            Span(a, b, "人地"[int(generator.integers(2))])
            for a, b in itertools.pairwise(cuts)
            if generator.random() < 0.7
        ]
        for scheme in ("bio", "bioes", "bmes", "bilou"):
            assert tags_to_spans(spans_to_tags(spans, 12, scheme)) == spans


def test_tags_that_fit_no_scheme_are_read_as_conll_does() -> None:
    assert tags_to_spans(["I-A", "I-A", "I-B", "O"]) == [Span(0, 2, "A"), Span(2, 3, "B")]
    assert tags_to_spans(["E-A", "B-A", "S-A"]) == [
        Span(0, 1, "A"),
        Span(1, 2, "A"),
        Span(2, 3, "A"),
    ]
    assert tags_to_spans([]) == []
    with pytest.raises(DataError, match="no known scheme"):
        tags_to_spans(["X-A"])


@pytest.mark.parametrize("span", [Span(1, 1, "A"), Span(0, 4, "A"), Span(-1, 2, "A")])
def test_spans_that_tags_cannot_say(span: Span) -> None:
    with pytest.raises(DataError, match="span"):
        spans_to_tags([span], 3)
    with pytest.raises(DataError, match="overlaps"):
        spans_to_tags([Span(0, 2, "A"), Span(1, 3, "B")], 3)


def test_what_may_follow_what() -> None:
    follow, begin, end = allowed_pairs(["B-A", "E-A", "I-B", "O", "S-B"])
    assert follow[0].tolist() == [False, True, False, False, False]
    assert follow[3].tolist() == [True, False, False, True, True]
    assert begin.tolist() == [True, False, False, True, True]
    assert end.tolist() == [False, True, False, True, True]
    follow, _, end = allowed_pairs(["B-A", "I-A", "O"])
    assert follow.tolist() == [[True] * 3, [True] * 3, [True, False, True]]
    assert end.all()


def test_words_and_characters() -> None:
    words = ["我", "爱", "北京", "天安门", "𠮷野家"]
    characters, tags = words_to_bmes(words)
    assert "".join(tags) == "SSBEBMEBME"
    assert bmes_to_words(characters, tags) == words
    assert bmes_to_words(list("abc"), ["M", "E", "M"]) == ["ab", "c"]
    assert bmes_to_words([], []) == []
    assert word_offsets(words) == [(0, 1), (1, 2), (2, 4), (4, 7), (7, 10)]
    assert word_offsets(["New", "York", "!"], "New  York!") == [(0, 3), (5, 9), (9, 10)]
    with pytest.raises(DataError, match="does not follow"):
        word_offsets(["b"], "ab")
    assert spans_in_text([Span(1, 3, "X")], ["a", "b", "c"], "a b c") == [Span(2, 5, "X")]


def test_scores() -> None:
    gold = [["B-A", "I-A", "O"], ["B-B"]]
    found = [["B-A", "O", "B-B"], ["B-B"]]
    assert span_scores(gold, found) == pytest.approx((1 / 3, 1 / 2, 0.4))
    assert accuracy(gold, found) == 0.5
    assert span_scores([["O"]], [["O"]]) == (0.0, 0.0, 0.0)
    with pytest.raises(DataError, match="not as many"):
        span_scores(gold, [["O"], ["O"]])


SENTENCES = [["The", "cat", "sleeps"], ["The", "dog", "barks"], ["the", "bark", "cracks"]]
TAGS = [["D", "N", "V"], ["D", "N", "V"], ["D", "N", "V"]]


def test_rules_in_their_order(tmp_path: Path) -> None:
    tagger = RulesTagger([(r"\d+岁", "AGE")]).fit(
        [*SENTENCES, ["12", "cats", "men"], ["The"]], [*TAGS, ["NUM", "N", "N"], ["D"]]
    )
    asked = [["THE", "dog", "7岁", "3.5", "creaks", "zzz"]]
    assert tagger.predict(asked) == [["D", "N", "AGE", "NUM", "V", "N"]]
    assert tagger.score(SENTENCES, TAGS) == 1.0
    tagger.save(tmp_path)
    assert RulesTagger.load(tmp_path).predict(asked) == tagger.predict(asked)
    with pytest.raises(CheckpointError, match="no whole hmm"):
        HMM.load(tmp_path)
    with pytest.raises(ConfigError, match="learnt nothing"):
        RulesTagger().predict(asked)
    with pytest.raises(ConfigError, match="regular expression"):
        RulesTagger([("(", "X")])


def test_segmenter_gives_back_the_text() -> None:
    sentences = [["我们", "喜欢", "北京"], ["北京", "喜欢", "我们"], ["我", "在", "北京"]] * 4
    segmenter = Segmenter(HMM()).fit(sentences)
    found = segmenter.predict(["我们在北京", "", "喜欢新东西"])
    assert found[0] == ["我们", "在", "北京"]
    assert [("".join(words)) for words in found] == ["我们在北京", "", "喜欢新东西"]
    assert segmenter.offsets(["我们在北京"]) == [[(0, 2), (2, 3), (3, 5)]]
    assert segmenter.scores(sentences).f1 > 0.9
