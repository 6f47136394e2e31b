"""The gate before every path that a key guards: who is asking, and is it too much?

It stands before routing and before the body is read, so a route can't be forgotten and a stranger can't send much. What a key
may do there, the routes say themselves, by the service that they ask for (``app.state``).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import partial

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.callers import FORWARDING_HEADERS, METRICS_PATH, READINESS_PATH, Caller, is_open, needs_keys, site_of
from app.errors import refusal
from app.rate_limits import RateLimiter
from app.routes.revocation import while_it_holds
from app.state import Readiness
from corpus.keys import PREFIX, Keys
from corpus.settings import ServerSettings

BEARER = "bearer "
RETRY_AFTER_S = 2


class Gate:
    def __init__(self, app: ASGIApp, *, server: ServerSettings, readiness: Readiness) -> None:
        self._app = app
        self._server = server
        self._readiness = readiness
        self._needs_keys = needs_keys(server)
        self._by_address = RateLimiter(policy="address", per_minute=server.requests_per_minute_per_address)
        self._by_key = RateLimiter(policy="key", per_minute=server.requests_per_minute_per_key)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._readiness.service
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        needs_key = self._needs_keys or (self._server.api_keys == "auto" and any(name in headers for name in FORWARDING_HEADERS))
        address = _address(scope)
        if scope["path"] == READINESS_PATH:
            knows = not needs_key or (service is not None and await service.keys.find(_token(headers)) is not None)
            scope.setdefault("state", {})["is_stranger"] = not knows
        if is_open(scope["path"]) or service is None:
            # Without a service there is nothing to guard: whoever asks for it is told that it isn't ready.
            return await self._app(scope, receive, send)
        allowance = await self._by_address.count(address) if needs_key else None
        if allowance and allowance.is_exceeded:
            return await _too_many(scope, allowance.headers)(scope, receive, send)
        is_scraper = self._is_scraper(scope["path"], headers)
        caller = await _caller(service.keys, headers, address=address, needs_key=needs_key and not is_scraper)
        if caller is None:
            return await _unknown(scope, headers)(scope, receive, send)
        if caller.key is not None:
            allowance = await self._by_key.count(caller.key.id)
            if allowance and allowance.is_exceeded:
                return await _too_many(scope, allowance.headers)(scope, receive, send)
        if self._running >= self._server.max_requests:
            message = "Too many requests are being served at once (server.max_requests). Try again in a moment."
            busy = refusal(scope, status=503, code="overloaded", message=message, headers={"Retry-After": str(RETRY_AFTER_S)})
            return await busy(scope, receive, send)
        scope.setdefault("state", {})["caller"] = caller
        self._running += 1
        sending = _with_headers(send, allowance.headers) if allowance else send
        try:
            if caller.key is None:
                await self._app(scope, receive, sending)
            else:
                await while_it_holds(partial(service.keys.find, _token(headers)), self._app, scope, receive, sending)
        finally:
            self._running -= 1

    def _is_scraper(self, path: str, headers: Headers) -> bool:
        expected = self._server.metrics_token.get_secret_value()
        if not expected or path != METRICS_PATH:
            return False
        return hmac.compare_digest(_token(headers).encode(errors="replace"), expected.encode())


def _token(headers: Headers) -> str:
    authorization = headers.get("authorization", "")
    return authorization[len(BEARER) :].strip() if authorization.lower().startswith(BEARER) else ""


async def _caller(keys: Keys, headers: Headers, *, address: str, needs_key: bool) -> Caller | None:
    """None: somebody who needs a key and has none that holds, or shows one that doesn't."""
    token = _token(headers)
    # Where no key is needed, many clients still have to send some word; only what looks like a key of ours is judged.
    if not needs_key and not token.startswith(PREFIX):
        return Caller(address=address)
    key = await keys.find(token)
    return Caller(key, address) if key is not None else None


def _unknown(scope: Scope, headers: Headers) -> ASGIApp:
    given = "authorization" in headers
    challenge = 'Bearer realm="footnote"' + (', error="invalid_token"' if given else "")
    message = (
        "The API key is wrong, has expired or was revoked."
        if given
        else "This needs an API key: send it as Authorization: Bearer fn_…, or set FOOTNOTE_API_KEY for the command line. "
        "`footnote keys create` makes one."
    )
    return refusal(scope, status=401, code="unauthorized", message=message, headers={"WWW-Authenticate": challenge})


def _too_many(scope: Scope, headers: Mapping[str, str]) -> ASGIApp:
    message = f"Too many requests. Try again in {headers['Retry-After']} s."
    return refusal(scope, status=429, code="rate_limited", message=message, headers=headers)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers


def _address(scope: Scope) -> str:
    return site_of(scope["client"][0]) if scope.get("client") else "unknown"
