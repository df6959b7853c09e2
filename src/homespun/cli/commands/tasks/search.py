"""`homespun search` and `homespun embed`: passages by words and meaning, texts as vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homespun.cli.options import number
from homespun.cli.options import text as checked_text

if TYPE_CHECKING:
    from homespun.recipes.search import PassageIndex

BaseOption = Annotated[
    Path | None,
    typer.Option(
        "--base", help="Folder of MiniLM or another BERT, or hub:OWNER/NAME, to search by meaning."
    ),
]


def search(
    files: Annotated[
        Path, typer.Argument(metavar="FILES", help="A folder or file of texts, or an index.")
    ],
    query: Annotated[
        str | None,
        typer.Argument(callback=checked_text, help="What is looked for; - reads standard input."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="Keep the index in this folder.")
    ] = None,
    base: BaseOption = None,
    reader: Annotated[
        Path | None,
        typer.Option("--reader", help="What `finetune answer` learned: the query is a question."),
    ] = None,
    top: Annotated[int, typer.Option("--top", callback=number(1, 1000), help="Passages.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Find passages in your files, or answer questions from them with their source."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import err, say, visible
    from homespun.recipes.applications import open_application
    from homespun.recipes.imports import model_place
    from homespun.recipes.search import PassageIndex, answer_over, build_index, open_index
    from homespun.recipes.search.index import is_index
    from homespun.recipes.search.passages import passages_of

    is_made = is_index(files)
    _check_search(
        files, query, index=index, base=base, reader=reader, is_made=is_made, as_json=as_json
    )
    # Before files are read, which takes minutes.
    learned = None if reader is None else open_application(reader, task="answer").learned
    with open_progress() as progress:
        if is_made:
            found = open_index(files)
        elif index is not None or base is not None:
            base = None if base is None else model_place(base, progress=progress)
            found = build_index(files, index or _cached(files), base=base, progress=progress)
        else:
            found = PassageIndex(passages_of(files, progress=progress))
    if query is None:
        say(f"{len(found.passages):,} passages" + (f", index in {index}" if index else ""))
        return
    queries = [query] if query != "-" else [line.strip() for line in sys.stdin if line.strip()]
    for one in queries:
        for told in _left_out(found, learned, one):
            err().print(told, style="dim", soft_wrap=True)
        if learned is None:
            hits = found.search(one, top)
            for hit in hits:
                _show_hit(one, hit.passage, hit.score, as_json)
            if not hits:
                told = f"nothing found: no passage has a word of '{one}'"
                err().print(visible(told), style="dim", soft_wrap=True)
        else:
            _show_reply(one, answer_over(found, learned, one, num_passages=top), as_json)


def _left_out(index: PassageIndex, reader: Any, query: str) -> list[str]:
    """A sentence for each of the two that reads but the beginning of a query."""
    from homespun.recipes.applications.answer import Question
    from homespun.recipes.applications.cutting import are_cut

    told = []
    longest = index.cut_to(query)
    if longest is not None:
        told.append(f"only the first {longest} tokens of the query count in the search by meaning")
    if any(are_cut(reader, [Question(query, "")])):
        told.append(f"the question is longer than the {reader.most} that the reader reads")
    return told


def _check_search(
    files: Path,
    query: str | None,
    *,
    index: Path | None,
    base: Path | None,
    reader: Path | None,
    is_made: bool,
    as_json: bool,
) -> None:
    """Raises ConfigError where there is nothing to look for, or an option would change nothing."""
    from homespun.core import ConfigError

    given = [name for name, value in (("--index", index), ("--base", base)) if value is not None]
    if is_made and given:
        raise ConfigError(
            f"{files} is an index already, and {given[0]} is for making one",
            remedy=f"leave {' and '.join(given)} out, or name the files it was made of",
        )
    if query is not None and not query.strip():
        raise ConfigError("there is nothing to look for", remedy="write what it is behind FILES")
    if as_json and query is None:
        raise ConfigError(
            "--json prints what is found, and nothing is looked for",
            remedy="write what it is behind FILES, or leave --json out",
        )
    if reader is not None and query is None:
        raise ConfigError(
            "--reader answers a question, and there is none",
            remedy='write it behind FILES, as in "who wrote it?", or leave --reader out',
        )


def embed(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Texts: one a row, or a line.")],
    base: Annotated[
        Path, typer.Option("--base", help="Folder of MiniLM or another BERT, or hub:OWNER/NAME.")
    ],
    out: Annotated[Path, typer.Option("--out", help="vectors.safetensors, or .jsonl")],
    column: Annotated[str, typer.Option("--column", help="The column of FILE.")] = "text",
) -> None:
    """Texts as vectors: near one another where they mean the same."""
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.core import DataError
    from homespun.core.files import write_text
    from homespun.recipes.applications.applying import check_other
    from homespun.recipes.applications.rows import (
        Column,
        encoding_note,
        find,
        is_missing,
        pick,
        read_rows,
    )
    from homespun.recipes.imports import model_place
    from homespun.recipes.process import prepare_process
    from homespun.recipes.search import open_embedder
    from homespun.recipes.search.index import write_vectors

    prepare_process()
    check_other(out, file)
    if out.suffix not in (".safetensors", ".jsonl"):
        raise DataError(
            "vectors are written as .safetensors or .jsonl", got=out.name, remedy="name it so"
        )
    # Blank lines stay: vectors are found by the numbers of their lines.
    rows = read_rows(file, with_gold=False)
    if not rows:
        raise DataError(f"{file} has no rows", remedy="give a file with some")
    wanted = Column(column, (), "the text", may_be_empty=True)
    if find(rows, wanted, {}) is None:
        raise DataError(
            f"{file} has no column {column}",
            got=", ".join(map(str, rows[0])) or "no columns",
            remedy="say which one has the texts: --column NAME",
        )
    if note := encoding_note(file):
        say(note, "dim")
    values = pick(rows, wanted, {}, where=str(file))
    is_blank_N = [is_missing(value) for value in values]
    if all(is_blank_N):
        raise DataError(f"{file} says nothing", remedy="give a file with texts")
    for at, value in enumerate(values, 1):
        if isinstance(value, list | dict):
            raise DataError(
                f"row {at} of {file} has no one text in its column {column}",
                got=value,
                remedy="name another with --column",
            )
    texts = ["" if blank else str(v) for v, blank in zip(values, is_blank_N, strict=True)]
    with open_progress() as progress:
        embedder = open_embedder(model_place(base, progress=progress))
    ids, num_cut = embedder.read(texts)
    vectors_ND = embedder.vectors(ids)
    vectors_ND[is_blank_N] = 0.0
    if any(is_blank_N):
        say(f"{sum(is_blank_N):,} rows are blank: their vectors are zeros", "dim")
    if num_cut:
        say(f"{num_cut:,} texts are longer than the {embedder.longest} tokens that are read", "dim")
    if out.suffix == ".safetensors":
        write_vectors(out, vectors_ND)
    else:
        lines = [json.dumps([round(float(v), 6) for v in row]) + "\n" for row in vectors_ND]
        write_text(out, "".join(lines))
    say(f"{len(vectors_ND):,} vectors of {vectors_ND.shape[1]} numbers in {out}")


def _cached(files: Path) -> Path:
    import hashlib

    from homespun.corpus.registry.fetching import cache_folder

    name = hashlib.sha256(str(files.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "indexes" / name


def _show_hit(query: str, passage: object, score: float, as_json: bool) -> None:
    from homespun.classic.units import one_line
    from homespun.cli.terminal import say, write_answer
    from homespun.recipes.search import Passage

    assert isinstance(passage, Passage)
    if as_json:
        row = {"query": query, **passage._asdict(), "score": round(score, 6)}
        write_answer(json.dumps(row, ensure_ascii=False) + "\n")
        return
    say(f"{passage.source}:{passage.start}  ({score:.4g})", "bold")
    say(one_line(passage.text))
    say()


def _show_reply(question: str, reply: object, as_json: bool) -> None:
    from homespun.classic.units import one_line
    from homespun.cli.terminal import say, write_answer
    from homespun.recipes.applications.answer.task import unknown
    from homespun.recipes.search import Reply

    assert isinstance(reply, Reply)
    if as_json:
        row = {
            "question": question,
            "answer": reply.answer or None,
            "confidence": round(reply.confidence, 4),
            "start": reply.start,
            "source": reply.passage.source if reply.passage else None,
            "passage": reply.passage.text if reply.passage else None,
        }
        write_answer(json.dumps(row, ensure_ascii=False) + "\n")
        return
    say(one_line(reply.answer) or unknown(question), "bold")
    if reply.passage is not None:
        where = f"{reply.passage.source}:{max(reply.start, reply.passage.start)}"
        lead = "from" if reply.answer else "the nearest passage is"
        passage = one_line(reply.passage.text)
        say(f"  {lead} {where} (sure {reply.confidence:.0%}): {passage}")
