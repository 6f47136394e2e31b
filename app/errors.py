"""Errors as HTTP answers: one shape, one status for each exception, in one place.

The body is an RFC 9457 problem document (``application/problem+json``).
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from corpus.database import is_disk_full
from corpus.errors import FootnoteError, StorageFull, Unavailable

log = logging.getLogger(__name__)
PROBLEM = "application/problem+json"


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(FootnoteError, _footnote_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)


def problem(*, status: int, code: str, message: str, headers: dict[str, str] | None = None, **details: Any) -> JSONResponse:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": message}
    return JSONResponse(body | ({"details": details} if details else {}), status_code=status, headers=headers, media_type=PROBLEM)


async def _footnote_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, FootnoteError)
    headers = {"Retry-After": str(exc.retry_after_s)} if isinstance(exc, Unavailable) else None
    return problem(status=exc.status, code=exc.code, message=exc.message, headers=headers, **exc.details)


async def _validation_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    # The offending input isn't echoed: it may be long, or secret.
    errors = [{"where": ".".join(map(str, error["loc"])), "message": error["msg"]} for error in exc.errors()]
    message = "; ".join(f"{error['where']}: {error['message']}" for error in errors[:5])
    return problem(status=422, code="invalid_input", message=message, errors=errors)


async def _http_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers) if exc.headers else None
    if exc.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _body_too_large()
    code = HTTPStatus(exc.status_code).name.lower()
    return problem(status=exc.status_code, code=code, message=str(exc.detail), headers=headers)


async def _unexpected_error(request: Request, exc: Exception) -> JSONResponse:
    if is_disk_full(exc):
        return await _footnote_error(request, StorageFull("The disk is full. Free some space and try again; nothing was lost."))
    log.error("unexpected error on %s %s", request.method, request.url.path, exc_info=exc)
    return problem(status=500, code="internal_error", message="Something went wrong here; the log holds the details.")


class BodyLimit:
    """Refuses bodies beyond ``max_bytes``, announced or not. FastAPI's own ``max_body_size`` answers some in plain text."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if length.isdecimal() and (len(length) > 15 or int(length) > self._max_bytes):
            return await _body_too_large()(scope, receive, send)
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        await self._app(scope, receive_some, send)


def _body_too_large() -> JSONResponse:
    # Its own code: HTTPStatus calls 413 by other names from Python 3.13 on.
    return problem(status=413, code="body_too_large", message="The request's body is too large (server.max_body_bytes).")
