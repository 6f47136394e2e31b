"""Stopping without cutting anybody off: open requests get their end, new ones are told to come back."""

from __future__ import annotations

import asyncio
import logging

import uvicorn

from app.state import Readiness

log = logging.getLogger(__name__)

LAST_WORDS_S = 5  # for answers to end once the model has been stopped: they are finished from their quotes
POLL_S = 0.1


class DrainingServer(uvicorn.Server):
    """A uvicorn server that goes on listening while it drains.

    From SIGTERM or SIGINT on, new requests are refused (503 with Retry-After; /readyz says so too). Open ones may finish for
    ``grace_s``; then the model is stopped and answers end with what they have. uvicorn alone would close the port at once and
    cut open streams off.
    """

    def __init__(self, config: uvicorn.Config, *, readiness: Readiness, grace_s: float) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._grace_s = grace_s

    async def main_loop(self) -> None:
        await super().main_loop()
        if self._readiness.state == "ready":
            await self._drain()

    async def _drain(self) -> None:
        self._readiness.stop()
        left = set(self.server_state.tasks)
        if left:
            log.info("stopping: %d open requests may finish within %g s", len(left), self._grace_s)
        left = await self._finish(left, self._grace_s)
        if left:
            log.info("stopping: %d requests are still open, and the language model is stopped", len(left))
            self._readiness.out_of_time.set()
            await self._finish(left, LAST_WORDS_S)

    async def _finish(self, left: set[asyncio.Task[None]], timeout_s: float) -> set[asyncio.Task[None]]:
        """Wait until all are done, the time is up, or nothing is to be waited for any more (a second signal)."""
        until = asyncio.get_running_loop().time() + timeout_s
        while left and not self.force_exit and (remaining := until - asyncio.get_running_loop().time()) > 0:
            _, left = await asyncio.wait(left, timeout=min(POLL_S, remaining))
        return left
