"""The schema's history: every revision leads to the models, and what an older release stored survives the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Column, Connection, DateTime, Engine, Float, Integer, MetaData, create_engine, select, text
from sqlalchemy.types import JSON

from corpus.database import migrations, postgres_url, sqlite_url, upgrade_schema
from corpus.tables import Base
from tests.postgres import PostgresServer

REVISIONS = [script.revision for script in reversed(list(ScriptDirectory.from_config(migrations()).walk_revisions()))]
SOME_DAY = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)

OLD_ROWS = (
    "INSERT INTO collections (id, name, created_at) VALUES (1, 'default', '2026-11-01 00:00:00')",
    "INSERT INTO pages (id, collection_id, url, live_generation, created_at) "
    "VALUES ('p', 1, 'https://h/', 7, '2026-11-01 00:00:00')",
    "INSERT INTO generations (id, page_id, state, title, text, blocks, content_hash, links, fetched_at, chunk_count) "
    "VALUES (7, 'p', 'live', 'T', 'text', '[]', 'hash', '[]', '2026-11-01 00:00:00', 0)",
    "INSERT INTO jobs (id, collection_id, spec, state, cancel_requested, created_at) "
    "VALUES ('j', 1, '{}', 'running', 0, '2026-11-01 00:00:00')",
    "INSERT INTO urls (job_id, url, depth, state, attempts, moved_here, chunks) "
    "VALUES ('j', 'https://h/', 0, 'pending', 0, 0, 0)",
)


def engine_at(path: Path, revision: str) -> Engine:
    url = sqlite_url(path, driver="sqlite")
    upgrade_schema(url, revision)
    return create_engine(url)


def count(connection: Connection, table: str) -> int:
    return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def test_the_newest_revision_is_what_the_models_say(tmp_path: Path) -> None:
    engine = engine_at(tmp_path / "new.sqlite", "head")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_an_index_of_the_first_schema_is_carried_over(tmp_path: Path) -> None:
    engine = engine_at(tmp_path / "old.sqlite", "0001")
    with engine.begin() as connection:
        for row in OLD_ROWS:
            connection.execute(text(row))
    engine.dispose()
    engine = engine_at(tmp_path / "old.sqlite", "head")
    with engine.connect() as connection:
        assert [count(connection, table) for table in ("pages", "generations", "jobs", "urls")] == [1, 1, 1, 1]
        job = connection.execute(text("SELECT pause_requested, run, removed, source_id FROM jobs")).one()
        assert tuple(job) == (0, 1, 0, None)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any table."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "old.sqlite", driver="sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return postgres_url(server.empty_database())


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def value_for(column: Column[Any]) -> Any:
    """Something to find again: every column is filled, those that may be empty too."""
    found: list[tuple[type[Any], Any]] = [(Boolean, True), (Integer, 7), (Float, 2.5), (DateTime, SOME_DAY), (JSON, ["a", 1])]
    return next((value for kind, value in found if isinstance(column.type, kind)), f"{column.name} ä"[:8])


def stored(connection: Connection, tables: MetaData) -> dict[str, list[dict[str, Any]]]:
    def comparable(row: Any) -> dict[str, Any]:
        return {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}

    return {
        table.name: [comparable(row) for row in connection.execute(select(*table.columns)).mappings()]
        for table in tables.sorted_tables
    }


def test_there_is_one_newest_revision() -> None:
    assert len(ScriptDirectory.from_config(migrations()).get_heads()) == 1


@pytest.mark.parametrize("revision", REVISIONS)
def test_all_that_any_release_stored_is_there_after_an_upgrade(new_url: str, revision: str) -> None:
    """A row in every table with every column filled, as the schema was then."""
    upgrade_schema(new_url, revision)
    then = MetaData()
    with connected(new_url) as connection:
        then.reflect(connection)
        then.remove(then.tables["alembic_version"])
        for table in then.sorted_tables:
            # What refers to another row refers to the one that there is.
            key = {
                column.name: value_for(next(iter(column.foreign_keys)).column) for column in table.columns if column.foreign_keys
            }
            connection.execute(table.insert().values({column.name: value_for(column) for column in table.columns} | key))
        before = stored(connection, then)
    upgrade_schema(new_url)
    with connected(new_url) as connection:
        assert stored(connection, then) == before
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
