"""An index of passages on disk, asked by words and, where there is an encoder, by meaning.

Shape letters: N passages, D width.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from homespun.corpus.sources.files import INDEX_KIND, walk_files
from homespun.corpus.sources.items import ReadLog
from homespun.recipes.applications.record import model_folder
from homespun.recipes.process import prepare_process
from homespun.recipes.search.embedding import (
    ReadsTokens,
    Vectors,
    check_encoder,
    is_application,
    open_embedder,
)
from homespun.recipes.search.passages import Passage, passages_of

if TYPE_CHECKING:
    from homespun.recipes.applications.embed.encoder import LearnedEmbedder

INDEX_FILE, PASSAGES_FILE, VECTORS_FILE = "index.json", "passages.jsonl", "vectors.safetensors"
WORDS_FOLDER = "words"
FORMAT = 3
"""Of the folder; 1 kept no words, and up to 2 passages might be longer than the encoder reads. Both
are still opened."""
_OF_AN_ENCODER = (".safetensors", ".json", ".txt", ".model")
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
        words: of the passages; None counts them anew.
    """

    def __init__(
        self,
        passages: list[Passage],
        vectors_ND: NDArray[np.float32] | None = None,
        embedder: Vectors | None = None,
        words: Bm25Index | None = None,
    ) -> None:
        self.passages = passages
        self._vectors_ND, self._embedder = vectors_ND, embedder
        self.words = words or Bm25Index([passage.text for passage in passages])

    def search(self, query: str, num: int = 5) -> list[Hit]:
        """The best passages, best first: by BM25, or by the sum of reciprocal ranks of BM25 and of
        the vectors' cosine."""
        by_words = self.words.best(query, 10 * num)
        if self._vectors_ND is None or self._embedder is None:
            scores_N = self.words.scores(query)
            return [Hit(self.passages[n], float(scores_N[n])) for n in by_words[:num]]
        cosine_N = self._vectors_ND @ self._embedder.embed([query])[0]
        by_meaning = [int(n) for n in np.argsort(-cosine_N, kind="stable")[: 10 * num]]
        fused: dict[int, float] = {}
        for ranking in (by_words, by_meaning):
            for rank, number in enumerate(ranking):
                fused[number] = fused.get(number, 0.0) + 1 / (_FUSION + 1 + rank)
        order = sorted(fused, key=lambda number: (-fused[number], number))[:num]
        return [Hit(self.passages[number], fused[number]) for number in order]

    def cut_to(self, query: str) -> int | None:
        """Tokens of a query that count in the search by meaning, where it has more; None where all
        of it counts."""
        if self._vectors_ND is None or not isinstance(self._embedder, ReadsTokens):
            return None
        _, is_longer = self._embedder.read([query])
        return self._embedder.longest if is_longer else None

    def weights(self, query: str, num: int) -> list[float]:
        """What a reader's confidence in each of `num` passages found is worth, by their places, the
        first 1: what BM25's passage at the same place scores, as a share of its first; beyond its
        last as much as that.

        It is the same by whatever passages are ranked, since readers have chosen by such weights
        how sure to be; those of fused ranks are nearly equal.
        """
        scores_N = self.words.scores(query)
        best = np.sort(scores_N[scores_N > 0])[::-1][:num]
        shares = [float(score / best[0]) for score in best]
        return shares + [shares[-1] if shares else 1.0] * (num - len(shares))


def build_index(
    source: Path, folder: Path, *, base: Path | None = None, progress: Progress | None = None
) -> PassageIndex:
    """Read `source` and write an index of it into `folder`, or open the one that is there where
    neither files nor encoder changed since. Where `folder` lies within `source`, it is not read.

    Args:
        source: a folder or file of texts.
        folder: new, empty, or an index that is replaced, one that was not made to its end too.
        base: folder of an encoder; None searches by words alone.

    Raises:
        DataError: there is no text, or no encoder. RunError: `folder` holds something else.
    """
    prepare_process()
    if folder.is_dir() and any(folder.iterdir()) and not is_index(folder):
        raise RunError(f"{folder} is not empty and holds no index", remedy="name a new folder")
    if base is not None:
        check_encoder(base)
    encoder = None if base is None else _encoder_mark(base)
    mark = _mark(source, folder, encoder)
    if is_index(folder) and read_json(folder / INDEX_FILE).get("mark") == mark:
        return open_index(folder)
    progress = progress or Silent()
    embedder = None if base is None else open_embedder(base)
    passages = passages_of(source, excluded=folder, measure=embedder, progress=progress)
    # Until all is there the folder says that it is ours and not done: a killed build leaves no half
    # of an index that could be asked, nor a folder that the next build would take for another's.
    write_json(folder / INDEX_FILE, {"format": FORMAT, "kind": INDEX_KIND})
    vectors_ND, num_cut = None, 0
    if embedder is not None:
        vectors_ND, num_cut = _embedded(embedder, passages, progress)
        write_vectors(folder / VECTORS_FILE, vectors_ND)
    if embedder is not None and num_cut:
        progress.say(
            f"of {num_cut:,} of the {len(passages):,} passages only the first {embedder.longest} "
            "tokens count in the search by meaning"
        )
    write_text(folder / PASSAGES_FILE, json_lines([p._asdict() for p in passages]))
    index = PassageIndex(passages, vectors_ND, embedder)
    index.words.save(folder / WORDS_FOLDER)
    told = {
        "format": FORMAT,
        "kind": INDEX_KIND,
        "mark": mark,
        "source": str(source),
        "passages": len(passages),
        "cut": num_cut,
        "base": None if base is None else str(base.resolve()),
        "encoder": encoder,
    }
    write_json(folder / INDEX_FILE, told)
    return index


def open_index(folder: Path) -> PassageIndex:
    """What `build_index` wrote.

    Raises:
        DataError: there is no index. CheckpointError: it is not done or damaged, or its encoder is
            another one than made its vectors.
    """
    prepare_process()
    if not is_index(folder):
        raise DataError(
            f"there is no index in {folder}",
            remedy="make one with `homespun search FILES --index FOLDER`",
        )
    told: dict[str, Any] = read_json(folder / INDEX_FILE)
    if "mark" not in told:
        raise CheckpointError(
            f"the index in {folder} was not made to its end", remedy="make the index again"
        )
    rows = list(read_jsonl(folder / PASSAGES_FILE))
    passages = [Passage(str(r["source"]), int(r["start"]), str(r["text"])) for r in rows]
    if len(passages) != told.get("passages"):
        raise CheckpointError(f"{folder} is not whole", remedy="make the index again")
    words = None if told.get("format") == 1 else Bm25Index.load(folder / WORDS_FOLDER)
    if words is not None and len(words) != len(passages):
        raise CheckpointError(f"{folder} is not whole", remedy="make the index again")
    if told.get("base") is None:
        return PassageIndex(passages, words=words)
    vectors_ND, base = _read_vectors(folder / VECTORS_FILE), Path(told["base"])
    if len(vectors_ND) != len(passages):
        raise CheckpointError(f"{folder} is not whole", remedy="make the index again")
    if base.is_dir() and told.get("encoder") not in (None, _encoder_mark(base)):
        raise CheckpointError(
            f"the encoder in {base} was changed since {folder} was made",
            remedy="make the index again: its vectors are of another encoder",
        )
    return PassageIndex(passages, vectors_ND, open_embedder(base), words)


def is_index(folder: Path) -> bool:
    """Whether `folder` is an index of ours, and not whatever else has an index.json."""
    path = folder / INDEX_FILE
    if not path.is_file():
        return False
    try:
        told = read_json(path)
    except DataError:
        return False
    return isinstance(told, dict) and told.get("kind") == INDEX_KIND


def _mark(source: Path, folder: Path, encoder: str | None) -> str:
    """Another one where a file that is read was changed, added or taken away, where the encoder
    is another one, and where the index was of an earlier form."""
    paths = [source]
    if source.is_dir():
        paths = list(walk_files(source, excluded=folder.resolve(), log=ReadLog()))
    facts = [f"{FORMAT} {encoder}", str(source.resolve())]
    for path in paths:
        if path.is_file():
            facts.append(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}")
    return xxhash.xxh3_64_hexdigest("\n".join(facts).encode("utf-8", "surrogateescape"))


def _encoder_mark(base: Path) -> str:
    """Another one where what an encoder is made of says something else; a copy has the same."""
    folder = model_folder(base) if is_application(base) else base
    paths = [*folder.glob("*"), *folder.glob("*_Pooling/config.json")]
    digest = xxhash.xxh3_64()
    for path in sorted(path for path in paths if path.suffix in _OF_AN_ENCODER and path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"))
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _embedded(
    embedder: LearnedEmbedder, passages: list[Passage], progress: Progress
) -> tuple[NDArray[np.float32], int]:
    """The passages' vectors (N, D), and of how many only the beginning was read."""
    task = progress.task("passages as vectors", len(passages), "passages")
    parts, num_cut = [], 0
    for start in range(0, len(passages), 256):
        some = passages[start : start + 256]
        ids, cut = embedder.read([passage.text for passage in some])
        parts.append(embedder.vectors(ids))
        num_cut += cut
        task.advance(len(some))
    task.finish()
    return np.concatenate(parts), num_cut


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
