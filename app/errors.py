"""Errors as HTTP answers: one status for each exception, in one place.

The body is an RFC 9457 problem document (``application/problem+json``); under the paths of the OpenAI API it is what its
clients understand.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corpus.database import is_disk_full
from corpus.errors import FootnoteError, RateLimited, StorageFull, Unavailable

log = logging.getLogger(__name__)
PROBLEM = "application/problem+json"
OPENAI_PATHS = frozenset({"/v1/chat/completions", "/v1/models"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_OPENAI_CODES = {
    "invalid_input": "invalid_value",
    "not_found": "model_not_found",
    "overloaded": "server_overloaded",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(FootnoteError, _footnote_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, unexpected_error)


def refusal(
    scope: Scope, /, *, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **details: Any
) -> JSONResponse:
    """An error, in the words of the API whose path was asked."""
    if is_openai_path(scope.get("path", "")):
        return _openai_error(status=status, code=code, message=message, headers=headers, param=details.get("param"))
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": message}
    body |= {"details": details} if details else {}
    return JSONResponse(body, status_code=status, headers=headers, media_type=PROBLEM)


def is_openai_path(path: str) -> bool:
    return path in OPENAI_PATHS or path.startswith("/v1/models/")


def openai_error(*, status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error as OpenAI's API gives it; its clients choose their exception by the status."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": _OPENAI_CODES.get(code, code)}}


def _openai_error(*, status: int, code: str, message: str, headers: Mapping[str, str] | None, param: str | None) -> JSONResponse:
    status = 400 if status == 422 else status  # which is what OpenAI calls a bad request
    return JSONResponse(openai_error(status=status, code=code, message=message, param=param), status_code=status, headers=headers)


async def _footnote_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, FootnoteError)
    headers = {"Retry-After": str(exc.retry_after_s)} if isinstance(exc, Unavailable | RateLimited) else None
    return refusal(request.scope, status=exc.status, code=exc.code, message=exc.message, headers=headers, **exc.details)


async def _validation_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    # The offending input isn't echoed: it may be long, or secret.
    errors = [{"where": ".".join(map(str, error["loc"])), "message": error["msg"]} for error in exc.errors()]
    message = "; ".join(f"{error['where']}: {error['message']}" for error in errors[:5])
    param = errors[0]["where"].removeprefix("body.")
    details: dict[str, Any] = {"param": param} if is_openai_path(request.url.path) else {"errors": errors}
    return refusal(request.scope, status=422, code="invalid_input", message=message, **details)


async def _http_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers) if exc.headers else None
    if exc.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _body_too_large(request.scope)
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    code = HTTPStatus(exc.status_code).name.lower()
    return refusal(request.scope, status=exc.status_code, code=code, message=str(exc.detail), headers=headers)


def _allowed_methods(request: Request) -> list[str]:
    """Of all routes at the path; the router itself names those of the first one alone."""
    asked = [{**request.scope, "method": method} for method in METHODS]
    return [scope["method"] for scope in asked if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)]


async def unexpected_error(request: Request, exc: Exception) -> JSONResponse:
    if is_disk_full(exc):
        return await _footnote_error(request, StorageFull("The disk is full. Free some space and try again; nothing was lost."))
    log.error("unexpected error on %s %s", request.method, request.url.path, exc_info=exc)
    message = "Something went wrong here; the log holds the details."
    return refusal(request.scope, status=500, code="internal_error", message=message)


class BodyLimit:
    """Refuses bodies beyond ``max_bytes``, announced or not. FastAPI's own ``max_body_size`` answers some in plain text."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if length.isdecimal() and (len(length) > 15 or int(length) > self._max_bytes):
            return await _body_too_large(scope)(scope, receive, send)
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_some, send)


def _body_too_large(scope: Scope) -> JSONResponse:
    # Its own code: HTTPStatus calls 413 by other names from Python 3.13 on.
    message = "The request's body is too large (server.max_body_bytes)."
    return refusal(scope, status=413, code="body_too_large", message=message)
