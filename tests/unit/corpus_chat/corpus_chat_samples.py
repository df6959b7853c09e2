"""Documented names and folders of documents to make conversations from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from homespun.core import Document
from homespun.corpus.documents import RowWriter, to_row
from homespun.corpus.sources.python_docs import ApiEntry


def function(
    name: str,
    docstring: str,
    *,
    parameters: Sequence[tuple[str, str | None, str | None]] = (),
    returns: str | None = None,
    kind: str = "function",
) -> ApiEntry:
    """An entry named "module.name"; methods are "module.Class.name"."""
    parts = name.split(".")
    module = name if kind == "module" else ".".join(parts[: -2 if kind == "method" else -1])
    shown = ", ".join(p if d is None else f"{p}={d}" for p, _, d in parameters)
    signature = "" if kind == "module" else f"{parts[-1]}({shown})"
    return ApiEntry(
        module,
        name,
        kind,
        signature,
        docstring,
        tuple(parameters),
        returns,
        module,  # type: ignore[arg-type]
    )


ADJECTIVES = ("amber", "brisk", "calm", "dusty", "early", "faint", "gentle")
NOUNS = (
    "kettle",
    "ladder",
    "meadow",
    "needle",
    "orchard",
    "pebble",
    "quill",
    "ribbon",
    "teapot",
    "urn",
)


def library(num_modules: int = 12) -> list[ApiEntry]:
    """A made-up library of `num_modules` modules with ten functions and a class each."""
    entries = []
    for number in range(num_modules):
        word = ADJECTIVES[number % len(ADJECTIVES)] + (str(number) if number else "")
        module = f"lib{number}.{word}"
        entries.append(function(module, f"Tools for {word} things.", kind="module"))
        for noun in NOUNS:
            entries.append(
                function(
                    f"{module}.find_{noun}",
                    f"Return the {word} {noun} that is nearest to the given place.\n\n"
                    f"Args:\n    place: Where to look for the {noun}.\n"
                    "    limit: The largest distance in steps.\n\n"
                    f"Returns:\n    The {word} {noun}, or None.\n\n"
                    f"Raises:\n    ValueError: If there is no such {noun}.\n\n"
                    f"    >>> find_{noun}(3)\n    '{word} {noun}'\n",
                    parameters=[("place", None, None), ("limit", "int", "10")],
                )
            )
        cls = f"{module}.{word.title()}Box"
        entries.append(function(cls, f"A box that holds {word} things.", kind="class"))
        entries.append(
            function(f"{cls}.open", f"Open the {word} box and show what it holds.", kind="method")
        )
    return entries


def write_corpus(folder: Path, train: Sequence[Document], validation: Sequence[Document]) -> Path:
    """A finished corpus folder, as the corpus stage leaves it."""
    for split, documents in (("train", train), ("validation", validation), ("test", ())):
        with RowWriter(folder / f"{split}.jsonl.zst") as writer:
            for document in documents:
                writer.write(to_row(document))
    (folder / "card.json").write_text("{}")
    return folder


def write_jsonl(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
