"""Admission to a bounded number of slots, with a bounded queue before them, fair between those who ask.

Round robin: whoever has the fewest answers being written is next, and of those whoever has waited longest since they asked or
were last served. So one who asks twenty things at once, or for long answers, takes what others leave, and never their turn.
A queue that is full makes room for one who has less waiting than another at that one's cost (longest queue drop; Suter et al.,
"Design Considerations for Supporting TCP with Per-flow Queueing", INFOCOM 1998).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from corpus.errors import Overloaded

RETRY_AFTER_S = 5


@dataclass(slots=True)
class _Asker:
    """``waiting``: when each asked, and what tells it that its turn has come; the oldest first. ``served``: when it last
    got a slot or left one."""

    running: int = 0
    served: int = 0
    waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    @property
    def claim(self) -> tuple[int, int]:
        """The least is next."""
        return self.running, max(self.served, self.waiting[0][0])


class Admission:
    """More than ``queue_limit`` waiting are refused at once rather than left to time out. For one event loop."""

    def __init__(self, *, slots: int, queue_limit: int) -> None:
        self._slots = slots
        self._queue_limit = queue_limit
        self._askers: dict[str, _Asker] = {}  # those alone who wait or are answered
        self._clock = 0  # counts askings and turns

    @property
    def running(self) -> int:
        return sum(asker.running for asker in self._askers.values())

    @property
    def waiting(self) -> int:
        return sum(len(asker.waiting) for asker in self._askers.values())

    @asynccontextmanager
    async def slot(self, name: str = "") -> AsyncIterator[None]:
        """``name``: who asks, as far as turns go. Raises: Overloaded, also while waiting."""
        asker = self._askers.get(name) or _Asker()
        if self.running >= self._slots and self.waiting >= self._queue_limit:
            self._make_room(len(asker.waiting))
        turn = asyncio.get_running_loop().create_future()
        entry = (self._tick(), turn)
        self._askers[name] = asker
        asker.waiting.append(entry)
        self._serve()
        try:
            await turn
        except BaseException:
            if entry in asker.waiting:
                asker.waiting.remove(entry)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came as it gave up
                asker.running -= 1
            self._serve()
            raise
        try:
            yield
        finally:
            asker.running -= 1
            asker.served = self._tick()
            self._serve()

    def _make_room(self, own: int) -> None:
        """Raises: Overloaded, if nobody has more waiting than the one who comes would have then."""
        refusal = f"{self.waiting} questions are waiting already. Try again in a moment."
        greediest = max(self._askers.values(), key=lambda asker: len(asker.waiting))
        if len(greediest.waiting) <= own + 1:
            raise Overloaded(refusal, retry_after_s=RETRY_AFTER_S)
        _, last = greediest.waiting.pop()
        if not last.done():  # else it has given up, and is about to hear of it
            last.set_exception(Overloaded(refusal, retry_after_s=RETRY_AFTER_S))

    def _serve(self) -> None:
        """Give free slots to whom they belong next, and forget who neither waits nor is answered."""
        while self.running < self._slots and (waiting := [asker for asker in self._askers.values() if asker.waiting]):
            asker = min(waiting, key=lambda one: one.claim)
            _, turn = asker.waiting.pop(0)
            if not turn.cancelled():  # else it has given up, and is about to hear of it
                asker.running += 1
                asker.served = self._tick()
                turn.set_result(None)
        self._askers = {name: asker for name, asker in self._askers.items() if asker.waiting or asker.running}

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
