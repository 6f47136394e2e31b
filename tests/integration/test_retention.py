"""The log of old jobs is forgotten, and nothing that is still needed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from corpus import retention
from corpus.retention import FORGOTTEN, forget_jobs
from corpus.tables import JobRow, PageSourceRow, SourceRow, UrlRow
from tests.shelf import Shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime(2026, 11, 3, tzinfo=UTC)
LIMIT = NOW - timedelta(days=90)


@pytest.fixture
async def shelf(emptied_shelf: Shelf) -> Shelf:
    async with emptied_shelf.database.write() as connection:
        for table in (UrlRow, JobRow, PageSourceRow, SourceRow):
            await connection.execute(table.__table__.delete())
        for source in ("docs", "news"):
            row = {"id": source, "collection_id": emptied_shelf.collection, "spec": {}, "created_at": NOW}
            await connection.execute(insert(SourceRow).values(**row))
    return emptied_shelf


async def add_job(
    shelf: Shelf, name: str, *, days_ago: int, source: str | None = None, state: str = "succeeded", urls: int = 3
) -> None:
    at = NOW - timedelta(days=days_ago)
    ended = None if state in ("queued", "running", "paused") else at
    async with shelf.database.write() as connection:
        job = {"id": name, "collection_id": shelf.collection, "spec": {}, "source_id": source, "state": state, "run": 2}
        await connection.execute(insert(JobRow).values(**job, cancel_requested=False, created_at=at, finished_at=ended))
        for i in range(urls):
            row = {"job_id": name, "url": f"https://h/{i}", "depth": 0, "state": "indexed", "attempts": 1, "chunks": 1}
            await connection.execute(insert(UrlRow).values(**row))


async def forget(shelf: Shelf) -> list[tuple[str, int]]:
    told: list[tuple[str, int]] = []

    async def note(jobs: Sequence[tuple[str, int]]) -> None:
        async with shelf.database.read() as connection:  # their rows are there still: a crash here loses nothing
            there = set((await connection.scalars(select(JobRow.id))).all())
        assert {job_id for job_id, _ in jobs} <= there
        told.extend(jobs)

    await forget_jobs(shelf.database, ended_before=LIMIT, before_row_goes=note)
    return told


async def logs(shelf: Shelf) -> dict[str, int]:
    """The jobs there are, with the length of their log."""
    async with shelf.database.read() as connection:
        jobs = (await connection.scalars(select(JobRow.id).order_by(JobRow.id))).all()
        urls = (await connection.scalars(select(UrlRow.job_id))).all()
    return {job: urls.count(job) for job in jobs}


async def test_old_jobs_go_and_young_and_open_ones_stay(shelf: Shelf) -> None:
    await add_job(shelf, "old", days_ago=91)
    await add_job(shelf, "young", days_ago=89)
    for state in ("queued", "running", "paused"):
        await add_job(shelf, state, days_ago=200, state=state)
    for state in ("failed", "cancelled"):
        await add_job(shelf, state, days_ago=200, state=state)
    assert sorted(await forget(shelf)) == [("cancelled", 2), ("failed", 2), ("old", 2)]
    assert await logs(shelf) == {"paused": 3, "queued": 3, "running": 3, "young": 3}
    assert await forget(shelf) == []


async def test_the_newest_job_of_a_source_stays_however_old(shelf: Shelf) -> None:
    for days_ago in (400, 300, 200):
        await add_job(shelf, f"docs-{days_ago}", days_ago=days_ago, source="docs")
    await add_job(shelf, "news-300", days_ago=300, source="news")
    assert sorted(await forget(shelf)) == [("docs-300", 2), ("docs-400", 2)]
    assert await logs(shelf) == {"docs-200": 3, "news-300": 3}


async def test_a_job_that_led_to_a_page_loses_its_log_alone_and_says_so(shelf: Shelf) -> None:
    """Whether a page may vanish depends on what the last job that found it was asked to do."""
    page = await shelf.put("https://h/0", "Some text.")
    await add_job(shelf, "deep", days_ago=300, source="docs")
    await add_job(shelf, "shallow", days_ago=10, source="docs")
    async with shelf.database.write() as connection:
        await connection.execute(insert(PageSourceRow).values(page_id=page, source_id="docs", job_id="deep"))
        await connection.execute(update(JobRow).where(JobRow.id == "deep").values(notes=["A note."]))
    for _ in range(2):
        assert await forget(shelf) == []
    assert await logs(shelf) == {"deep": 0, "shallow": 3}
    async with shelf.database.read() as connection:
        assert await connection.scalar(select(JobRow.notes).where(JobRow.id == "deep")) == ["A note.", FORGOTTEN]
        assert (await connection.scalars(select(PageSourceRow.page_id))).all() == [page]


async def test_long_logs_and_many_jobs_go_part_by_part(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(retention, "JOBS_AT_ONCE", 2)
    for i, urls in enumerate((0, 3, 4, 5, 9)):
        await add_job(shelf, f"job-{i}", days_ago=100, urls=urls)
    assert len(await forget(shelf)) == 5
    assert await logs(shelf) == {}


async def test_a_job_that_is_opened_again_meanwhile_keeps_what_is_left(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    await add_job(shelf, "retried", days_ago=100, urls=6)
    some = retention._some

    async def reopening(*args: Any) -> Any:
        found = await some(*args)
        async with shelf.database.write() as connection:
            await connection.execute(update(JobRow).values(state="queued", finished_at=None))
        return found

    monkeypatch.setattr(retention, "_some", reopening)
    assert await forget(shelf) == []
    assert await logs(shelf) == {"retried": 6}
