"""Tagged sentences of the corpora that benchmarks/tagging.py measures with."""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple


class Tagged(NamedTuple):
    """Sentences of words (or characters), and a tag of each."""

    sentences: list[list[str]]
    tags: list[list[str]]


def read_conllu(text: str) -> Tagged:
    """Words and universal parts of speech; ranges and empty nodes are left out."""
    rows = [
        [cells for cells in (line.split("\t") for line in block.splitlines()) if cells[0].isdigit()]
        for block in re.split(r"\n\s*\n", text)
    ]
    rows = [row for row in rows if row]
    words = [[cells[1] for cells in row] for row in rows]
    return Tagged(words, [[cells[3] for cells in row] for row in rows])


def read_columns(text: str, separator: str | None = "\t") -> Tagged:
    """One word and its tag a line, sentences parted by empty lines."""
    words: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    for line in text.splitlines():
        cells = line.split(separator)
        if line.strip() and len(cells) > 1:
            words[-1].append(cells[0])
            tags[-1].append(cells[-1].strip())
        elif words[-1]:
            words.append([])
            tags.append([])
    return Tagged([row for row in words if row], [row for row in tags if row])


def ewt(root: Path, split: str) -> Tagged:
    """UD English EWT."""
    path = root / "ud-en-ewt" / f"en_ewt-ud-{split}.conllu.gz"
    return read_conllu(gzip.decompress(path.read_bytes()).decode())


def gsdsimp(root: Path, split: str) -> Tagged:
    """UD Chinese GSDSimp, of which there are only dev and test."""
    path = root / "ud-zh-gsdsimp" / "ud-zh-gsdsimp.tar.xz"
    return read_conllu(_member(path, f"zh_gsdsimp-ud-{split}.conllu"))


def sinica(root: Path) -> tuple[Tagged, Tagged]:
    """The Sinica treebank: every tenth sentence is for the test, the others to learn from."""
    with zipfile.ZipFile(root / "nltk-nc" / "sinica_treebank.zip") as archive:
        text = archive.read("sinica_treebank/parsed").decode()
    found = [re.findall(r":([^:()|]+):([^:()|]+)", line) for line in text.splitlines()]
    rows = [row for row in found if row]
    parts = [[r for n, r in enumerate(rows) if (n % 10 == 9) == held] for held in (False, True)]
    train, test = (
        Tagged([[w for _, w in row] for row in part], [[t for t, _ in row] for row in part])
        for part in parts
    )
    return train, test


def weibo(root: Path, split: str) -> Tagged:
    """Weibo NER; a character carries its place in a word of the corpus' segmentation."""
    path = root / "weibo-ner" / f"weiboNER_2nd_conll.{split}"
    return read_columns(path.read_text(encoding="utf-8"))


def resumes(root: Path, split: str) -> Tagged:
    """Chinese resume NER."""
    path = root / "local-only" / "resume-ner" / "resume-ner.tar.xz"
    return read_columns(_member(path, f"{split}.char.bmes"), None)


def wnut(root: Path, split: str) -> Tagged:
    """WNUT 2017 emerging entities."""
    names = {"train": "wnut17train.conll", "dev": "emerging.dev.conll"}
    path = root / "wnut17" / names.get(split, "emerging.test.annotated")
    return read_columns(path.read_text(encoding="utf-8"))


def _member(archive: Path, ending: str) -> str:
    with tarfile.open(archive) as file:
        for member in file:
            if member.name.endswith(ending):
                content = file.extractfile(member)
                assert content is not None
                return content.read().decode()
    raise FileNotFoundError(f"{archive} has no {ending}")
