"""Schedules: which sources are due, and that each is run once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from sqlalchemy import insert, select, update

from corpus.database import Database, utc_now
from corpus.errors import NotFound
from corpus.model import JobState
from corpus.sources import JobSpec, fire_due, remember, set_schedule
from corpus.tables import CollectionRow, JobRow, SourceRow
from tests.conftest import Home

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HOUR_S = 3600


@dataclass
class Calendar:
    """Sources of a real database, and a clock that is told what time it is."""

    database: Database
    url: str
    collection: int

    async def source(self, url: str, *, every_s: int | None) -> str:
        """A source that was scheduled at noon."""
        spec = JobSpec(urls=[url], max_pages=10, max_depth=2)
        async with self.database.write() as connection:
            source = await remember(connection, collection_id=self.collection, spec=spec)
            await set_schedule(connection, source, every_s=every_s, now=NOON)
        return source

    async def fire(self, after: timedelta, *, database: Database | None = None) -> int:
        async with (database or self.database).write() as connection:
            return await fire_due(connection, now=NOON + after)

    async def jobs(self) -> list[tuple[str | None, str]]:
        async with self.database.read() as connection:
            statement = select(JobRow.source_id, JobRow.state).order_by(JobRow.created_at)
            return [(row.source_id, row.state) for row in (await connection.execute(statement)).all()]

    async def next_at(self, source: str) -> datetime | None:
        async with self.database.read() as connection:
            return (await connection.execute(select(SourceRow.next_at).where(SourceRow.id == source))).scalar_one()

    async def end_jobs(self) -> None:
        async with self.database.write() as connection:
            await connection.execute(update(JobRow).values(state=JobState.SUCCEEDED))


@pytest.fixture
async def calendar(home: Home) -> AsyncIterator[Calendar]:
    async with Database(url=home.database) as database:
        await database.migrate()
        async with database.write() as connection:
            row = insert(CollectionRow).values(name="default", created_at=utc_now()).returning(CollectionRow.id)
            collection = (await connection.execute(row)).scalar_one()
        yield Calendar(database, home.database, collection)


async def test_a_source_is_run_when_it_is_due_and_not_before(calendar: Calendar) -> None:
    source = await calendar.source("https://a.example/", every_s=HOUR_S)
    await calendar.source("https://b.example/", every_s=None)
    assert await calendar.fire(timedelta(minutes=59)) == 0
    assert await calendar.fire(timedelta(minutes=60)) == 1
    assert await calendar.jobs() == [(source, JobState.QUEUED)]
    assert await calendar.next_at(source) == NOON + timedelta(hours=2)
    await calendar.end_jobs()
    assert [await calendar.fire(timedelta(minutes=minutes)) for minutes in (119, 121, 122)] == [0, 1, 0]


async def test_a_long_downtime_makes_one_run_and_not_many(calendar: Calendar) -> None:
    source = await calendar.source("https://a.example/", every_s=HOUR_S)
    assert [await calendar.fire(timedelta(days=30)) for _ in range(3)] == [1, 0, 0]
    assert await calendar.next_at(source) == NOON + timedelta(days=30, hours=1)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
async def test_a_source_whose_job_is_open_is_passed_over_which_the_job_notes_once(calendar: Calendar, state: JobState) -> None:
    source = await calendar.source("https://a.example/", every_s=HOUR_S)
    await calendar.fire(timedelta(hours=1))
    async with calendar.database.write() as connection:
        await connection.execute(update(JobRow).values(state=state, notes=["Something else."]))
    assert [await calendar.fire(timedelta(hours=hours)) for hours in (2, 3, 4)] == [0, 0, 0]
    assert await calendar.next_at(source) == NOON + timedelta(hours=5)
    async with calendar.database.read() as connection:
        [notes] = (await connection.scalars(select(JobRow.notes))).all()
    assert notes is not None
    assert notes[0] == "Something else."
    assert ["skipped, first the one that was due at 2026-11-03 14:00 UTC" in note for note in notes[1:]] == [True]
    await calendar.end_jobs()
    assert await calendar.fire(timedelta(hours=5)) == 1


async def test_several_workers_run_a_source_once(calendar: Calendar) -> None:
    for number in range(5):
        await calendar.source(f"https://{number}.example/", every_s=HOUR_S)
    async with Database(url=calendar.url) as one, Database(url=calendar.url) as two:
        fired = await asyncio.gather(*(calendar.fire(timedelta(hours=1), database=each) for each in (one, two, one, two)))
    assert sum(fired) == len(await calendar.jobs()) == 5


async def test_a_worker_killed_while_firing_leaves_the_source_due(calendar: Calendar) -> None:
    source = await calendar.source("https://a.example/", every_s=HOUR_S)
    with patch("corpus.sources.record_job", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        await calendar.fire(timedelta(hours=1))
    assert await calendar.next_at(source) == NOON + timedelta(hours=1)
    assert await calendar.fire(timedelta(hours=1)) == 1


async def test_a_scheduled_run_takes_the_newest_budgets_but_no_leave_to_prune(calendar: Calendar) -> None:
    await calendar.source("https://a.example/", every_s=HOUR_S)
    newest = JobSpec(urls=["https://a.example/"], max_pages=77, max_depth=7, prune=True)
    async with calendar.database.write() as connection:
        await remember(connection, collection_id=calendar.collection, spec=newest)
    await calendar.fire(timedelta(hours=1))
    async with calendar.database.read() as connection:
        spec = JobSpec.model_validate(await connection.scalar(select(JobRow.spec)))
    assert spec == newest.model_copy(update={"prune": False})


async def test_an_unknown_source_has_no_schedule(calendar: Calendar) -> None:
    async with calendar.database.write() as connection:
        with pytest.raises(NotFound, match="no-such-source"):
            await set_schedule(connection, "no-such-source", every_s=HOUR_S, now=NOON)
