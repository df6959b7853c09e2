"""Continuations of many prompts: side by side where the generator can, one by one where not."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from homespun.core import Completion, Generator, RequestError, SamplingSettings

# Beyond this, rows that have ended wait too long for those that have not.
MAX_BATCH = 16


@runtime_checkable
class BatchGenerator(Protocol):
    """A generator that also continues several prompts at once; row i has seed `seed + i`."""

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings
    ) -> list[Completion]: ...


def continue_each(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    deadline: float | None = None,
) -> Iterator[Completion | None]:
    """Continue `prompts` in their order; prompt i is sampled with seed `settings.seed + i`.

    The first prompt is continued alone and whatever the deadline; then batches grow, so that a
    slow model does not overrun its time by a whole large batch. A batch is not begun where one
    of the last one's length would end after the deadline.

    Args:
        generator: used in batches where it is a `BatchGenerator` too.
        prompts: token ids.
        settings: of all.
        deadline: time.monotonic() after which nothing more is begun.

    Yields:
        One completion a prompt; None for one the model cannot take.
    """
    start, size, last = 0, 1, 0.0
    done_one = False
    while start < len(prompts):
        begun = time.monotonic()
        late = deadline is not None and begun + last > deadline
        if done_one and late:
            return
        batch = prompts[start : start + size]
        found = _batch(generator, batch, dataclasses.replace(settings, seed=settings.seed + start))
        last = time.monotonic() - begun
        yield from found
        done_one = done_one or any(completion is not None for completion in found)
        start += len(batch)
        if isinstance(generator, BatchGenerator) and done_one:
            size = min(MAX_BATCH, 2 * size)


def _batch(
    generator: Generator, prompts: Sequence[Sequence[int]], settings: SamplingSettings
) -> list[Completion | None]:
    if len(prompts) > 1 and isinstance(generator, BatchGenerator):
        try:
            return list(generator.generate_batch(prompts, settings))
        except RequestError:
            pass  # one of them is too long: one by one shows which
    found: list[Completion | None] = []
    for number, prompt in enumerate(prompts):
        own = dataclasses.replace(settings, seed=settings.seed + number)
        try:
            found.append(generator.generate(prompt, own))
        except RequestError:
            found.append(None)
    return found
