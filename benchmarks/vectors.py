"""Word vectors from the same text and one thread each: ours, and gensim's where it is installed.

    OMP_NUM_THREADS=1 python benchmarks/vectors.py --seeds 3 --json vectors.json
    OMP_NUM_THREADS=1 python benchmarks/vectors.py --only GloVe --glove window=15 --glove dim=50
    OMP_NUM_THREADS=1 python benchmarks/vectors.py --chinese

Words/s are words of the text times epochs over processor seconds, counting of words included, so
that other work on the machine matters little. With gensim (`pip install gensim`) ours also learns
for as many epochs as fit in gensim's processor time. rho is Spearman's on the covered pairs; the
last column is the share of questions-words answered by 3CosAdd, with --chinese those of CA8.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vectors_data import chinese, english

from homespun.classic.vectors import (
    GloVe,
    Word2Vec,
    WordVectors,
    read_analogies,
    read_word_pairs,
    score_analogies,
    score_word_pairs,
)


def train_gensim(
    sentences: list[list[str]], *, dim: int, epochs: int, cbow: bool, seed: int
) -> Any:
    from gensim.models import Word2Vec as Peer

    model = Peer(
        sentences,
        vector_size=dim,
        sg=int(not cbow),
        window=5,
        negative=5,
        sample=1e-3,
        min_count=5,
        epochs=epochs,
        alpha=0.05 if cbow else 0.025,
        min_alpha=0.05 / 1000 if cbow else 0.025 / 1000,
        workers=1,
        seed=seed,
    )
    return WordVectors(model.wv.index_to_key, model.wv.vectors)


def median(values: list[Any]) -> Any:
    """None where a text was too short for a score."""
    return None if None in values else statistics.median(values)


SCORES = ("wordsim353", "simlex999", "analogies")


def scores(vectors: WordVectors, data: Path) -> dict[str, Any]:
    folder, row = data / "word-similarity", {}
    for test in ("wordsim353.tsv", "simlex999.txt"):
        score = score_word_pairs(vectors, read_word_pairs(folder / test))
        row[test.split(".")[0]] = score.rho
        row[f"{test.split('.')[0]}_covered"] = score.num_covered
    analogies = score_analogies(vectors, read_analogies(folder / "questions-words.txt"))
    return {**row, "analogies": analogies.accuracy, "analogies_covered": analogies.num_covered}


def chinese_scores(vectors: WordVectors, data: Path) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for kind in ("semantic", "morphological"):
        score = score_analogies(vectors, read_analogies(data / f"zh-analogy-ca8/CA8/{kind}.txt"))
        row |= {kind: score.accuracy, f"{kind}_covered": score.num_covered}
    return row


def measure(
    name: str, learn: Callable[[int], WordVectors], *, words: int, epochs: int, asked: Any
) -> dict[str, Any]:
    """Learn with each seed, judge; medians."""
    runs = []
    for seed in range(asked.seeds):
        wall, processor = time.perf_counter(), time.process_time()
        vectors = learn(seed)
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        row: dict[str, Any] = {"seconds": wall, "processor_seconds": processor}
        row.update(
            chinese_scores(vectors, asked.data) if asked.chinese else scores(vectors, asked.data)
        )
        runs.append(row)
    middle = {key: median([run[key] for run in runs]) for key in runs[0]}
    row = {
        "name": name,
        "epochs": epochs,
        "words_per_second": words * epochs / middle["processor_seconds"],
        **middle,
        "runs": runs,
    }
    kinds = ("semantic", "morphological") if asked.chinese else SCORES
    print(
        f"{name:24} {epochs:6} {row['seconds']:8.1f} {row['processor_seconds']:8.1f} "
        f"{row['words_per_second']:10.0f} "
        + " ".join(f"{'-' if row[key] is None else format(row[key], '.3f'):>8}" for key in kinds),
        flush=True,
    )
    return row


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("HOMESPUN_DATA"))
    parser.add_argument("--megabytes", type=float, default=1000, help="of the English text")
    parser.add_argument("--chinese", action="store_true", help="Chinese text, CA8's analogies")
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--glove", action="append", default=[], metavar="NAME=VALUE", help="an argument of GloVe"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    if asked.data is None:
        parser.error("name the folder of data sets with --data or HOMESPUN_DATA")
    asked.data = Path(asked.data)
    if asked.chinese:
        with tempfile.TemporaryDirectory() as work:
            sentences = chinese(asked.data, Path(work))
    else:
        sentences = english(asked.data, int(asked.megabytes * 1e6))
    given = {name: float(value) for name, value in (pair.split("=") for pair in asked.glove)}
    glove: dict[str, Any] = {  # as `homespun words learn --method glove` learns
        name: int(value) if name in ("window", "dim", "epochs") else value
        for name, value in ({"epochs": 25, "dim": asked.dim, "x_max": 10.0} | given).items()
    }
    glove.setdefault("subsample", None)
    words = sum(map(len, sentences))
    print(f"{words} words in {len(sentences)} sentences")
    print(
        f"{'':24} {'epochs':>6} {'seconds':>8} {'cpu s':>8} {'words/cpu s':>10} "
        + ("semantic  morphological" if asked.chinese else "WS-353    SimLex  analogies")
    )
    rows: list[dict[str, Any]] = []

    def run(name: str, epochs: int, learn: Callable[[int], WordVectors]) -> dict[str, Any] | None:
        if asked.only and asked.only not in name:
            return None
        rows.append(measure(name, learn, words=words, epochs=epochs, asked=asked))
        return rows[-1]

    def word2vec(kind: Any, epochs: int) -> Callable[[int], WordVectors]:
        return lambda seed: (
            Word2Vec(asked.dim, kind=kind, epochs=epochs, seed=seed, kernels="native")
            .fit(sentences)
            .vectors_
        )

    def peer(kind: Any, epochs: int) -> Callable[[int], WordVectors]:
        return lambda seed: train_gensim(
            sentences, dim=asked.dim, epochs=epochs, cbow=kind == "cbow", seed=seed
        )

    for kind in ("skipgram", "cbow"):
        ours = run(kind, asked.epochs, word2vec(kind, asked.epochs))
        if importlib.util.find_spec("gensim") is None:
            continue
        theirs = run(f"gensim {kind}", asked.epochs, peer(kind, asked.epochs))
        if ours and theirs:
            ratio = theirs["processor_seconds"] / ours["processor_seconds"]
            epochs = max(int(asked.epochs * ratio), 1)
            run(f"{kind}, gensim's time", epochs, word2vec(kind, epochs))
    learned: dict[int, WordVectors] = {}

    def learn_glove(seed: int) -> WordVectors:
        learned[seed] = GloVe(**glove, seed=seed, kernels="native").fit(sentences).vectors_
        return learned[seed]

    if run("GloVe", int(glove["epochs"]), learn_glove):
        # The same vectors: its seconds are those of taking out alone.
        run("GloVe, common part out", 0, lambda seed: learned[seed].without_common())
    if asked.json:
        report = {"format": 1, "benchmark": "vectors", "words": words, "rows": rows}
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
