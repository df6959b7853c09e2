"""Word vectors and n-gram models of one's own text: what is left, what is said of it."""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from homespun.classic import KneserNeyModel
from homespun.classic.units import as_text
from homespun.classic.vectors import WordVectors, read_analogies, read_word_pairs
from homespun.cli.main import build_app, main
from homespun.core import (
    BudgetError,
    ConfigError,
    DataError,
    RequestError,
    RunError,
    perplexity_of,
)
from homespun.core.machine import Memory
from homespun.recipes.counted import (
    NgramsAsk,
    WordsAsk,
    judge_words,
    learn_ngrams,
    learn_words,
    open_ngrams,
    open_words,
    score_file,
)
from homespun.recipes.counted.ngrams import _sentences, _words_by, scored
from homespun.recipes.counted.words import draw_words

ANIMALS, TOOLS = ("cat", "dog", "cow", "hen"), ("saw", "axe", "pen", "key")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(50):
        lines = []
        for line in range(30):
            at = number * 30 + line
            other = at * 7 % 1500
            lines.append(f"The {ANIMALS[other % 4]} {at} eats and sleeps {other} in the stable.")
            lines.append(f"A {TOOLS[other % 4]} {other} was bought and sold {at} at the market.")
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def vectors(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("words") / "my words"
    learn_words(WordsAsk(source=str(texts), dim=16, epochs=20), out)
    return out


@pytest.fixture(scope="module")
def counted(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ngrams") / "my counts"
    learn_ngrams(NgramsAsk(source=str(texts), order=3), out)
    return out


def test_words_that_stand_among_the_same_are_near(vectors: Path) -> None:
    found = open_words(vectors)
    nearest = {word for word, _ in found.nearest("cat", 3)}
    assert len(nearest & set(ANIMALS)) == 3
    assert open_words(vectors / "words.txt").nearest("cat", 3)[0][0] in ANIMALS
    card = json.loads((vectors / "card.json").read_text())
    assert card["words"] == len(found)
    assert "<svg" in (vectors / "words.svg").read_text()
    told = (vectors / "README.md").read_text()
    assert next(iter(card["near"])) in told
    # As it is typed into a shell.
    for use in ("near 'my words' WORD", "analogy 'my words' A", "judge 'my words' --pairs"):
        assert f"`homespun words {use}" in told


@pytest.mark.parametrize("method", ["cbow", "glove"])
def test_other_methods_learn_too(method: str, texts: Path, tmp_path: Path) -> None:
    ask = WordsAsk(source=str(texts), dim=8, epochs=2, method=method)  # type: ignore[arg-type]
    card = learn_words(ask, tmp_path / "out")
    assert (card["method"], card["dim"]) == (method, 8)
    again = learn_words(ask, tmp_path / "out")
    assert again == json.loads((tmp_path / "out" / "card.json").read_text())
    with pytest.raises(RunError, match="other settings"):
        learn_words(ask.model_copy(update={"seed": 4}), tmp_path / "out")


def test_vectors_are_judged_by_lists_of_people(vectors: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("cat\tdog\t9\ncat\tsaw\t1\nsaw\taxe\t8\ncow\tunicorn\t5\n")
    analogies = tmp_path / "analogies.txt"
    analogies.write_text(": kinds\ncat dog saw axe\ncat dog saw unicorn\n")
    rows = judge_words(open_words(vectors), pairs=[pairs], analogies=[analogies])
    assert [(row["known"], row["num"]) for row in rows] == [(3, 4), (1, 2)]
    assert rows[0]["value"] == pytest.approx(1.0, abs=0.6)
    assert rows[1]["value"] in (0.0, 1.0)


def test_vectors_of_another_program_are_judged_with_their_capitals(tmp_path: Path) -> None:
    file, analogies, pairs = (tmp_path / name for name in ("vectors.txt", "a.txt", "p.tsv"))
    file.write_text("Athens 1 0 0\nGreece 1 0 1\nRome 0 1 0\nItaly 0 1 1\ncat 1 1 0\ndog 1 1 1\n")
    analogies.write_text(": capitals\nAthens Greece Rome Italy\nCat Dog Rome Italy\n")
    pairs.write_text("Athens\tGreece\t9\nAthens\tItaly\t1\nCat\tdog\t8\n")
    rows = judge_words(open_words(file), pairs=[pairs], analogies=[analogies])
    assert [(row["known"], row["num"]) for row in rows] == [(3, 3), (2, 2)]
    assert rows[1]["value"] == 1.0


def test_ngrams_are_better_than_frequencies_and_are_kept_as_arpa(counted: Path) -> None:
    card = json.loads((counted / "card.json").read_text())
    mine, others = card["held_out"], card["by_frequency"]
    assert mine["words"] == others["words"] > 100
    assert mine["perplexity"] < others["perplexity"] / 3
    assert mine["known_perplexity"] <= mine["perplexity"] or mine["unknown"] == 0
    model = open_ngrams(counted)
    assert open_ngrams(counted / "model.arpa").num_ngrams == tuple(card["ngrams"])
    told = (counted / "README.md").read_text()
    assert "perplexity" in told
    assert "`homespun ngrams score 'my counts' FILE`" in told
    assert "`homespun ngrams write 'my counts' --prompt" in told
    text = counted.parent / "new.txt"
    text.write_text("The cat eats and sleeps in the stable. A zebra was sold.")
    found = score_file(model, text)
    assert found["unknown"] == 1
    assert found["known_perplexity"] < found["perplexity"] * 2


OTHERS = """\\data\\
ngram 1=7
ngram 2=4

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-1.0\t</s>
-0.8\tTHE\t-0.2
-0.9\tCAT\t-0.2
-0.9\tIT'S\t-0.2
-1.1\tSAT.\t-0.2

\\2-grams:
-0.3\t<s> THE
-0.4\tTHE CAT
-0.5\t<s> IT'S
-0.6\tIT'S THE

\\end\\
"""


def test_words_of_another_programs_arpa_file_are_met_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With capitals and marks inside: cut as our own texts are, each would be unknown."""
    file, text = tmp_path / "other.arpa", tmp_path / "text.txt"
    file.write_text(OTHERS)
    text.write_text("THE CAT SAT. THE\n\nIT'S THE CAT\n")
    model = open_ngrams(file)
    found = score_file(model, text)
    assert (found["words"], found["unknown"]) == (9, 0)
    log10 = [0.3, 0.4, 0.2 + 1.1, 0.2 + 0.8, 0.2 + 1.0, 0.5, 0.6, 0.4, 0.2 + 1.0]
    assert found["perplexity"] == pytest.approx(10 ** (sum(log10) / 9), rel=1e-5)
    # Without a chance for unknown words the number is none that anyone could read.
    closed = tmp_path / "closed.arpa"
    closed.write_text(OTHERS.replace("-1.0\t<unk>\n", "").replace("1=7", "1=6"))
    text.write_text("THE DOG\n")
    assert main(["ngrams", "score", str(closed), str(text)]) == 0
    told = capsys.readouterr().out
    assert "a line is read as a sentence" in told
    assert "perplexity without end" in told


def test_lines_and_blanks_are_taken_where_they_are_asked_for(tmp_path: Path) -> None:
    """As KenLM's `query` does, also where the file's words are such as ours."""
    KneserNeyModel(order=2).fit(["the cat sat", "the dog sat"] * 3).write_arpa(tmp_path / "m.arpa")
    (tmp_path / "text.txt").write_text("The cat\nsat")
    ours = score_file(open_ngrams(tmp_path / "m.arpa"), tmp_path / "text.txt")
    theirs = score_file(open_ngrams(tmp_path / "m.arpa", blanks=True), tmp_path / "text.txt")
    assert (ours["words"], ours["unknown"]) == (4, 0)
    assert (theirs["words"], theirs["unknown"]) == (5, 1)


def test_the_file_in_a_folder_is_read_as_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the segmenter that parted the Chinese words it was counted from."""
    monkeypatch.setattr("homespun.recipes.counted.ngrams.segmenter_of", lambda folder: in_twos)
    model = KneserNeyModel(order=2).fit([["北京", "大学"], ["北京", "你好"]] * 3)
    model.write_arpa(tmp_path / "model.arpa")
    (tmp_path / "asked.json").write_text('{"segmenter": "words"}')
    (tmp_path / "text.txt").write_text("北京大学。")
    paths = (tmp_path, tmp_path / "model.arpa")
    folder, file = (score_file(open_ngrams(path), tmp_path / "text.txt") for path in paths)
    assert folder == file
    assert (file["words"], file["unknown"]) == (4, 1)


def in_twos(texts: list[str]) -> list[list[str]]:
    return [[text[:2], text[2:]] if text[2:] else [text] for text in texts]


def test_counting_beyond_the_memory_is_refused_beforehand(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "homespun.recipes.counted.ngrams.available_memory", lambda: Memory(10**9, 4 * 10**6)
    )
    with pytest.raises(BudgetError, match=r"about 4\.\d+ MB of memory, and 4 MB are free.*--order"):
        learn_ngrams(NgramsAsk(source=str(texts)), tmp_path / "out")
    assert learn_ngrams(NgramsAsk(source=str(texts), order=3), tmp_path / "three")["order"] == 3


def test_scores_of_text_that_cannot_be_are_json() -> None:
    stream = np.array([1, 5, 2])  # start, a word, end
    model = SimpleNamespace(
        vocabulary=SimpleNamespace(stream=lambda sentences: stream),
        stream_log_probs=lambda stream: np.full(len(stream), -math.inf),
    )
    found = scored(model, ["Impossible."])  # type: ignore[arg-type]
    json.dumps(found, allow_nan=False)
    assert found["perplexity"] == found["known_perplexity"] == perplexity_of(math.inf)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no n-gram model"):
        open_ngrams(tmp_path)
    binary = tmp_path / "x.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        score_file(open_ngrams_of_nothing(tmp_path), binary)
    with pytest.raises(DataError):
        open_words(tmp_path)
    with pytest.raises(ConfigError, match="order"):
        learn_ngrams(NgramsAsk(source=str(tmp_path), order=17), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_could_not_be_done_leaves_no_folder(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    with pytest.raises(DataError):
        learn_words(WordsAsk(source=str(tmp_path / "empty")), out)
    with pytest.raises(DataError, match="no word comes"):
        learn_words(WordsAsk(source=str(texts), min_count=10**6), out)
    assert not out.exists()
    assert learn_words(WordsAsk(source=str(texts), dim=4, epochs=1), out)["dim"] == 4


def open_ngrams_of_nothing(folder: Path):  # type: ignore[no-untyped-def]
    model = KneserNeyModel(order=2).fit(["a b", "b a"])
    model.write_arpa(folder / "m.arpa")
    return open_ngrams(folder / "m.arpa")


def test_chinese_characters_become_words_where_somebody_parts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("homespun.recipes.counted.ngrams.segmenter_of", lambda folder: in_twos)
    words = _words_by("some folder")
    assert words("他说 北京大学, and left。") == ["他说", "北京", "大学", ",", "and", "left", "。"]
    assert as_text(["他说", "北京", "and", "left", "。"]) == "他说北京and left。"


def test_a_file_is_scored_in_the_form_that_was_counted(tmp_path: Path) -> None:
    """Accents that are marks of their own, as files from some systems have them."""
    model = KneserNeyModel(order=2).fit(["le café est là", "le café est bon"] * 5)
    (tmp_path / "one.txt").write_text("le café est là", "utf-8")
    (tmp_path / "two.txt").write_text(unicodedata.normalize("NFD", "le café est là"), "utf-8")
    one, two = (score_file(model, tmp_path / f"{name}.txt") for name in ("one", "two"))
    assert one == two
    assert one["unknown"] == 0


def test_a_line_that_was_full_ends_no_sentence() -> None:
    found = list(_sentences(["The river\nrose. It\nfell.\n\nThe end", "他说\n北京。"]))
    assert found == ["The river rose.", "It fell.", "The end", "他说北京。"]


def test_chinese_words_can_be_drawn() -> None:
    vectors = WordVectors(["北京", "上海", "river"], np.eye(3))
    assert "北京" in draw_words(vectors, vectors.words)


def test_the_commands_answer(vectors: Path, counted: Path, tmp_path: Path) -> None:
    runner, app = CliRunner(), build_app()

    def said(*words: str) -> str:
        result = runner.invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.output

    assert "dog" in said("words", "near", str(vectors), "cat", "--num", "3")
    assert len(said("words", "analogy", str(vectors), "cat", "dog", "saw").splitlines()) == 5
    drawn = tmp_path / "drawn.svg"
    said("words", "picture", str(vectors), "cat", "dog", "saw", "--out", str(drawn))
    assert "cat" in drawn.read_text()
    sentences = said("ngrams", "write", str(counted), "--num", "3", "--prompt", "the cat")
    assert all(line.startswith("the cat") for line in sentences.splitlines())
    assert "perplexity" in said("ngrams", "score", str(counted), str(counted / "README.md"))
    assert main(["words", "judge", str(vectors)]) != 0
    pairs, rho = tmp_path / "pairs.tsv", []
    words = ("cat", "dog", "saw", "the")
    scored = [f"{a}\t{b}\t{n}" for n, (a, b) in enumerate(itertools.combinations(words, 2))]
    pairs.write_text("\n".join(scored) + "\n")
    for further in ([], ["--without-common"]):
        told = tmp_path / "told.json"
        said("words", "judge", str(vectors), "--pairs", str(pairs), "--json", str(told), *further)
        rho.append(json.loads(told.read_text())["rows"][0]["value"])
    opened = open_words(vectors)
    expected = [
        judge_words(v, pairs=[pairs])[0]["value"] for v in (opened, opened.without_common())
    ]
    assert rho == expected
    assert rho[0] != rho[1]
    with pytest.raises(RequestError, match="unicorn"):
        open_words(vectors).nearest("unicorn")


def test_another_call_is_told_which_settings_differ(texts: Path, tmp_path: Path) -> None:
    learn_words(WordsAsk(source=str(texts), dim=8, epochs=1), tmp_path / "out")
    with pytest.raises(RunError) as told:
        learn_words(WordsAsk(source=str(texts), dim=16, epochs=1, window=3), tmp_path / "out")
    assert "with other settings: dim 8, window not given (got dim 16, window 3)" in str(told.value)


def test_what_is_no_file_of_this_kind_is_told_in_words(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\x91" * 40)
    opened: list[Callable[[Path], Any]] = [
        open_words,
        open_ngrams,
        lambda path: score_file(KneserNeyModel(order=1).fit([["a"]]), path),
    ]
    for open_it in opened:
        with pytest.raises(DataError, match=r"there is no file .*; check its name"):
            open_it(tmp_path / "nothing")
        with pytest.raises(DataError, match=r"binary\.txt is not UTF-8 text; save it as UTF-8"):
            open_it(binary)
    with pytest.raises(DataError, match=r"no word vectors in .*there; make some with"):
        open_words(there)
    with pytest.raises(DataError, match="there is a folder; name a file in it"):
        opened[2](there)


def test_lists_without_an_entry_judge_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"empty\.txt has no pairs"):
        read_word_pairs(tmp_path / "empty.txt")
    (tmp_path / "empty.txt").write_text(": capitals\n")
    with pytest.raises(DataError, match=r"empty\.txt has no questions"):
        read_analogies(tmp_path / "empty.txt")
