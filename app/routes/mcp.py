"""/mcp: the Model Context Protocol, by its official SDK, over streamable HTTP and without sessions.

The SDK takes a second or two to import, which no start and no other request pays: the first request to /mcp loads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.state import Readiness, ready_service
from corpus.errors import Unavailable

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class McpDoor:
    """The ASGI application at /mcp. ``open`` it for the length of the service."""

    def __init__(self, *, version: str) -> None:
        self._version = version
        self._wanted = asyncio.Event()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready_service(Request(scope))  # before anything is loaded: not while starting or stopping
        if self._manager is None:
            raise Unavailable("Footnote is stopping.")
        self._wanted.set()
        manager = await asyncio.shield(self._manager)
        if scope["method"] != "GET":
            return await manager.handle_request(scope, receive, send)
        # A client that listens for what nobody asked about does so until it leaves: a stop must not wait for it.
        readiness: Readiness = scope["app"].state.readiness
        is_open = False

        async def watched(message: Message) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        listening = asyncio.ensure_future(manager.handle_request(scope, receive, watched))
        stopping = asyncio.ensure_future(readiness.stopping.wait())
        try:
            await asyncio.wait([listening, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not listening.done():
                listening.cancel()
                await asyncio.wait([listening])
        if not listening.cancelled():
            return listening.result()
        if is_open:
            await send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The SDK's task group belongs to one task from its first to its last request; this is it."""
        self._manager = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(self._run(self._manager))
        try:
            yield
        finally:
            self._manager = None
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _run(self, opened: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        await self._wanted.wait()
        try:
            manager = await asyncio.to_thread(make_manager, self._version)
        except Exception as exc:
            opened.set_exception(exc)
            return
        async with manager.run():
            opened.set_result(manager)
            await asyncio.Event().wait()


def make_manager(version: str) -> StreamableHTTPSessionManager:
    from mcp.server.transport_security import TransportSecuritySettings

    from app.routes.mcp_tools import make_server

    server = make_server(version)
    # Host, Origin and the body's size are checked for the whole service (app/main.py).
    elsewhere = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(stateless_http=True, transport_security=elsewhere)
    return server.session_manager
