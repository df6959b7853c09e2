"""Word vectors of a file, for a network to begin with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.classic.vectors import WordVectors
from homespun.core import ConfigError, DataError
from homespun.recipes.applications.neural import read_choice, read_option

_USUAL_WIDTH = 128


class Start(NamedTuple):
    """What words' vectors are when learning begins.

    Attributes:
        width: of a vector.
        vectors: of words that a file has.
        name: of the file; None where no file was given.
        is_static: vectors stay as they are.
    """

    width: int
    vectors: Mapping[str, NDArray[np.float32]]
    name: str | None
    is_static: bool


def read_start(options: Mapping[str, str], units: Collection[str]) -> Start:
    """What `vectors`, `static` and `width` of a method's settings say.

    Args:
        options: `vectors` is a file in word2vec's or GloVe's text format, or a folder that
            `homespun words learn` wrote; "" is none.
        units: whose vectors are looked for. Of one that the file has in other case only, as
            "Paris", it is the first such.

    Raises:
        ConfigError: a setting is out of range, or they contradict one another. DataError: the file
            is no word vectors, or has none of the words.
    """
    is_static = read_choice(options, "static", ("0", "1", "no", "yes")) in ("1", "yes")
    width = _USUAL_WIDTH
    if options["width"]:
        width = read_option(options, "width", int, low=4, high=4096)
    if not options["vectors"]:
        if is_static:
            raise ConfigError(
                "static=1 leaves word vectors as they are, and there are none",
                remedy="write --set vectors=FILE too, or leave static out",
            )
        return Start(width, {}, None, is_static)
    path = Path(options["vectors"])
    found = _read(path, units)
    if options["width"] and width != found.dim:
        raise ConfigError(
            f"the vectors in {path} are {found.dim} numbers wide",
            got=f"width={width}",
            remedy="leave width out: it is that of the file",
        )
    vectors = _by_unit(found, units)
    if not vectors:
        raise DataError(
            f"{path} has no vector of any word that is learned from",
            remedy="give vectors of the language of the texts; Chinese is read by single "
            "characters",
        )
    return Start(found.dim, vectors, path.resolve().name, is_static)


def _read(path: Path, units: Collection[str]) -> WordVectors:
    if path.is_dir():
        return WordVectors.load(path)
    return WordVectors.load_text(path, only=lambda word: word in units or word.lower() in units)


def _by_unit(found: WordVectors, units: Collection[str]) -> dict[str, NDArray[np.float32]]:
    exact: dict[str, NDArray[np.float32]] = {}
    other_case: dict[str, NDArray[np.float32]] = {}
    for word, vector_D in zip(found.words, found.vectors_VD, strict=True):
        if word in units:
            exact[word] = vector_D
        elif word.lower() in units:
            other_case.setdefault(word.lower(), vector_D)
    return {**other_case, **exact}
