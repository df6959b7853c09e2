"""A contender's process, seen from the benchmark: started with a job, asked line by line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from homespun.core import ConfigError, RunError

if TYPE_CHECKING:
    from homespun.recipes.bench.recipe import BenchRecipe

_REMEDY = "leave that peer out, or make its own script run first"


class Contender:
    """A child process that works on one job. Used as a context manager, it never outlives it.

    Args:
        name: for messages.
        job: JSON values, see `homespun.recipes.bench.child`.
        environment: variables set for the child beside those of this process.
    """

    def __init__(
        self, name: str, job: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "homespun.recipes.bench.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, **(environment or {})},
        )
        self._send(job)

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send `question` and wait for its answer."""
        self._send(question)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer.

        Raises:
            RunError: the child failed or ended; the message has its last words.
        """
        answer = self.read()
        if "error" in answer:
            raise RunError(
                f"{self.name} could not be measured", got=answer["error"], remedy=_REMEDY
            )
        return answer

    def read(self) -> dict[str, Any]:
        """As `answer`, but an error of the child's is an answer too."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RunError(
                f"{self.name} ended without an answer", got=self._last_words(), remedy=_REMEDY
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(kill=kind is not None)

    def close(self, *, kill: bool = False) -> None:
        """End the child: it leaves by itself once nothing more is asked, or is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kill:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _send(self, value: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer, or the lack of one, tells more
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.poll()}"


def check_recipe(recipe: BenchRecipe, *, vocab_size: int, size: str | None = None) -> None:
    """What is wrong with our settings, said before peers take their time. In a process of its own:
    in this one torch is loaded when ours begin, and peers inherit nothing that ours want.

    Args:
        vocab_size: of the text.
        size: that a plan will be asked for.

    Raises:
        ConfigError: a setting is unknown or wrong, or there is no such size.
    """
    job = {"recipe": recipe.model_dump(), "vocab_size": vocab_size, "size": size}
    with Contender("homespun", {"job": "check", **job}) as child:
        told = child.read()
    if "error" in told:
        raise ConfigError(told["error"])
