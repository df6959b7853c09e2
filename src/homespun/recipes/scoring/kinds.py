"""What answers may be, which columns they stand in, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from homespun.classic.units import is_chinese
from homespun.core import ConfigError, DataError, did_you_mean
from homespun.recipes.applications.rows import (
    cell_text,
    check_no_list,
    is_missing,
    label_text,
    one_writing,
)

if TYPE_CHECKING:
    from homespun.evaluation.metrics import Statistics

Values = Sequence[Any]
Classes = Collection[str]


class Kind(NamedTuple):
    """A kind of answers.

    Attributes:
        columns: where they usually stand, best first.
        measures: of what was answered beside what is right, cells as files have them, and of the
            classes of both who are compared; the one that counts first.
        classes: that stand in what was answered and in what is right; None where there are none.
    """

    columns: tuple[str, ...]
    measures: Callable[[Values, Values, Classes], list[Statistics]]
    classes: Callable[[Values, Values], set[str]] | None = None


def _labels(answers: Values, right: Values, classes: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import (
        accuracy,
        label_counts,
        matthews_correlation,
        multi_label_counts,
        samples_f1,
    )

    names = sorted({*classes, *_label_classes(answers, right)})
    if _are_several(right):
        several = multi_label_counts(_sets(right), _sets(answers), names)
        return [samples_f1(several), several.f1("micro"), several.f1("macro")]
    given, wanted = _written(answers, right)
    counts = label_counts(wanted, given, names)
    return [
        accuracy(wanted, given),
        counts.f1("macro"),
        counts.f1("micro"),
        counts.f1("weighted"),
        matthews_correlation(wanted, given, names),
    ]


def _label_classes(answers: Values, right: Values) -> set[str]:
    sides = (*_sets(answers), *_sets(right)) if _are_several(right) else _written(answers, right)
    return {name for side in sides for name in side}


def _are_several(right: Values) -> bool:
    return any(isinstance(value, list) for value in right)


def _sets(values: Values) -> list[set[str]]:
    return [set(map(label_text, value)) for value in _lists(values)]


def _written(answers: Values, right: Values) -> tuple[list[str], list[str]]:
    """One label a row, those of answers first."""
    _check_all(right)
    # An answer that says nothing is a wrong one.
    given = ["" if is_missing(value) else label_text(value) for value in answers]
    wanted = [label_text(value) for value in right]
    # Numbers of a column that had an empty cell are the same ones.
    other = one_writing([*given, *wanted])
    return [other.get(name, name) for name in given], [other.get(name, name) for name in wanted]


def _tags(answers: Values, right: Values, classes: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import (
        ClassCounts,
        label_counts,
        span_counts,
        token_accuracy,
    )

    given, wanted = ([_parted(value) for value in side] for side in (answers, right))
    for number, (found, tags) in enumerate(zip(given, wanted, strict=True), 1):
        if len(found) != len(tags):
            raise DataError(
                f"row {number} has not as many tags as there are right ones",
                got=f"{len(found)} for {len(tags)}",
                remedy="give one for each word",
            )
    tokens = token_accuracy(wanted, given)
    if _are_of_spans(wanted):
        spans = span_counts(_in_one_scheme(wanted), _in_one_scheme(given), classes)
        whole = [spans.f1("micro"), spans.f1("macro")]
        return [*whole, spans.precision("micro"), spans.recall("micro"), tokens]
    right_tags, found_tags = ([tag for tags in side for tag in tags] for side in (wanted, given))
    names = sorted({*classes, *right_tags, *found_tags})
    counts = label_counts(right_tags, found_tags, names)
    # Tokens of a row hang together.
    rows_NK = np.zeros((len(wanted), counts.rows_NK.shape[1]))
    row_of = [number for number, tags in enumerate(wanted) for _ in tags]
    np.add.at(rows_NK, row_of, counts.rows_NK)
    return [tokens, ClassCounts(counts.labels, rows_NK, counts.kind).f1("macro")]


def _tag_classes(answers: Values, right: Values) -> set[str]:
    from homespun.evaluation.metrics import spans_of

    given, wanted = ([_parted(value) for value in side] for side in (answers, right))
    if not _are_of_spans(wanted):
        return {tag for tags in (*given, *wanted) for tag in tags}
    return {
        span.type
        for side in (given, wanted)
        for tags in _in_one_scheme(side)
        for span in spans_of(tags)
    }


def _are_of_spans(wanted: Sequence[Sequence[str]]) -> bool:
    from homespun.recipes.applications.tag import are_spans

    return are_spans([tuple(tags) for tags in wanted])


def _in_one_scheme(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    from homespun.classic.tagging import convert_tags

    return [convert_tags(tags, "bioes") for tags in rows]


def _words(answers: Values, right: Values, _: Classes) -> list[Statistics]:
    from homespun.classic.tagging import words_to_bmes
    from homespun.evaluation.metrics import span_counts

    both = [[words_to_bmes(_parted(value)) for value in side] for side in (right, answers)]
    for number, ((wanted, _), (text, _)) in enumerate(zip(*both, strict=True), 1):
        if text != wanted:
            raise DataError(
                f"the words of row {number} are not of the text that is right",
                got="".join(text)[:80],
                remedy="let words differ by where they are parted, and by nothing else",
            )
    there, found = ([tags for _, tags in side] for side in both)
    counts = span_counts(there, found)
    return [counts.f1("micro"), counts.precision("micro"), counts.recall("micro")]


def _answers(answers: Values, right: Values, _: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import answer_scores

    gold = [[cell_text(part) for part in value] or [""] for value in _lists(right)]
    said = ["" if is_missing(value) else cell_text(value) for value in answers]
    texts = [text for several in gold for text in several if text]
    found = answer_scores(said, gold, language="zh" if is_chinese(texts) else "en")
    return [found.f1, found.exact_match]


def _translations(answers: Values, right: Values, _: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import bleu, chrf

    said, gold = _texts(answers), _references(right)
    chinese = is_chinese([texts[0] for texts in gold])
    return [bleu(said, gold, tokenize="zh" if chinese else "13a"), chrf(said, gold)]


def _summaries(answers: Values, right: Values, _: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import rouge

    found = rouge(_texts(answers), _references(right))
    return [found["L"], found["1"], found["2"]]


def _transcripts(answers: Values, right: Values, _: Classes) -> list[Statistics]:
    from homespun.evaluation.metrics import character_error_rate, word_error_rate

    said, wanted = _texts(answers), _texts(right)
    if is_chinese(wanted):
        return [character_error_rate(said, wanted, count_spaces=False)]
    return [word_error_rate(said, wanted), character_error_rate(said, wanted)]


KINDS: Mapping[str, Kind] = {
    "labels": Kind(
        ("label", "labels", "class", "relation", "标签", "类别", "关系"), _labels, _label_classes
    ),
    "tags": Kind(("tags", "labels", "pos", "ner", "标签"), _tags, _tag_classes),
    "words": Kind(("words", "tokens", "segmented", "分词", "text"), _words),
    "answers": Kind(("answers", "answer", "答案"), _answers),
    "translations": Kind(("target", "translation", "tgt", "译文", "text"), _translations),
    "summaries": Kind(("summary", "target", "title", "摘要", "标题", "text"), _summaries),
    "transcripts": Kind(("transcript", "target", "转写", "text"), _transcripts),
}


def find_kind(name: str) -> Kind:
    """Raises ConfigError where there is none of that name."""
    if name not in KINDS:
        raise ConfigError(
            f"there are no answers of the kind '{name}'", remedy=did_you_mean(name, list(KINDS))
        )
    return KINDS[name]


def _lists(values: Values) -> list[list[Any]]:
    """Each as a list; of nothing an empty one. One may be an object with a "text", as of SQuAD."""
    found = []
    for given in values:
        value = given.get("text") if isinstance(given, dict) else given
        listed = value if isinstance(value, list) else [value]
        found.append([part for part in listed if not is_missing(part)])
    return found


def _parted(value: Any) -> list[str]:
    if isinstance(value, str):
        check_no_list(value)
        return value.split()
    return [cell_text(part) for part in value] if isinstance(value, list) else []


def _texts(values: Values) -> list[str]:
    return ["" if is_missing(value) else cell_text(value) for value in values]


def _references(values: Values) -> list[list[str]]:
    found = [[cell_text(part) for part in several] for several in _lists(values)]
    _check_all([several or None for several in found])
    return found


def _check_all(right: Values) -> None:
    """Raises DataError where a row says nothing of what is right."""
    number = next((at for at, value in enumerate(right, 1) if is_missing(value)), None)
    if number is not None:
        raise DataError(
            f"row {number} has nothing that is right", remedy="fill it in, or take the row out"
        )
