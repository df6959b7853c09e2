"""What `finetune classify` learned, as the judge of `/v1/moderations`."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

from homespun.core import ConfigError
from homespun.recipes.applications.applying import open_application
from homespun.serving import Moderation, Moderator
from homespun.tokenizer.encoders import normalise


def moderator_of(folder: Path, flagged: Collection[str]) -> Moderator:
    """Judges texts by their classes. A class that is not found right scores 0; one that is, how
    sure the classifier is, 1 where its method cannot say.

    Args:
        folder: of the classifier.
        flagged: classes that are not wanted.

    Raises:
        ConfigError: none is named, the classifier found none of them among what it was judged on,
            or the folder has learned another task. DataError: it has learned none.
    """
    from homespun.core.files import read_json
    from homespun.recipes.applications.record import RESULTS_FILE

    opened = open_application(folder, task="classify")
    if not flagged:
        raise ConfigError(
            "a moderator needs to know which classes are not wanted",
            remedy="name them with --flag CLASS, several times for more",
        )
    known = [row["label"] for row in read_json(folder / RESULTS_FILE)["classes"]]
    strange = sorted(set(flagged) - set(known))
    if strange:
        raise ConfigError(
            f"{folder} has no class '{strange[0]}'",
            got=", ".join(known),
            remedy="name one of these",
        )
    # Requests are judged in threads, and not every method may be called by two at once.
    turn = threading.Lock()

    def moderate(text: str) -> Moderation:
        if not text.strip():
            return Moderation({}, {})
        with turn:
            # As rows of a file are read, see `iter_rows`.
            example = opened.task.example({"text": normalise(text)})
            (answer,) = opened.learned.answer([example])
        sure = answer.confidence or (1.0,) * len(answer.labels)
        scores = dict.fromkeys(known, 0.0) | dict(zip(answer.labels, map(float, sure), strict=True))
        return Moderation(scores, {label: label in answer.labels for label in flagged})

    return moderate
