"""The metadata database: the truth that every index is derived from.

SQLite (WAL) when embedded, PostgreSQL when networked, with the same tables (``corpus/tables.py``). One :class:`Database`
belongs to one event loop; the service and the worker each open their own. Schema changes go through Alembic
(``corpus/migrations``) alone.

On both, readers see one snapshot and never wait, and there is **one writer at a time**: SQLite has no other way, and on
PostgreSQL each writing transaction begins by taking the same advisory lock. So what a transaction reads stays true until it
commits, whoever else writes, and no two can deadlock. Transactions are short: nothing is fetched or embedded inside one.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from corpus.errors import StorageFull, Unavailable
from corpus.tables import UtcDateTime

BUSY_TIMEOUT_S = 30.0
CHECKPOINT_WAIT_S = 0.5
CHECKPOINT_TRIES = 10
LOCK_POLL_S = 0.2
SYNC_DRIVERS = {"sqlite+aiosqlite": "sqlite"}  # psycopg is both
# Any number, the same for all: it names the right to write among PostgreSQL's advisory locks.
WRITER_LOCK = 0x666F6F74  # "foot"
POSTGRES_OPTIONS = {
    "connect_timeout": 10,
    "application_name": "footnote",
    # A writer that hangs must not keep all others waiting for ever, nor one whose machine is gone.
    "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)} -c idle_in_transaction_session_timeout=60000",
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
UNREACHABLE = "The metadata database can't be reached. Nothing was lost; try again when it is back."
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
T = TypeVar("T")


class Database:
    """A pool of connections to the metadata database, bound to the running event loop."""

    def __init__(self, *, url: str) -> None:
        self.url = url
        if url.startswith("postgresql"):
            options: dict[str, Any] = {"connect_args": POSTGRES_OPTIONS, "pool_pre_ping": True}
        else:
            options = {}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        snapshots = create_engine(sync_url(url), **options)
        if self.engine.dialect.name == "sqlite":
            _adapt_to_sqlite(self.engine.sync_engine)
            _adapt_to_sqlite(snapshots)
            reading: dict[str, Any] = {"footnote_read_only": True}
        else:
            event.listen(self.engine.sync_engine, "begin", _take_writer_lock)
            for engine in (self.engine.sync_engine, snapshots):
                event.listen(engine, "before_cursor_execute", _storable, retval=True)
            reading = {"footnote_read_only": True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._readers = self.engine.execution_options(**reading)
        self._row_writers = self.engine if self.is_one_file else self.engine.execution_options(footnote_one_row=True)
        self._snapshots = snapshots.execution_options(**reading)

    @property
    def is_one_file(self) -> bool:
        """SQLite: for one process alone."""
        return self.engine.dialect.name == "sqlite"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.dispose()
        await asyncio.to_thread(self._snapshots.dispose)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent snapshot and writes nothing.

        Raises:
            Unavailable: the database server is away.
        """
        with _reachable():
            async with self._readers.connect() as connection:
                yield connection

    async def snapshot(self, read: Callable[[Connection], T]) -> T:
        """Run ``read`` on one consistent snapshot, in a thread. For the hot path: aiosqlite pays a change of threads for
        every call (measured: 3.7 ms for a read of one row), this pays one for all. Raises as :meth:`read`."""
        return await asyncio.to_thread(self.snapshot_now, read)

    def snapshot_now(self, read: Callable[[Connection], T]) -> T:
        """:meth:`snapshot` for who is in a thread already. Blocks."""
        with _reachable(), self._snapshots.connect() as connection:
            return read(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed if the block ends well.

        Raises:
            StorageFull: the disk is full; the transaction was rolled back and nothing was lost.
            Unavailable: the database server is away. Whether the transaction was committed is then unknown if it broke off
                just then, so what is done in one must bear being done again.
        """
        with _reachable():
            try:
                async with self.engine.begin() as connection:
                    yield connection
            except OperationalError as exc:
                if is_disk_full(exc):
                    raise StorageFull(
                        "The disk that holds the database is full. Free some space and try again; nothing was lost."
                    ) from exc
                raise

    @asynccontextmanager
    async def write_row(self) -> AsyncIterator[AsyncConnection]:
        """As :meth:`write`, for what concerns one row and no other: on PostgreSQL it waits for no other writer, but for who
        holds that row. Raises: Unavailable."""
        with _reachable():
            async with self._row_writers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def alone(self, lock: int, *, wait: bool = True) -> AsyncIterator[bool]:
        """For the length of the block, the only process that holds this ``lock``, a number; gives False at once if another has
        it and one is not to ``wait``. Where there is one process, it is alone. Raises: Unavailable."""
        if self.is_one_file:
            yield True
            return
        with _reachable():
            options = {"footnote_read_only": True, "isolation_level": "AUTOCOMMIT"}
            async with self.engine.execution_options(**options).connect() as connection:
                while not (ours := await connection.scalar(select(func.pg_try_advisory_lock(lock)))) and wait:  # noqa: ASYNC110
                    await asyncio.sleep(LOCK_POLL_S)
                try:
                    yield bool(ours)
                finally:
                    if ours:
                        await connection.execute(select(func.pg_advisory_unlock(lock)))

    async def empty_log(self) -> bool:
        """Move what was committed into SQLite's file and empty its write-ahead log, which still holds what a deletion has
        blanked. False if a reader kept it from that. Nothing to do elsewhere: PostgreSQL's own log and vacuum are its
        operator's (``docs/scaling.md``)."""
        path = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or path is None:
            return True
        return await asyncio.to_thread(_empty_log, path)

    async def migrate(self) -> None:
        """Bring the schema to the newest revision. Safe to call at every start, and by several processes at once."""
        with _reachable():
            await asyncio.to_thread(upgrade_schema, self.url)


@contextmanager
def _reachable() -> Iterator[None]:
    """Tell a server that is away from a statement that is wrong."""
    try:
        yield
    except DBAPIError as exc:
        refused = exc.connection_invalidated or (isinstance(exc, OperationalError) and exc.statement is None)
        if refused and not is_disk_full(exc) and not isinstance(exc.orig, sqlite3.Error):
            raise Unavailable(UNREACHABLE) from exc
        raise


def _empty_log(path: str) -> bool:
    # Writers wait while it waits for readers, so it waits for a short time, and again.
    with closing(sqlite3.connect(path, timeout=CHECKPOINT_WAIT_S, isolation_level=None)) as connection:
        for _ in range(CHECKPOINT_TRIES):
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
    return False


def migrations() -> Config:
    """Where Alembic finds the schema's revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade_schema(url: str, revision: str = "head") -> None:
    config = migrations()
    config.attributes["url"] = url
    command.upgrade(config, revision)


def is_disk_full(exc: BaseException) -> bool:
    """True for ENOSPC however it is wrapped: as OSError, by SQLite, by Arrow or tantivy in their messages."""
    for seen in causes(exc):
        if isinstance(seen, StorageFull):
            return True
        if isinstance(seen, BaseExceptionGroup):
            return any(is_disk_full(one) for one in seen.exceptions)
        if isinstance(seen, OSError) and seen.errno == 28:
            return True
        text = str(seen).lower()
        if "database or disk is full" in text or "no space left on device" in text:
            return True
    return False


def causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what caused it, one after the other. An error that was kept and raised
    again may be its cause's cause, and those of pymilvus name themselves."""
    seen: BaseException | None = exc
    known: set[int] = set()
    while seen is not None and id(seen) not in known:
        known.add(id(seen))
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__


def sync_url(url: str) -> str:
    """The same database for synchronous use."""
    driver, _, rest = url.partition("://")
    return f"{SYNC_DRIVERS.get(driver, driver)}://{rest}"


def postgres_url(url: str) -> str:
    """SQLAlchemy's name for a PostgreSQL server's address, which is written postgresql://user:password@host:port/database."""
    return url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)


def _take_writer_lock(connection: Any) -> None:
    options = connection.get_execution_options()
    if not options.get("footnote_read_only", False) and not options.get("footnote_one_row", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")


def _storable(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
    """PostgreSQL's texts hold neither NUL nor half a surrogate pair, which strangers send: nothing is called that, and what a
    message quotes of it is replaced."""
    if isinstance(parameters, dict):
        return statement, {name: _storable_text(value) for name, value in parameters.items()}
    return statement, [{name: _storable_text(value) for name, value in row.items()} for row in parameters]


def _storable_text(value: Any) -> Any:
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else value


def _adapt_to_sqlite(engine: Engine) -> None:
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)


def _prepare_sqlite(dbapi_connection: Any, _: object) -> None:
    # pysqlite's own transaction handling would begin too late and deferred; BEGIN is ours (see _begin_immediate).
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    # A deferred transaction that reads and then writes can fail with SQLITE_BUSY at once, whatever the time-out.
    read_only = connection.get_execution_options().get("footnote_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def sqlite_url(path: Path, *, driver: str = "sqlite+aiosqlite") -> str:
    return f"{driver}:///{path}"


def utc_now() -> datetime:
    return datetime.now(UTC)


def database_now(dialect: Dialect) -> ColumnElement[datetime]:
    """The time as the database tells it, for what the clocks of several machines must agree on."""
    if dialect.name == "sqlite":
        return literal(utc_now(), UtcDateTime())
    return func.clock_timestamp(type_=UtcDateTime())
