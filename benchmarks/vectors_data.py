"""Text for word vectors: English novels and encyclopedia, Chinese novels, titles and abstracts."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homespun.classic.tagging import CRF, Segmenter
from homespun.classic.vectors import text_sentences
from homespun.recipes.applications.rows import read_rows

Sentences = list[list[str]]
_CHINESE = (
    ("zh-novels/zh-novels.tar.xz", ".txt"),
    ("csl/csl.tar.xz", ".tsv"),
    ("cmrc2018/cmrc2018.tar.xz", ".json"),
    ("local-only/thucnews-titles/thucnews-titles.tar.xz", ".txt"),
    ("local-only/zh-sentiment/zh-sentiment.tar.xz", ".csv"),
)


def english(data: Path, num_bytes: int) -> Sentences:
    """Sentences of the archive's Markdown books in order of their names, then of WikiText-2's
    held-out parts; `num_bytes` of them at most."""
    sentences: Sentences = []
    archives = (
        ("gutenberg-classics/gutenberg-classics.tar.xz", ".md"),
        ("wikitext2/wikitext2.tar.xz", ".txt"),
    )
    for name, ending in archives:
        for content in members(data / name, ending):
            content = content[: max(0, num_bytes)]
            num_bytes -= len(content)
            sentences.extend(text_sentences(content.decode("utf-8", errors="ignore")))
    return sentences


def chinese(data: Path, work: Path) -> Sentences:
    """Sentences of novels, abstracts, passages, titles and reviews, cut into words by a CRF that
    has learned from UD's Chinese GSD sentences, which lie in `work` for it."""
    lines: list[str] = []
    for name, ending in _CHINESE:
        for content in members(data / name, ending):
            lines.extend(_texts(content.decode("utf-8", errors="ignore"), ending))
    return _cut(lines, _segmenter(data, work))


def _cut(lines: list[str], segmenter: Segmenter) -> Sentences:
    """Each different run of characters is cut once, all of them together."""
    runs: dict[str, list[str]] = {}
    for line in lines:
        for words in text_sentences(line, lambda run: [run]):
            runs.update((word, [word]) for word in words)
    runs.update(zip(runs, segmenter.predict(list(runs)), strict=True))
    return [words for line in lines for words in text_sentences(line, lambda run: runs[run])]


def _segmenter(data: Path, work: Path) -> Segmenter:
    sentences = []
    for content in members(data / "ud-zh-gsdsimp" / "ud-zh-gsdsimp.tar.xz", ".conllu"):
        path = work / "gsd.conllu"
        path.write_bytes(content)
        sentences += [row["tokens"] for row in read_rows(path)]
    return Segmenter(CRF("characters")).fit(sentences)


def _texts(content: str, ending: str) -> Iterator[str]:
    if ending == ".json":
        yield from passages(json.loads(content))
    else:
        for line in content.splitlines():
            yield from (cell for cell in line.split("\t") if len(cell) > 1)


def passages(value: Any) -> Iterator[str]:
    """Every "context" or "context_text" of nested JSON."""
    if isinstance(value, list):
        for part in value:
            yield from passages(part)
    elif isinstance(value, dict):
        for name, part in value.items():
            if name in ("context", "context_text") and isinstance(part, str):
                yield part
            else:
                yield from passages(part)


def members(archive: Path, ending: str) -> Iterator[bytes]:
    """Files of an archive whose names end so, in order of their names."""
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            file = files.extractfile(member) if member.name.endswith(ending) else None
            if file is not None:
                yield file.read()
