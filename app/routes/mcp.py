"""/mcp: the Model Context Protocol, by its official SDK, over streamable HTTP and without sessions.

The protocol asks clients to accept both JSON and event streams, and the SDK refuses those that name only one of them or nothing.
HTTP doesn't: without Accept anything is acceptable (RFC 9110, section 12.5.1). So the representation is negotiated here, as for
any other resource, and the SDK is given an Accept that holds what it asks for.

The SDK takes a second or two to import, which no start and no other request pays: the first request to /mcp loads it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.errors import refusal
from app.state import Readiness, ready_service
from corpus.errors import Unavailable

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


JSON = "application/json"
EVENT_STREAM = "text/event-stream"
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?=;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Acceptable:
    """How welcome each representation is to a client: its quality values, in [0, 1]. ``names_stream``: it names event streams,
    rather than everything."""

    json: float
    stream: float
    names_stream: bool

    @classmethod
    def by(cls, headers: Headers) -> Acceptable:
        """By the Accept headers of a request; the most specific range decides (RFC 9110, section 12.5.1)."""
        ranges = dict[str, float]()
        for item in ",".join(headers.getlist("accept")).split(","):
            if name := item.partition(";")[0].strip().lower():
                quality = _QUALITY.search(item)
                ranges[{"*": "*/*"}.get(name, name)] = float(quality[1]) if quality else 1.0
        ranges = ranges or {"*/*": 1.0}

        def quality_of(kind: str) -> float:
            return next((ranges[one] for one in (kind, kind.partition("/")[0] + "/*", "*/*") if one in ranges), 0.0)

        names_stream = EVENT_STREAM in ranges or "text/*" in ranges
        return cls(quality_of(JSON), quality_of(EVENT_STREAM), names_stream)

    @property
    def prefers_json(self) -> bool:
        """A client that takes anything (curl, say) gets JSON, which every client can read."""
        return self.json > self.stream or (self.json > 0 and not self.names_stream)

    @property
    def named(self) -> str:
        """The Accept header that says so to the SDK, which reads no quality values. Empty if neither is acceptable."""
        return ", ".join(kind for kind, quality in ((JSON, self.json), (EVENT_STREAM, self.stream)) if quality > 0)


@dataclass(frozen=True, slots=True)
class Managers:
    """The same server twice: one answers a call with an event stream, the other with JSON."""

    streaming: StreamableHTTPSessionManager
    plain: StreamableHTTPSessionManager


class McpDoor:
    """The ASGI application at /mcp. ``open`` it for the length of the service."""

    def __init__(self, *, version: str) -> None:
        self._version = version
        self._wanted = asyncio.Event()
        self._managers: asyncio.Future[Managers] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready_service(Request(scope))  # before anything is loaded: not while starting or stopping
        if self._managers is None:
            raise Unavailable("Footnote is stopping.")
        acceptable = Acceptable.by(Headers(scope=scope))
        if scope["method"] == "POST" and not acceptable.named:
            message = (
                f"MCP answers in {JSON} or {EVENT_STREAM}, and the Accept header allows neither. Allow one, or leave it out."
            )
            return await refusal(scope, status=406, code="not_acceptable", message=message)(scope, receive, send)
        self._wanted.set()
        managers = await asyncio.shield(self._managers)
        if scope["method"] == "POST" and acceptable.prefers_json:
            return await _answer_in_json(managers.plain, _accepting(scope, acceptable.named), receive, send)
        if scope["method"] == "POST":
            return await managers.streaming.handle_request(_accepting(scope, f"{JSON}, {EVENT_STREAM}"), receive, send)
        manager, scope = managers.streaming, _accepting(scope, acceptable.named)
        if scope["method"] != "GET":
            return await manager.handle_request(scope, receive, send)
        # A client that listens for what nobody asked about does so until it leaves: a stop must not wait for it.
        readiness: Readiness = scope["app"].state.readiness
        is_open = False

        async def watched(message: Message) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        await _until(readiness.stopping.wait(), manager.handle_request(scope, receive, watched))
        if is_open:
            await send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The SDK's task group belongs to one task from its first to its last request; this is it."""
        self._managers = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(self._run(self._managers))
        try:
            yield
        finally:
            self._managers = None
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _run(self, opened: asyncio.Future[Managers]) -> None:
        await self._wanted.wait()
        try:
            managers = await asyncio.to_thread(make_managers, self._version)
        except Exception as exc:
            opened.set_exception(exc)
            return
        async with managers.streaming.run(), managers.plain.run():
            opened.set_result(managers)
            await asyncio.Event().wait()


def make_managers(version: str) -> Managers:
    return Managers(streaming=_manager(version, json_response=False), plain=_manager(version, json_response=True))


def _manager(version: str, *, json_response: bool) -> StreamableHTTPSessionManager:
    from mcp.server.transport_security import TransportSecuritySettings

    from app.routes.mcp_tools import make_server

    server = make_server(version)
    # Host, Origin and the body's size are checked for the whole service (app/main.py).
    elsewhere = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(stateless_http=True, json_response=json_response, transport_security=elsewhere)
    return server.session_manager


async def _answer_in_json(manager: StreamableHTTPSessionManager, scope: Scope, receive: Receive, send: Send) -> None:
    """As the manager does, until the client hangs up: while it makes JSON, the SDK doesn't look whether anybody still waits."""
    is_read = asyncio.Event()

    async def receive_body() -> Message:
        message = await receive()
        if not message.get("more_body", False):
            is_read.set()
        return message

    async def hung_up() -> None:
        await is_read.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    await _until(hung_up(), manager.handle_request(scope, receive_body, send))


async def _until(end: Coroutine[Any, Any, Any], work: Coroutine[Any, Any, None]) -> None:
    """Do ``work``, and leave it where it is once ``end`` comes first."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait([working])
    if not working.cancelled():
        working.result()


def _accepting(scope: Scope, accept: str) -> Scope:
    """The request with this Accept header in place of its own."""
    scope = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=scope)
    del headers["accept"]
    headers["accept"] = accept
    return scope
