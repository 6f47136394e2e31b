"""A web site on loopback that does as it is told, misbehaviour included.

Raw sockets, so that it can say what no HTTP library would. Each path has a script: replies given one after the other,
the last one for ever. Every request and every connection is recorded.

    async with ScriptedSite() as site:
        site.script("/", page(b"<h1>Hello</h1>"))
        site.script("/flaky", status(503, retry_after="1"), page(b"at last"))

127.0.0.2 stands for the outside world (allow it in the settings); :func:`canary` listens on 127.0.0.3, where nothing
may ever knock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote

PUBLIC_IP = "127.0.0.2"
FORBIDDEN_IP = "127.0.0.3"


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` has lower-case names; ``target`` is path and query as they came over the wire."""

    method: str
    target: str
    headers: dict[str, str]


Reply = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class ScriptedSite:
    """See the module's docstring. ``name`` is the host that its URLs show, the IP address unless given."""

    def __init__(
        self, *, ip: str = PUBLIC_IP, port: int = 0, name: str | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.ip = ip
        self.name = name or ip
        self.port = port
        self.connections = 0
        self.requests: list[Request] = []
        self._scripts: dict[str, list[Reply]] = {}
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.ip, self.port, ssl=self._ssl_context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def authority(self) -> str:
        return f"{self.name}:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    def url(self, path: str = "/") -> str:
        return f"{'https' if self._ssl_context else 'http'}://{self.authority}{path}"

    def script(self, target: str, *replies: Reply) -> None:
        self._scripts[target] = list(replies)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            request = await self._read(reader)
            self.requests.append(request)
            await self._next_reply(request.target)(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side gave up, or the test is over
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Request(method, target, {name.strip().lower(): value.strip() for name, _, value in pairs})

    def _next_reply(self, target: str) -> Reply:
        replies = self._scripts.get(target)
        if not replies:
            return status(404)
        return replies.pop(0) if len(replies) > 1 else replies[0]


def canary(*, port: int = 0) -> ScriptedSite:
    """A site that must see no connection at all."""
    return ScriptedSite(ip=FORBIDDEN_IP, port=port)


def raw(data: bytes) -> Reply:
    """These bytes, then the end of the connection."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return reply


def page(body: bytes, *, content_type: str = "text/html; charset=utf-8", code: int = 200, **headers: str) -> Reply:
    """A well-formed answer. Underscores in header names become dashes: ``etag='"1"'``, ``content_encoding="gzip"``."""
    return raw(head(code, {"Content-Type": content_type, "Content-Length": str(len(body)), **_named(headers)}) + body)


def status(code: int, **headers: str) -> Reply:
    return page(b"", code=code, **headers)


def redirect(location: str, code: int = 302) -> Reply:
    return status(code, location=location)


def conditional(body: bytes, etag: str, **headers: str) -> Reply:
    """The page, or 304 to who has it already, both with these headers."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        known = request.headers.get("if-none-match") == etag
        answer = raw(head(304, {"ETag": etag, **_named(headers)})) if known else page(body, etag=etag, **headers)
        await answer(request, writer)

    return reply


def wrong_length(body: bytes, declared: int) -> Reply:
    return raw(head(200, {"Content-Length": str(declared)}) + body)


def cut_off_chunks(body: bytes) -> Reply:
    """A chunked body without its last chunk."""
    return raw(head(200, {"Transfer-Encoding": "chunked"}) + b"%x\r\n%s\r\n" % (len(body), body))


def gzip_bomb(unpacked_bytes: int) -> Reply:
    return page(gzip.compress(bytes(unpacked_bytes)), content_encoding="gzip")


def endless(piece: bytes = b"x" * 65536) -> Reply:
    """A body without length or end."""
    return endless_after(head(200, {"Content-Type": "text/html"}), piece)


def endless_after(start: bytes, piece: bytes) -> Reply:
    """``start``, then ``piece`` for ever."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()

    return reply


def drip(data: bytes, pause_s: float) -> Reply:
    """``data`` byte by byte."""
    return drip_after(b"", data, pause_s)


def drip_after(start: bytes, data: bytes, pause_s: float) -> Reply:
    """``start`` at once, then ``data`` byte by byte."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause_s)

    return reply


def stall() -> Reply:
    """Nothing, for ever."""
    return stall_after(b"")


def stall_after(start: bytes) -> Reply:
    """``start``, then nothing, for ever."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.Event().wait()

    return reply


def reset(after: bytes = b"") -> Reply:
    """A connection torn down with RST."""

    async def reply(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        await asyncio.sleep(0.05)  # so that what was written arrives before it is disowned
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return reply


def head(code: int, headers: dict[str, str]) -> bytes:
    """The status line and headers, blank line included. What is not ASCII in a header is percent-encoded."""
    lines = [f"HTTP/1.1 {code} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return quote("\r\n".join(lines), safe="\r\n\t !\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~").encode() + b"\r\n\r\n"


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
