"""Taggers without networks: the commonest tag of a word, HMM, CRF."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

from homespun.classic.tagging import CRF, HMM, RulesTagger, Tagger, convert_tags
from homespun.classic.tagging.spans import Scheme
from homespun.classic.units import count_han
from homespun.core import DataError
from homespun.core.files import os_error, read_json, write_json
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import read_option
from homespun.recipes.applications.tag.task import Sentence, Tags, scheme_of

_FILE = "scheme.json"
_PLACED = re.compile(r"\D\d")


class _Classic(Method[Sentence, Tags]):
    """Learns from all examples: nothing is chosen by the held-out ones."""

    def learn(self, lesson: Lesson[Sentence]) -> LearnedTagger:
        examples = [*lesson.train, *lesson.dev]
        tags = [example.tags for example in examples]
        scheme = scheme_of(tags) if any(example.is_spans for example in examples) else None
        tagger = self.make(examples, scheme, lesson.options)
        rows = [convert_tags(row, "bioes") for row in tags] if scheme else tags
        tagger.fit([list(e.tokens) for e in examples], [list(row) for row in rows])
        tagger.save(lesson.folder)
        by_character = are_characters(examples)
        write_json(lesson.folder / _FILE, {"scheme": scheme, "characters": by_character})
        return LearnedTagger(tagger, scheme, by_character=by_character)

    def load(self, folder: Path) -> LearnedTagger:
        data = read_json(folder / _FILE)
        scheme = data.get("scheme", "") if isinstance(data, dict) else ""
        if scheme not in (None, *get_args(Scheme)):
            raise DataError(f"{folder / _FILE} is damaged", remedy="learn the task again")
        # Folders of before do not say what their tokens were.
        by_character = data.get("characters") is True
        return LearnedTagger(self.read(folder), scheme, by_character=by_character)

    @abstractmethod
    def make(
        self, examples: Sequence[Sentence], scheme: str | None, options: Mapping[str, str]
    ) -> Any:
        """The tagger, to be fitted."""

    @abstractmethod
    def read(self, folder: Path) -> Any:
        """The tagger that was saved there."""


class Rules(_Classic):
    """The oldest way."""

    name = "rules"
    summary = "The commonest tag of a word; patterns, endings and shapes of unknown ones."
    options: ClassVar[Mapping[str, str]] = {"patterns": ""}

    def make(
        self, examples: Sequence[Sentence], scheme: str | None, options: Mapping[str, str]
    ) -> RulesTagger:
        path = options["patterns"]
        return RulesTagger(read_patterns(Path(path), scheme) if path else ())

    def read(self, folder: Path) -> RulesTagger:
        return RulesTagger.load(folder)


class Hmm(_Classic):
    """Counts of tags after tags, and of words under tags."""

    name = "hmm"
    summary = "Hidden Markov model: which tag follows which, which word a tag writes."

    def make(
        self, examples: Sequence[Sentence], scheme: str | None, options: Mapping[str, str]
    ) -> HMM:
        return HMM()

    def read(self, folder: Path) -> HMM:
        return HMM.load(folder)


class Crf(_Classic):
    """Many features of each word, weighed together."""

    name = "crf"
    summary = "Conditional random field over features of words: a minute, and hard to beat."
    options: ClassVar[Mapping[str, str]] = {"features": "", "l2": "1"}

    def make(
        self, examples: Sequence[Sentence], scheme: str | None, options: Mapping[str, str]
    ) -> CRF:
        l2 = read_option(options, "l2", float, low=0.0, high=1e6)
        features = options["features"] or features_for(examples)
        return CRF(features, l2=l2, spans=scheme is not None)

    def read(self, folder: Path) -> CRF:
        return CRF.load(folder)


class LearnedTagger:
    """Answers in the scheme of spans that the user's tags had.

    Args:
        tagger: fitted.
        scheme: of the user's tags; None where they are not of spans.
        by_character: it was learned from single characters, see `are_characters`.

    Attributes:
        finds_spans: its tags are of spans.
    """

    def __init__(self, tagger: Tagger, scheme: str | None, *, by_character: bool = False) -> None:
        self._tagger, self._scheme = tagger, scheme
        self.by_character = by_character
        self.finds_spans = scheme is not None

    def answer(self, examples: Sequence[Sentence]) -> list[Tags]:
        found = self._tagger.predict([list(example.tokens) for example in examples])
        return [in_scheme(row, self._scheme) for row in found]


def read_patterns(path: Path, scheme: str | None) -> list[tuple[str, str]]:
    """A regular expression and the tag of words that match it in each line, a tab between them.

    Args:
        scheme: of the spans that are tagged; None where tags are not of spans.

    Raises:
        DataError: the file cannot be read, or a line has no tab.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", remedy="name a file of patterns") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
    found: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        pattern, tab, tag = line.rpartition("\t")
        if not (tab and pattern and tag.strip()):
            raise DataError(
                f"line {number} of {path} is not a pattern and a tag with a tab between them",
                got=line,
                remedy="write one as in: [0-9]+<tab>NUM",
            )
        tag = tag.strip()
        found.append((pattern, convert_tags([tag], "bioes")[0] if scheme else tag))
    return found


def in_scheme(tags: Sequence[str], scheme: str | None) -> Tags:
    """The same spans, written so."""
    if scheme is None:
        return tuple(tags)
    known: Any = scheme
    return tuple(convert_tags(tags, known))


def features_for(examples: Sequence[Sentence]) -> str:
    """What a CRF should see: of words, of Chinese words, of characters, or of characters that carry
    their place in a word as a digit."""
    tokens = [token for example in examples[:500] for token in example.tokens]
    if not tokens:
        return "words"
    han = sum(bool(count_han(token)) for token in tokens) / len(tokens)
    if _are_placed(tokens):
        return "placed"
    if han < 0.2:
        return "words"
    return "characters" if _are_single(tokens) else "mixed"


def are_characters(examples: Sequence[Sentence]) -> bool:
    """Whether tokens are single characters, of whatever script, perhaps with their place in a
    word: then text must be parted into characters to be answered."""
    tokens = [token for example in examples for token in example.tokens]
    return bool(tokens) and (_are_single(tokens) or _are_placed(tokens))


def _are_single(tokens: Sequence[str]) -> bool:
    return sum(map(len, tokens)) < 1.1 * len(tokens)


def _are_placed(tokens: Sequence[str]) -> bool:
    return sum(bool(_PLACED.fullmatch(token)) for token in tokens) > 0.9 * len(tokens)
