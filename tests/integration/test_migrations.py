"""The schema's history: every revision leads to the models, and what an older release stored survives the way."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, text

from corpus.database import Base, sqlite_url, upgrade_schema

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
