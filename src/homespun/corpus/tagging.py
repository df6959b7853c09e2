"""What a tagger finds in the documents of a corpus: words by part of speech, names by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from homespun.core import Progress, Silent, Tagger
from homespun.core.files import write_json
from homespun.core.types import Split
from homespun.corpus.chat.sentences import split_sentences
from homespun.corpus.documents import iter_documents

TAGS_FILE = "tags.json"
LONGEST = 200
"""Characters of a text that is tagged at once: a longer sentence is parted."""
NUM_COMMON = 20
_AT_ONCE = 256
_MOST_KEPT = 200_000
"""Different texts of a kind that are counted: beyond that the rarest are forgotten."""


def tag_corpus(
    corpus_dir: Path,
    tagger: Tagger,
    *,
    named: str,
    split: Split = "train",
    most_characters: int = 1_000_000,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Count what `tagger` finds, and write it to tags.json beside the data card.

    Args:
        corpus_dir: of a built corpus.
        named: how the tagger is called there.
        split: whose documents are read, from its beginning.
        most_characters: to read.

    Returns:
        what was written: `read` (sentences and characters), and for each kind how many there are
        (`num`), of how many texts (`different`, at least: the rarest of very many are not kept) and
        the `common` ones.

    Raises:
        DataError: there is no corpus.
    """
    task = (progress or Silent()).task("tagging", most_characters, "characters")
    counts: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    sentences = characters = 0
    texts = _texts(corpus_dir, split, most_characters)
    while some := list(islice(texts, _AT_ONCE)):
        for found in tagger.tagged(some):
            for text, kind in found:
                totals[kind] += 1
                counts.setdefault(kind, Counter())[text] += 1
        for kind in counts:
            counts[kind] = _kept(counts[kind])
        sentences += len(some)
        length = sum(map(len, some))
        characters += length
        task.advance(length)
    task.finish(f"{sum(totals.values()):,} found")
    told = {
        "format": 1,
        "tagger": named,
        "split": split,
        "read": {"sentences": sentences, "characters": characters},
        "kinds": {
            kind: {
                "num": num,
                "different": len(counts[kind]),
                "common": [[text, times] for text, times in _common(counts[kind])],
            }
            for kind, num in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
        },
    }
    write_json(corpus_dir / TAGS_FILE, told)
    return told


def sentences_in(text: str) -> Iterator[str]:
    """The sentences of a document, line by line; those longer than `LONGEST` are parted, at a space
    where there is one."""
    for line in text.splitlines():
        for sentence in split_sentences(line):
            yield from _parted(sentence)


def _parted(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST:
        at = sentence.rfind(" ", LONGEST // 2, LONGEST)
        at = LONGEST if at < 0 else at
        yield sentence[:at]
        sentence = sentence[at:].strip()
    if sentence:
        yield sentence


def _texts(corpus_dir: Path, split: Split, most_characters: int) -> Iterator[str]:
    left = most_characters
    documents = iter_documents(corpus_dir, split)
    for sentence in (s for document in documents for s in sentences_in(document.text)):
        left -= len(sentence)
        if left < 0:
            return
        yield sentence


def _kept(counted: Counter[str]) -> Counter[str]:
    if len(counted) <= _MOST_KEPT:
        return counted
    return Counter(dict(counted.most_common(_MOST_KEPT // 2)))


def _common(counted: Counter[str]) -> Iterator[tuple[str, int]]:
    """The commonest first, those of one number in the order of their letters."""
    return islice(sorted(counted.items(), key=lambda item: (-item[1], item[0])), NUM_COMMON)
