"""How good word vectors are: people's word pairs, and analogies.

Shape letters: P questions, V words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from homespun.classic.vectors.keyed import Method, WordVectors
from homespun.core import DataError
from homespun.core.files import os_error

_BLOCK = 256
_MOST_SCORES = 1 << 25
"""Questions scored at once, and how many scores that may be: one a word of the vocabulary each, so
that three million words take no more memory than their vectors do."""
_COLUMNS = (
    ("word1", "word2", "simlex999"),  # SimLex-999.txt
    ("word 1", "word 2", "human (mean)"),  # combined.csv, combined.tab, set1.csv … of WordSim-353
)


class WordPair(NamedTuple):
    """Two words and how alike people find them."""

    first: str
    second: str
    score: float


class Analogy(NamedTuple):
    """`a` is to `b` as `c` is to `d`; `d` is asked for."""

    section: str
    a: str
    b: str
    c: str
    d: str


class PairScore(NamedTuple):
    """Spearman's rho over the pairs whose words both have vectors.

    Attributes:
        rho: None where fewer than two are covered, or all are alike.
        num_covered, num_pairs: of how many.
    """

    rho: float | None
    num_covered: int
    num_pairs: int


class AnalogyScore(NamedTuple):
    """How many questions of those whose four words have vectors were answered.

    Attributes:
        num_correct, num_covered, num_questions: counts.
        sections: the same for each section: correct, covered, asked.
    """

    num_correct: int
    num_covered: int
    num_questions: int
    sections: dict[str, tuple[int, int, int]]

    @property
    def accuracy(self) -> float | None:
        """Correct among covered; None where none is covered."""
        return self.num_correct / self.num_covered if self.num_covered else None


def read_word_pairs(path: Path) -> list[WordPair]:
    """Read WordSim-353, SimLex-999 and the like: two words and a number a line, # for remarks; or
    as they are published, a table between tabs or commas whose first line names its columns.

    Raises:
        DataError: the file cannot be read, or a line is not that.
    """
    lines = [(number, line) for number, line in _lines(path) if not line.startswith("#")]
    table = _table(lines[0][1]) if lines else None
    pairs = []
    for number, line in lines if table is None else lines[1:]:
        try:
            first, second, score = line.split() if table is None else table.read(line)
            pairs.append(WordPair(first, second, float(score)))
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} is not two words and a number",
                got=line,
                remedy="mend that line",
            ) from error
    if not pairs:
        raise DataError(f"{path} has no pairs", remedy="give two words and a number a line")
    return pairs


class _Table(NamedTuple):
    """Attributes:
    delimiter: between fields.
    columns: of both words and the score, from 0.
    """

    delimiter: str
    columns: Sequence[int]

    def read(self, line: str) -> list[str]:
        """Raises ValueError where a field is missing."""
        fields = line.split(self.delimiter)
        found = [fields[at].strip() for at in self.columns if at < len(fields)]
        if len(found) < len(self.columns) or not all(found):
            raise ValueError("a field is missing")
        return found


def _table(line: str) -> _Table | None:
    """How the lines below this one are read, where it names columns."""
    for delimiter in "\t,":
        names = [name.strip().casefold() for name in line.split(delimiter)]
        for wanted in _COLUMNS:
            if set(wanted) <= set(names):
                return _Table(delimiter, [names.index(name) for name in wanted])
    return None


def read_analogies(path: Path) -> list[Analogy]:
    """Read the format of questions-words and CA8: four words a line, ": name" before a section.

    Raises:
        DataError: the file cannot be read, or a line is not that.
    """
    section, questions = "", []
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        fields = line.split()
        if len(fields) != 4:
            raise DataError(
                f"line {number} of {path} is not four words", got=line, remedy="mend that line"
            )
        questions.append(Analogy(section, *fields))
    if not questions:
        raise DataError(f"{path} has no questions", remedy="give four words a line")
    return questions


def score_word_pairs(
    vectors: WordVectors, pairs: Iterable[WordPair], *, lower: bool = True
) -> PairScore:
    """Spearman's rank correlation of cosines with people's scores.

    Args:
        vectors: what is judged.
        pairs: pairs with a word that has no vector are left out, and not counted as covered.
        lower: look a word up in lower case where it has no vector as it is written.
    """
    from scipy.stats import rankdata

    asked = list(pairs)
    people, cosines = [], []
    for pair in asked:
        words = _found(vectors, (pair.first, pair.second), lower)
        if words is not None:
            people.append(pair.score)
            cosines.append(vectors.similarity(*words))
    if len(set(people)) < 2 or len(set(cosines)) < 2:
        return PairScore(None, len(people), len(asked))
    rho = np.corrcoef(rankdata(people), rankdata(cosines))[0, 1]
    return PairScore(float(rho), len(people), len(asked))


def score_analogies(
    vectors: WordVectors,
    questions: Iterable[Analogy],
    *,
    method: Method = "add",
    lower: bool = True,
    max_words: int | None = None,
) -> AnalogyScore:
    """Share of questions whose best word, without the three given, is the right one.

    Args:
        vectors: what is judged.
        questions: those with a word that has no vector are left out.
        method: 3CosAdd or 3CosMul, see `WordVectors.analogy`.
        lower: look a word up in lower case where it has no vector as it is written.
        max_words: only the first so many words may be asked for or answered.

    Raises:
        ConfigError: no such method.
    """
    if max_words is not None and max_words < len(vectors):
        vectors = WordVectors(vectors.words[:max_words], vectors.vectors_VD[:max_words])
    asked = list(questions)
    covered: list[tuple[str, list[int]]] = []
    for question in asked:
        words = _found(vectors, question[1:], lower)
        if words is not None:
            covered.append((question.section, [vectors.index[word] for word in words]))
    right = _answered(vectors, [numbers for _, numbers in covered], method)
    sections = {question.section: [0, 0, 0] for question in asked}
    for question in asked:
        sections[question.section][2] += 1
    for (section, _), good in zip(covered, right, strict=True):
        sections[section][0] += good
        sections[section][1] += 1
    return AnalogyScore(
        sum(right),
        len(covered),
        len(asked),
        {name: (row[0], row[1], row[2]) for name, row in sections.items()},
    )


def _found(vectors: WordVectors, words: Iterable[str], lower: bool) -> list[str] | None:
    """The words as the vectors have them; None where one of them has no vector."""
    found = []
    for word in words:
        there = word if word in vectors or not lower else word.lower()
        if there not in vectors:
            return None
        found.append(there)
    return found


def _answered(vectors: WordVectors, numbers: Sequence[Sequence[int]], method: Method) -> list[bool]:
    right: list[bool] = []
    step = max(1, min(_BLOCK, _MOST_SCORES // max(1, len(vectors))))
    for start in range(0, len(numbers), step):
        numbers_P4 = np.array(numbers[start : start + step])
        scores_PV = vectors.analogy_scores(numbers_P4[:, :3], method)
        np.put_along_axis(scores_PV, numbers_P4[:, :3], -np.inf, axis=1)
        right.extend((scores_PV.argmax(axis=1) == numbers_P4[:, 3]).tolist())
    return right


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read", got=str(error), remedy="give a UTF-8 text file"
        ) from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
