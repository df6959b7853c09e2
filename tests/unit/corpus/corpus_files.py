"""What tests of readers share: a folder read as `build_corpus` reads it, archives made of parts."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from homespun.core import Document
from homespun.corpus.sources.files import find_files
from homespun.corpus.sources.items import ReadLog, Rejected
from homespun.corpus.sources.read import read_file


def read(root: Path, limit: int = 10_000) -> tuple[list[Document], list[Rejected], ReadLog]:
    log = ReadLog()
    documents: list[Document] = []
    rejected: list[Rejected] = []
    for file in find_files(root, source="src", prefix="", excluded=None, log=log):
        for item in read_file(file, log, lambda size: limit):
            if isinstance(item, Document):
                documents.append(item)
            else:
                rejected.append(item)
    return documents, rejected, log


def text_of(root: Path) -> str:
    return "".join(document.text for document in read(root)[0])


def pack(path: Path, parts: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path
