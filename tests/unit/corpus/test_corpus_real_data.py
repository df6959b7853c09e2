"""Real books, poems and plays come through whole; Chinese in every encoding."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.core import SPLITS
from homespun.corpus import build_corpus, iter_documents, named_corpora
from homespun.corpus.clean import clean_text
from homespun.corpus.config import CorpusConfig
from homespun.corpus.sources.formats.encodings import detect_encoding

pytestmark = pytest.mark.data
Locate = Callable[[str], Path]

PLAIN = CorpusConfig(remove_repeated_paragraphs=False)


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        files = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def _texts(out: Path) -> dict[str, str]:
    """Documents by id, pieces of one file joined in order."""
    pieces = {d.doc_id: d.text for split in SPLITS for d in iter_documents(out, split)}
    whole: dict[str, str] = {}
    for doc_id in sorted(pieces):
        name = doc_id.partition("#")[0]
        whole[name] = whole.get(name, "") + pieces[doc_id]
    return whole


def _without_space(text: str) -> str:
    return "".join(text.split())


def test_chinese_novels_lose_not_one_character(
    data_set: Locate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = data_set("zh-novels/zh-novels.tar.xz")
    monkeypatch.setenv("HOMESPUN_DATA", str(archive.parents[1]))
    card = build_corpus("zh-novels", tmp_path, config=PLAIN)
    assert set(card["languages"]) == {"zh"}
    assert card["unreadable"] == []
    texts = _texts(tmp_path)
    for name, data in _members(archive).items():
        assert _without_space(texts[name]) == _without_space(clean_text(data.decode()))
    total = sum(split["bytes"] for split in card["splits"].values())
    for split in ("validation", "test"):
        assert 0.03 < card["splits"][split]["bytes"] / total < 0.08


@pytest.mark.parametrize("codec", ["gb18030", "utf-16", "utf-16-le", "utf-8-sig"])
def test_chinese_prose_comes_through_from_every_encoding(
    data_set: Locate, tmp_path: Path, codec: str
) -> None:
    text = data_set("zh-luxun/野草.txt").read_text(encoding="utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(text.encode(codec))
    card = build_corpus(tmp_path / "in", tmp_path / "out", config=PLAIN)
    assert set(card["languages"]) == {"zh"}
    found = _texts(tmp_path / "out")["a.txt"]
    assert _without_space(found) == _without_space(clean_text(text))


def test_traditional_poems_in_big5_and_gb18030_are_told_apart(data_set: Locate) -> None:
    members = _members(data_set("zh-poetry/zh-poetry.tar.xz"))
    poems = [
        "".join(row["paragraphs"])
        for row in json.loads(members["全唐诗/poet.tang.0.json"])[:200]
        if len("".join(row["paragraphs"])) >= 16
    ]
    tried = 0
    for poem in poems:
        for codec, name in (("gb18030", "gb18030"), ("big5hkscs", "big5")):
            try:
                data = poem.encode(codec)
            except UnicodeEncodeError:
                continue
            encoding = detect_encoding(data)
            assert encoding is not None
            assert encoding.name == name, poem
            assert data.decode(encoding.codec) == poem
            tried += 1
    assert tried > 150


def test_poems_of_all_shapes_are_found(
    data_set: Locate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = data_set("zh-poetry/zh-poetry.tar.xz")
    monkeypatch.setenv("HOMESPUN_DATA", str(archive.parents[1]))
    card = build_corpus("chinese-poetry", tmp_path)
    assert card["unreadable"] == []
    assert card["read"]["files"] == 43
    assert card["read"]["documents"] > 21_000
    assert set(card["languages"]) == {"zh"}


def test_local_files_are_those_that_would_be_downloaded(data_set: Locate) -> None:
    import hashlib

    for entry in named_corpora():
        if entry.embedded:
            continue
        contents: dict[str, bytes] = {}
        for index, local in enumerate(entry.local):
            path = data_set(local)
            if path.name.endswith(".tar.xz"):
                contents |= _members(path)
            else:
                contents[entry.files[index].path] = path.read_bytes()
        for file in entry.files:
            data = contents[file.path]
            assert len(data) == file.size
            assert hashlib.file_digest(io.BytesIO(data), "sha256").hexdigest() == file.sha256


def test_shakespeare_is_whole_and_held_out_by_the_share(data_set: Locate, tmp_path: Path) -> None:
    path = data_set("tiny-shakespeare/input.txt")
    card = build_corpus(path, tmp_path, config=PLAIN)
    assert _without_space(_texts(tmp_path)["input.txt"]) == _without_space(path.read_text())
    assert 40_000 < card["splits"]["validation"]["bytes"] < 90_000
