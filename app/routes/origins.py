"""Which web pages may speak to the service: its own, and those of the origins that are named."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import refusal


class OriginCheck:
    """Refuses what a page of another origin sends: a browser would deliver it with all that this machine may reach. Programs
    send no Origin header and aren't concerned. The MCP specification asks for this check by name."""

    def __init__(self, app: ASGIApp, *, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not self._is_ours(origin.lower(), host=headers.get("host", "").lower()):
                message = "Pages of this origin may not use Footnote. Name it in server.allowed_origins if they should."
                return await refusal(scope, status=403, code="forbidden_origin", message=message)(scope, receive, send)
        await self._app(scope, receive, send)

    def _is_ours(self, origin: str, *, host: str) -> bool:
        return origin in self._allowed or (host != "" and urlsplit(origin).netloc == host)
