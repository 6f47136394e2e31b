"""Per-host pacing where several workers fetch: :class:`ingest.politeness.Politeness`, with the hosts in the database.

One request in flight per host over all workers, the pause between the starts of two, what the host's answers ask for: all of
it is one row a host, which is changed by who holds its row lock. Two short transactions a request; at most a few a second and
host wait for their turn by asking again. The database's clock counts, since those of several machines don't agree.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, database_now
from corpus.errors import Unavailable
from corpus.generations import insert_or_ignore
from corpus.tables import HostRow, ProcessRow
from ingest.politeness import adapted_pause_s

log = logging.getLogger(__name__)

HELD_POLL_S = 0.1  # before one asks again for a host that another worker has a request in flight at
LONGEST_SLEEP_S = 5.0  # and at the latest, as what a host asks for may change
RELEASE_TRIES_S = (0.2, 1.0, 3.0)
_MAX_HOSTS = 1_000  # remembered before idle ones are forgotten


@dataclass(slots=True)
class _Local:
    """What this process knows of a host, and hasn't told yet. ``adaptive_s`` is the row's, as of the last turn."""

    delay_s: float | None = None  # None: it hasn't learnt it, so the row's counts
    known_delay_s: float = 0.0
    adaptive_s: float = 0.0
    adapted: bool = False
    hold_until_s: float = 0.0  # of the process' own clock
    turn_s: float = 0.0  # when the newest turn began
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # first come, first served within the process


async def database_seconds(connection: AsyncConnection) -> float:
    """Seconds since 1970, as the database tells the time."""
    now: datetime = (await connection.execute(select(database_now(connection.dialect)))).scalar_one()
    return now.timestamp()


class SharedPoliteness:
    """As :class:`ingest.politeness.Politeness`.

    Args:
        me: this process' id (``corpus/processes.py``). A turn is free again once its holder is dead.
        longest_turn_s: a turn that is held for longer, by whoever, is free again.
        now: seconds by the clock that all processes share, asked in a transaction.
        clock: seconds of this process' own.
    """

    def __init__(
        self,
        *,
        database: Database,
        me: str,
        delay_s: float,
        max_delay_s: float,
        longest_turn_s: float,
        now: Callable[[AsyncConnection], Awaitable[float]] = database_seconds,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._me = me
        self._delay_s = delay_s
        self._max_delay_s = max_delay_s
        self._longest_turn_s = longest_turn_s
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._hosts: defaultdict[str, _Local] = defaultdict(_Local)

    def delay_for(self, host: str) -> float:
        """Seconds between the starts of two requests to ``host``, as far as this process knows."""
        local = self._hosts.get(host)
        return self._delay_s if local is None else self._pause_s(local)

    def set_delay(self, host: str, delay_s: float) -> None:
        """Pace ``host`` at ``delay_s``; the others learn it with the next turn."""
        self._local(host).delay_s = delay_s

    def hold_off(self, host: str, wait_s: float) -> None:
        """Start nothing at ``host`` for ``wait_s`` seconds from now. Known to all when this turn ends."""
        local = self._local(host)
        local.hold_until_s = max(local.hold_until_s, self._clock() + wait_s)

    def answered(self, host: str, *, answer_s: float, is_overloaded: bool) -> None:
        """Pace ``host`` by what its last answer took, or showed. Known to all when this turn ends."""
        if self._delay_s == 0:
            return
        local = self._local(host)
        local.adaptive_s = adapted_pause_s(
            self._pause_s(local), answer_s=answer_s, is_overloaded=is_overloaded, longest_s=self._max_delay_s
        )
        local.adapted = True

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for one's turn at ``host`` and hold it. Raises: Unavailable, if the database is away."""
        local = self._local(host)
        local.users += 1
        try:
            async with local.lock:
                while (wait_s := await self._take(host, local)) > 0:
                    await self._sleep(min(wait_s, LONGEST_SLEEP_S))
                try:
                    yield
                finally:
                    await asyncio.shield(self._give_back(host, local, local.turn_s))
        finally:
            local.users -= 1

    async def _take(self, host: str, local: _Local) -> float:
        """Take the host if it is free and ready; 0, or the seconds to wait before the next try."""
        async with self._database.write_row() as connection:
            row = await self._row(connection, host)
            now_s = await self._now(connection)
            local.known_delay_s = row.delay_s
            if not local.adapted:
                local.adaptive_s = row.adaptive_s
            if row.held_until_s > now_s and await self._is_held(connection, row.held_by):
                return HELD_POLL_S * random.uniform(0.5, 1.5)
            hold_s = max(0.0, local.hold_until_s - self._clock())
            ready_s = max(row.last_start_s + self._pause_s(local), row.not_before_s, now_s + hold_s)
            if ready_s > now_s:
                return float(ready_s - now_s)
            taken = {"held_by": self._me, "held_until_s": now_s + self._longest_turn_s, "last_start_s": now_s}
            taken["delay_s"] = row.delay_s if local.delay_s is None else local.delay_s
            await connection.execute(update(HostRow).where(HostRow.host == host).values(taken))
        local.turn_s = now_s
        return 0.0

    async def _give_back(self, host: str, local: _Local, turn_s: float) -> None:
        for wait_s in (*RELEASE_TRIES_S, None):
            try:
                async with self._database.write_row() as connection:
                    await self._release(connection, host, local, turn_s)
                return
            except Unavailable as exc:
                if wait_s is None:
                    log.warning("%s is left alone for up to %g s: %s", host, self._longest_turn_s, exc.message)
                else:
                    await asyncio.sleep(wait_s)

    async def _release(self, connection: AsyncConnection, host: str, local: _Local, turn_s: float) -> None:
        row = await self._row(connection, host)
        hold_s = max(0.0, local.hold_until_s - self._clock())
        values: dict[str, Any] = {"adaptive_s": local.adaptive_s} if local.adapted else {}
        if hold_s:
            values["not_before_s"] = max(row.not_before_s, await self._now(connection) + hold_s)
        if row.held_by == self._me and row.last_start_s == turn_s:  # and no later turn, of ours or of others
            values["held_by"] = None
        if values:
            await connection.execute(update(HostRow).where(HostRow.host == host).values(values))
        local.adapted = False

    async def _row(self, connection: AsyncConnection, host: str) -> Any:
        """The host's row, which nobody else changes until the transaction ends."""
        wanted = select(HostRow).where(HostRow.host == host).with_for_update()
        if (row := (await connection.execute(wanted)).first()) is not None:
            return row
        new = {"host": host, "delay_s": self._delay_s, "adaptive_s": 0.0, "last_start_s": 0.0, "not_before_s": 0.0}
        await connection.execute(insert_or_ignore(connection, HostRow).values(new | {"held_by": None, "held_until_s": 0.0}))
        return (await connection.execute(wanted)).one()

    async def _is_held(self, connection: AsyncConnection, process: str | None) -> bool:
        """By a living process. Not by this one, which has one turn at a time: a turn that was cancelled as it began is over."""
        if process is None or process == self._me:
            return False
        is_alive = select(ProcessRow.id).where(ProcessRow.id == process, ProcessRow.dead_at.is_(None))
        return await connection.scalar(is_alive) is not None

    def _pause_s(self, local: _Local) -> float:
        delay_s = local.delay_s if local.delay_s is not None else max(self._delay_s, local.known_delay_s)
        return max(delay_s, local.adaptive_s)

    def _local(self, host: str) -> _Local:
        if host not in self._hosts and len(self._hosts) >= _MAX_HOSTS:
            self._hosts = defaultdict(_Local, {name: one for name, one in self._hosts.items() if one.users})
        return self._hosts[host]


async def forget_hosts(database: Database, *, idle_for: timedelta) -> None:
    """Hosts that nothing was asked of for so long are met anew."""
    async with database.write() as connection:
        before_s = await database_seconds(connection) - idle_for.total_seconds()
        idle = (HostRow.last_start_s < before_s) & (HostRow.held_until_s < before_s) & (HostRow.not_before_s < before_s)
        await connection.execute(delete(HostRow).where(idle))
