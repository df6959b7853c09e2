"""Words and their vectors: asked, kept, judged; text cut into words."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from homespun.classic.vectors import (
    Analogy,
    Vocabulary,
    WordPair,
    WordVectors,
    encode_sentences,
    read_analogies,
    read_word_pairs,
    score_analogies,
    score_word_pairs,
    text_sentences,
    text_words,
)
from homespun.classic.vectors.vocabulary import MAX_SENTENCE
from homespun.core import ConfigError, DataError, RequestError


def random_vectors(num: int = 60, dim: int = 8) -> WordVectors:
    random = np.random.default_rng(5)
    return WordVectors([f"字{n}" for n in range(num)], random.normal(size=(num, dim)))


ROYAL = WordVectors(
    ["man", "woman", "king", "queen", "男", "女", "apple"],
    np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0.1, 0], [1, 0.9, 0], [-1, -1, 0]]),
)


def test_words_are_found_in_small_letters_and_others_named_that_may_be_meant() -> None:
    vectors = WordVectors(["king", "queen", "café", "May", "may"], np.eye(5))
    assert np.array_equal(vectors["King"], vectors["king"])
    assert np.array_equal(vectors["CAFE\u0301"], vectors["café"])
    assert "king" not in [word for word, _ in vectors.nearest("KING", 5)]
    assert not np.array_equal(vectors["May"], vectors["may"])  # as it is written, where it is there
    with pytest.raises(RequestError, match=r"got Quean\); ask for .* such as queen"):
        vectors["Quean"]
    with pytest.raises(RequestError, match=r"often enough$"):
        vectors["猫"]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize(("dim", "num", "taken"), [(8, 3, 3), (8, None, 1), (250, None, 2)])
def test_what_all_have_in_common_is_taken_out(dim: int, num: int | None, taken: int) -> None:
    plain = random_vectors(dim=dim)
    shifted = WordVectors(plain.words, plain.vectors_VD + np.linspace(3, 9, dim))
    bare = shifted.without_common(num).vectors_VD.astype(np.float64)
    assert np.abs(bare.mean(0)).max() < 1e-5
    centred = plain.vectors_VD.astype(np.float64) - plain.vectors_VD.astype(np.float64).mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    sizes[:taken] = 0
    assert bare == pytest.approx(left @ np.diag(sizes) @ right, abs=1e-4)
    with pytest.raises(ConfigError, match="so many directions"):
        plain.without_common(dim)


def test_nearest_is_by_cosine() -> None:
    vectors = random_vectors()
    query = vectors["字7"].astype(np.float64)
    expected = sorted(
        ((cosine(query, vectors[word].astype(np.float64)), word) for word in vectors.words),
        reverse=True,
    )[1:6]
    found = vectors.nearest("字7", 5)
    assert [word for word, _ in found] == [word for _, word in expected]
    assert [score for _, score in found] == pytest.approx([s for s, _ in expected], abs=1e-5)
    assert vectors.nearest(3 * query, 1) == [("字7", pytest.approx(1, abs=1e-5))]
    assert vectors.similarity("字1", "字2") == pytest.approx(
        cosine(vectors["字1"], vectors["字2"]), abs=1e-5
    )
    assert len(vectors.nearest("字7", 1000)) == len(vectors) - 1


def test_zero_vectors_are_near_to_nothing() -> None:
    vectors = WordVectors(["a", "b"], np.array([[0.0, 0], [1, 1]]))
    assert vectors.similarity("a", "b") == 0


@pytest.mark.parametrize("method", ["add", "mul"])
def test_analogies_by_their_definition(method: str) -> None:
    vectors = random_vectors()
    units = {word: vectors[word] / np.linalg.norm(vectors[word]) for word in vectors.words}
    a, b, c = "字3", "字4", "字5"

    def score(word: str) -> float:
        to_a, to_b, to_c = (float(units[word] @ units[given]) for given in (a, b, c))
        if method == "add":
            return to_b - to_a + to_c
        return (to_b + 1) / 2 * ((to_c + 1) / 2) / ((to_a + 1) / 2 + 1e-3)

    expected = sorted((w for w in vectors.words if w not in (a, b, c)), key=score, reverse=True)
    found = vectors.analogy(a, b, c, num=4, method=method)  # type: ignore[arg-type]
    assert [word for word, _ in found] == expected[:4]
    assert [value for _, value in found] == pytest.approx(
        [score(word) for word in expected[:4]], abs=1e-4
    )


def test_king_and_queen() -> None:
    assert ROYAL.analogy("man", "king", "woman", num=1)[0][0] == "queen"
    assert ROYAL.analogy("man", "king", "woman", num=1, method="mul")[0][0] == "queen"


def test_a_picture_keeps_the_distances_of_a_plane() -> None:
    random = np.random.default_rng(2)
    plane = random.normal(size=(9, 2)) * [5, 1]
    basis, _ = np.linalg.qr(random.normal(size=(6, 2)))
    vectors = WordVectors([str(n) for n in range(9)], plane @ basis.T + 3)
    drawn = vectors.picture(vectors.words)
    apart = np.linalg.norm(plane[:, None] - plane, axis=-1)
    assert np.linalg.norm(drawn[:, None] - drawn, axis=-1) == pytest.approx(apart, abs=1e-4)
    assert drawn[:, 0].var() > drawn[:, 1].var()
    assert vectors.picture(["3"]).tolist() == [[0, 0]]


def test_saved_vectors_come_back_bit_for_bit(tmp_path: Path) -> None:
    vectors = random_vectors()
    vectors.save(tmp_path / "folder")
    vectors.save_text(tmp_path / "vectors.txt")
    for back in (
        WordVectors.load(tmp_path / "folder"),
        WordVectors.load_text(tmp_path / "vectors.txt"),
    ):
        assert back.words == vectors.words
        assert np.array_equal(back.vectors_VD, vectors.vectors_VD)
    assert len(WordVectors.load_text(tmp_path / "vectors.txt", max_words=7)) == 7


@pytest.mark.parametrize("head", ["4 2\n", ""])
def test_only_wanted_words_are_kept_of_a_text(tmp_path: Path, head: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(f"{head}the 1 2\nfox 3 4\n狐 5 6\nowl x y\n", encoding="utf-8")
    found = WordVectors.load_text(path, only=lambda word: word in ("fox", "狐"))
    assert found.words == ("fox", "狐")
    assert found["狐"].tolist() == [5, 6]
    none = WordVectors.load_text(path, only=lambda word: False)
    assert (len(none), none.dim) == (0, 2)
    with pytest.raises(DataError, match="is not a word and 2 numbers"):
        WordVectors.load_text(path)
    path.write_text(f"{head}the 1 2\nfox 3\n", encoding="utf-8")
    with pytest.raises(DataError, match="line"):
        WordVectors.load_text(path, only=lambda word: word == "the")
    path.write_text("9 2\nthe 1 2\n", encoding="utf-8")
    with pytest.raises(DataError, match="cut short"):
        WordVectors.load_text(path, only=lambda word: word == "the")


def test_texts_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    # GloVe's has no first line; word2vec's ends its lines with a space; some begin with a mark.
    for head in ("", "3 2\n"):
        for encoding in ("utf-8", "utf-8-sig"):
            path.write_text(f"{head}the 1 2.5\n. . . -1 3e-2\n你 0 1 \n", encoding=encoding)
            back = WordVectors.load_text(path)
            assert back.words == ("the", ". . .", "你")
            assert back[". . ."].tolist() == pytest.approx([-1, 0.03])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("2 2\na 1 2\n", "cut short"),
        ("2 2\na 1 2\nb 1\n", "line 3"),
        ("a 1 2\nb 1 x\n", "line 2"),
        ("1 2\na 1 nan\n", "not finite"),
        ("2 1\na 1\na 2\n", "comes twice"),
        ("", "cut short"),
    ],
)
def test_damaged_texts_are_told(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=match):
        WordVectors.load_text(path)


def test_damaged_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        WordVectors.load(tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        WordVectors.load_text(tmp_path / "none.txt")
    random_vectors().save(tmp_path)
    path = tmp_path / "vectors.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="damaged"):
        WordVectors.load(tmp_path)
    with pytest.raises(DataError, match="space in it"):
        WordVectors(["a b"], np.ones((1, 2))).save_text(tmp_path / "x.txt")


def test_wrong_requests_are_told() -> None:
    with pytest.raises(RequestError, match="zebra"):
        ROYAL.nearest("zebra")
    with pytest.raises(RequestError, match="width"):
        ROYAL.nearest(np.ones(4))
    with pytest.raises(RequestError):
        ROYAL.nearest("man", 0)
    with pytest.raises(RequestError):
        ROYAL.picture([])
    with pytest.raises(ConfigError, match="method"):
        ROYAL.analogy("man", "king", "woman", method="div")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one vector for each"):
        WordVectors(["a"], np.ones((2, 2)))


def test_rho_is_spearmans() -> None:
    vectors = random_vectors()
    random = np.random.default_rng(3)
    pairs = [
        WordPair(f"字{a}", f"字{b}", float(random.integers(10)))
        for a, b in random.integers(0, 60, size=(40, 2))
    ]
    cosines = [vectors.similarity(pair.first, pair.second) for pair in pairs]
    expected = spearmanr(cosines, [pair.score for pair in pairs]).statistic
    score = score_word_pairs(vectors, [*pairs, WordPair("字1", "none", 5)])
    assert score.rho == pytest.approx(expected, abs=1e-9)
    assert score[1:] == (40, 41)
    assert score_word_pairs(vectors, pairs[:1]).rho is None
    assert score_word_pairs(vectors, []) == (None, 0, 0)


@pytest.mark.parametrize("method", ["add", "mul"])
def test_analogy_accuracy_is_that_of_single_questions(method: str) -> None:
    vectors = random_vectors(40, 4)
    random = np.random.default_rng(4)
    questions = []
    for number in range(300):
        a, b, c, d = (f"字{n}" for n in random.choice(40, size=4, replace=False))
        if number % 3 == 0:
            d = vectors.analogy(a, b, c, num=1, method=method)[0][0]  # type: ignore[arg-type]
        questions.append(Analogy("甲" if number % 2 else "乙", a, b, c, d))
    right = [
        vectors.analogy(q.a, q.b, q.c, num=1, method=method)[0][0] == q.d  # type: ignore[arg-type]
        for q in questions
    ]
    score = score_analogies(
        vectors,
        [*questions, Analogy("甲", "字1", "字2", "字3", "无")],
        method=method,  # type: ignore[arg-type]
    )
    assert (score.num_correct, score.num_covered, score.num_questions) == (sum(right), 300, 301)
    assert score.accuracy == sum(right) / 300
    assert score.sections["甲"] == (sum(right[1::2]), 150, 151)
    assert score_analogies(vectors, []).accuracy is None


def test_only_the_first_words_count_where_asked() -> None:
    questions = [Analogy("", "Man", "King", "Woman", "Queen"), Analogy("", "男", "女", "man", "女")]
    assert score_analogies(ROYAL, questions, max_words=4)[:3] == (1, 1, 2)
    assert score_analogies(ROYAL, questions, lower=False)[:3] == (0, 1, 2)


def test_words_are_looked_up_as_written_and_then_in_lower_case() -> None:
    words = ["Athens", "Greece", "Rome", "Italy", "tall", "Tall", "short", "high", "low"]
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 6)))
    capitals = [Analogy("", "Athens", "Greece", "Rome", "Italy")]
    pairs = [WordPair("Athens", "Rome", 9.0), WordPair("TALL", "High", 8.0)]
    assert score_analogies(vectors, capitals).num_covered == 1
    assert score_analogies(vectors, [Analogy("", "TALL", "Short", "High", "low")]).num_covered == 1
    assert score_analogies(vectors, capitals, lower=False).num_covered == 1
    assert score_word_pairs(vectors, [*pairs, WordPair("athens", "Rome", 1.0)])[1:] == (2, 3)
    assert score_word_pairs(vectors, pairs, lower=False)[1:] == (1, 2)
    # As it is written comes first: "Tall" is no other way to write "tall" where both are there.
    both = [WordPair("Tall", "short", 3.0), WordPair("Athens", "Rome", 9.0)]
    alike = [vectors.similarity(a, b) for a, b in (("Tall", "short"), ("Athens", "Rome"))]
    assert score_word_pairs(vectors, both).rho == pytest.approx(1 if alike[0] < alike[1] else -1)


def test_files_of_pairs_and_analogies(data_set: Callable[[str], Path]) -> None:
    folder = data_set("word-similarity")
    pairs = read_word_pairs(folder / "wordsim353.tsv")
    assert len(pairs) == 353
    assert pairs[1] == ("tiger", "cat", 7.35)
    assert len(read_word_pairs(folder / "simlex999.txt")) == 999
    assert len(read_analogies(folder / "questions-words.txt")) == 19_544
    chinese = data_set("zh-analogy-ca8") / "CA8"
    questions = [
        question
        for name in ("morphological.txt", "semantic.txt")
        for question in read_analogies(chinese / name)
    ]
    assert len(questions) == 17_813
    assert ("geography", "广东", "粤剧", "浙江", "越剧") in questions


SIMLEX = (
    "word1\tword2\tPOS\tSimLex999\tconc(w1)\tconc(w2)\tconcQ\tAssoc(USF)\tSimAssoc333\t"
    "SD(SimLex)\n"
    "old\tnew\tA\t1.58\t2.72\t2.81\t2\t7.25\t1\t0.41\n"
    "smart\tintelligent\tA\t9.2\t1.75\t2.46\t1\t7.11\t1\t0.67\n"
)
WORDSIM = "Word 1,Word 2,Human (mean)\nlove,sex,6.77\ntiger,cat,7.35\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_of_pairs_are_read_as_they_are_published(tmp_path: Path, end: str) -> None:
    path = tmp_path / "list"
    path.write_bytes(SIMLEX.replace("\n", end).encode())
    assert read_word_pairs(path) == [("old", "new", 1.58), ("smart", "intelligent", 9.2)]
    with_raters = WORDSIM.replace("(mean)", "(mean),1,2").replace("6.77", "6.77,9,6")
    for text in (WORDSIM, WORDSIM.replace(",", "\t"), with_raters, "\ufeff" + WORDSIM):
        path.write_bytes(text.replace("\n", end).encode())
        assert read_word_pairs(path) == [("love", "sex", 6.77), ("tiger", "cat", 7.35)]


@pytest.mark.parametrize("row", ["love,sex", "love,,6.77", "love,sex,high", "love\tsex\t6.77"])
def test_a_row_of_a_table_that_is_none_is_told(tmp_path: Path, row: str) -> None:
    path = tmp_path / "combined.csv"
    path.write_text(f"{WORDSIM}{row}\n")
    with pytest.raises(DataError, match=r"line 4 of .* is not two words and a number"):
        read_word_pairs(path)


def test_damaged_files_of_questions_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("a b\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        read_word_pairs(path)
    with pytest.raises(DataError, match="line 1"):
        read_analogies(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_analogies(tmp_path / "none.txt")


def test_text_becomes_words_in_both_languages() -> None:
    assert text_words("Don’t say “你好世界”, x2!") == ["don't", "say", "你", "好", "世", "界", "x2"]

    def in_twos(run: str) -> list[str]:
        return [run[at : at + 2] for at in range(0, len(run), 2)]

    assert text_words("我说你好 hello", in_twos) == ["我说", "你好", "hello"]
    assert text_words("Cafe\u0301") == ["café"]
    text = "He said “No.” Then left. 他说：“不！”然后走了。好\n\nlast\n---\n"
    assert list(text_sentences(text)) == [
        ["he", "said", "no"],
        ["then", "left"],
        list("他说不"),
        list("然后走了"),
        ["好"],
        ["last"],
    ]


def test_sentences_become_numbers_without_rare_words() -> None:
    text = encode_sentences(iter([["b", "a", "x"], [], ["x"], ["a", "b", "a"]]), min_count=2)
    assert text.vocabulary.words == ("a", "b", "x")
    assert text.vocabulary.counts_V.tolist() == [3, 2, 2]
    assert text.tokens_N.tolist() == [1, 0, 2, 2, 0, 1, 0]
    assert text.starts_S.tolist() == [0, 3, 4, 7]
    small = encode_sentences([["b", "a", "x"], ["x"], ["a"]], min_count=1, max_size=2)
    assert small.vocabulary.words == ("a", "x")
    assert small.tokens_N.tolist() == [0, 1, 1, 0]
    assert small.num_words == 5


def test_long_sentences_are_cut() -> None:
    text = encode_sentences([["a", "b"] * MAX_SENTENCE, ["a"]])
    assert np.diff(text.starts_S).tolist() == [MAX_SENTENCE, MAX_SENTENCE, 1]


def test_wrong_sentences_and_vocabularies_are_told() -> None:
    with pytest.raises(DataError, match="string"):
        encode_sentences(["a b c"])
    with pytest.raises(DataError, match="no word"):
        encode_sentences([])
    with pytest.raises(DataError, match="each word once"):
        Vocabulary(["a", "a"], [1, 2])


def test_a_large_vocabulary_is_asked_fewer_questions_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is a score for each word and question: 256 of three million words would be 3 GB."""
    monkeypatch.setattr("homespun.classic.vectors.evaluation._MOST_SCORES", 60 * 7)
    vectors, sizes = random_vectors(), []
    scores = WordVectors.analogy_scores

    def counted(self: WordVectors, numbers: np.ndarray, method: str) -> np.ndarray:
        sizes.append(len(numbers))
        return scores(self, numbers, method)  # type: ignore[arg-type]

    monkeypatch.setattr(WordVectors, "analogy_scores", counted)
    questions = [Analogy("", f"字{n}", f"字{n + 1}", f"字{n + 2}", f"字{n + 3}") for n in range(20)]
    assert score_analogies(vectors, questions).num_covered == 20
    assert sizes == [7, 7, 6]


def test_analogies_by_products_take_two_arrays_of_scores() -> None:
    vectors = random_vectors(20_000, 4)
    numbers = np.arange(60).reshape(20, 3)
    size = vectors.analogy_scores(numbers, "mul").nbytes
    tracemalloc.start()
    vectors.analogy_scores(numbers, "mul")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * size  # a third where each cosine is an array of its own
