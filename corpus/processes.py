"""Which processes have the corpus open, and what becomes of the work of those that die.

With PostgreSQL and a Milvus server there may be many: services that answer, workers that ingest. Each has an id, which stands
at whatever it has begun: URLs that it visits, versions that it writes, a turn at a host. All of that is its own as long as it
is registered and says every few seconds that it lives. One that was silent for ``database.process_timeout_s`` is marked dead,
which gives all of that up at once, and its jobs are taken over by a worker (``ingest/worker.py``). If it was only slow, what it
commits afterwards is no longer its own and is dropped, so nothing is done twice.

Times are the database's: the clocks of several machines need not agree.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Engine, ScalarSelect, Select, create_engine, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import POSTGRES_OPTIONS, WRITER_LOCK, Database, database_now, sync_url
from corpus.errors import Conflict, StartupError
from corpus.tables import ProcessRow

log = logging.getLogger(__name__)

EMBEDDED = "embedded"  # the id of a process that has the corpus to itself, whichever it is
BEATS = 5  # in the time after which a silent process is dead
_ALIVE = ProcessRow.dead_at.is_(None)


@dataclass(frozen=True, slots=True)
class Process:
    """A registered process. ``silent_s``: for how long it hasn't been heard of."""

    id: str
    role: str
    host: str
    pid: int
    started_at: datetime
    silent_s: float
    dead: bool


def living() -> ScalarSelect[Any]:
    """The ids of the processes whose work is their own."""
    return select(ProcessRow.id).where(_ALIVE).scalar_subquery()


def is_free(owner: Any, *, me: str) -> ColumnElement[bool]:
    """Whether what ``owner`` (a column) names as its own may be taken by ``me``."""
    found: ColumnElement[bool] = owner.is_(None) | (owner == me) | owner.not_in(living())
    return found


def listed(connection: Connection) -> list[Process]:
    """All registered processes, the oldest first."""
    now: datetime = connection.scalar(select(database_now(connection.dialect)))  # type: ignore[assignment]
    rows = connection.execute(select(ProcessRow).order_by(ProcessRow.started_at)).all()
    return [
        Process(row.id, row.role, row.host, row.pid, row.started_at, (now - row.seen_at).total_seconds(), row.dead_at is not None)
        for row in rows
    ]


class Presence:
    """This process' place among the others, from ``__enter__`` to ``__exit__``. Blocks; both may be called in a thread.

    ``place`` names the data directory, which this process alone has open. With ``shares_index`` there may be others beside it;
    else it is the only one, for its index is a file that no other sees.

    The heart beats in a thread of its own, so that a busy event loop isn't taken for a dead process.
    """

    def __init__(self, *, database_url: str, id: str, role: str, place: str, shares_index: bool, timeout_s: float) -> None:
        self.id = id
        self._row = {"id": id, "role": role, "host": platform.node()[:255], "pid": os.getpid(), "place": place}
        self._row |= {"shares_index": shares_index}
        self._timeout_s = timeout_s
        options = {"connect_args": POSTGRES_OPTIONS} if database_url.startswith("postgresql") else {}
        self._engine: Engine = create_engine(sync_url(database_url), pool_pre_ping=True, pool_size=1, **options)
        self._stopping = threading.Event()
        self._beating = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self._steady_since = time.monotonic() - (1 - 2 / BEATS) * timeout_s  # a start reached the database just now

    @property
    def is_steady(self) -> bool:
        """Whether this process has been heard of all the time, long enough to judge others: after an outage of the database
        all have been silent, and none need be dead."""
        return time.monotonic() - self._steady_since > self._timeout_s

    async def others(self, database: Database) -> Sequence[Process]:
        """The living processes beside this one."""
        there = await database.snapshot(listed)
        return [one for one in there if not one.dead and one.silent_s <= self._timeout_s and one.id != self.id]

    async def demand_alone(self, database: Database) -> None:
        """For what changes the index under all who use it. Raises: Conflict, if there are others."""
        if there := await self.others(database):
            named = ", ".join(f"the {one.role} {one.pid} on {one.host}" for one in there[:5])
            raise Conflict(
                f"Other processes use this index ({named}) and would go on with the old one. Stop all but this one, reindex, and "
                "start them again."
            )

    def __enter__(self) -> Self:
        """Raises: StartupError, if another process has an index of its own to these pages, or has one where this has not."""
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":  # of two that start at once, one must see the other
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
                self._refuse_strangers(connection)
                self._register(connection)
        except BaseException:
            self._engine.dispose()
            raise
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._beating.join()
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(ProcessRow).where(ProcessRow.id == self.id))
        except SQLAlchemyError as exc:
            log.warning("this process couldn't sign off, so it will be missed: %s", exc)
        self._engine.dispose()

    def _refuse_strangers(self, connection: Connection) -> None:
        now: datetime = connection.scalar(select(database_now(connection.dialect)))  # type: ignore[assignment]
        here = ProcessRow.place == self._row["place"]
        # Whoever was here is dead: a data directory has one owner.
        connection.execute(update(ProcessRow).where(here, _ALIVE).values(dead_at=now))
        alive = _ALIVE & (ProcessRow.seen_at > now - timedelta(seconds=self._timeout_s))
        strange = alive if not self._row["shares_index"] else alive & ~ProcessRow.shares_index
        other = connection.execute(select(ProcessRow).where(strange).limit(1)).first()
        if other is None:
            return
        raise StartupError(
            f"Another Footnote (process {other.pid} on {other.host}) uses the same PostgreSQL database, and one of the two keeps "
            "its index in its data directory, where the other would not find it. For several processes set milvus.uri to a "
            "Milvus server in all of them; else stop the other one, or give this one a database of its own."
        )

    def _register(self, connection: Connection) -> None:
        now = database_now(connection.dialect)
        connection.execute(delete(ProcessRow).where(ProcessRow.id == self.id))
        connection.execute(insert(ProcessRow).values(**self._row, started_at=now, seen_at=now))

    def _beat_on(self) -> None:
        trouble = False
        while not self._stopping.wait(self._timeout_s / BEATS):
            try:
                self._beat()
                trouble = False
            except SQLAlchemyError as exc:
                self._steady_since = time.monotonic()
                if not trouble:
                    log.warning("the other processes don't hear of this one, as the database can't be reached: %s", exc)
                trouble = True

    def _beat(self) -> None:
        with self._engine.begin() as connection:
            ours = update(ProcessRow).where(ProcessRow.id == self.id, _ALIVE).values(seen_at=database_now(connection.dialect))
            if connection.execute(ours).rowcount:
                return
            self._steady_since = time.monotonic()
            self._register(connection)
        log.error(
            "this process was taken for dead, as it was silent for %g s: what it was doing is done by others. It goes on.",
            self._timeout_s,
        )


async def find_dead(database: Database, *, timeout_s: float) -> Sequence[str]:
    """Mark those dead that have been silent for so long, and give the ids of all dead ones: they stay listed until their jobs
    were taken over (:func:`bury`). Raises: Unavailable."""
    if not any(one.dead or one.silent_s > timeout_s for one in await database.snapshot(listed)):
        return []  # looked at first, so that nobody waits for a write lock every few seconds
    async with database.write() as connection:
        now = await _now(connection)
        silent = (ProcessRow.seen_at < now - timedelta(seconds=timeout_s)) & _ALIVE
        for row in (await connection.execute(select(ProcessRow).where(silent))).all():
            log.warning("the %s %s (process %d on %s) is dead: its work is taken over", row.role, row.id, row.pid, row.host)
        await connection.execute(update(ProcessRow).where(silent).values(dead_at=now))
        return list(await connection.scalars(select(ProcessRow.id).where(~_ALIVE)))


async def bury(database: Database, ids: Sequence[str]) -> None:
    """Forget dead processes, whose work was taken over."""
    async with database.write() as connection:
        await connection.execute(delete(ProcessRow).where(ProcessRow.id.in_(ids), ~_ALIVE))


async def _now(connection: AsyncConnection) -> datetime:
    statement: Select[Any] = select(database_now(connection.dialect))
    return (await connection.execute(statement)).scalar_one()  # type: ignore[no-any-return]
