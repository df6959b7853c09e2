"""Errors in OpenAI's shape. What is told never holds an address, a path or a traceback."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from homespun.core import ConfigError, HomespunError, RequestError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}")
# Addresses of the API are no paths of files: remedies name them.
_ADDRESSES = r"(?!/v1/(?:chat/)?[a-z]+(?![\w/@+-]|\.\w))"
_PATH = re.compile(r"(?<![\w:/.])" + _ADDRESSES + r"(?:/[\w.@+-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"]+")
_LONGEST = 500


class ErrorDetail(BaseModel):
    """What went wrong: in words, of what kind, with which field, and a word for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer that is no 200."""

    error: ErrorDetail


ERROR_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": told}
    for status, told in {
        400: "The request is not right; `param` names the field.",
        401: "There is no key, or not a right one.",
        403: "The server does not answer to that name.",
        404: "There is no such address or model.",
        405: "The address takes another method.",
        408: "The request did not arrive in time.",
        413: "The body is too large.",
        415: "The body is not sent as JSON.",
        429: "Too many requests wait; come again after `Retry-After` seconds.",
        500: "The server or a model failed.",
        503: "The server is stopping, or a model cannot answer.",
    }.items()
}
"""For the description of the API."""


class ApiError(RequestError):
    """A request that is refused.

    Args:
        status: of HTTP.
        message: one sentence for whoever sent it.
        param: the field that is wrong; None where it is not one field.
        code: a word for programs.
        headers: further ones, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        return error_body(self.status, str(self), param=self.param, code=self.code)


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": scrubbed(message), "type": kind, "param": param, "code": code}}


def scrubbed(message: str) -> str:
    """A message without addresses and paths, on one line and not too long."""
    return _shortened(" ".join(_PATH.sub("…", _ADDRESS.sub("…", message)).split()))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def api_error(error: Exception) -> ApiError:
    """Any error as one that can be told."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestError | ConfigError):
        return ApiError(400, str(error), param=_param_of(error))
    if isinstance(error, HomespunError):
        return ApiError(500, str(error), code="model_error")
    return ApiError(500, "something went wrong in the server; its log says where")


def busy(message: str, *, retry_seconds: int, status: int = 429, code: str = "busy") -> ApiError:
    """Too much at once: come again."""
    return ApiError(status, message, code=code, headers={"Retry-After": str(retry_seconds)})


def stopping() -> ApiError:
    """No new requests are taken: the server ends."""
    return busy("the server is stopping", retry_seconds=5, status=503, code="stopping")


def add_error_handlers(app: FastAPI) -> None:
    """Every refusal and every failure in the same shape."""
    log = logging.getLogger("homespun.serving")

    async def known(_: Request, error: Exception) -> JSONResponse:
        told = api_error(error)
        return JSONResponse(told.body, told.status, told.headers)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        messages = {404: "there is no such address here", 405: "this address takes another method"}
        message = messages.get(error.status_code, str(error.detail))
        body = error_body(error.status_code, message, code=_CODES.get(error.status_code))
        return JSONResponse(body, error.status_code, dict(error.headers or {}))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        told = validation_error(error.errors())
        return JSONResponse(told.body, told.status)

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        told = api_error(error)
        return JSONResponse(told.body, told.status)

    app.add_exception_handler(HomespunError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unknown)


_CODES = {404: "not_found", 405: "method_not_allowed"}


def validation_error(errors: Any) -> ApiError:
    """The first thing that is wrong with a body, by the name of its field."""
    # Of several forms a field may have, the error that went deepest tells most.
    first = max(errors, key=lambda error: len(error["loc"])) if errors else None
    if first is not None and len(first["loc"]) <= 2:
        first = errors[0]
    if first is None:
        return ApiError(400, "the request is not valid")
    loc = first["loc"]
    *path, last = (loc[1:] if loc[:1] == ("body",) else loc) or ("",)
    is_unknown = first["type"] == "extra_forbidden"
    path = [part for part in path if not _is_form(part)]
    if is_unknown or not _is_form(last):  # a field that nobody knows may be called as a form is
        path.append(last)
    param = _shortened(".".join(map(str, path))) or None
    if is_unknown:
        return ApiError(
            400,
            f"'{param or ''}' is not a field that this server supports; leave it out",
            param=param,
            code="unsupported_field",
        )
    if first["type"] == "missing":
        what = f"'{param}' is missing" if param else "the body is missing"
        return ApiError(400, what, param=param, code="missing_field")
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return ApiError(400, f"'{param}' is wrong: {message}" if param else message, param=param)


def _is_form(part: object) -> bool:
    """Whether a part of a location is pydantic's name of one of several forms."""
    return isinstance(part, str) and (
        part in ("str", "int", "float", "bool", "function-after", "nullable")
        or part[:1].isupper()
        or "[" in part
    )


def _param_of(error: HomespunError) -> str | None:
    """The field an engine's refusal is about, where it begins with the name of one."""
    word = error.what.split(" ", 1)[0]
    return _FIELDS.get(word)


_FIELDS = {
    name: name
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "typical_p",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
        "max_tokens",
        "min_tokens",
        "logit_bias",
        "seed",
        "stop",
        "best_of",
        "logprobs",
    )
} | {"num_answers": "n"}
