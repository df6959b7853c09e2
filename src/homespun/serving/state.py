"""What routes need: the models, the worker, the limits. One object a server, no globals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from fastapi import Request

from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError, busy, stopping
from homespun.serving.http.guard import Caller
from homespun.serving.metrics import Metrics
from homespun.serving.worker import EngineWorker


class Moderation(NamedTuple):
    """What a moderator says of a text: scores from 0 to 1 by category, and which are too high."""

    scores: Mapping[str, float]
    flagged: Mapping[str, bool]


def together(parts: Sequence[Moderation]) -> Moderation:
    """What is said of something in parts: what is wrong with any of them is wrong with all."""
    scores: dict[str, float] = {}
    flagged: dict[str, bool] = {}
    for part in parts:
        for name, score in part.scores.items():
            scores[name] = max(score, scores.get(name, 0.0))
        for name, is_flagged in part.flagged.items():
            flagged[name] = is_flagged or flagged.get(name, False)
    return Moderation(scores, flagged)


ASKING = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"})
"""Paths at which models are asked."""
Moderator = Callable[[str], Moderation]


@dataclass
class Serving:
    """Everything a running server is made of.

    Attributes:
        models: by name.
        moderator: judges texts for `/v1/moderations`; None where there is none.
        any_model: requests may call the first model by any name; for tests of clients.
        is_draining: no new requests are taken.
        num_inside: requests to models that are being checked, answered or written.
        num_of_key: the same by the name of the key.
    """

    models: Mapping[str, ServedModel]
    worker: EngineWorker
    config: ServerConfig
    metrics: Metrics
    moderator: Moderator | None = None
    any_model: bool = False
    is_draining: bool = False
    num_inside: int = 0
    num_of_key: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.time)

    def model(self, name: str | None) -> ServedModel:
        """Where one model is served, nobody has to name it.

        Raises:
            ApiError: there is no such model, or several and no name.
        """
        if name is None:
            if len(self.models) == 1:
                return next(iter(self.models.values()))
            names = ", ".join(self.models)
            told = f"there are several models here: name one of {names}"
            raise ApiError(400, told, param="model", code="model_missing")
        found = self.models.get(name)
        if found is None and self.any_model:
            found = next(iter(self.models.values()))
        if found is None:
            names = ", ".join(self.models)
            raise ApiError(
                404,
                f"there is no model '{name[:64]}' here; choose one of: {names}",
                param="model",
                code="model_not_found",
            )
        return found

    def check_taking(self) -> None:
        """Raises ApiError where the server is stopping."""
        if self.is_draining:
            raise stopping()

    def refusal(self, path: str) -> ApiError | None:
        """Why no model can be asked at the moment, whichever a request names. Told before a request
        is read: under overload most are refused, and what they cost is taken from the others."""
        if path not in ASKING:
            return None
        if self.is_draining:
            return stopping()
        found: ApiError | None = None
        for name in self.models:
            if (found := self.worker.refusal(name)) is None:
                break
        else:
            return found
        # Of those that are being checked it is not known which model they ask.
        if self.num_inside >= self.config.most_waiting * len(self.models):
            return self.worker.too_many()
        return None

    @contextmanager
    def inside(self, path: str, key: str = "") -> Iterator[None]:
        """Surrounds what is done for a path. Raises ApiError as `refusal` tells, and where too many
        requests of the same key are under way.

        Args:
            key: its name; "" where none is needed.
        """
        if (refusal := self.refusal(path)) is not None:
            raise refusal
        asks = path in ASKING
        if asks and key and self.num_of_key[key] >= self.config.most_of_a_key:
            told = "too many requests of this key are under way; try again later"
            raise busy(told, retry_seconds=self.config.retry_seconds)
        self.num_inside += asks
        self.num_of_key[key] += asks
        try:
            yield
        finally:
            self.num_inside -= asks
            self.num_of_key[key] -= asks


def serving_of(request: Request) -> Serving:
    return cast(Serving, request.app.state.serving)


def caller_of(request: Request) -> Caller:
    return cast(Caller, request.state.caller)
