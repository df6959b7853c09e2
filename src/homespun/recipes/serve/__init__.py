"""Runs behind the server: the only place where the rooms of the engine and of the server meet.

models   which runs, under which names
seat     an engine as the server wants it
behind   the same of a model that reads its prompt both ways
vectors  the same of an encoder, which makes vectors and writes nothing
rewriting  the same of a translator or summariser
process  the process in which engines compute
moderating  a classifier as the judge of /v1/moderations

Names load when they are first used, as a process that computes needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.recipes.serve.models import runs_in, served_model
    from homespun.recipes.serve.moderating import moderator_of
    from homespun.recipes.serve.process import EngineWish, open_desk
    from homespun.recipes.serve.rewriting import RewriterSeat, rewrites, serves_task
    from homespun.recipes.serve.seat import EngineSeat
    from homespun.recipes.serve.vectors import VectorSeat, makes_vectors

__all__ = [
    "EngineSeat",
    "EngineWish",
    "RewriterSeat",
    "VectorSeat",
    "makes_vectors",
    "moderator_of",
    "open_desk",
    "rewrites",
    "runs_in",
    "served_model",
    "serves_task",
]

_HOMES = {
    "models": ("runs_in", "served_model"),
    "moderating": ("moderator_of",),
    "process": ("EngineWish", "open_desk"),
    "rewriting": ("RewriterSeat", "rewrites", "serves_task"),
    "seat": ("EngineSeat",),
    "vectors": ("VectorSeat", "makes_vectors"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
