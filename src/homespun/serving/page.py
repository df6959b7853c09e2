"""The chat page: its files, what it may ask for, and people's choices between two answers.

The files are read once and answered by name, so there is no way from an address to a path. They
need no key, as there is nothing in them; everything the page asks for does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from homespun.core import SamplingSettings
from homespun.serving.errors import ApiError
from homespun.serving.openai.chat import ChatRequest
from homespun.serving.openai.rewriting import REFUSED
from homespun.serving.preferences import Preference, PreferenceLog
from homespun.serving.state import caller_of, serving_of

NUM_ALTERNATIVES = 5
"""Likeliest tokens the page asks for beside each one written."""

TEMPERATURE = 0.3
"""As in `homespun chat`; OpenAI's own temperature of 1 is too free for small models."""

PAGE_HEADERS = {
    # Nothing from elsewhere, nothing inline, and no text that becomes HTML or code.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",  # a link in an answer is not looked up before it is followed
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",  # asked for anew each time, and answered 304
}

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_CONTROLS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
)

_OF_CHAT = {"logprobs", "top_logprobs", "response_format", "tool_choice", "parallel_tool_calls"}


class PageFile(NamedTuple):
    """A file of the page, as it is sent."""

    data: bytes
    kind: str
    tag: str


def read_page() -> dict[str, PageFile]:
    """All files of the page by their addresses: `/` and what is under `/page/`."""
    found = {
        f"/page/{name}": _page_file(name, entry.read_bytes())
        for name, entry in _walk(files("homespun.serving") / "web", "")
        if name.rpartition(".")[2] in _KINDS
    }
    found["/"] = found.pop("/page/index.html")
    return found


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry))
    return found


def _page_file(name: str, data: bytes) -> PageFile:
    tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    return PageFile(data, _KINDS[name.rpartition(".")[2]], tag)


def build_page(
    preferences: PreferenceLog | None = None,
) -> tuple[APIRouter, Callable[[str], bool]]:
    """Routes of the page, and which of their paths need no key: `extra` and `is_public` of
    `create_app`.

    Args:
        preferences: where choices between answers are kept; None where they are not.
    """
    page = read_page()
    router = APIRouter()
    router.include_router(_file_routes(page))
    router.include_router(_data_routes(preferences))
    return router, lambda path: path in page


def _file_routes(page: Mapping[str, PageFile]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def file(request: Request) -> Response:
        found = page.get(request.scope["path"])
        if found is None:
            raise ApiError(404, "there is no such address here", code="not_found")
        headers = {**PAGE_HEADERS, "ETag": found.tag}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(found.data, headers=headers, media_type=found.kind)

    for path in page:
        router.add_api_route(path, file, methods=["GET", "HEAD"], response_model=None)
    return router


def _data_routes(preferences: PreferenceLog | None) -> APIRouter:
    router = APIRouter(include_in_schema=False)  # the page's own, no part of the API

    @router.get("/page/config", response_model=None)
    async def config(request: Request) -> Response:
        """What the page may ask this server for."""
        usual = SamplingSettings(temperature=TEMPERATURE)
        told: dict[str, Any] = {
            "version": version("homespun"),
            "fields": sorted(ChatRequest.model_fields),
            # Of models that write one text from another; what is not drawn has no alternatives.
            "rewriting_fields": sorted(set(ChatRequest.model_fields) - set(REFUSED) - _OF_CHAT),
            "defaults": {name: getattr(usual, name) for name in _CONTROLS},
            "most_alternatives": NUM_ALTERNATIVES,
            "keeps_preferences": preferences is not None,
            "most_body_bytes": serving_of(request).config.most_body_bytes,
        }
        return JSONResponse(told)

    @router.post("/page/preferences", response_model=None, status_code=201)
    def preference(body: Preference, request: Request) -> Response:
        """Keep a person's choice between two answers. Not `async`: it waits for the disk."""
        if preferences is None:
            raise ApiError(404, "this server does not keep choices", code="not_kept")
        told = preferences.append(body, judge=caller_of(request).name)
        return JSONResponse({"id": told}, 201)

    return router
