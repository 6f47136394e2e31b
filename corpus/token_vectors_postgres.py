"""Token vectors in PostgreSQL, where several processes share them: as ``corpus/token_vectors.py`` keeps them in SQLite.

Each index has a table of its own, so that the one that a reindex replaced is dropped instead of being deleted row by row. The
tables stand in a schema of their own and are none of the metadata's migrations: what they hold is derived, and a dump may leave
them out (``pg_dump --exclude-schema``). Read and written in PostgreSQL's binary format: in text, each byte would be two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from corpus.database import POSTGRES_OPTIONS, UNREACHABLE
from corpus.embedding import Float32
from corpus.errors import Unavailable
from corpus.store import IdRange, IndexFailure, PackedTokens
from corpus.token_vectors import TokenRow, packed, quantise, unpacked

log = logging.getLogger(__name__)

SCHEMA = "footnote_index"
MAKING_LOCK = 0x666F6F75  # among PostgreSQL's advisory locks: the right to make or drop what isn't there
POOL_SIZE, POOL_OVERFLOW = 4, 12


def token_engine(url: str) -> Engine:
    """A pool of connections for token vectors. ``url`` as SQLAlchemy writes it."""
    return create_engine(
        url,
        connect_args=POSTGRES_OPTIONS,
        pool_pre_ping=True,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        isolation_level="READ COMMITTED",
    )


class PostgresTokenStore:
    """The token vectors of one index. The engine is closed by whoever made it."""

    def __init__(self, *, engine: Engine, number: int) -> None:
        self._engine = engine
        self._table = table_of(number)
        with self._cursor() as cursor:
            if cursor.execute("SELECT to_regclass(%t)", (self._table,)).fetchone() == (None,):
                self._make(cursor)

    def upsert(self, ids: Sequence[str], tokens: Sequence[Float32]) -> None:
        rows = []
        for chunk_id, matrix in zip(ids, tokens, strict=True):
            scales, values = quantise(matrix)
            rows.append((chunk_id, len(matrix), scales.tobytes(), values.tobytes()))
        with self._cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {self._table} VALUES (%b, %b, %b, %b) ON CONFLICT (id) DO UPDATE SET "
                "count = EXCLUDED.count, scales = EXCLUDED.scales, values_i8 = EXCLUDED.values_i8",
                rows,
            )

    def load(self, ids: Sequence[str]) -> dict[str, Float32]:
        return unpacked(self._rows(ids))

    def load_packed(self, ids: Sequence[str], *, dimension: int) -> PackedTokens | None:
        return packed(self._rows(ids), dimension=dimension)

    def present(self, ids: Sequence[str]) -> set[str]:
        return {row[0] for row in self._fetch(f"SELECT id FROM {self._table} WHERE id = ANY(%b)", list(ids))}

    def ids(self, within: IdRange) -> list[str]:
        if not within.last:
            return [row[0] for row in self._fetch(f"SELECT id FROM {self._table}")]
        between = f"SELECT id FROM {self._table} WHERE id >= %b AND id < %b"
        return [row[0] for row in self._fetch(between, within.first, within.beyond)]

    def delete(self, ids: Sequence[str]) -> None:
        with self._cursor() as cursor:
            cursor.execute(f"DELETE FROM {self._table} WHERE id = ANY(%b)", (list(ids),))

    def count(self) -> int:
        return int(self._fetch(f"SELECT count(*) FROM {self._table}")[0][0])

    def close(self) -> None:
        """Connections belong to the engine."""

    def _rows(self, ids: Sequence[str]) -> list[TokenRow]:
        return self._fetch(f"SELECT id, count, scales, values_i8 FROM {self._table} WHERE id = ANY(%b)", list(ids))

    def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Raises: Unavailable, whatever the server says: nothing is answered with fewer vectors than there are."""
        try:
            with self._cursor() as cursor:
                return cursor.execute(statement, parameters).fetchall()
        except IndexFailure as exc:
            log.error("PostgreSQL refused to read token vectors: %s", exc.__cause__)
            raise Unavailable("The token vectors can't be read. The log holds what PostgreSQL said.") from exc

    def _make(self, cursor: psycopg.Cursor[Any]) -> None:
        """Several processes may do so at once."""
        cursor.execute(f"SELECT pg_advisory_xact_lock({MAKING_LOCK})")
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        cursor.execute(
            f'CREATE TABLE IF NOT EXISTS {self._table} (id text COLLATE "C" PRIMARY KEY, count integer NOT NULL, '
            "scales bytea NOT NULL, values_i8 bytea NOT NULL)"
        )
        for column in ("scales", "values_i8"):  # as random as they are, packing them would only take time
            cursor.execute(f"ALTER TABLE {self._table} ALTER COLUMN {column} SET STORAGE EXTERNAL")

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        with _classified(), self._engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            try:
                with driver.cursor(binary=True) as cursor:
                    yield cursor
            except psycopg.Error:
                if driver.broken:
                    connection.invalidate()
                raise


def table_of(number: int) -> str:
    return f"{SCHEMA}.tokens_{number:d}"


def token_tables(engine: Engine) -> set[int]:
    """The numbers of the indexes that have a table. Raises: Unavailable."""
    listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_name ~ '^tokens_[0-9]+$'"
    with _classified(), engine.connect() as connection:
        found = connection.exec_driver_sql(listed, (SCHEMA,)).all()
    return {int(row[0].removeprefix("tokens_")) for row in found}


def drop_tokens(engine: Engine, number: int) -> None:
    """Raises: Unavailable."""
    with _classified(), engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table_of(number)}")


@contextmanager
def alone(engine: Engine, lock: int) -> Iterator[None]:
    """Hold one of PostgreSQL's advisory locks, waiting for whoever does. Raises: Unavailable; IndexFailure after
    ``BUSY_TIMEOUT_S``."""
    with ExitStack() as stack:
        with _classified():
            connection = stack.enter_context(engine.begin())
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock:d})")
        yield  # outside: what fails here is the caller's own


@contextmanager
def _classified() -> Iterator[None]:
    """Tell a server that is away from one that refuses, whether SQLAlchemy or the driver met it."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        away = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and getattr(cause, "sqlstate", None) in (
            None,
            "57P01",
            "57P02",
            "57P03",
        )
        if away or (isinstance(exc, DBAPIError) and exc.connection_invalidated):
            raise Unavailable(UNREACHABLE) from exc
        raise IndexFailure("PostgreSQL refused") from exc
