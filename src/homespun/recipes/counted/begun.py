"""A folder that was asked for something, and the clean text in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from homespun.core import Config, ConfigError, DataError, Progress, RunDirectory, RunError
from homespun.core.files import make_folder, os_error, read_json, write_json
from homespun.core.runs import is_taken, locked_folder
from homespun.recipes.pipeline import source_name
from homespun.recipes.texts import corpus_config, ensure_corpus

if TYPE_CHECKING:
    from homespun.core import Split

ASKED_FILE, CARD_FILE, README_FILE = "asked.json", "card.json", "README.md"
Segment = Callable[[Sequence[str]], list[list[str]]]
"""Cuts Chinese texts into words, which joined are the texts."""


class TextAsk(Config):
    """What is to be learned from a text.

    Attributes:
        source: a folder, a file, or the name of a corpus.
        language: as for a corpus.
        segmenter: what `finetune segment` left, for Chinese words; None: each character is one.
        seed: of every draw.
    """

    source: str
    language: str = "auto"
    segmenter: str | None = None
    seed: int = 0


AskT = TypeVar("AskT", bound=TextAsk)


def settled(ask: AskT) -> AskT:
    """The same with places that can be found from anywhere.

    Raises:
        DataError: there is no such text. ConfigError: a language nobody knows.
    """
    corpus_config(ask.language, ask.seed)
    segmenter = None if ask.segmenter is None else str(Path(ask.segmenter).resolve())
    return ask.model_copy(update={"source": source_name(ask.source), "segmenter": segmenter})


@contextmanager
def asked_folder(out: Path, ask: TextAsk, *, what: str) -> Iterator[None]:
    """Hold `out` for what is asked for, new or begun by an earlier call that asked the same. What
    turns out not to be possible leaves no new folder.

    Args:
        what: the command, for which the folder is.

    Raises:
        RunError: it holds something else, was asked for other things, or is being worked on.
    """
    path = out / ASKED_FILE
    asked = {"command": what, **ask.model_dump(mode="json")}
    try:
        if is_taken(out, ASKED_FILE) or (out.exists() and not out.is_dir()):
            raise RunError(f"{out} exists and is nothing of this kind", remedy="name another --out")
        make_folder(out)
    except OSError as error:
        raise os_error(error, f"creating {out}") from error
    # Of two commands that begin it at the same moment one is first, and the other says so.
    with locked_folder(out, remedy="wait for it, stop it, or name another --out"):
        is_new = not path.is_file()
        if is_new:
            write_json(path, asked)
        elif (begun := read_json(path)) != asked:
            raise RunError(
                f"{out} was begun with other settings: {_told(begun, asked)}",
                got=_told(asked, begun),
                remedy="repeat the settings it was begun with, or name another --out",
            )
        try:
            yield
        except (ConfigError, DataError):
            if is_new and not (out / "training").exists():
                # Out of the way first: the clock still ticks, and must not write into a half-gone
                # one.
                gone = out.with_name(f".{out.name}.{os.getpid()}.tmp")
                with contextlib.suppress(OSError):
                    out.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
            raise


def _told(settings: Any, others: Any) -> str:
    """Those of `settings` that `others` has not, as "minutes 1.0, size 256x4"."""
    if not isinstance(settings, dict) or not isinstance(others, dict):
        return str(settings)
    names = sorted(
        name
        for name in {*settings, *others}
        if name != "format" and settings.get(name) != others.get(name)
    )
    return ", ".join(_option(name, settings.get(name)) for name in names)


def _option(name: str, value: Any) -> str:
    """As the command line has it."""
    if name == "seconds":
        name, value = "minutes", None if value is None else f"{value / 60:g}"
    return f"{name.replace('_', '-')} {'not given' if value is None else value}"


def ensure_text(out: Path, ask: TextAsk, *, progress: Progress) -> dict[str, Any]:
    """Clean and divide the texts into `out`/corpus; returns the data card."""
    return ensure_corpus(
        RunDirectory(out), ask.source, language=ask.language, seed=ask.seed, progress=progress
    )


def texts_in(out: Path, split: Split) -> Iterator[str]:
    """The texts of a split, one after another."""
    from homespun.corpus import iter_documents

    return (document.text for document in iter_documents(out / "corpus", split))


def segmenter_of(folder: str | None) -> Segment | None:
    """What `finetune segment` left in a folder, as a function; None for None.

    Raises:
        DataError: there is no such task. ConfigError: it is another one.
    """
    if folder is None:
        return None
    from homespun.recipes.applications import segment_by

    return segment_by(Path(folder))


def cut_by(segment: Segment | None) -> Callable[[str], list[str]] | None:
    """The words of one run of Chinese characters; each different one is cut once."""
    if segment is None:
        return None
    known: dict[str, list[str]] = {}

    def cut(run: str) -> list[str]:
        if run not in known:
            known[run] = segment([run])[0]
        return known[run]

    return cut


def drop_leftovers(out: Path, streams: str) -> None:
    """What a training that has ended leaves: the states of its checkpoints, several times the
    weights, and encoded text, which can be made again.

    Args:
        out: the folder.
        streams: pattern of the encoded text's files.
    """
    for found in ((out / "training/checkpoints").glob("step-*/*.safetensors"), out.glob(streams)):
        for path in found:
            path.unlink()
