"""What every contender of `homespun bench decode` does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from homespun.core import ConfigError
from homespun.core.machine import num_threads

PROMPT = 16  # tokens before what is timed
LONG_PROMPT = 512
CONTEXT = 1024
MOST_ROWS = 64  # of a batch


class Contestant(NamedTuple):
    """Attributes:
    write: seconds that a batch of rows takes to write a number of tokens each.
    read: seconds to the first token after a prompt.
    num_bytes: of weights that one token reads; 0 where it is not known.
    """

    write: Callable[[int, int], float]
    read: Callable[[int], float]
    num_bytes: int
    threads: int | None


def installed(module: str, package: str) -> Any:
    """A module of somebody else's.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed", remedy=f"`pip install {package}`, or leave it out"
        ) from error


def fastest_threads(write_with: Callable[[int], float]) -> int:
    """One or all cores, whichever is faster for a row. Several rows and prompts have all cores:
    they are worth it at any size.

    Args:
        write_with: seconds of a short answer with so many threads.
    """
    return min({1, num_threads()}, key=write_with)


def without_prompt(generate: Callable[[int, int], float]) -> Callable[[int, int], float]:
    """Of a library that only tells the whole: seconds of the tokens behind the first.

    Args:
        generate: seconds of so many rows, which read their prompts and write so many tokens each.
    """
    least: dict[int, float] = {}

    def write(rows: int, tokens: int) -> float:
        if rows not in least:
            generate(rows, 2)  # whose first call of a kind is slower than all after it
        # The least of all: where reading was held up once, writing would seem the faster for it.
        least[rows] = min(generate(rows, 1), least.get(rows, float("inf")))
        return generate(rows, tokens + 1) - least[rows]

    return write
