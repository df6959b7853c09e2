"""Models behind the OpenAI API, and the chat page; names load when they are first used.

app        create_app: routes behind the guard
server     listening, draining, stopping
openai/    requests and answers, field by field
http/      hosts, keys, bodies, deadlines: what stands before the routes
worker     who may ask, who waits, and what came for whom; tickets are requests under way
turnstile  a few at a time
computing/ a thread or a process that computes
engine     what is needed of an engine; the rooms meet in recipes
state      what routes work with
config     limits
keys       API keys and their hashes
errors     refusals in OpenAI's shape
page, preferences  the chat page's files, and people's choices between answers
metrics, access   for Prometheus, under vLLM's names; a line for each answer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.serving.access import AccessLog, Answered
    from homespun.serving.app import LOOPBACK, create_app
    from homespun.serving.computing import Desk, ProcessDesk, ThreadDesk, serve_desk
    from homespun.serving.config import ServerConfig
    from homespun.serving.engine import (
        EngineFacts,
        EngineOutput,
        Rewriting,
        ServedEngine,
        ServedModel,
    )
    from homespun.serving.errors import ApiError
    from homespun.serving.http import TlsFiles, check_free, tls_files
    from homespun.serving.keys import KeyRing, add_key, hash_of, read_keys
    from homespun.serving.metrics import Metrics
    from homespun.serving.page import build_page
    from homespun.serving.preferences import Preference, PreferenceLog
    from homespun.serving.server import Server, check_open
    from homespun.serving.state import (
        Moderation,
        Moderator,
        Serving,
        caller_of,
        serving_of,
        together,
    )
    from homespun.serving.worker import EngineWorker

__all__ = [
    "LOOPBACK",
    "AccessLog",
    "Answered",
    "ApiError",
    "Desk",
    "EngineFacts",
    "EngineOutput",
    "EngineWorker",
    "KeyRing",
    "Metrics",
    "Moderation",
    "Moderator",
    "Preference",
    "PreferenceLog",
    "ProcessDesk",
    "Rewriting",
    "ServedEngine",
    "ServedModel",
    "Server",
    "ServerConfig",
    "Serving",
    "ThreadDesk",
    "TlsFiles",
    "add_key",
    "build_page",
    "caller_of",
    "check_free",
    "check_open",
    "create_app",
    "hash_of",
    "read_keys",
    "serve_desk",
    "serving_of",
    "tls_files",
    "together",
]

_HOMES = {
    "access": ("AccessLog", "Answered"),
    "app": ("LOOPBACK", "create_app"),
    "computing": ("Desk", "ProcessDesk", "ThreadDesk", "serve_desk"),
    "config": ("ServerConfig",),
    "engine": ("EngineFacts", "EngineOutput", "Rewriting", "ServedEngine", "ServedModel"),
    "errors": ("ApiError",),
    "http": ("TlsFiles", "check_free", "tls_files"),
    "keys": ("KeyRing", "add_key", "hash_of", "read_keys"),
    "metrics": ("Metrics",),
    "page": ("build_page",),
    "preferences": ("Preference", "PreferenceLog"),
    "server": ("Server", "check_open"),
    "state": ("Moderation", "Moderator", "Serving", "caller_of", "serving_of", "together"),
    "worker": ("EngineWorker",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
