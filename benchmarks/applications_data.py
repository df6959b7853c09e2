"""The data sets of benchmarks/applications.py as files that `homespun finetune` reads."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tagging_data import Tagged, ewt, resumes, sinica, weibo, wnut

from homespun.recipes.applications.nested import questions_of

Rows = Iterable[dict[str, Any]]


def write(path: Path, rows: Rows) -> Path:
    """JSON lines."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def member(archive: Path, name: str, encoding: str = "utf-8-sig") -> str:
    """A text file of a tar archive, by the end of its name."""
    with tarfile.open(archive) as file:
        for entry in file:
            if entry.name.endswith(name):
                content = file.extractfile(entry)
                assert content is not None
                return content.read().decode(encoding)
    raise FileNotFoundError(f"{archive} has no {name}")


def polarity(root: Path) -> Iterator[dict[str, Any]]:
    """Pang and Lee's sentence polarity; the tenth that finetune holds out is its test."""
    with zipfile.ZipFile(root / "nltk-open" / "sentence_polarity.zip") as archive:
        for label in ("neg", "pos"):
            text = archive.read(f"sentence_polarity/rt-polarity.{label}").decode("latin-1")
            yield from ({"text": line.strip(), "label": label} for line in text.splitlines())


def sst2(root: Path, part: str) -> Rows:
    text = member(root / "local-only" / "sst2" / "sst2.tar.xz", f"{part}.tsv")
    for line in text.splitlines():
        sentence, _, label = line.rpartition("\t")
        yield {"text": sentence, "label": label}


def trec(root: Path, part: str) -> Rows:
    folder = root / "local-only" / "sst-fine-trec-cr-mpqa"
    name = f"raw/TREC.{part}"
    for line in member(folder / "sst-fine-trec-cr-mpqa.tar.xz", name, "latin-1").splitlines():
        label, _, question = line.partition(" ")
        yield {"text": question, "label": label.partition(":")[0]}


def davidson(root: Path) -> Rows:
    folder = root / "davidson-hatespeech"
    text = member(folder / "davidson-hatespeech.tar.xz", "labeled_data.csv")
    names = ("hate", "offensive", "neither")
    for row in csv.DictReader(io.StringIO(text)):
        yield {"text": row["tweet"], "label": names[int(row["class"])]}


def cold(root: Path, part: str) -> Rows:
    text = member(root / "cold-zh-offensive" / "cold-zh-offensive.tar.xz", f"{part}.csv")
    for row in csv.DictReader(io.StringIO(text)):
        yield {"text": row["TEXT"], "label": row["label"]}


def hotels(root: Path) -> Rows:
    text = member(root / "local-only" / "zh-sentiment" / "zh-sentiment.tar.xz", "htl_all.csv")
    for row in csv.DictReader(io.StringIO(text)):
        if row["review"]:
            yield {"text": row["review"], "label": row["label"]}


def csl_topics(root: Path, part: str) -> Rows:
    for line in member(root / "csl" / "csl.tar.xz", f"cls_ctg/{part}.tsv").splitlines():
        _, text, label = line.split("\t")
        yield {"text": text, "label": label}


def spam(root: Path) -> Iterator[dict[str, Any]]:
    """Body and subject of each mail; all other headers, which give it away, are left out."""
    with tarfile.open(root / "spam-assassin" / "emails.tar.xz") as file:
        for entry in sorted(file.getmembers(), key=lambda entry: entry.name):
            content = file.extractfile(entry) if entry.isfile() else None
            if content is None:
                continue
            text = content.read().decode("latin-1")
            head, _, body = text.partition("\n\n")
            subject = re.search(r"(?mi)^subject:(.*)$", head)
            label = "spam" if entry.name.startswith("spam") else "ham"
            title = subject.group(1).strip() if subject else ""
            yield {"text": f"{title}\n{body}"[:20_000], "label": label}


def tagged(data: Tagged) -> Rows:
    return (
        {"tokens": tokens, "tags": tags}
        for tokens, tags in zip(data.sentences, data.tags, strict=True)
    )


def multi30k(root: Path, part: str) -> Rows:
    folder = root / "local-only" / "multi30k"
    name = {"train": "train", "dev": "val", "test": "test_2016_flickr"}[part]
    sides = [
        gzip.decompress((folder / f"{name}.{language}.gz").read_bytes()).decode().splitlines()
        for language in ("en", "de")
    ]
    return ({"source": a, "target": b} for a, b in zip(*sides, strict=True))


def tatoeba(root: Path, part: str, *, reverse: bool) -> Rows:
    """Pairs whose sentences are connected (one shares a side with the other) lie in one part: no
    sentence of either side is in both."""
    text = member(root / "tatoeba-cmn-eng" / "tatoeba-cmn-eng.tar.xz", "cmn.txt")
    pairs = list(dict.fromkeys(tuple(line.split("\t")[:2]) for line in text.splitlines()))
    group: dict[str, int] = {}
    parents = list(range(len(pairs)))

    def top(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for number, sides in enumerate(pairs):
        for side in sides:
            first = group.setdefault(side, number)
            parents[top(number)] = top(first)
    for number, (english, chinese) in enumerate(pairs):
        place = "test" if top(number) % 25 == 7 else "train"
        if place == part:
            source, target = (chinese, english) if reverse else (english, chinese)
            yield {"source": source, "target": target}


def rte(root: Path, *parts: str) -> Rows:
    """Pairs of the challenges of 2005 to 2007: does the first text entail the second?"""
    with zipfile.ZipFile(root / "local-only" / "nltk" / "rte.zip") as archive:
        for part in parts:
            for pair in ElementTree.fromstring(archive.read(f"rte/{part}.xml")).iter("pair"):
                entails = (pair.get("value") or pair.get("entailment")) in ("TRUE", "YES")
                yield {
                    "premise": (pair.findtext("t") or "").strip(),
                    "hypothesis": (pair.findtext("h") or "").strip(),
                    "label": "yes" if entails else "no",
                }


def scitldr(root: Path, part: str) -> Rows:
    for line in member(root / "scitldr" / "scitldr.tar.xz", f"{part}.jsonl").splitlines():
        row = json.loads(line)
        yield {"text": " ".join(row["source"]), "summary": row["target"]}


def csl_titles(root: Path, part: str) -> Rows:
    for line in member(root / "csl" / "csl.tar.xz", f"ts/{part}.tsv").splitlines():
        _, text, title = line.split("\t")
        yield {"text": text, "summary": title}


def dialogsum(root: Path, part: str) -> Rows:
    path = root / "dialogsum" / f"dialogsum.{part}.jsonl"
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        names = [f"summary{number}" for number in (1, 2, 3)]
        several = [row[name] for name in names if name in row] or [row["summary"]]
        yield {"text": row["dialogue"], "summary": several}


def xquad(root: Path, language: str) -> Iterator[dict[str, Any]]:
    path = root / "xquad-en-zh" / f"xquad.{language}.json"
    yield from _squad(json.loads(path.read_text("utf-8")))


def xquad_articles(root: Path, language: str) -> list[list[dict[str, Any]]]:
    """The passages of each article, with their questions, as SQuAD has them."""
    path = root / "xquad-en-zh" / f"xquad.{language}.json"
    return [entry["paragraphs"] for entry in json.loads(path.read_text("utf-8"))["data"]]


def cmrc(root: Path, part: str) -> Iterator[dict[str, Any]]:
    text = member(root / "cmrc2018" / "cmrc2018.tar.xz", f"cmrc2018_{part}.json")
    yield from _squad(json.loads(text))


def _squad(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every question once with its passage, and every other one once with the passage behind it in
    the same article, where that does not answer it. `group` is the article: parts made of whole
    articles have no question in common."""
    for number, entry in enumerate(data["data"]):
        yield from _article(number, entry["paragraphs"])


def _article(number: int, passages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    asked = [list(questions_of(passage, where="the data")) for passage in passages]
    for row in (row for rows in asked for row in rows):
        yield {
            "question": row["question"],
            "passage": row["context"],
            "answers": list(dict.fromkeys(row["answers"]["text"])),
            "group": number,
        }
    for rows, other in zip(asked, passages[1:], strict=False):
        for row in rows[::2]:
            if not any(answer in other["context"] for answer in row["answers"]["text"]):
                yield {
                    "question": row["question"],
                    "passage": other["context"],
                    "answers": [],
                    "group": number,
                }


Reader = Callable[[Path], Rows]
FILES: dict[str, tuple[Reader, Reader | None]] = {
    "polarity": (polarity, None),
    "sst2": (
        lambda r: [*sst2(r, "train"), *sst2(r, "dev")],
        lambda r: sst2(r, "test"),
    ),
    "trec": (lambda r: trec(r, "train"), lambda r: trec(r, "test")),
    "davidson": (davidson, None),
    "cold": (lambda r: [*cold(r, "train"), *cold(r, "dev")], lambda r: cold(r, "test")),
    "hotels": (hotels, None),
    "csl-topics": (
        lambda r: [*csl_topics(r, "train"), *csl_topics(r, "dev")],
        lambda r: csl_topics(r, "test"),
    ),
    "spam": (spam, None),
    "ewt": (lambda r: tagged(ewt(r, "train")), lambda r: tagged(ewt(r, "test"))),
    "sinica": (lambda r: tagged(sinica(r)[0]), lambda r: tagged(sinica(r)[1])),
    "wnut": (lambda r: tagged(wnut(r, "train")), lambda r: tagged(wnut(r, "test"))),
    "weibo": (lambda r: tagged(weibo(r, "train")), lambda r: tagged(weibo(r, "test"))),
    "resumes": (lambda r: tagged(resumes(r, "train")), lambda r: tagged(resumes(r, "test"))),
    "multi30k": (lambda r: multi30k(r, "train"), lambda r: multi30k(r, "test")),
    "tatoeba-en-zh": (
        lambda r: tatoeba(r, "train", reverse=False),
        lambda r: tatoeba(r, "test", reverse=False),
    ),
    "tatoeba-zh-en": (
        lambda r: tatoeba(r, "train", reverse=True),
        lambda r: tatoeba(r, "test", reverse=True),
    ),
    "rte": (
        lambda r: rte(r, "rte1_dev", "rte2_dev", "rte3_dev", "rte1_test", "rte2_test"),
        lambda r: rte(r, "rte3_test"),
    ),
    "scitldr": (
        lambda r: [*scitldr(r, "train"), *scitldr(r, "dev")],
        lambda r: scitldr(r, "test"),
    ),
    "csl-titles": (lambda r: csl_titles(r, "dev"), lambda r: csl_titles(r, "test")),
    "dialogsum": (lambda r: dialogsum(r, "dev"), lambda r: dialogsum(r, "test")),
    "xquad": (
        lambda r: [row for row in xquad(r, "en") if row["group"] % 5],
        lambda r: [row for row in xquad(r, "en") if row["group"] % 5 == 0],
    ),
    "xquad-zh": (
        lambda r: [row for row in xquad(r, "zh") if row["group"] % 5],
        lambda r: [row for row in xquad(r, "zh") if row["group"] % 5 == 0],
    ),
    "cmrc": (lambda r: cmrc(r, "dev"), lambda r: cmrc(r, "trial")),
}
"""By name: rows to learn from, and to be judged on; None holds a tenth out."""
