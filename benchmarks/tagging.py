"""What the classic taggers reach on corpora whose figures are known.

    python benchmarks/tagging.py ewt sinica weibo resumes --json tagging.json
    python benchmarks/tagging.py ewt --taggers rules hmm

Prints a line for each task and tagger: accuracy of tags, F1 of spans where they are spans, the
seconds of learning and tags a second. The data are those of $HOMESPUN_DATA (--data).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tagging_data import Tagged, ewt, gsdsimp, resumes, sinica, weibo, wnut

from homespun.classic.tagging import (
    CRF,
    HMM,
    RulesTagger,
    Tagger,
    accuracy,
    convert_tags,
    span_scores,
    words_to_bmes,
)

Split = tuple[Tagged, Tagged]


def _spans(data: Tagged) -> Tagged:
    return Tagged(data.sentences, [convert_tags(row, "bioes") for row in data.tags])


def _bare(data: Tagged) -> Tagged:
    return Tagged([[item[:1] for item in row] for row in data.sentences], data.tags)


def _characters(data: Tagged) -> Tagged:
    pairs = [words_to_bmes(words) for words in data.sentences]
    return Tagged([c for c, _ in pairs], [t for _, t in pairs])


def _coarse(data: Tagged, length: int) -> Tagged:
    return Tagged(data.sentences, [[tag[:length] for tag in row] for row in data.tags])


def _sinica(root: Path, length: int) -> Split:
    train, test = sinica(root)
    return _coarse(train, length), _coarse(test, length)


TASKS: dict[str, tuple[Callable[[Path], Split], dict[str, Any]]] = {
    "ewt": (lambda r: (ewt(r, "train"), ewt(r, "test")), {"features": "words"}),
    "gsdsimp": (lambda r: (gsdsimp(r, "dev"), gsdsimp(r, "test")), {"features": "mixed"}),
    "gsdsimp-words": (
        lambda r: (_characters(gsdsimp(r, "dev")), _characters(gsdsimp(r, "test"))),
        {"features": "characters", "spans": True},
    ),
    "sinica": (lambda r: _sinica(r, 99), {"features": "mixed", "l2": 0.5}),
    "sinica-2": (lambda r: _sinica(r, 2), {"features": "mixed", "l2": 0.5}),
    "sinica-1": (lambda r: _sinica(r, 1), {"features": "mixed", "l2": 0.5}),
    "sinica-words": (
        lambda r: (_characters(sinica(r)[0]), _characters(sinica(r)[1])),
        {"features": "characters", "spans": True},
    ),
    "wnut": (
        lambda r: (_spans(wnut(r, "train")), _spans(wnut(r, "test"))),
        {"features": "words", "spans": True},
    ),
    "weibo": (
        lambda r: (_spans(weibo(r, "train")), _spans(weibo(r, "test"))),
        {"features": "placed", "spans": True},
    ),
    "weibo-bare": (
        lambda r: (_spans(_bare(weibo(r, "train"))), _spans(_bare(weibo(r, "test")))),
        {"features": "characters", "spans": True},
    ),
    "resumes": (
        lambda r: (_spans(resumes(r, "train")), _spans(resumes(r, "test"))),
        {"features": "characters", "spans": True},
    ),
}


def make_tagger(name: str, settings: dict[str, Any]) -> Tagger:
    """The tagger of this name, as the task wants it."""
    if name == "rules":
        return RulesTagger()
    return HMM() if name == "hmm" else CRF(**settings)


def measure(task: str, tagger: str, root: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Learn and score once."""
    load, settings = TASKS[task]
    train, test = load(root)
    model = make_tagger(tagger, {**settings, **changes})
    began = time.perf_counter()
    model.fit(train.sentences, train.tags)
    learnt = time.perf_counter()
    found = model.predict(test.sentences)
    seconds = time.perf_counter() - learnt
    num = sum(map(len, test.tags))
    row = {
        "task": task,
        "tagger": tagger,
        "changes": changes,
        "train_sentences": len(train.sentences),
        "test_tags": num,
        "accuracy": round(100 * accuracy(test.tags, found), 2),
        "seconds_fit": round(learnt - began, 1),
        "tags_per_second": round(num / seconds),
    }
    if settings.get("spans"):
        scores = span_scores(test.tags, found)
        row |= {name: round(100 * value, 2) for name, value in scores._asdict().items()}
    return row


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="+", choices=sorted(TASKS))
    parser.add_argument("--taggers", nargs="+", choices=("rules", "hmm", "crf"), default=["crf"])
    parser.add_argument("--data", type=Path, default=os.environ.get("HOMESPUN_DATA", "data"))
    parser.add_argument("--set", default="{}", help='changed settings of the CRF, {"l2": 0.3}')
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    options = parser.parse_args()
    rows = []
    for task in options.tasks:
        for tagger in options.taggers:
            rows.append(measure(task, tagger, Path(options.data), json.loads(options.set)))
            print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
