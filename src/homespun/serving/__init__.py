"""Models behind the OpenAI API, and the chat page.

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
