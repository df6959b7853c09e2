"""The task: words, or characters, and a tag of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from homespun.classic.tagging import bmes_to_words, convert_tags, words_to_bmes
from homespun.classic.tagging.spans import Scheme
from homespun.classic.units import as_text, count_han
from homespun.core import ConfigError, DataError
from homespun.recipes.applications.contract import Application, Learned, Measured, Method
from homespun.recipes.applications.rows import Column, Row, cell_text, check_no_list

_MARKS = frozenset("BIMESLU")
_PLACES = frozenset("BMIES")
_SPAN_TAG = re.compile(rf"O|[{''.join(sorted(_MARKS))}](-.+)?")
_WORDS = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
_MARK = re.compile(r"[^\w\s]")
_NUMBERS = (
    "The tags are numbers, and judged one by one: where they stand for spans, as of names, write "
    "what they mean (O, B-PER, I-PER), and spans are what counts."
)
Tags = tuple[str, ...]
WordsOf = Callable[[Sequence[str]], list[list[str]]]
"""The words of each of some texts that are written without spaces."""


class Sentence(NamedTuple):
    """Attributes:
    tokens: words, or characters.
    tags: right ones; empty where they are not known.
    is_spans: tags are of spans, see `are_spans`.
    breaks: numbers of the tokens before which the text that is answered has a space.
    unparted: the tokens are the characters of Chinese that nobody has parted into words.
    """

    tokens: tuple[str, ...]
    tags: Tags = ()
    is_spans: bool = False
    breaks: tuple[int, ...] = ()
    unparted: bool = False


class Tag(Application[Sentence, Tags]):
    """Tags that are all B-, I-, E-, S-, M-, L-, U- or O are of spans, which are then what counts.

    Args:
        by_character: a text without tags is parted into its characters, whatever it looks like; its
            spaces are no tokens.
        words_of: parts Chinese text without tags into words; None knows none.
    """

    name = "tag"
    summary = "A tag for each word."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column("tokens", ("words", "characters", "text", "sentence", "文本"), "the words"),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("tags", ("labels", "pos", "ner", "ner_tags", "标签"), "the tags"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("rules", "hmm", "crf")

    def __init__(self, *, by_character: bool = False, words_of: WordsOf | None = None) -> None:
        self._by_character, self._words_of = by_character, words_of

    @property
    def methods(self) -> Mapping[str, Callable[[], Method[Sentence, Tags]]]:
        return {
            "rules": lambda: _classic("rules"),
            "hmm": lambda: _classic("hmm"),
            "crf": lambda: _classic("crf"),
            "lstm": lambda: _neural("lstm"),
            "encoder": lambda: _neural("encoder"),
        }

    def default_method(self, *, has_base: bool) -> str:
        return "encoder" if has_base else "crf"

    def example(self, values: Mapping[str, Any]) -> Sentence:
        words, tagged = values["tokens"], "tags" in values
        # Beside tags a text is parted where they are, at spaces.
        if isinstance(words, list):
            sentence = Sentence(tuple(map(cell_text, words)))
        elif tagged:
            sentence = Sentence(tuple(cell_text(words).split()))
        elif self._by_character:
            sentence = _characters(cell_text(words))
        else:
            sentence = _parted_text(cell_text(words), self._words_of)
        tokens = sentence.tokens
        if not tokens:
            raise DataError("there are no words", got=values["tokens"], remedy="take the row out")
        if not tagged:
            return sentence
        given = values["tags"]
        if not isinstance(given, str | list):
            raise DataError("tags are a list or a text", got=given, remedy="write one a word")
        if isinstance(given, str):
            check_no_list(given)
        tags = tuple(given.split() if isinstance(given, str) else map(cell_text, given))
        if len(tags) != len(tokens):
            raise DataError(
                "there is not one tag for each word",
                got=f"{len(tags)} tags for {len(tokens)} words",
                remedy="write words and tags as lists, or separated by spaces",
            )
        return Sentence(tokens, tags)

    def as_learned(self, learned: Learned[Sentence, Tags]) -> Tag:
        """One learned from characters has never seen the chunks of a text between its spaces."""
        return Tag(by_character=True) if getattr(learned, "by_character", False) else self

    def parting(self, words_of: WordsOf, *, where: str) -> Tag:
        """The task, which parts Chinese text into words so.

        Args:
            where: what was learned, for messages.

        Raises:
            ConfigError: it was learned from characters.
        """
        if self._by_character or self.name != "tag":
            raise ConfigError(
                f"{where} reads characters, and needs no words", remedy="leave --segmenter out"
            )
        return Tag(words_of=words_of)

    def settle(self, examples: list[Sentence]) -> list[Sentence]:
        is_spans = are_spans([example.tags for example in examples])
        if is_spans:
            # Where a span begins with I (IOB1, CoNLL-2003) a B that is answered is right, and of
            # files in several schemes one is learned and judged.
            scheme = scheme_of([example.tags for example in examples])
            examples = [e._replace(tags=tuple(convert_tags(e.tags, scheme))) for e in examples]
        return [example._replace(is_spans=is_spans) for example in examples]

    def key(self, example: Sentence) -> str:
        return " ".join(example.tokens)

    def classes(self, example: Sentence) -> set[str]:
        """Tags; of spans what they are of."""
        if not example.is_spans:
            return set(example.tags)
        return {kind for tag in example.tags if (kind := tag.partition("-")[2])}

    def asked(self, example: Sentence) -> str:
        if self._by_character and all(len(token) == 1 for token in example.tokens):
            return _text(example)
        return self.key(example)

    def measure(
        self, examples: Sequence[Sentence], answers: Sequence[Tags], draw: np.random.Generator
    ) -> Measured:
        from homespun.evaluation.metrics import (
            common_confusion,
            label_table,
            span_counts,
            token_accuracy,
        )

        gold, found = [example.tags for example in examples], list(answers)
        flat_gold = [tag for tags in gold for tag in tags]
        flat_found = [tag for tags in found for tag in tags]
        names, table = common_confusion(flat_gold, flat_found)
        confusion = names, table.tolist()
        if any(example.is_spans for example in examples):
            spans = span_counts(gold, found)
            alone = spans.f1("micro").values()
            same = [g == f for g, f in zip(gold, found, strict=True)]
            measures = [
                spans.f1("micro"),
                spans.precision("micro"),
                spans.recall("micro"),
                token_accuracy(gold, found),
            ]
            return Measured(
                measures,
                classes=spans.table(),
                confusion=confusion,
                # A sentence without spans that was given none is right, and its F1 is 0.
                per_row=[1.0 if right else float(v) for right, v in zip(same, alone, strict=True)],
            )
        classes = label_table(flat_gold, flat_found)
        measures = [token_accuracy(gold, found)]
        notes = [_NUMBERS] if all(tag.isdecimal() for tag in flat_gold) else []
        return Measured(measures, classes=classes, confusion=confusion, notes=notes)

    def shown(self, example: Sentence, answer: Tags) -> dict[str, Any]:
        return {"tokens": list(example.tokens), "tags": list(answer)}

    def right(self, example: Sentence) -> dict[str, Any]:
        return {"tags": list(example.tags)}

    def plain(self, example: Sentence, answer: Tags) -> str:
        return " ".join(f"{w}/{t}" for w, t in zip(example.tokens, answer, strict=True))


class Segment(Tag):
    """Chinese words: each character begins, goes on, ends or is a word (Xue 2003).

    Where a text that is answered has spaces, words end there. Beside words that are right its
    spaces say nothing: a text that is parted into them would give them away.
    """

    name = "segment"
    summary = "Text without spaces into words."
    inputs: ClassVar[tuple[Column, ...]] = (
        Column("text", ("sentence", "content", "文本"), "the text"),
    )
    gold: ClassVar[tuple[Column, ...]] = (
        Column("words", ("tokens", "segmented", "分词"), "the words, a list or parted by spaces"),
    )

    def completed(self, row: Row) -> Row:
        """Files of tagged words, such as treebanks, say what the words of a text are, which is all
        there is to learn: of tokens the text, and where they are characters whose tags are their
        places in words, the words too. Spaces would give away where these end: so the text has them
        as it was written, between words that are not Chinese."""
        tokens, tags = row.get("tokens"), row.get("tags")
        if not isinstance(tokens, list) or any(name in row for name in self.inputs[0].known):
            return row
        words = tokens
        if isinstance(tags, list) and _are_places(tokens, tags):
            words = bmes_to_words(tokens, tags)
        cells = [str(token) for token in tokens]
        text = "".join(cells) if all(len(cell) == 1 for cell in cells) else as_text(cells)
        return {"words": words, **row, "text": text}

    def example(self, values: Mapping[str, Any]) -> Sentence:
        sentence = _characters(cell_text(values["text"]))
        if not sentence.tokens:
            raise DataError("there is no text", remedy="take the row out")
        if "words" not in values:
            return sentence
        given = values["words"]
        if not isinstance(given, str | list):
            raise DataError("words are a list or a text", got=given, remedy="part them by spaces")
        cells = [given] if isinstance(given, str) else map(cell_text, given)
        words = [word for cell in cells for word in cell.split()]
        if "".join(words) != "".join(sentence.tokens):
            raise DataError(
                "the words put together are not the text",
                got=" ".join(words)[:80],
                remedy="let words differ from the text by spaces alone",
            )
        characters, tags = words_to_bmes(words)
        return Sentence(tuple(characters), tuple(tags))

    def as_learned(self, learned: Learned[Sentence, Tags]) -> Tag:
        return self

    def key(self, example: Sentence) -> str:
        return "".join(example.tokens)

    def asked(self, example: Sentence) -> str:
        return _text(example)

    def right(self, example: Sentence) -> dict[str, Any]:
        return {"words": bmes_to_words(example.tokens, example.tags)}

    def shown(self, example: Sentence, answer: Tags) -> dict[str, Any]:
        return {"words": _parted(bmes_to_words(example.tokens, answer), example.breaks)}

    def plain(self, example: Sentence, answer: Tags) -> str:
        return " ".join(self.shown(example, answer)["words"])


def _are_places(tokens: Sequence[Any], tags: Sequence[Any]) -> bool:
    """Whether tokens are characters, and their tags tell of words and of nothing else."""
    return (
        len(tags) == len(tokens)
        and _PLACES.issuperset(map(str, tags))
        and all(len(str(token)) == 1 for token in tokens)
    )


def _characters(text: str) -> Sentence:
    """The characters of a text, and where it has spaces."""
    parts = text.split()
    return Sentence(tuple("".join(parts)), breaks=tuple(accumulate(map(len, parts)))[:-1])


def _text(example: Sentence) -> str:
    """The text that characters were, with its spaces."""
    return " ".join(_parted(["".join(example.tokens)], example.breaks))


def _parted(words: Sequence[str], breaks: Sequence[int]) -> list[str]:
    """Words, parted also before each of these characters."""
    text = "".join(words)
    ends = {*accumulate(map(len, words)), *breaks} - {0}
    return [text[start:stop] for start, stop in pairwise([0, *sorted(ends)])]


def are_spans(tags: Sequence[Tags]) -> bool:
    """Whether all tags are marks of spans, and not letters that happen to be parts of speech."""
    seen = {tag for row in tags for tag in row}
    if not all(_SPAN_TAG.fullmatch(tag) for tag in seen):
        return False
    return any("-" in tag for tag in seen) or ("B" in seen and bool(seen & _MARKS - {"B"}))


def scheme_of(tags: Sequence[Tags]) -> Scheme:
    """The scheme that tags of spans are written in."""
    letters = {tag[:1] for row in tags for tag in row}
    if "M" in letters:
        return "bmes"
    if letters & {"L", "U"}:
        return "bilou"
    return "bioes" if letters & {"E", "S"} else "bio"


def _parted_text(text: str, words_of: WordsOf | None) -> Sentence:
    """A text is parted at its spaces where it looks like words that somebody has parted: Chinese
    with spaces in it, or a mark of punctuation that stands alone. Else Chinese is parted by
    `words_of`, or without it into characters, and other text into words and marks."""
    parts = text.split()
    is_chinese = bool(parts) and 2 * count_han(text) >= sum(map(len, parts))
    if is_chinese and words_of is not None:
        return Sentence(tuple(words_of([text])[0]))
    if len(parts) > 1 and (is_chinese or any(_MARK.fullmatch(part) for part in parts)):
        return Sentence(tuple(parts))
    if is_chinese:
        return Sentence(tuple(text.strip()), unparted=True)
    return Sentence(tuple(str(word) for word in _WORDS.findall(text)))


def _classic(name: str) -> Method[Sentence, Tags]:
    from homespun.recipes.applications.tag import classic

    kinds: Any = {"rules": classic.Rules, "hmm": classic.Hmm, "crf": classic.Crf}
    made: Method[Sentence, Tags] = kinds[name]()
    return made


def _neural(name: str) -> Method[Sentence, Tags]:
    from homespun.recipes.applications.tag import neural

    kinds = {"lstm": neural.LstmTagging, "encoder": neural.EncoderTagging}
    return kinds[name]()
