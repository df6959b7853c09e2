"""An index of passages on disk, asked by words and, where there is an encoder, by meaning.

Shape letters: N passages, D width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from homespun.classic.bm25 import Bm25Index
from homespun.core import CheckpointError, DataError, Progress, RunError, Silent
from homespun.core.files import (
    atomic_path,
    json_lines,
    read_json,
    read_jsonl,
    write_json,
    write_text,
)
from homespun.recipes.process import prepare_process
from homespun.recipes.search.embedding import Vectors, open_embedder
from homespun.recipes.search.passages import Passage, passages_of

INDEX_FILE, PASSAGES_FILE, VECTORS_FILE = "index.json", "passages.jsonl", "vectors.safetensors"
KIND = "homespun index"
_FUSION = 60.0
"""Of reciprocal ranks (Cormack et al. 2009): how much the first places count over the next."""


class Hit(NamedTuple):
    """Attributes:
    passage: what was found.
    score: of BM25, or 1/60 and less of fused ranks; only its order means anything.
    """

    passage: Passage
    score: float


class PassageIndex:
    """Passages that can be searched.

    Args:
        passages: in order.
        vectors_ND: of each, of length 1; None where there is no encoder.
        embedder: of queries; there is one where there are vectors.
    """

    def __init__(
        self,
        passages: list[Passage],
        vectors_ND: NDArray[np.float32] | None = None,
        embedder: Vectors | None = None,
    ) -> None:
        self.passages = passages
        self._vectors_ND, self._embedder = vectors_ND, embedder
        self._words = Bm25Index([passage.text for passage in passages])

    def search(self, query: str, num: int = 5) -> list[Hit]:
        """The best passages, best first: by BM25, or by the sum of reciprocal ranks of BM25 and of
        the vectors' cosine."""
        by_words = self._words.best(query, 10 * num)
        if self._vectors_ND is None or self._embedder is None:
            scores_N = self._words.scores(query)
            return [Hit(self.passages[n], float(scores_N[n])) for n in by_words[:num]]
        cosine_N = self._vectors_ND @ self._embedder.embed([query])[0]
        by_meaning = [int(n) for n in np.argsort(-cosine_N, kind="stable")[: 10 * num]]
        fused: dict[int, float] = {}
        for ranking in (by_words, by_meaning):
            for rank, number in enumerate(ranking):
                fused[number] = fused.get(number, 0.0) + 1 / (_FUSION + 1 + rank)
        order = sorted(fused, key=lambda number: (-fused[number], number))[:num]
        return [Hit(self.passages[number], fused[number]) for number in order]


def build_index(
    source: Path, folder: Path, *, base: Path | None = None, progress: Progress | None = None
) -> PassageIndex:
    """Read `source` and write an index of it into `folder`, or open the one that is there where
    neither files nor encoder changed since.

    Args:
        source: a folder or file of texts.
        folder: new, empty, or an index that is replaced.
        base: folder of an encoder; None searches by words alone.

    Raises:
        DataError: there is no text. RunError: `folder` holds something else.
    """
    prepare_process()
    if folder.is_dir() and any(folder.iterdir()) and not is_index(folder):
        raise RunError(f"{folder} is not empty and holds no index", remedy="name a new folder")
    mark = _mark(source, base)
    if is_index(folder) and read_json(folder / INDEX_FILE).get("mark") == mark:
        return open_index(folder)
    passages = passages_of(source, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    # Gone until all is there again: a killed build leaves no index, not half of one.
    (folder / INDEX_FILE).unlink(missing_ok=True)
    vectors_ND, embedder = None, None
    if base is not None:
        embedder = open_embedder(base)
        vectors_ND = _embedded(embedder, passages, progress or Silent())
        write_vectors(folder / VECTORS_FILE, vectors_ND)
    write_text(folder / PASSAGES_FILE, json_lines([p._asdict() for p in passages]))
    told = {
        "format": 1,
        "kind": KIND,
        "mark": mark,
        "source": str(source),
        "passages": len(passages),
        "base": None if base is None else str(base.resolve()),
    }
    write_json(folder / INDEX_FILE, told)
    return PassageIndex(passages, vectors_ND, embedder)


def open_index(folder: Path) -> PassageIndex:
    """What `build_index` wrote.

    Raises:
        DataError: there is no index. CheckpointError: it is damaged.
    """
    prepare_process()
    if not is_index(folder):
        raise DataError(
            f"there is no index in {folder}",
            remedy="make one with `homespun search FILES --index FOLDER`",
        )
    told: dict[str, Any] = read_json(folder / INDEX_FILE)
    rows = list(read_jsonl(folder / PASSAGES_FILE))
    passages = [Passage(str(r["source"]), int(r["start"]), str(r["text"])) for r in rows]
    if len(passages) != told.get("passages"):
        raise CheckpointError(f"{folder} is not whole", remedy="make the index again")
    if told.get("base") is None:
        return PassageIndex(passages)
    vectors_ND = _read_vectors(folder / VECTORS_FILE)
    if len(vectors_ND) != len(passages):
        raise CheckpointError(f"{folder} is not whole", remedy="make the index again")
    return PassageIndex(passages, vectors_ND, open_embedder(Path(told["base"])))


def is_index(folder: Path) -> bool:
    """Whether `folder` is an index of ours, and not whatever else has an index.json."""
    path = folder / INDEX_FILE
    if not path.is_file():
        return False
    try:
        told = read_json(path)
    except DataError:
        return False
    return isinstance(told, dict) and told.get("kind") == KIND


def _mark(source: Path, base: Path | None) -> str:
    """Another one where a file was changed, added or taken away."""
    paths = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    facts = [str(source.resolve()), str(None if base is None else base.resolve())]
    for path in paths:
        facts.append(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}")
    return xxhash.xxh3_64_hexdigest("\n".join(facts).encode())


def _embedded(
    embedder: Vectors, passages: list[Passage], progress: Progress
) -> NDArray[np.float32]:
    task = progress.task("passages as vectors", len(passages), "passages")
    parts = []
    for start in range(0, len(passages), 256):
        some = passages[start : start + 256]
        parts.append(embedder.embed([passage.text for passage in some]))
        task.advance(len(some))
    task.finish()
    return np.concatenate(parts)


def write_vectors(path: Path, vectors_ND: NDArray[np.float32]) -> None:
    """As a safetensors file with one tensor, "vectors"."""
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file({"vectors": vectors_ND}, temporary)


def _read_vectors(path: Path) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        vectors_ND: NDArray[np.float32] = load_file(path)["vectors"]
    except (OSError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", remedy="index again") from error
    return vectors_ND
