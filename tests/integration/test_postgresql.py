"""The metadata database on a real PostgreSQL. What holds on both is tested for both: ``pytest --postgresql``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from dbos import DBOSClient
from pydantic import ValidationError
from sqlalchemy import create_engine, func, insert, select, text, update

from corpus.database import Database, postgres_url, upgrade_schema, utc_now
from corpus.errors import Unavailable
from corpus.generations import bump_epoch
from corpus.jobs import Jobs
from corpus.model import IngestMode, JobState, UrlState
from corpus.pages import Pages
from corpus.settings import DatabaseSettings, Settings
from corpus.sources import JobSpec
from corpus.tables import Base, ChunkRow, CollectionRow, FactRow, PageRow
from ingest.worker import IngestWorker
from tests.fakes import FakeEmbedder
from tests.integration.test_migrations import OLD_ROWS
from tests.integration.test_worker import Gate, html
from tests.postgres import PostgresServer
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page
from tests.shelf import open_shelf

WRITERS, TURNS = 4, 10


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    async with Database(url=postgres_url(postgres.fresh_database())) as opened:
        yield opened


async def epoch(database: Database) -> int:
    async with database.read() as connection:
        value = await connection.scalar(select(FactRow.value).where(FactRow.key == "epoch"))
    return int(value["count"]) if value else 0


async def test_what_a_writer_read_stays_true_until_it_commits(database: Database) -> None:
    """Each adds one to a number that it read before: without one writer at a time, some of them are lost."""
    async with database.write() as connection:
        await bump_epoch(connection)

    async def count() -> None:
        async with Database(url=database.url) as own:
            for _ in range(TURNS):
                async with own.write() as connection:
                    await bump_epoch(connection)

    await asyncio.gather(*(count() for _ in range(WRITERS)))
    assert await epoch(database) == 1 + WRITERS * TURNS


async def test_a_reader_sees_one_moment_and_waits_for_nobody(database: Database) -> None:
    async with database.read() as reading:
        before = await reading.scalar(select(func.count()).select_from(CollectionRow))
        async with database.write() as writing:
            await writing.execute(insert(CollectionRow).values(name="new", created_at=utc_now()))
        assert await reading.scalar(select(func.count()).select_from(CollectionRow)) == before
    assert await database.snapshot(lambda c: c.scalar(select(func.count()).select_from(CollectionRow))) == before + 1


async def test_a_reader_can_not_write(database: Database) -> None:
    with pytest.raises(Exception, match="read-only transaction"):
        async with database.read() as connection:
            await connection.execute(update(FactRow).values(value={}))


def test_processes_that_start_at_once_migrate_once(postgres: PostgresServer) -> None:
    url = postgres_url(postgres.empty_database())
    migrate = f"from corpus.database import upgrade_schema; upgrade_schema({url!r})"
    started = [subprocess.Popen([sys.executable, "-c", migrate]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_an_index_of_the_first_schema_is_carried_over(postgres: PostgresServer) -> None:
    url = postgres_url(postgres.empty_database())
    upgrade_schema(url, "0001")
    engine = create_engine(url)
    with engine.begin() as connection:
        for row in OLD_ROWS:
            connection.execute(text(row.replace("'running', 0", "'running', false").replace("0, 0, 0)", "0, false, 0)")))
    upgrade_schema(url)
    with engine.connect() as connection:
        assert [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("pages", "generations", "urls")] == [1] * 3
    engine.dispose()


async def test_ids_and_urls_are_ordered_byte_by_byte_whatever_the_language(postgres: PostgresServer) -> None:
    """In the order of a language, capitals stand among the small letters, and what stands beyond all is passed over."""
    url = postgres_url(postgres.empty_database())
    async with Database(url=url) as database:
        await database.migrate()
        async with database.write() as connection:
            made = {"created_at": utc_now()}
            row = insert(CollectionRow).values(name="default", **made).returning(CollectionRow.id)
            collection = (await connection.execute(row)).scalar_one()
            for address in ("https://h/a", "https://h/B", "https://h/a-b", "https://h/ab"):
                await connection.execute(insert(PageRow).values(id=address, collection_id=collection, url=address, **made))
        async with database.read() as connection:
            found = list(await connection.scalars(select(PageRow.url).order_by(PageRow.url)))
            assert found == sorted(found)
            below = select(func.count()).where(PageRow.url >= "https://h/a", PageRow.url < "https://h/a\U0010ffff")
            assert await connection.scalar(below) == 3
            collation = text(
                "SELECT collation_name FROM information_schema.columns WHERE table_name = 'chunks' AND column_name = 'id'"
            )
            assert await connection.scalar(collation) == "C", ChunkRow.id


@pytest.mark.parametrize("name", ["a\x00b", "half a \ud83d pair"])
async def test_what_no_text_can_hold_is_looked_for_and_not_found(database: Database, name: str) -> None:
    async with database.read() as connection:
        assert await connection.scalar(select(PageRow.id).where(PageRow.url == name)) is None
    async with database.write() as connection:
        await connection.execute(insert(CollectionRow), [{"name": name, "created_at": utc_now()}])
    assert [c.name for c in await Pages(database=database, writer=None).collections()] == [
        name.replace("\x00", "\ufffd").replace("\ud83d", "\ufffd")
    ]


async def test_a_server_that_is_away_is_told_from_a_wrong_statement_and_comes_back(postgres: PostgresServer) -> None:
    async with Database(url=postgres_url(postgres.fresh_database())) as database:
        async with database.write() as connection:
            await bump_epoch(connection)
        postgres.stop()
        try:
            with pytest.raises(Unavailable, match="can't be reached"):
                await epoch(database)
            with pytest.raises(Unavailable):
                await database.snapshot(lambda connection: connection.scalar(select(1)))
            with pytest.raises(Unavailable):
                async with database.write() as connection:
                    await bump_epoch(connection)
            with pytest.raises(Unavailable):
                await database.migrate()
        finally:
            postgres.start()
        assert await epoch(database) == 1
        async with database.write() as connection:
            await bump_epoch(connection)
        assert await epoch(database) == 2


async def test_a_connection_that_breaks_inside_a_transaction_changes_nothing(database: Database) -> None:
    killed = text("SELECT pg_terminate_backend(:pid)")
    async with database.read() as onlooker:

        async def broken_off() -> None:
            async with database.write() as connection:
                await bump_epoch(connection)
                pid = await connection.scalar(text("SELECT pg_backend_pid()"))
                await onlooker.execute(killed, {"pid": pid})
                await bump_epoch(connection)

        with pytest.raises(Unavailable):
            await broken_off()
    assert await epoch(database) == 0


async def test_a_writer_that_hangs_does_not_keep_the_others_waiting_for_ever(database: Database) -> None:
    async with database.read() as connection:
        settings = [
            await connection.scalar(text(f"SHOW {name}")) for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert settings == ["30s", "1min"]


async def test_a_job_outlives_its_database(
    postgres: PostgresServer,
    tmp_path: Path,
    fake_embedder: FakeEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server goes while pages are fetched, and comes back: nothing failed, nothing is done twice."""
    for module in ("ingest.crawl", "ingest.worker"):
        monkeypatch.setattr(f"{module}.STORAGE_PAUSE_S", 0.2)
    settings = Settings(
        data_dir=tmp_path,
        database={"url": postgres.fresh_database()},
        llm={"engine": "none"},
        ingest={"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0},
    )
    async with ScriptedSite() as site, open_shelf(settings, fake_embedder) as shelf:
        gates = {path: Gate(page(html(f"The lamp of {path} is lit at dusk."))) for path in ("/a", "/b")}
        for path, gate in gates.items():
            site.script(path, gate)
        queue = await asyncio.to_thread(DBOSClient, system_database_url=shelf.corpus.queue_url, lazy=True)
        jobs = Jobs(database=shelf.database, queue=queue)
        async with IngestWorker(corpus=shelf.corpus):
            urls = [site.url(path) for path in gates]
            spec = JobSpec(urls=urls, mode=IngestMode.PAGE, max_pages=9, max_depth=0)
            job_id = await jobs.submit(collection_id=shelf.collection, spec=spec)
            async with asyncio.timeout(60):
                await gates["/a"].knocked.wait()
                await asyncio.to_thread(postgres.stop)
                for gate in gates.values():
                    gate.opened.set()
                while not any("waits" in line and "can't be reached" in line for line in caplog.messages):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(postgres.start)
            async with asyncio.timeout(60):
                async for status in jobs.watch(job_id):
                    ended = status
        await asyncio.to_thread(queue.destroy)
        assert (ended.state, ended.urls) == (JobState.SUCCEEDED, {UrlState.INDEXED: 2})
        assert await shelf.generation_states() == ["live", "live"]


@pytest.mark.parametrize("url", ["mysql://h/db", "sqlite:///file", "h/db"])
def test_only_postgresql_is_a_server(url: str) -> None:
    with pytest.raises(ValidationError, match="postgresql://"):
        DatabaseSettings(url=url)


def test_the_password_is_in_no_text() -> None:
    assert "hunter2" not in repr(DatabaseSettings(url="postgresql://u:hunter2@h/db"))
