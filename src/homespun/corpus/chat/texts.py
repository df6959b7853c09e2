"""Conversations made from ordinary documents: continue, complete, what comes next, how it begins.

They teach the form of a conversation (a question, an answer that ends) with the user's own text.
Every answer is a whole piece of a document: sentences, a verse line, or lines of code.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from homespun.core import Conversation, Document, Message
from homespun.corpus.chat.choices import choose, share
from homespun.corpus.chat.sentences import Language, has_chinese, is_chinese, split_sentences
from homespun.corpus.chat.text_phrasings import TEXT_QUESTIONS

# Characters of (quoted text, answer). With the question around them a conversation stays within
# about 900 characters of English or 300 of Chinese, which fits 256 to 512 tokens.
_LIMITS: dict[Language, tuple[int, int]] = {"en": (400, 400), "zh": (125, 125)}
_SHORTEST: dict[Language, int] = {"en": 20, "zh": 6}
_CODE_LIMITS = (400, 300)

_HEADING = re.compile(
    r"^(?:#{1,6}\s+(.{2,80}?)\s*#*|(第[一二三四五六七八九十百零〇两\d]{1,6}[回章节卷].{2,40}))$"
)
_NUMBERED = re.compile(r"^(?:chapter|part|book|section|act|scene)?\s*[\divxlc.]+$", re.IGNORECASE)
_ENDED = re.compile(r"[.!?。！？…][\"'”’」』）)\]*_`]*$")
_OPEN_OR_END = ".,;:!?。，；：！？…、—-”\"'’」』）)>|"
_NOT_PROSE = re.compile(r"^\s*(?:[-*+•|>]|\d+[.)]\s|```|~~~|={3}|-{3}|!\[|<)")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence, a verse line or a line of code, and what joins it to the next one."""

    text: str
    joint: str


@dataclass(slots=True)
class _Section:
    """Text under one heading ("" where there is none), as pieces in order."""

    heading: str
    pieces: list[_Piece]
    is_verse: bool = False


def text_conversations(
    documents: Iterable[Document], *, seed: int, limit: int
) -> list[Conversation]:
    """At most `limit` conversations, spread evenly over all of `documents` whatever their sizes.

    Every document is cut into all the examples it has; those with the smallest hashes are kept,
    so memory does not grow with the corpus. Questions that are asked twice are asked once.
    """
    kept: list[tuple[float, int, Conversation]] = []
    asked: set[str] = set()
    number = 0
    for document in documents:
        for position, conversation in enumerate(_examples(document, seed)):
            question = conversation.messages[0].content
            if question in asked:
                continue
            number += 1
            # A heap whose head is the largest hash: the one to go when a smaller one comes.
            item = (-share(seed, "keep", document.doc_id, position), number, conversation)
            if len(kept) < limit:
                heapq.heappush(kept, item)
            elif item[0] > kept[0][0]:
                heapq.heapreplace(kept, item)
            else:
                continue
            asked.add(question)
    return [conversation for _, _, conversation in sorted(kept, key=lambda item: -item[0])]


def _examples(document: Document, seed: int) -> Iterator[Conversation]:
    if document.language == "code":
        yield from _code_examples(document, seed)
        return
    language: Language = "zh" if is_chinese(document.text[:4000]) else "en"
    for number, section in enumerate(_sections(document.text, language)):
        where = f"{document.doc_id}:{number}"
        if section.heading and section.pieces and _fits(section.pieces[0].text, language):
            question = _ask("heading", language, seed, where, heading=section.heading)
            yield _conversation("heading", question, section.pieces[0].text, document)
        yield from _section_examples(section, language, seed, where, document)


def _section_examples(
    section: _Section, language: Language, seed: int, where: str, document: Document
) -> Iterator[Conversation]:
    pieces = section.pieces
    at = 0
    while at < len(pieces) - 1:
        draw = share(seed, "kind", where, at)
        most = 3 if section.is_verse or draw < 0.5 else 1
        # One piece at least is left to be the answer.
        num_quoted = min(1 + int(share(seed, "length", where, at) * most), len(pieces) - at - 1)
        quoted, next_at = _take(pieces, at, num_quoted, _LIMITS[language][0])
        answer, _ = _take(pieces, next_at, most, _LIMITS[language][1])
        if section.is_verse:
            kind = "verse"
            answer, _ = _take(pieces, next_at, 1, _LIMITS[language][1])
            if answer.endswith(":"):  # who speaks, in a play; what is said comes next
                answer, _ = _take(pieces, next_at, 2, _LIMITS[language][1])
        elif draw < 0.5:
            kind = "continue"
        elif draw < 0.7:
            kind = "next"
        else:
            kind = "complete"
            quoted, answer = _cut(pieces[at].text, language, share(seed, "cut", where, at))
        fit = kind == "complete" or _fits(answer, language, verse=section.is_verse)
        if quoted and answer and fit and len(quoted) >= _SHORTEST[language] // 2:
            question = _ask(kind, language, seed, f"{where}:{at}", text=quoted)
            yield _conversation(kind, question, answer, document)
        at = max(next_at, at + 1)


def _take(pieces: list[_Piece], at: int, most: int, limit: int) -> tuple[str, int]:
    """Up to `most` whole pieces from `at`, at most `limit` characters: (text, place after)."""
    text, joint = "", ""
    end = at
    while end < len(pieces) and end - at < most:
        longer = f"{text}{joint}{pieces[end].text}"
        if len(longer) > limit:
            break
        text, joint = longer, pieces[end].joint
        end += 1
    return text, end


def _fits(answer: str, language: Language, *, verse: bool = False) -> bool:
    """Whether an answer is whole and of sensible length."""
    shortest = 4 if verse else _SHORTEST[language]
    return shortest <= len(answer) <= _LIMITS[language][1] and (
        verse or bool(_ENDED.search(answer))
    )


def _cut(sentence: str, language: Language, where: float) -> tuple[str, str]:
    """Cut a sentence near `where` between a third and two thirds of it.

    English is cut between words, Chinese after a comma or colon: without a dictionary, any other
    place may be inside of a word. A comma before the cut is left out.
    """
    if not _fits(sentence, language):
        return "", ""
    target = len(sentence) * (1 + where) / 3
    mark = r" (?=\w)" if language == "en" else r"[，：,:]"
    cuts = [match.end() for match in re.finditer(mark, sentence)]
    cuts = [cut for cut in cuts if 0.2 <= cut / len(sentence) <= 0.8]
    if not cuts:
        return "", ""
    cut = min(cuts, key=lambda place: abs(place - target))
    rest = sentence[cut:].lstrip()
    return (
        (sentence[:cut].rstrip(" ，,"), rest) if len(rest) >= _SHORTEST[language] // 2 else ("", "")
    )


def _sections(text: str, language: Language) -> Iterator[_Section]:
    """Cut a document at its headings; leave out lists, tables, quotes and fenced code."""
    section = _Section("", [])
    for paragraph in _paragraphs(text, language):
        title = _title(paragraph, language)
        listed = any(_NOT_PROSE.match(line) for line in paragraph)
        verse = not title and not listed and _is_verse(paragraph, language)
        if title or listed or (section.pieces and verse != section.is_verse):
            yield section
            section = _Section("" if _NUMBERED.match(title) else title, [])
        if not title and not listed:
            section.is_verse = verse
            section.pieces += _pieces(paragraph, language, verse)
    yield section


def _title(paragraph: list[str], language: Language) -> str:
    """What a paragraph is the heading of: marked as one, or one short line without an end."""
    if len(paragraph) != 1:
        return ""
    line = paragraph[0].strip()
    if match := _HEADING.match(line):
        return (match[1] or match[2]).strip("*_` ")
    longest, fit = (60, line[0].isupper()) if language == "en" else (15, has_chinese(line))
    return line if fit and len(line) <= longest and line[-1] not in _OPEN_OR_END else ""


def _paragraphs(text: str, language: Language) -> Iterator[list[str]]:
    """Lines between blank lines. Fenced code is dropped; a marked heading stands alone."""
    lines: list[str] = []
    fenced = False
    for line in [*text.splitlines(), ""]:
        if re.match(r"^\s*(?:```|~~~)", line):
            fenced = not fenced
            line = ""
        if fenced:
            continue
        alone = bool(_HEADING.match(line.strip()))
        if (not line.strip() or alone) and lines:
            yield from _regroup(lines, language)
            lines = []
        if alone:
            yield [line.strip()]
        elif line.strip():
            lines.append(line.rstrip())


def _regroup(lines: list[str], language: Language) -> Iterator[list[str]]:
    """Lines that are whole paragraphs are given one by one; wrapped lines stay together.

    A Chinese line that ends within a sentence goes on in the next, unless that one is indented.
    """
    stripped = [line.strip() for line in lines]
    if language == "en":
        is_wrapped = sum(map(len, stripped)) <= 120 * len(stripped)
        yield from [stripped] if is_wrapped else ([line] for line in stripped)
        return
    if _is_verse(stripped, language):
        yield stripped
        return
    group: list[str] = []
    for line in lines:
        goes_on = group and len(group[-1]) > 15 and not _ENDED.search(group[-1])
        if group and not (goes_on and not line[0].isspace()):
            yield group
            group = []
        group.append(line.strip())
    yield group


def _is_verse(lines: list[str], language: Language) -> bool:
    """Short lines that begin anew: English by capitals, Chinese by short clauses of even length."""
    if language == "zh":
        clauses = [
            part for line in lines for part in re.split(r"[，。！？；、,.!?;\s]+", line) if part
        ]
        lengths = [len(clause) for clause in clauses]
        even = len(lengths) >= 4 and max(lengths) <= 8 and max(lengths) - min(lengths) <= 3
        return even and max(map(len, lines)) <= 60
    if len(lines) < 3 or max(map(len, lines)) > 62 or sum(map(len, lines)) > 52 * len(lines):
        return False
    capital = sum(re.match(r"[\"'“‘(]*[A-Z]", line) is not None for line in lines)
    return capital >= 0.8 * len(lines)


def _pieces(paragraph: list[str], language: Language, verse: bool) -> list[_Piece]:
    if verse and language == "en":
        return [_Piece(line, "\n") for line in paragraph]
    text = "\n".join(paragraph)
    sentences = split_sentences(text, chinese=language == "zh")
    between = "\n" if verse else ("" if language == "zh" else " ")
    return [
        _Piece(sentence, between if number < len(sentences) else "\n")
        for number, sentence in enumerate(sentences, start=1)
    ]


def _code_examples(document: Document, seed: int) -> Iterator[Conversation]:
    pieces = [_Piece(line.rstrip(), "\n") for line in document.text.splitlines() if line.strip()]
    at = 0
    while at < len(pieces) - 4:
        quoted, next_at = _take(pieces, at, 10, _CODE_LIMITS[0])
        answer, _ = _take(pieces, next_at, 6, _CODE_LIMITS[1])
        if quoted and len(answer) >= 20 and "```" not in quoted + answer:
            where = f"{document.doc_id}:{at}"
            question = _ask("code", "en", seed, where, text=f"```\n{quoted}\n```")
            yield _conversation("code", question, f"```\n{answer}\n```", document)
        at = max(next_at, at + 1)


def _ask(kind: str, language: Language, seed: int, where: str, **fields: str) -> str:
    """A phrasing, one without quotation marks where the text has some already."""
    phrasings = TEXT_QUESTIONS[kind][language]
    if "“" in "".join(fields.values()) or "”" in "".join(fields.values()):
        phrasings = tuple(p for p in phrasings if "“{" not in p) or phrasings
    return choose(phrasings, seed, "phrasing", kind, where).format(**fields)


def _conversation(kind: str, question: str, answer: str, document: Document) -> Conversation:
    return Conversation(
        (Message("user", question), Message("assistant", answer)),
        source=document.source,
        category=f"text.{kind}",
    )
