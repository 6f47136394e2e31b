"""What one connection may cost: bytes of headers, bytes of framing, and patience.

HTTP libraries bound what they understand: one header block, one body. A server can also send informational answers without
end, wrap each byte of a body in a kilobyte of chunk extension, or drip. So the bytes are counted where they come in, beneath
the HTTP library and above TLS.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any

import httpcore2

from corpus.errors import PermanentError, TransientError
from corpus.settings import IngestSettings

FRAMING_SLACK_BYTES = 64 * 1024

_BLANK_LINE = re.compile(rb"\n\r?\n")
_INFORMATIONAL = re.compile(rb"HTTP/\d\.\d 1\d\d")


class Meter:
    """The accounts of one connection. Pure: it is told what arrives, and when by a clock of seconds.

    Raises, from :meth:`room_bytes` and :meth:`received`:
        PermanentError: ``headers_too_large``, ``too_large``. TransientError: ``too_slow``.
    """

    def __init__(self, *, settings: IngestSettings) -> None:
        self._max_header_bytes = settings.max_header_bytes
        self._window_s = settings.min_rate_window_s
        self._window_bytes_needed = settings.min_rate_bytes_s * settings.min_rate_window_s
        self._total_bytes = 0
        self._head = bytearray()
        self._head_bytes: int | None = None
        self._limit_bytes = 0
        self._last = b""
        self._window_start_s: float | None = None
        self._window_bytes = 0

    def head_ended(self, *, limit_bytes: int) -> None:
        """The header block is read; a body of ``limit_bytes`` may follow, and as much again for its framing."""
        self._head_bytes = _head_length(bytes(self._head))
        self._head.clear()
        self._limit_bytes = self._total_bytes + 2 * limit_bytes + FRAMING_SLACK_BYTES

    def room_bytes(self) -> int:
        """How many bytes may come with the next read."""
        if self._head_bytes is None:
            room = self._max_header_bytes - self._total_bytes
            if room <= 0:
                raise PermanentError(
                    f"The answer's headers are larger than {self._max_header_bytes} bytes (ingest.max_header_bytes).",
                    reason="headers_too_large",
                )
            return room
        room = self._limit_bytes - self._total_bytes
        if room <= 0:
            raise PermanentError("The body's framing is larger than the body may be.", reason="too_large")
        return room

    def patience_s(self, now_s: float) -> float | None:
        """How long the next bytes may take to come; None as long as none has come, when only the fetch's deadline counts."""
        if self._window_start_s is None or not self._window_bytes_needed:
            return None
        windows = 2 if self._window_bytes >= self._window_bytes_needed else 1
        return max(0.0, self._window_start_s + windows * self._window_s - now_s)

    def received(self, data: bytes, now_s: float) -> None:
        self._total_bytes += len(data)
        self._last = data
        if self._head_bytes is None:
            self._head += data
        if self._window_start_s is None:
            self._window_start_s = now_s
        elif now_s >= self._window_start_s + self._window_s:
            if self._window_bytes < self._window_bytes_needed and data:  # the end comes never too late
                raise self.too_slow()
            self._window_start_s, self._window_bytes = now_s, 0
        self._window_bytes += len(data)

    def too_slow(self) -> TransientError:
        return TransientError(
            f"The server sends fewer than {self._window_bytes_needed:g} bytes in {self._window_s:g} s "
            "(ingest.min_rate_bytes_s). It is tried again later.",
            reason="too_slow",
        )

    def has_surplus(self, body_bytes: int) -> bool:
        """Whether more came than the header block and a body of ``body_bytes``, but for a last line break."""
        surplus = self._total_bytes - (self._head_bytes or 0) - body_bytes
        return surplus > 0 and bool(self._last[-surplus:].strip(b"\r\n") or surplus > len(self._last))


class MeteredStream(httpcore2.AsyncNetworkStream):
    """A connection whose reads a :class:`Meter` counts and bounds."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, meter: Meter) -> None:
        self._stream = stream
        self.meter = meter

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        clock = asyncio.get_running_loop().time
        room_bytes = self.meter.room_bytes()
        try:
            async with asyncio.timeout(self.meter.patience_s(clock())):
                data = await self._stream.read(min(max_bytes, room_bytes), timeout)
        except TimeoutError as exc:
            raise self.meter.too_slow() from exc
        self.meter.received(data, clock())
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        return MeteredStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self.meter)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _head_length(received: bytes) -> int:
    """Where the header block of the answer proper ends; informational ones (RFC 9110, section 15.2) may precede it."""
    end = 0
    while found := _BLANK_LINE.search(received, end):
        start, end = end, found.end()
        if not _INFORMATIONAL.match(received, start):
            break
    return end
