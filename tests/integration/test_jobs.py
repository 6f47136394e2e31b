"""The queue as the service sees it: a real DBOS queue file, and no worker to take anything from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient
from sqlalchemy import event, insert, select, update

from corpus.database import Database, sqlite_url, utc_now
from corpus.errors import Conflict, NotFound
from corpus.jobs import APPLICATION_VERSION, QUEUE, RECENT_FAILURES, WORKFLOW, Jobs, enqueue_options, open_queue, ready
from corpus.model import IngestMode, JobState, UrlState
from corpus.sources import JobSpec, source_id
from corpus.tables import CollectionRow, JobRow, SourceRow, UrlRow
from tests.conftest import Home

SPEC = JobSpec(urls=["https://a.example/"], mode=IngestMode.CRAWL, include=["*/docs/*"], max_pages=10, max_depth=2)


@dataclass
class Office:
    database: Database
    collection: int
    jobs: Jobs
    queue: DBOSClient

    async def submit(self, **changed: Any) -> str:
        return await self.jobs.submit(collection_id=self.collection, spec=SPEC.model_copy(update=changed))

    async def set_state(self, job_id: str, state: JobState) -> None:
        now = utc_now()
        values = {"state": state, "started_at": None if state is JobState.QUEUED else now, "finished_at": now}
        async with self.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    async def on_queue(self) -> list[str]:
        return [workflow.workflow_id for workflow in await self.queue.list_queued_workflows_async()]

    async def add_url(self, job_id: str, url: str, state: UrlState, **facts: Any) -> None:
        async with self.database.write() as connection:
            row = {"job_id": job_id, "url": url, "depth": 0, "state": state, "attempts": 1, "chunks": 0}
            await connection.execute(insert(UrlRow).values(**row | facts))


@pytest.fixture
async def office(home: Home) -> AsyncIterator[Office]:
    queue = await asyncio.to_thread(DBOSClient, system_database_url=home.queue, lazy=True)
    async with Database(url=home.database) as database:
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
    jobs = office.jobs
    for call in (jobs.get, jobs.cancel, jobs.pause, jobs.resume, jobs.retry):
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


# Pause and resume


async def test_a_queued_job_pauses_at_once_and_resumes_in_a_new_run(office: Office) -> None:
    job_id = await office.submit()
    await office.jobs.pause(job_id)
    paused = await office.jobs.get(job_id)
    assert (paused.state, paused.pause_requested, paused.finished_at) == (JobState.PAUSED, False, None)
    with pytest.raises(Conflict, match="paused"):
        await office.jobs.pause(job_id)
    await office.jobs.resume(job_id)
    resumed = await office.jobs.get(job_id)
    assert (resumed.state, resumed.run) == (JobState.QUEUED, 2)
    assert await office.on_queue() == [job_id, f"{job_id}:2"]
    with pytest.raises(Conflict, match="not paused"):
        await office.jobs.resume(job_id)


async def test_a_running_job_is_only_asked_to_pause_and_may_be_asked_not_to(office: Office) -> None:
    job_id = await office.submit()
    await office.set_state(job_id, JobState.RUNNING)
    await office.jobs.pause(job_id)
    assert ((await office.jobs.get(job_id)).state, (await office.jobs.get(job_id)).pause_requested) == (JobState.RUNNING, True)
    await office.jobs.resume(job_id)
    job = await office.jobs.get(job_id)
    assert (job.state, job.pause_requested, job.run) == (JobState.RUNNING, False, 1)


async def test_a_paused_job_is_cancelled_at_once(office: Office) -> None:
    job_id = await office.submit()
    await office.jobs.pause(job_id)
    await office.jobs.cancel(job_id)
    assert (await office.jobs.get(job_id)).state is JobState.CANCELLED
    for call in (office.jobs.pause, office.jobs.resume, office.jobs.cancel):
        with pytest.raises(Conflict, match="cancelled"):
            await call(job_id)


async def test_a_job_that_is_being_cancelled_cannot_be_paused(office: Office) -> None:
    job_id = await office.submit()
    await office.set_state(job_id, JobState.RUNNING)
    await office.jobs.cancel(job_id)
    with pytest.raises(Conflict, match="being cancelled"):
        await office.jobs.pause(job_id)


async def test_watching_goes_on_through_a_pause(office: Office) -> None:
    job_id = await office.submit()
    watching = office.jobs.watch(job_id)
    await office.jobs.pause(job_id)
    assert (await anext(watching)).state is JobState.PAUSED
    await office.jobs.resume(job_id)
    assert (await anext(watching)).state is JobState.QUEUED
    await office.jobs.cancel(job_id)
    assert [job.state async for job in watching] == [JobState.CANCELLED]


# One source's jobs, one after the other


async def test_a_job_waits_for_the_older_ones_of_its_source_even_paused_ones(office: Office) -> None:
    first, second, third = [await office.submit() for _ in range(3)]
    elsewhere = await office.submit(urls=["https://b.example/"])
    assert await office.on_queue() == [first, elsewhere]
    assert [(await office.jobs.get(one)).waits_for for one in (first, second, third)] == [None, first, first]
    await office.jobs.pause(first)
    await office.jobs.pause(second)
    await office.jobs.resume(second)
    assert await office.on_queue() == [first, elsewhere]
    async with office.database.read() as connection:
        assert await ready(connection) == [(elsewhere, 1)]
    await office.jobs.cancel(first)
    async with office.database.read() as connection:
        assert await ready(connection) == [(second, 2), (elsewhere, 1)]
    assert (await office.jobs.get(third)).waits_for == second


# Retry


async def failed_job(office: Office, state: JobState = JobState.SUCCEEDED) -> str:
    job_id = await office.submit()
    facts = {"message": "…", "finished_at": utc_now(), "not_before": utc_now()}
    await office.add_url(job_id, "https://a.example/", UrlState.INDEXED)
    await office.add_url(job_id, "https://a.example/1", UrlState.FAILED, reason="timeout", **facts)
    await office.add_url(job_id, "https://a.example/2", UrlState.FAILED, reason="http_404", **facts)
    await office.add_url(job_id, "https://a.example/3", UrlState.SKIPPED, reason="noindex", **facts)
    await office.set_state(job_id, state)
    return job_id


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
async def test_failed_urls_are_put_back_as_if_never_tried(office: Office, state: JobState) -> None:
    job_id = await failed_job(office, state)
    assert await office.jobs.retry(job_id) == 2
    job = await office.jobs.get(job_id)
    assert (job.state, job.run, job.cancel_requested, job.error, job.finished_at) == (JobState.QUEUED, 2, False, None, None)
    assert job.urls == {UrlState.INDEXED: 1, UrlState.PENDING: 2, UrlState.SKIPPED: 1}
    assert f"{job_id}:2" in await office.on_queue()
    async with office.database.read() as connection:
        pending = (await connection.execute(select(UrlRow).where(UrlRow.state == UrlState.PENDING))).all()
    assert {(row.attempts, row.reason, row.message, row.not_before, row.finished_at) for row in pending} == {(0, *[None] * 4)}
    with pytest.raises(Conflict, match="hasn't ended"):
        await office.jobs.retry(job_id)


async def test_a_retry_may_be_for_one_reason(office: Office) -> None:
    job_id = await failed_job(office)
    with pytest.raises(Conflict, match="'http_500'"):
        await office.jobs.retry(job_id, reason="http_500")
    assert await office.jobs.retry(job_id, reason="timeout") == 1
    assert [failure.reason for failure in (await office.jobs.get(job_id)).failures] == ["http_404"]


async def test_where_nothing_failed_nothing_is_retried(office: Office) -> None:
    job_id = await office.submit()
    await office.add_url(job_id, "https://a.example/", UrlState.INDEXED)
    await office.set_state(job_id, JobState.SUCCEEDED)
    with pytest.raises(Conflict, match="nothing to retry"):
        await office.jobs.retry(job_id)
    assert (await office.jobs.get(job_id)).state is JobState.SUCCEEDED


async def test_what_a_cancelled_job_left_is_done_by_a_retry(office: Office) -> None:
    never_begun, begun = await office.submit(), await office.submit(urls=["https://b.example/"])
    await office.jobs.cancel(never_begun)
    assert await office.jobs.retry(never_begun) == 0
    await office.add_url(begun, "https://b.example/", UrlState.PENDING)
    await office.set_state(begun, JobState.CANCELLED)
    assert await office.jobs.retry(begun) == 0
    assert {(await office.jobs.get(one)).state for one in (never_begun, begun)} == {JobState.QUEUED}


async def test_an_old_job_is_not_retried_after_a_newer_one_of_its_source(office: Office) -> None:
    old = await failed_job(office)
    new = await office.submit()
    with pytest.raises(Conflict, match=new):
        await office.jobs.retry(old)
    await office.jobs.cancel(new)  # it never ran, so the old one is still the last word
    assert await office.jobs.retry(old) == 2
    await office.jobs.cancel(old)
    newest = await failed_job(office)
    with pytest.raises(Conflict, match=newest):
        await office.jobs.retry(old)


async def test_jobs_of_no_source_wait_for_nobody(office: Office) -> None:
    """Dry runs, and jobs whose source was deleted."""
    dry = [await office.submit(dry_run=True) for _ in range(2)]
    assert await office.on_queue() == dry
    await office.set_state(dry[0], JobState.SUCCEEDED)
    with pytest.raises(Conflict, match="dry run"):
        await office.jobs.retry(dry[0])
    forgotten = await failed_job(office)
    async with office.database.write() as connection:
        await connection.execute(update(JobRow).where(JobRow.id == forgotten).values(source_id=None))
    assert await office.jobs.retry(forgotten) == 2


# Dead letters


async def test_dead_letters_are_those_of_each_sources_last_run(office: Office) -> None:
    await failed_job(office)  # of the past
    last = await failed_job(office)
    await office.submit()  # hasn't begun
    other = await office.submit(urls=["https://b.example/"])
    await office.add_url(other, "https://b.example/", UrlState.FAILED, reason="timeout")
    await office.set_state(other, JobState.FAILED)
    found = await office.jobs.failures()
    assert [(letter.job_id, letter.outcome.url) for _, letter in found] == [
        (last, "https://a.example/1"),
        (last, "https://a.example/2"),
        (other, "https://b.example/"),
    ]
    assert found[0][1].source_id == source_id(office.collection, SPEC)
    assert [letter.job_id for _, letter in await office.jobs.failures(reason="timeout")] == [last, other]
    first = await office.jobs.failures(limit=2)
    assert first + await office.jobs.failures(after=first[-1][0]) == found
    assert await office.jobs.failures(collection_id=office.collection + 1) == []


# A queue that fails


async def test_a_job_that_cannot_be_put_on_the_queue_is_left_to_the_workers(office: Office, tmp_path: Path) -> None:
    broken = await asyncio.to_thread(
        DBOSClient, system_database_url=f"sqlite:///{tmp_path}/no-such-folder/queue.sqlite", lazy=True
    )
    jobs = Jobs(database=office.database, queue=broken)
    job_id = await jobs.submit(collection_id=office.collection, spec=SPEC)
    await asyncio.to_thread(broken.destroy)
    assert (await jobs.get(job_id)).state is JobState.QUEUED
    async with office.database.read() as connection:
        assert await ready(connection) == [(job_id, 1)]


async def test_a_queue_that_no_worker_has_seen_is_made(tmp_path: Path) -> None:
    queue = await asyncio.to_thread(open_queue, sqlite_url(tmp_path / "fresh.sqlite", driver="sqlite"))
    queue.enqueue(enqueue_options("a-job"), "a-job", 1)
    assert [workflow.workflow_id for workflow in await queue.list_queued_workflows_async()] == ["a-job"]
    await asyncio.to_thread(queue.destroy)


@pytest.mark.sqlite
async def test_failures_are_looked_up_by_index(office: Office) -> None:
    """Not by going through the log of every URL that any job has seen."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    event.listen(office.database.engine.sync_engine, "before_cursor_execute", note)
    await office.jobs.failures()
    statement, values = next(one for one in asked if "FROM urls" in one[0])
    async with office.database.read() as connection:
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).all()
    assert [row[3].split(" (")[0] for row in plan if row[3].split()[1] == "urls"] == ["SEARCH urls USING INDEX ix_urls_state"]
