"""Questions within their passages, within articles, as rows: the JSON of SQuAD and of CMRC 2018.

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [
        {"question": …, "answers": [{"text": …, "answer_start": …}], "is_impossible": …}]}]}]}

CMRC 2018 has it so too, and in a form of its own: a list of passages,
`{"context_text": …, "qas": [{"query_text": …, "answers": [TEXT]}]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from homespun.core import DataError

_CONTEXT, _QUESTION = ("context", "context_text"), ("question", "query_text")


def flat(
    rows: Iterable[Mapping[str, Any]], *, where: str, keep_blank: bool = False
) -> Iterator[Mapping[str, Any]]:
    """Rows as they are, but in place of a nested one its questions, see `questions_of`."""
    for row in rows:
        if is_nested(row):
            yield from questions_of(row, where=where, keep_blank=keep_blank)
        else:
            yield row


def is_nested(row: Mapping[str, Any]) -> bool:
    """Whether it is a passage, an article or a whole file of questions."""
    is_unasked = row.get("qas") == [] and any(name in row for name in _CONTEXT)
    return (
        is_unasked
        or _some_have(row.get("qas"), *_QUESTION)
        or _some_have(row.get("paragraphs"), "qas")
        or _some_have(row.get("data"), "paragraphs", "qas")
    )


def questions_of(
    entry: Mapping[str, Any], *, where: str, keep_blank: bool = False, title: str = ""
) -> Iterator[dict[str, Any]]:
    """A row for each question, in order: "question", "context", the "title" of the article where it
    has one, and where answers are told, if only that there are none, "answers" as
    `{"text": [TEXT, …], "answer_start": [PLACE, …]}`, both empty of what the passage does not
    answer. Places are in code points, -1 where none is told.

    Args:
        entry: a passage, an article of passages, or a file of articles or passages.
        where: the file, for messages.
        keep_blank: questions without words, of which CMRC 2018 has one, stay.
        title: of the article that it is a part of; "" of none.

    Raises:
        DataError: an article has no passages, a passage no text or no list of questions, or an
            answer no text.
    """
    given = entry.get("title")
    title = given if isinstance(given, str) and given.strip() else title
    for name in ("paragraphs", "data"):
        if "qas" not in entry and name in entry:
            for part in _objects(entry, name, where):
                yield from questions_of(part, where=where, keep_blank=keep_blank, title=title)
            return
    context = _first(entry, _CONTEXT)
    if not isinstance(context, str) or not context.strip():
        raise _lacks("context", entry, where)
    for asked in _objects(entry, "qas", where):
        question = str(_first(asked, _QUESTION) or "")
        if question.strip() or keep_blank:
            told = {"title": title} if title else {}
            yield {"question": question, "context": context, **told, **_answers(asked, where)}


def _answers(asked: Mapping[str, Any], where: str) -> dict[str, Any]:
    if asked.get("is_impossible"):
        return {"answers": {"text": [], "answer_start": []}}
    given = asked.get("answers")
    if given is None:
        return {}
    if not isinstance(given, list):
        return {"answers": given}
    told = [one if isinstance(one, dict) else {"text": one} for one in given]
    for one in told:
        if "text" not in one:
            raise _lacks("text", one, where)
    return {
        "answers": {
            "text": [one["text"] for one in told],
            "answer_start": [one.get("answer_start", -1) for one in told],
        }
    }


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _some_have(value: Any, *names: str) -> bool:
    """Whether it is a list of JSON objects, one of which has one of these."""
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        return False
    return any(name in part for part in value for name in names)


def _objects(entry: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    found = entry.get(name)
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise _lacks(name, entry, where)
    return found


def _lacks(name: str, entry: Mapping[str, Any], where: str) -> DataError:
    return DataError(
        f"{where} has questions within passages, and one of its parts has no {name}",
        got=", ".join(map(str, entry)),
        remedy='write {"paragraphs": [{"context": …, "qas": [{"question": …, "answers": …}]}]}',
    )
