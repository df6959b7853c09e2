"""Documents as token ids on disk, and a split of them as one array.

A split is a sequence of files of little-endian unsigned integers that follow each other as if they
were one: `E d1 E d2 E … dn E`, E being the end-of-text id. Sixteen bits an id do for vocabularies
below 65,536 tokens. `index.json` tells of all files and is written last.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from homespun.core.config import Config, parse_config
from homespun.core.errors import ConfigError, DataError
from homespun.core.files import os_error, read_json, sha256_file, write_json
from homespun.core.protocols import Progress, Silent, Tokenizer
from homespun.core.types import SPLITS, Split
from homespun.corpus.card import num_utf8, read_card
from homespun.corpus.documents import iter_documents
from homespun.corpus.token_view import TokenView

FORMAT = 1
MAX_FILE_TOKENS = 1 << 27
_BATCH_BYTES = 1 << 20


class ShardFile(Config):
    """One file of a split."""

    name: str
    tokens: int
    sha256: str


class ShardSplit(Config):
    """A split: tokens with end-of-text ids counted, documents, UTF-8 bytes of their text."""

    tokens: int
    documents: int
    bytes: int
    files: list[ShardFile]


class ShardIndex(Config):
    """What `index.json` holds."""

    format: Literal[1] = 1
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    tokenizer_sha256: str
    splits: dict[Split, ShardSplit]


def write_shards(
    corpus_dir: Path,
    tokenizer: Tokenizer,
    out: Path,
    *,
    tokenizer_sha256: str,
    progress: Progress | None = None,
) -> ShardIndex:
    """Encode every split of a built corpus.

    Args:
        corpus_dir: holds `card.json` and the splits.
        tokenizer: gives ids below its `vocab_size`.
        out: folder to write; what an earlier run left there is replaced.
        tokenizer_sha256: of the tokenizer's file, remembered to notice a mismatch later.
        progress: told of bytes of text encoded.

    Raises:
        DataError: the corpus is missing or damaged.
        ConfigError: the tokenizer gave an id outside its vocabulary.
        BudgetError: the disk is full.
    """
    progress = progress or Silent()
    card = read_card(corpus_dir)
    total = sum(card["splits"][split]["bytes"] for split in SPLITS)
    task = progress.task("encoding", total=total, unit="bytes")
    _clear(out)
    dtype: Literal["uint16", "uint32"] = "uint16" if tokenizer.vocab_size < 65536 else "uint32"
    splits: dict[Split, ShardSplit] = {}
    for split in SPLITS:
        writer = _SplitWriter(out, split, np.dtype(dtype), tokenizer.vocab_size)
        try:
            mark = np.array([tokenizer.end_of_text_id], np.uint32)
            writer.write(mark)
            num_docs = num_bytes = 0
            for batch, size in _batches(corpus_dir, split):
                for ids in tokenizer.encode_batch(batch):
                    writer.write(np.asarray(ids, np.uint32))
                    writer.write(mark)
                num_docs += len(batch)
                num_bytes += size
                task.advance(size)
        finally:
            writer.close()
        splits[split] = ShardSplit(
            tokens=sum(file.tokens for file in writer.files),
            documents=num_docs,
            bytes=num_bytes,
            files=writer.files,
        )
    task.finish()
    index = ShardIndex(
        dtype=dtype,
        vocab_size=tokenizer.vocab_size,
        tokenizer_sha256=tokenizer_sha256,
        splits=splits,
    )
    write_json(out / "index.json", index.model_dump())
    return index


def _batches(corpus_dir: Path, split: Split) -> Iterator[tuple[list[str], int]]:
    """Texts in groups of about a megabyte, with their UTF-8 bytes."""
    texts: list[str] = []
    size = 0
    for document in iter_documents(corpus_dir, split):
        texts.append(document.text)
        size += num_utf8(document.text)
        if size >= _BATCH_BYTES:
            yield texts, size
            texts, size = [], 0
    if texts:
        yield texts, size


class _SplitWriter:
    """Writes ids to `SPLIT-000.bin`, `SPLIT-001.bin`, …, hashing as it goes."""

    def __init__(self, out: Path, split: Split, dtype: np.dtype[Any], vocab_size: int) -> None:
        self._out = out
        self._split = split
        self._dtype = dtype.newbyteorder("<")
        self._vocab_size = vocab_size
        self.files: list[ShardFile] = []
        self._open_next()

    def write(self, ids: NDArray[np.uint32]) -> None:
        if len(ids) and int(ids.max()) >= self._vocab_size:
            raise ConfigError(
                "the tokenizer gave an id outside its vocabulary",
                got=int(ids.max()),
                remedy=f"its vocab_size says {self._vocab_size}: train or repair the tokenizer",
            )
        while len(ids):
            if self._num_tokens == MAX_FILE_TOKENS:
                self._finish()
                self._open_next()
            piece = ids[: MAX_FILE_TOKENS - self._num_tokens]
            data = piece.astype(self._dtype).tobytes()
            try:
                self._file.write(data)
            except OSError as error:
                raise os_error(error, f"writing {self._path}") from error
            self._hash.update(data)
            self._num_tokens += len(piece)
            ids = ids[len(piece) :]

    def close(self) -> None:
        if not self._file.closed:
            self._finish()

    def _open_next(self) -> None:
        self._path = self._out / f"{self._split}-{len(self.files):03d}.bin"
        self._file: BinaryIO = open(self._path, "wb")  # noqa: SIM115 (closed by `_finish`)
        self._hash = hashlib.sha256()
        self._num_tokens = 0

    def _finish(self) -> None:
        try:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())  # before the index says that it is there
        except OSError as error:
            raise os_error(error, f"writing {self._path}") from error
        self.files.append(
            ShardFile(name=self._path.name, tokens=self._num_tokens, sha256=self._hash.hexdigest())
        )


def _clear(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "index.json").unlink(missing_ok=True)
        for split in SPLITS:
            for path in out.glob(f"{split}-*.bin"):
                path.unlink()
    except OSError as error:
        raise os_error(error, f"clearing {out}") from error


def read_index(shards_dir: Path) -> ShardIndex:
    """`index.json` of a folder of shards.

    Raises:
        DataError: there is none.  ConfigError: it is not of this format.
    """
    path = shards_dir / "index.json"
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} is no index of shards", remedy="encode the corpus again")
    return parse_config(ShardIndex, value, where=str(path))


def open_split(shards_dir: Path, split: Split) -> NDArray[np.integer[Any]] | TokenView:
    """All ids of a split as one read-only array, mapped from disk.

    Returns:
        (tokens,) of uint16 or uint32: a memory map where the split is one file, else a
        `TokenView` over several. Both have `len`, `dtype`, `shape`, indexing and slicing.

    Raises:
        DataError: a file is missing or of the wrong length; see `verify_shards` for its content.
    """
    index = read_index(shards_dir)
    files = _split_of(index, split, shards_dir).files
    maps: list[NDArray[np.integer[Any]]] = []
    dtype = np.dtype(index.dtype).newbyteorder("<")
    for file in files:
        path = shards_dir / file.name
        _check_size(path, file, dtype.itemsize)
        maps.append(np.memmap(path, dtype=dtype, mode="r"))
    return maps[0] if len(maps) == 1 else TokenView(maps)


def verify_shards(shards_dir: Path, *, progress: Progress | None = None) -> ShardIndex:
    """Read every file and compare it with its SHA-256.

    Raises:
        DataError: naming the first file that is missing or damaged.
    """
    progress = progress or Silent()
    index = read_index(shards_dir)
    itemsize = np.dtype(index.dtype).itemsize
    total = sum(split.tokens for split in index.splits.values()) * itemsize
    task = progress.task("checking shards", total=total, unit="bytes")
    for split in index.splits.values():
        for file in split.files:
            path = shards_dir / file.name
            _check_size(path, file, itemsize)
            if sha256_file(path) != file.sha256:
                raise DataError(
                    f"{path} is damaged: its content is not what was written",
                    remedy=f"delete {shards_dir} and encode the corpus again",
                )
            task.advance(file.tokens * itemsize)
    task.finish()
    return index


def _split_of(index: ShardIndex, split: Split, shards_dir: Path) -> ShardSplit:
    if split not in index.splits:
        raise DataError(
            f"{shards_dir} has no split '{split}'",
            got=", ".join(index.splits),
            remedy="encode the corpus again",
        )
    return index.splits[split]


def _check_size(path: Path, file: ShardFile, itemsize: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(
            f"{path} is missing", remedy=f"delete {path.parent} and encode the corpus again"
        ) from error
    if size != file.tokens * itemsize:
        raise DataError(
            f"{path} has the wrong length",
            got=f"{size:,} bytes instead of {file.tokens * itemsize:,}",
            remedy=f"delete {path.parent} and encode the corpus again",
        )
