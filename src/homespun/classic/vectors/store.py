"""Word vectors on disk: word2vec's text format, and safetensors beside JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError
from homespun.core.files import atomic_path, read_json, text_error, write_json

_FORMAT = 1


def save_folder(folder: Path, words: Sequence[str], vectors_VD: NDArray[np.float32]) -> None:
    """Write `vectors.safetensors` and `words.json` into `folder`."""
    from safetensors.numpy import save_file

    with atomic_path(folder / "vectors.safetensors") as temporary:
        save_file({"vectors": vectors_VD}, temporary)
    write_json(folder / "words.json", {"format": _FORMAT, "words": list(words)})


def load_folder(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Raises DataError where a file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    head = read_json(folder / "words.json")
    words = head.get("words") if isinstance(head, dict) else None
    if not isinstance(words, list) or head.get("format") != _FORMAT:
        raise DataError(
            f"{folder / 'words.json'} is not a list of words", remedy="save the vectors again"
        )
    path = folder / "vectors.safetensors"
    try:
        return [str(word) for word in words], load_file(path)["vectors"]
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="save the vectors again") from error
    except (SafetensorError, KeyError) as error:
        raise DataError(
            f"{path} is damaged", got=str(error), remedy="save the vectors again"
        ) from error


def save_text(path: Path, words: Sequence[str], vectors_VD: NDArray[np.float32]) -> None:
    """A line of sizes, then a word and its numbers a line; read back they are bit for bit equal."""
    for word in words:
        if not word or word.split() != [word]:
            raise DataError(
                "a word with a space in it cannot be written as text",
                got=word,
                remedy="save as safetensors, which any word fits",
            )
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(f"{len(words)} {vectors_VD.shape[1]}\n")
        for word, vector in zip(words, vectors_VD, strict=True):
            file.write(f"{word} {' '.join(map(str, vector))}\n")


def load_text(
    path: Path, max_words: int | None, only: Callable[[str], bool] | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """See `WordVectors.load_text`."""
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    num_lines = 0
    try:
        # Only "\n" ends a line: words may hold other marks that Python takes for line ends.
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            head = file.readline().rstrip("\r\n ")
            sizes = head.split(" ")
            promised = int(sizes[0]) if len(sizes) == 2 and sizes[0].isdecimal() else None
            dim = int(sizes[1]) if promised is not None else len(sizes) - 1
            if promised is None:
                file.seek(0)
            for number, line in enumerate(file, start=1 if promised is None else 2):
                if max_words is not None and len(words) >= max_words:
                    break
                # From the right, as other programs write words with spaces in them.
                word, *values = line.rstrip("\r\n ").rsplit(" ", dim)
                is_wanted = only is None or only(word)
                try:
                    if is_wanted:
                        rows.append(np.array(values, np.float32))
                except ValueError:
                    values = []
                if len(values) != dim or dim < 1:
                    raise DataError(
                        f"line {number} of {path} is not a word and {dim} numbers",
                        got=json.dumps(line[:60], ensure_ascii=False),
                        remedy="give a file in word2vec's text format",
                    )
                if is_wanted:
                    words.append(word)
                num_lines += 1
    except (OSError, UnicodeDecodeError) as error:
        raise text_error(error, path) from error
    except ValueError as error:
        raise DataError(
            f"{path} cannot be read as word vectors",
            got=str(error),
            remedy="give a UTF-8 file in word2vec's text format",
        ) from error
    if not num_lines or (max_words is None and promised not in (None, num_lines)):
        raise DataError(
            f"{path} is cut short",
            got=f"{num_lines} words",
            remedy=f"its first line says {head}; fetch it again",
        )
    return words, np.stack(rows) if rows else np.zeros((0, dim), np.float32)
