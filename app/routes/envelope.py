"""What every answer comes in, whatever gives it: a request id, the headers that keep browsers from harm, a line in the log."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.callers import METRICS_PATH, is_open
from app.errors import unexpected_error
from app.metrics import METHODS, Metrics
from app.request_id import HEADER, accepted, begin_facts, request_id
from corpus.spans import Told, span

log = logging.getLogger("app.access")
UNKNOWN = "unknown"

# Each may be set otherwise by what answers, as the web page does.
DEFAULTS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Envelope:
    """The outermost of the middlewares, so that refusals and failures wear it too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if is_probe(scope["path"]):
            return await self._serve(scope, receive, send, _tell_nobody)
        method = scope["method"] if scope["method"] in METHODS else "other"
        with span(f"{method} {UNKNOWN}", caller=Headers(scope=scope), http__request__method=method) as tell:
            await self._serve(scope, receive, send, tell)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, tell_trace: Told) -> None:
        id = accepted(Headers(scope=scope).get(HEADER))
        status: int | None = None

        async def send_sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = id
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        token, facts = request_id.set(id), begin_facts()
        started = time.perf_counter()
        try:
            with self._metrics.requests_in_progress.track_inprogress():
                await self._app(scope, receive, send_sealed)
        except Exception as exc:  # the outermost of a request: whatever goes wrong, its client is told in the usual shape
            if status is not None:
                raise
            await (await unexpected_error(Request(scope), exc))(scope, receive, send_sealed)
        finally:
            elapsed_s, route = time.perf_counter() - started, route_of(scope)
            self._metrics.request_ended(method=scope["method"], route=route, status=status, elapsed_s=elapsed_s)
            method = scope["method"] if scope["method"] in METHODS else "other"
            tell_trace(name=f"{method} {route}", failed=(status or 0) >= 500, footnote__request_id=id, http__route=route)
            if status is not None:
                tell_trace(http__response__status_code=status)
            if "answer" in facts:
                tell_trace(footnote__answer=facts["answer"])
            _tell(scope, route=route, status=status, elapsed_ms=elapsed_s * 1000, facts=facts)
            request_id.reset(token)


def _tell_nobody(**attributes: object) -> None:
    pass


def route_of(scope: Scope) -> str:
    """The path's template, as in the OpenAPI document: paths hold ids, of which there is no end."""
    return getattr(scope.get("route"), "path", None) or ("/mcp" if scope["path"] == "/mcp" else UNKNOWN)


def is_probe(path: str) -> bool:
    """What machines ask for every few seconds, or tells nothing: neither logged nor traced."""
    return is_open(path) or path == METRICS_PATH


def _tell(scope: Scope, *, route: str, status: int | None, elapsed_ms: float, facts: dict[str, Any]) -> None:
    """One line, without query and body: they hold questions, and may hold more."""
    path = scope["path"]
    caller = scope.get("state", {}).get("caller")
    address = scope["client"][0] if scope.get("client") else "-"
    key = caller.name if caller else "-"
    answer = facts.get("answer")
    log.log(
        logging.DEBUG if is_probe(path) else logging.INFO,
        "%s %s %s in %.0f ms (%s, key %s%s)",
        scope["method"],
        path,
        status or "unanswered",
        elapsed_ms,
        address,
        key,
        f", {answer}" if answer else "",
        extra={
            "facts": {
                "method": scope["method"],
                "route": route,
                "path": path,
                "status": status,
                "duration_ms": round(elapsed_ms, 1),
                "client": address,
                "key": key,
                **facts,
            }
        },
    )
