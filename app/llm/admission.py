"""Admission to a bounded number of slots, with a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from corpus.errors import Overloaded


class Admission:
    """First come, first served. More than ``queue_limit`` waiting are refused at once rather than left to time out."""

    def __init__(self, *, slots: int, queue_limit: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._queue_limit = queue_limit
        self.waiting = 0
        self.running = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Raises: Overloaded."""
        if self._slots.locked() and self.waiting >= self._queue_limit:
            raise Overloaded(f"{self.waiting} questions are waiting already. Try again in a moment.", retry_after_s=5)
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()
