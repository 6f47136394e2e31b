"""The queue as the service sees it: a real DBOS queue file, and no worker to take anything from it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient
from sqlalchemy import insert, select, update

from corpus.database import CollectionRow, Database, JobRow, SourceRow, UrlRow, sqlite_url, utc_now
from corpus.errors import Conflict, NotFound
from corpus.jobs import APPLICATION_VERSION, QUEUE, RECENT_FAILURES, WORKFLOW, Jobs, JobSpec, enqueue_options
from corpus.model import IngestMode, JobState, UrlState
from corpus.sources import source_id

SPEC = JobSpec(urls=["https://a.example/"], mode=IngestMode.CRAWL, include=["*/docs/*"], max_pages=10, max_depth=2)


@dataclass
class Office:
    database: Database
    collection: int
    jobs: Jobs
    queue: DBOSClient

    async def submit(self) -> str:
        return await self.jobs.submit(collection_id=self.collection, spec=SPEC)

    async def set_state(self, job_id: str, state: JobState) -> None:
        async with self.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(state=state, finished_at=utc_now()))

    async def add_url(self, job_id: str, url: str, state: UrlState, **facts: Any) -> None:
        async with self.database.write() as connection:
            row = {"job_id": job_id, "url": url, "depth": 0, "state": state, "attempts": 1, "chunks": 0}
            await connection.execute(insert(UrlRow).values(**row | facts))


@pytest.fixture
async def office(tmp_path: Path, empty_queue: Path) -> AsyncIterator[Office]:
    shutil.copy(empty_queue, tmp_path / "queue.sqlite")
    queue = await asyncio.to_thread(
        DBOSClient, system_database_url=sqlite_url(tmp_path / "queue.sqlite", driver="sqlite"), lazy=True
    )
    async with Database(url=sqlite_url(tmp_path / "footnote.sqlite")) as database:
        await database.migrate()
        async with database.write() as connection:
            row = insert(CollectionRow).values(name="default", created_at=utc_now()).returning(CollectionRow.id)
            collection = (await connection.execute(row)).scalar_one()
        yield Office(database, collection, Jobs(database=database, queue=queue), queue)
    await asyncio.to_thread(queue.destroy)


async def test_a_submitted_job_is_recorded_and_on_the_queue_once(office: Office) -> None:
    job_id = await office.submit()
    job = await office.jobs.get(job_id)
    assert (job.id, job.collection, job.spec, job.state) == (job_id, "default", SPEC, JobState.QUEUED)
    assert (job.found, job.chunks, job.failures, job.cancel_requested, job.error) == (0, 0, [], False, None)
    office.queue.enqueue(enqueue_options(job_id), job_id)  # what a worker does for a job that may not have reached the queue
    [workflow] = await office.queue.list_queued_workflows_async()
    assert (workflow.workflow_id, workflow.name, workflow.queue_name) == (job_id, WORKFLOW, QUEUE)
    assert workflow.app_version == APPLICATION_VERSION


async def test_the_same_work_is_of_the_same_source(office: Office) -> None:
    ids = [await office.submit() for _ in range(2)]
    fewer = SPEC.model_copy(update={"urls": ["https://A.example#top", "https://a.example/"], "max_pages": 3, "max_depth": 1})
    ids.append(await office.jobs.submit(collection_id=office.collection, spec=fewer))
    other = SPEC.model_copy(update={"exclude": ["*/old/*"]})
    ids.append(await office.jobs.submit(collection_id=office.collection, spec=other))
    async with office.database.read() as connection:
        sources = {row.id: row.spec for row in (await connection.execute(select(SourceRow))).all()}
        of_jobs = [await connection.scalar(select(JobRow.source_id).where(JobRow.id == job_id)) for job_id in ids]
    same = of_jobs[0]
    assert of_jobs == [same, same, same, source_id(office.collection, other)]
    assert set(sources) == set(of_jobs)
    assert sources[same]["max_pages"] == 3  # the newest budgets are kept


async def test_jobs_are_listed_newest_first(office: Office) -> None:
    ids = [await office.submit() for _ in range(3)]
    assert [job.id for job in await office.jobs.list()] == ids[::-1]
    assert [job.id for job in await office.jobs.list(limit=2)] == ids[:0:-1]


async def test_counters_are_counted_over_the_urls_of_that_job(office: Office) -> None:
    job_id, other = await office.submit(), await office.submit()
    await office.add_url(job_id, "https://a.example/1", UrlState.INDEXED, chunks=3)
    await office.add_url(job_id, "https://a.example/2", UrlState.INDEXED, chunks=4)
    await office.add_url(job_id, "https://a.example/3", UrlState.FAILED, reason="http_404", message="Not found.")
    await office.add_url(other, "https://a.example/1", UrlState.PENDING)
    job = await office.jobs.get(job_id)
    assert job.urls == {UrlState.INDEXED: 2, UrlState.FAILED: 1}
    assert (job.found, job.chunks) == (3, 7)
    [failure] = job.failures
    assert (failure.url, failure.reason, failure.message) == ("https://a.example/3", "http_404", "Not found.")
    assert (await office.jobs.get(other)).urls == {UrlState.PENDING: 1}


async def test_the_newest_failures_are_shown_of_many(office: Office) -> None:
    job_id = await office.submit()
    for i in range(RECENT_FAILURES + 5):
        await office.add_url(job_id, f"https://a.example/{i}", UrlState.FAILED)
    failures = (await office.jobs.get(job_id)).failures
    assert [failure.url for failure in failures] == [f"https://a.example/{i}" for i in range(RECENT_FAILURES + 4, 4, -1)]


async def test_urls_are_paged_through_in_the_order_of_discovery(office: Office) -> None:
    job_id = await office.submit()
    for i in range(5):
        await office.add_url(job_id, f"https://a.example/{i}", UrlState.FAILED if i % 2 else UrlState.INDEXED)
    first = await office.jobs.urls(job_id, limit=3)
    rest = await office.jobs.urls(job_id, after=first[-1][0], limit=3)
    assert [outcome.url[-1] for _, outcome in first + rest] == list("01234")
    assert [outcome.url[-1] for _, outcome in await office.jobs.urls(job_id, state=UrlState.FAILED)] == list("13")


async def test_a_queued_job_is_cancelled_at_once_and_only_once(office: Office) -> None:
    job_id = await office.submit()
    await office.jobs.cancel(job_id)
    job = await office.jobs.get(job_id)
    assert (job.state, job.cancel_requested) == (JobState.CANCELLED, True)
    assert job.finished_at is not None
    with pytest.raises(Conflict, match="cancelled"):
        await office.jobs.cancel(job_id)


async def test_a_running_job_is_only_asked_to_end(office: Office) -> None:
    job_id = await office.submit()
    await office.set_state(job_id, JobState.RUNNING)
    await office.jobs.cancel(job_id)
    job = await office.jobs.get(job_id)
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)


async def test_unknown_jobs_are_not_found(office: Office) -> None:
    for call in (office.jobs.get, office.jobs.cancel):
        with pytest.raises(NotFound, match="no-such-job"):
            await call("no-such-job")
    with pytest.raises(NotFound):
        await anext(office.jobs.watch("no-such-job"))


async def test_watching_tells_every_change_until_the_end(office: Office) -> None:
    job_id = await office.submit()
    watching = office.jobs.watch(job_id)
    assert (await anext(watching)).state is JobState.QUEUED
    await office.add_url(job_id, "https://a.example/", UrlState.INDEXED, chunks=2)
    assert (await anext(watching)).chunks == 2
    await office.set_state(job_id, JobState.SUCCEEDED)
    assert (await anext(watching)).state is JobState.SUCCEEDED
    with pytest.raises(StopAsyncIteration):
        await anext(watching)


async def test_watching_a_job_that_has_ended_tells_so_once(office: Office) -> None:
    job_id = await office.submit()
    await office.set_state(job_id, JobState.FAILED)
    assert [job.state async for job in office.jobs.watch(job_id)] == [JobState.FAILED]
