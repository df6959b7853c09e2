"""ARPA files: written, read back, written by hand, damaged."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from homespun.classic.kneser_ney import KneserNeyModel
from homespun.classic.kneser_ney.kernels import KernelName
from homespun.core import DataError

TEXT = [["the", "dog", "。"], ["the", "cat"], ["红楼", "梦", "the", "dog"], ["dog"], []] * 3 + [
    ["梦", "dog", "the"]
]
HELD_OUT = [*TEXT, ["dog", "dog", "never"], ["梦"], ["the", "dog", "the", "cat", "。"]]
BY_HAND = """made by hand
\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1\t<unk>
-0.5\tb\t-0.25
-99\t<s>\t-0.5
-0.75\t</s>
-0.3\ta

\\2-grams:
-0.1\tb </s>
-0.2\t<s> b

\\end\\
"""


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("discounts", ["modified", "absolute"])
def test_a_model_read_back_is_the_same(tmp_path: Path, order: int, discounts: str) -> None:
    model = KneserNeyModel(order=order, discounts=discounts).fit(TEXT)
    model.write_arpa(tmp_path / "model.arpa")
    again = KneserNeyModel.read_arpa(tmp_path / "model.arpa")
    assert again.order == order
    assert again.num_ngrams == model.num_ngrams
    assert again.vocabulary.words == model.vocabulary.words
    np.testing.assert_allclose(again.log_probs(HELD_OUT), model.log_probs(HELD_OUT), atol=1e-6)
    for history in ([], ["the"], ["the", "dog"], ["never", "梦"]):
        np.testing.assert_allclose(
            again.next_probabilities(history), model.next_probabilities(history), atol=1e-6
        )
    again.write_arpa(tmp_path / "again.arpa")
    assert (tmp_path / "again.arpa").read_bytes() == (tmp_path / "model.arpa").read_bytes()


def test_the_file_has_what_the_format_asks_for(tmp_path: Path) -> None:
    KneserNeyModel(order=2).fit([["a"], ["a", "中"]]).write_arpa(tmp_path / "model.arpa")
    lines = (tmp_path / "model.arpa").read_text("utf-8").split("\n")
    assert lines[:3] == ["\\data\\", "ngram 1=5", "ngram 2=4"]
    unigrams = [line.split("\t") for line in lines[5:10]]
    assert [fields[1] for fields in unigrams] == ["<unk>", "<s>", "</s>", "a", "中"]
    assert unigrams[1][0] == "-99"
    bigrams = {line.split("\t")[1] for line in lines if line.count(" ") == 1 and "\t" in line}
    assert bigrams == {"<s> a", "a 中", "a </s>", "中 </s>"}
    assert [line for line in lines if line][-1] == "\\end\\"


def test_a_file_of_another_hand_is_read(tmp_path: Path) -> None:
    """In any order, with remarks before it, and weights left out."""
    path = tmp_path / "model.arpa"
    path.write_text(BY_HAND, encoding="utf-8")
    model = KneserNeyModel.read_arpa(path)
    log10 = np.log(10.0)
    # p(b | <s>) p(</s> | b); p(a), the weight of <s> first; </s> after a, which has no weight.
    assert model.log_prob(["b"]) == pytest.approx((-0.2 - 0.1) * log10, abs=1e-6)
    assert model.log_prob(["a"]) == pytest.approx((-0.5 - 0.3 - 0.75) * log10, abs=1e-6)
    assert model.log_prob(["b", "x"]) == pytest.approx((-0.2 - 0.25 - 1 - 0.75) * log10, abs=1e-6)
    in_columns = BY_HAND.replace("ngram 1=5", "ngram  1=         5")
    for text in (BY_HAND.removeprefix("made by hand\n"), in_columns):
        path.write_text(text, encoding="utf-8-sig")
        assert KneserNeyModel.read_arpa(path).log_prob(["b"]) == model.log_prob(["b"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\end\\", "", "before its end mark"),
        ("ngram 2=2", "ngram 2=3", "number, the words"),
        ("ngram 2=2", "ngram 2=1", "where it should"),
        ("ngram 1=5", "ngram 3=5", "not listed"),
        ("\\2-grams:", "\\3-grams:", "no section of 2-grams"),
        ("-0.1\tb </s>", "-0.1\tb", "not 2 words"),
        ("-0.1\tb </s>", "-0.1\tb never", "not among the 1-grams"),
        ("-0.1\tb </s>", "-0.2\t<s> b", "twice"),
        ("-0.3\ta", "-0.3\tb", "twice"),
        ("-0.3\ta", "zero\ta", "number"),
        ("-0.3\ta", "nan\ta", "no logarithm"),
        ("-0.3\ta", "0.3\ta", "no logarithm"),
        ("\\data\\", "data", "before its end mark"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "model.arpa"
    assert old in BY_HAND
    path.write_text(BY_HAND.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        KneserNeyModel.read_arpa(path)


Grams = dict[tuple[str, ...], tuple[float, float]]


def parsed(text: str) -> Grams:
    """log10 p and log10 weight of every n-gram of a file."""
    lines = [line.split("\t") for line in text.split("\n") if "\t" in line]
    return {
        tuple(gram.split(" ")): (float(p), float(weight[0]) if weight else 0.0)
        for p, gram, *weight in lines
    }


def slow_log_prob(grams: Grams, gram: tuple[str, ...]) -> float:
    """As backing off is defined: what the file says of an n-gram or, where it says nothing, the
    weight of its history, 1 where the file gives none, times what is said of the shorter one."""
    if gram in grams:
        return grams[gram][0]
    return grams.get(gram[:-1], (0.0, 0.0))[1] + slow_log_prob(grams, gram[1:])


def slow_log_probs(grams: Grams, sentence: list[str], order: int) -> list[float]:
    words = ["<s>", *(w if (w,) in grams else "<unk>" for w in sentence), "</s>"]
    return [
        slow_log_prob(grams, tuple(words[max(0, at - order + 1) : at + 1]))
        for at in range(1, len(words))
    ]


def pruned(text: str, draw: random.Random, share: float) -> str:
    """A file without some of its n-grams and of its weights, whatever goes on from them."""
    kept: list[list[str]] = []
    for section in re.split(r"\n\\\d-grams:\n", text)[1:]:
        lines = section.removesuffix("\n\\end\\\n").strip("\n").split("\n")
        if kept:
            lines = [line for line in lines if draw.random() >= share]
        kept.append(
            [
                line.rpartition("\t")[0] if line.count("\t") == 2 and draw.random() < 0.2 else line
                for line in lines
            ]
        )
    sizes = "".join(f"ngram {k}={len(lines)}\n" for k, lines in enumerate(kept, start=1))
    sections = "".join(
        f"\n\\{k}-grams:\n" + "".join(f"{line}\n" for line in lines)
        for k, lines in enumerate(kept, start=1)
    )
    return f"\\data\\\n{sizes}{sections}\n\\end\\\n"


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_pruned_file_says_what_backing_off_says(
    tmp_path: Path, share: float, kernels: KernelName
) -> None:
    draw = random.Random(round(10 * share))
    words = list("abcdef")
    sentences = [draw.choices(words, k=draw.randint(0, 9)) for _ in range(60)]
    path, order = tmp_path / "model.arpa", 5
    KneserNeyModel(order=order).fit(sentences).write_arpa(path)
    text = pruned(path.read_text("utf-8"), draw, share)
    path.write_text(text, "utf-8")
    grams = parsed(text)
    missing = [g for g in grams if len(g) > 2 and (g[:-1] not in grams or g[1:] not in grams)]
    assert bool(missing) == (0 < share < 1)
    model = KneserNeyModel.read_arpa(path, kernels=kernels)
    assert model.order == order
    model.write_arpa(tmp_path / "again.arpa")
    again = KneserNeyModel.read_arpa(tmp_path / "again.arpa", kernels=kernels)
    for sentence in [*sentences, ["a", "never", "b"], draw.choices(words, k=40)]:
        slow = np.array(slow_log_probs(grams, sentence, order)) * np.log(10.0)
        for one in (model, again):
            np.testing.assert_allclose(one.token_log_probs(sentence), slow, atol=1e-5)
        history = sentence[: draw.randint(0, len(sentence))]
        p_V = model.next_probabilities(history)
        for word in words:
            last = slow_log_probs(grams, [*history, word], order)[len(history)]
            number = model.vocabulary.encode([word])[0]
            assert np.log10(p_V[number]) == pytest.approx(last, abs=1e-5)


@pytest.mark.parametrize("gram", ["<s> a b", "<s> b a"], ids=["first tokens", "last tokens"])
def test_an_n_gram_may_stand_alone(tmp_path: Path, gram: str) -> None:
    path = tmp_path / "model.arpa"
    text = BY_HAND.replace("ngram 2=2\n", "ngram 2=2\nngram 3=1\n").replace(
        "\n\\end\\", f"\n\\3-grams:\n-0.1\t{gram}\n\n\\end\\"
    )
    path.write_text(text, encoding="utf-8")
    model = KneserNeyModel.read_arpa(path)
    for words in (["a", "b"], ["b", "a"], ["a", "a"], ["b", "b"]):
        slow = np.array(slow_log_probs(parsed(text), words, 3)) * np.log(10.0)
        np.testing.assert_allclose(model.token_log_probs(words), slow, atol=1e-6)


def test_bytes_and_absent_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.arpa"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        KneserNeyModel.read_arpa(path)
    with pytest.raises(DataError, match="there is no file"):
        KneserNeyModel.read_arpa(tmp_path / "nothing")


@pytest.mark.parametrize("word", ["two words", "a\tb", "", "line\nend", "\ud83d"])
def test_words_the_format_cannot_say_are_refused(tmp_path: Path, word: str) -> None:
    model = KneserNeyModel(order=2).fit([["a", word]])
    with pytest.raises(DataError, match="blanks"):
        model.write_arpa(tmp_path / "model.arpa")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="call fit"):
        KneserNeyModel().write_arpa(tmp_path / "model.arpa")
