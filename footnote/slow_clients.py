"""Connections of clients that don't send, or don't read: each is ended after a while, so that none is held for ever.

uvicorn ends idle connections between requests; these are the two cases it leaves open.
"""

from __future__ import annotations

import asyncio
import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)


class ImpatientProtocol(HttpToolsProtocol):
    """``receive_s``: a request must arrive whole, head and body, within so long. ``send_s``: a client whose buffers are full must
    read on within so long."""

    receive_s: float
    send_s: float

    _arriving: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_is_there()
        self._client_reads()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if self._arriving is None:
            self._await_request()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._request_is_there()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.send_s, self._end, "its client has stopped reading")

    def resume_writing(self) -> None:
        self._client_reads()
        super().resume_writing()

    def _await_request(self) -> None:
        self._arriving = self.loop.call_later(self.receive_s, self._end, "no whole request came")

    def _request_is_there(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _client_reads(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _end(self, why: str) -> None:
        log.info("ended a connection from %s: %s", self.client[0] if self.client else "somewhere", why)
        self.transport.abort()


def impatient(*, receive_s: float, send_s: float) -> type[ImpatientProtocol]:
    return type("ImpatientProtocol", (ImpatientProtocol,), {"receive_s": receive_s, "send_s": send_s})
