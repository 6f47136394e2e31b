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
from starlette.exceptions import HTTPException

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
    code = HTTPStatus(exc.status_code).name.lower()
    return problem(status=exc.status_code, code=code, message=str(exc.detail), headers=headers)


async def _unexpected_error(request: Request, exc: Exception) -> JSONResponse:
    if is_disk_full(exc):
        return await _footnote_error(request, StorageFull("The disk is full. Free some space and try again; nothing was lost."))
    log.error("unexpected error on %s %s", request.method, request.url.path, exc_info=exc)
    return problem(status=500, code="internal_error", message="Something went wrong here; the log holds the details.")
