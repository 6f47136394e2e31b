"""Streams end when the key that they were asked for with does: a request is only looked at once, and may last for hours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import refusal
from app.routes.sse import EVENT_STREAM, failure_event
from corpus.errors import Unauthorized, Unavailable
from corpus.keys import ApiKey

LOOK_EVERY_S = 10.0
ENDED = "The API key was revoked or has expired meanwhile."


async def while_it_holds(
    find: Callable[[], Awaitable[ApiKey | None]], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a request, and break it off once ``find`` finds its key no more. What takes less than ``LOOK_EVERY_S`` pays
    nothing for it."""
    is_stream = is_begun = False

    async def watched(message: Message) -> None:
        nonlocal is_stream, is_begun
        if message["type"] == "http.response.start":
            is_begun, is_stream = True, Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM)
        await send(message)

    try:
        async with asyncio.timeout(None) as limit:
            loop = asyncio.get_running_loop()
            looking: set[asyncio.Task[None]] = set()

            async def look() -> None:
                while True:
                    try:
                        if await find() is None:
                            return limit.reschedule(loop.time())
                    except Unavailable:
                        pass  # the database is away; whoever has been let in stays until it can be asked
                    await asyncio.sleep(LOOK_EVERY_S)

            first = loop.call_later(LOOK_EVERY_S, lambda: looking.add(loop.create_task(look())))
            try:
                await app(scope, receive, watched)
            finally:
                first.cancel()
                for task in looking:
                    task.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
        gone = Unauthorized(ENDED)
        if not is_begun:
            await refusal(scope, status=gone.status, code=gone.code, message=gone.message)(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": failure_event(gone) if is_stream else b""})
