"""What `finetune classify` learned, as the judge of `/v1/moderations`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from homespun.core import ConfigError, DataError, RequestError
from homespun.recipes.applications.applying import open_application
from homespun.recipes.applications.cutting import are_cut
from homespun.serving import Moderation, Moderator, together
from homespun.tokenizer.encoders import normalise

MOST_PARTS = 64
"""Of a text, each half of what the classifier reads at least: some 8,000 tokens of an encoder."""
_SHARED = 60
"""Characters of a part that stand in the next one too: what is not wanted may be cut in two."""
_LONGEST_WORD = 40
_SPACE = re.compile(r"\s")


def moderator_of(folder: Path, flagged: Collection[str]) -> Moderator:
    """Judges texts by their classes. A class that is not found right scores 0; one that is, how
    sure the classifier is, 1 where its method cannot say.

    A text that is longer than the classifier reads is judged in parts: a harmless beginning says
    nothing of its end. What is wrong with a part is wrong with all; one of more than `MOST_PARTS`
    is refused.

    Args:
        folder: of the classifier.
        flagged: classes that are not wanted.

    Raises:
        ConfigError: none is named, the classifier found none of them among what it was judged on,
            or the folder has learned another task. DataError: it has learned none, or is damaged.
    """
    from homespun.core.files import read_json
    from homespun.recipes.applications.record import RESULTS_FILE

    opened = open_application(folder, task="classify")
    if not flagged:
        raise ConfigError(
            "a moderator needs to know which classes are not wanted",
            remedy="name them with --flag CLASS, several times for more",
        )
    path = folder / RESULTS_FILE
    try:
        known = [str(row["label"]) for row in read_json(path)["classes"]]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not say which classes there are", remedy="learn the task again"
        ) from error
    strange = sorted(set(flagged) - set(known))
    if strange:
        raise ConfigError(
            f"{folder} has no class '{strange[0]}'",
            got=", ".join(known),
            remedy="name one of these",
        )
    # Requests are judged in threads, and not every method may be called by two at once.
    turn = threading.Lock()

    def is_longer(text: str) -> bool:
        with turn:
            (found,) = are_cut(opened.learned, [opened.task.example({"text": text})])
        return found

    def judge(text: str) -> Moderation:
        with turn:
            (answer,) = opened.learned.answer([opened.task.example({"text": text})])
        sure = answer.confidence or (1.0,) * len(answer.labels)
        scores = dict.fromkeys(known, 0.0) | dict(zip(answer.labels, map(float, sure), strict=True))
        return Moderation(scores, {label: label in answer.labels for label in flagged})

    def moderate(text: str) -> Moderation:
        # As rows of a file are read, see `iter_rows`.
        parts: list[str] = []
        for part in _parts(normalise(text), is_longer):
            parts.append(part)
            if len(parts) > MOST_PARTS:
                raise RequestError(
                    f"a text of {len(text):,} characters is longer than what is judged at once",
                    remedy="send it as several",
                )
        return together([judge(part) for part in parts])

    return moderate


def _parts(text: str, is_longer: Callable[[str], bool]) -> Iterator[str]:
    """A text in parts that are not longer than what is read; none of one that says nothing."""
    if not text.strip():
        return
    if len(text) < 2 or not is_longer(text):
        yield text
        return
    middle, shared = len(text) // 2, min(_SHARED, len(text) // 16)
    yield from _parts(text[: _gap(text, middle + shared)], is_longer)
    yield from _parts(text[_gap(text, middle - shared) :], is_longer)


def _gap(text: str, at: int) -> int:
    """The next place between two words; `at` itself where none is near."""
    found = _SPACE.search(text, at, at + min(_LONGEST_WORD, len(text) // 8))
    return at if found is None else found.start()
