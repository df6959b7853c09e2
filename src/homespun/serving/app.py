"""The application: routes behind the guard, and the worker that lives as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

from homespun.core import ConfigError
from homespun.serving.access import Answered
from homespun.serving.computing import Desk
from homespun.serving.config import ServerConfig
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ERROR_ANSWERS, add_error_handlers
from homespun.serving.http import Guard
from homespun.serving.keys import KeyRing
from homespun.serving.metrics import Metrics
from homespun.serving.openai import routers
from homespun.serving.state import Moderator, Serving
from homespun.serving.worker import EngineWorker

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = frozenset({"/health", "/ready"})
"""What answers without a key."""


def create_app(  # noqa: PLR0913 - one part of a server each
    models: Sequence[ServedModel],
    desk: Desk,
    *,
    config: ServerConfig | None = None,
    keys: KeyRing | None = None,
    hosts: Collection[str] = LOOPBACK,
    moderator: Moderator | None = None,
    extra: Sequence[APIRouter] = (),
    is_public: Callable[[str], bool] = lambda path: False,
    any_model: bool = False,
    on_answer: Callable[[Answered], None] | None = None,
) -> FastAPI:
    """An ASGI application that serves `models`; its `state.serving` is what routes work with.

    Args:
        models: at least one, each under a name of its own.
        desk: computes for these names. It is started and stopped with the application.
        config: limits.
        keys: who may ask; everybody without.
        hosts: names this server answers to, without ports.
        moderator: judges texts for /v1/moderations.
        extra: further routes, such as those of the chat page. They find the server by
            `state.serving_of(request)`.
        is_public: which of their paths need no key.
        any_model: any name means the first model; for tests of clients.
        on_answer: is told of every answer once it is written, such as an `AccessLog`.

    Raises:
        ConfigError: there are no models, or two of one name.
    """
    config = config or ServerConfig()
    by_name = {model.name: model for model in models}
    if not models or len(by_name) < len(models):
        raise ConfigError(
            "a server needs models, each with a name of its own",
            got=[model.name for model in models],
            remedy="name them apart",
        )
    metrics = Metrics()
    worker = EngineWorker(
        {name: model.engine for name, model in by_name.items()},
        desk,
        most_waiting=config.most_waiting,
        queue_windows=config.queue_windows,
        expected_answer=config.expected_answer,
        retry_seconds=config.retry_seconds,
        watcher=metrics,
    )
    metrics.watch(worker, list(by_name))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            worker.stop()

    app = FastAPI(
        title="Homespun",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=ERROR_ANSWERS,
        # Nothing is sent anywhere, whatever the environment says (FastAPI's own telemetry).
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    _without_422(app)
    serving = Serving(by_name, worker, config, metrics, moderator, any_model)
    app.state.serving = serving
    add_error_handlers(app)
    for router in [*routers(), *extra]:
        app.include_router(router)
    app.add_middleware(
        Guard,
        keys=keys or KeyRing(),
        hosts=hosts,
        most_body_bytes=config.most_body_bytes,
        deepest_json=config.deepest_json,
        most_objects=config.most_objects,
        body_seconds=config.body_seconds,
        is_public=lambda path: path in OPEN_PATHS or is_public(path),
        refusal=serving.refusal,
        inside=serving.inside,
        turnstile=worker.turnstile,
        most_held_bytes=config.most_held_bytes,
        on_refusal=metrics.on_refusal,
        on_answer=on_answer,
    )
    return app


def _without_422(app: FastAPI) -> None:
    """The description of the API without FastAPI's own kind of refusal, which is not sent here."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        found = described()
        for path in found["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            found.get("components", {}).get("schemas", {}).pop(name, None)
        return found

    app.openapi = openapi  # type: ignore[method-assign]
