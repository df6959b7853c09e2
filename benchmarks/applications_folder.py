"""Questions over a folder: XQuAD's articles as files, some of them left out.

The reader learns from the articles it always learns from. Of the others every second one lies in
the folder beside all that it learned from, and its questions can be answered; the rest are nowhere
in it, and the right answer to their questions is that there is none.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from applications_data import FILES, write, xquad_articles

from homespun.core import Silent
from homespun.core.files import read_json
from homespun.evaluation.metrics import answer_scores
from homespun.evaluation.metrics.uncertainty import wilson_interval
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.search import PassageIndex, Reply, answer_over, build_index

NUM_PASSAGES = (1, 3, 5)


class Put(NamedTuple):
    """A question to the folder.

    Attributes:
        question: its words.
        answers: right ones; none where the folder has none.
        source: the file that has them.
        places: from … up to of each in that file, in code points.
    """

    question: str
    answers: list[str]
    source: str
    places: list[tuple[int, int]]


def lay_out(root: Path, language: str, folder: Path) -> list[Put]:
    """Write the files; the questions, with answers and without."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked = []
    for number, passages in enumerate(xquad_articles(root, language)):
        is_absent = number % 10 == 5
        name, text = f"article-{number:02d}.txt", ""
        for passage in passages:
            start = len(text)
            text += passage["context"] + "\n\n"
            for row in passage["qas"]:
                answers = list(dict.fromkeys(answer["text"] for answer in row["answers"]))
                begins = [start + answer["answer_start"] for answer in row["answers"]]
                places = [
                    (begin, begin + len(answer["text"]))
                    for begin, answer in zip(begins, row["answers"], strict=True)
                ]
                if number % 10 == 0:
                    asked.append(Put(row["question"], answers, name, places))
                elif is_absent:
                    asked.append(Put(row["question"], [], "", []))
        if not is_absent:
            (folder / name).write_text(text, encoding="utf-8")
    return asked


def is_placed(reply: Reply, put: Put) -> bool:
    """Whether the answer stands where a right one does."""
    if reply.passage is None or reply.passage.source != put.source:
        return False
    stop = reply.start + len(reply.answer)
    return any(begin < stop and reply.start < end for begin, end in put.places)


def judged(
    index: PassageIndex, reader: Any, asked: list[Put], num: int, *, language: str
) -> dict[str, Any]:
    """Shares with their intervals, of one number of passages."""
    began = time.monotonic()
    replies = [answer_over(index, reader, put.question, num_passages=num) for put in asked]
    seconds = time.monotonic() - began
    both = list(zip(asked, replies, strict=True))
    known = [(put, reply) for put, reply in both if put.answers]
    answered = [(put, reply) for put, reply in known if reply.answer]
    unknown = [reply for put, reply in both if not put.answers]
    kind: Any = "zh" if language == "zh" else "en"
    scores = answer_scores(
        [reply.answer for _, reply in known], [put.answers for put, _ in known], language=kind
    )
    found = [
        any(hit.passage.source == put.source for hit in index.search(put.question, num))
        for put, _ in known
    ]
    return {
        "passages": num,
        "F1 of answerable": round(scores.f1.value, 4),
        "exact": round(scores.exact_match.value, 4),
        "article found": share(sum(found), len(found)),
        "answerable refused": share(len(known) - len(answered), len(known)),
        "unanswerable refused": share(sum(not reply.answer for reply in unknown), len(unknown)),
        "cited the right article": share(
            sum(reply.passage.source == put.source for put, reply in answered if reply.passage),
            len(answered),
        ),
        "cited the right place": share(
            sum(is_placed(reply, put) for put, reply in answered), len(answered)
        ),
        "milliseconds a question": round(1000 * seconds / len(asked), 1),
    }


def share(num: int, total: int) -> dict[str, Any]:
    """With its interval by Wilson."""
    if not total:
        return {"of": 0}
    low, high = wilson_interval(num, total)
    return {"value": round(num / total, 3), "95%": [round(low, 3), round(high, 3)], "of": total}


def _learned(name: str, seed: int, options: argparse.Namespace, *, language: str) -> Path:
    folder = Path(options.out)
    learned_from, _ = FILES["xquad" if language == "en" else f"xquad-{language}"]
    data = write(folder / f"{name}.jsonl", learned_from(Path(options.data)))
    out = folder / f"{name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    learn_application(
        Asked(
            "answer",
            data,
            out,
            base=options.base,
            seconds=None if options.minutes is None else 60 * options.minutes,
            seed=seed,
            options=dict(entry.split("=", 1) for entry in options.set),
            judge_baselines=False,
        ),
        progress=Silent(),
    )
    return out


def measure_folder(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Learn the reader where none is given, and ask: by the thresholds for several passages, and by
    the one for one passage alone."""
    language = name.rpartition("-")[2]
    root, folder = Path(options.data), Path(options.out)
    out = options.reader or _learned(name, seed, options, language=language)
    told = read_json(out / "results.json")
    asked = lay_out(root, language, folder / f"{name}-files")
    # By words alone: vectors of a base that was taught no search would only mislead.
    index = build_index(folder / f"{name}-files", folder / f"{name}-index")
    reader: Any = open_application(out, task="answer").learned
    several = dict(reader.thresholds)
    rows = [judged(index, reader, asked, num, language=language) for num in NUM_PASSAGES]
    reader.thresholds = {}
    plain = [judged(index, reader, asked, num, language=language) for num in NUM_PASSAGES]
    return {
        "name": name,
        "base": options.base is not None,
        "seed": seed,
        "files": len(list((folder / f"{name}-files").iterdir())),
        "learning_seconds": told["learning_seconds"],
        "on one passage": told["extra"],
        "thresholds": {"one": round(reader.threshold, 3), **several},
        "by several": rows,
        "by one": plain,
    }
