"""The worker with its real queue: what is submitted gets done, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient
from sqlalchemy import update

from corpus.database import utc_now
from corpus.jobs import Jobs, JobStatus
from corpus.model import IngestMode, JobState, UrlState
from corpus.settings import Settings
from corpus.sources import JobSpec, record_job, remember
from corpus.tables import JobRow
from ingest import worker
from ingest.worker import DISPATCH_EVERY_S, IngestWorker
from tests.fakes import FakeEmbedder
from tests.scripted_site import PUBLIC_IP, Reply, Request, ScriptedSite, page, status
from tests.shelf import Shelf, open_shelf


@dataclass
class Works:
    """A corpus, a queue and a site; workers come and go."""

    shelf: Shelf
    jobs: Jobs
    site: ScriptedSite

    def spec(self, *paths: str, mode: IngestMode = IngestMode.PAGE) -> JobSpec:
        return JobSpec(urls=[self.site.url(path) for path in paths], mode=mode, max_pages=50, max_depth=5)

    async def submit(self, *paths: str, mode: IngestMode = IngestMode.PAGE, every_s: int | None = None) -> str:
        spec = self.spec(*paths, mode=mode)
        return await self.jobs.submit(collection_id=self.shelf.collection, spec=spec, every_s=every_s)

    async def record(self, *paths: str) -> str:
        """What is left of a submission that was killed half-way."""
        collection, spec = self.shelf.collection, self.spec(*paths)
        async with self.shelf.database.write() as connection:
            source = await remember(connection, collection_id=collection, spec=spec)
            return await record_job(connection, collection_id=collection, source_id=source, spec=spec, now=utc_now())

    async def set_job(self, job_id: str, **values: Any) -> None:
        async with self.shelf.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    def worker(self, **options: Any) -> IngestWorker:
        return IngestWorker(corpus=self.shelf.corpus, **options)

    async def until(self, job_id: str, *states: JobState) -> JobStatus:
        async with asyncio.timeout(60):  # far below a fetch's deadline: what hangs must not end because of that
            async for job in self.jobs.watch(job_id):
                if job.state in states:
                    return job
        raise AssertionError(f"the job ended as {job.state}: {job.error}")


@pytest.fixture
async def works(
    tmp_path: Path, fake_embedder: FakeEmbedder, empty_queue: Path, new_database: Callable[[], dict[str, str]]
) -> AsyncIterator[Works]:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(empty_queue, data / "queue.sqlite")
    ingest = {"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "fetch_deadline_s": 600.0}
    settings = Settings(data_dir=data, llm={"engine": "none"}, ingest=ingest, database=new_database())
    async with ScriptedSite() as site, open_shelf(settings, fake_embedder) as shelf:
        queue = await asyncio.to_thread(DBOSClient, system_database_url=shelf.corpus.queue_url, lazy=True)
        yield Works(shelf, Jobs(database=shelf.database, queue=queue), site)
        await asyncio.to_thread(queue.destroy)


def html(text: str, *links: str) -> bytes:
    listed = "".join(f'<a href="{link}">to {link}</a> ' for link in links)
    body = f"<main><p>The page says {text}.</p>{listed}</main>"
    return f"<html><head><title>{text}</title></head><body>{body}</body></html>".encode()


class Gate:
    """A page that is served only once the gate is open; ``knocked`` tells that it was asked for."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.knocked = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.knocked.set()
        await self.opened.wait()
        await self._reply(request, writer)


async def test_jobs_are_done_in_the_order_of_their_source(works: Works) -> None:
    gate = Gate(page(html("one")))
    works.site.script("/a", gate)
    async with works.worker():
        first, second = await works.submit("/a"), await works.submit("/a")
        await gate.knocked.wait()
        assert (await works.jobs.get(second)).waits_for == first
        gate.opened.set()
        done = await works.until(second, JobState.SUCCEEDED)
        before = await works.jobs.get(first)
    assert (before.state, before.urls, done.urls) == (JobState.SUCCEEDED, {UrlState.INDEXED: 1}, {UrlState.UNCHANGED: 1})
    assert before.finished_at is not None
    assert done.started_at is not None
    assert before.finished_at <= done.started_at


async def test_a_job_pauses_in_the_midst_of_a_fetch_and_leaves_its_place(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.worker.JOBS_AT_ONCE", 1)
    hanging = Gate(page(html("one")))
    works.site.script("/", page(html("start", "/a")))
    works.site.script("/a", hanging, page(html("one")))
    works.site.script("/other", page(html("two")))
    async with works.worker():
        job_id = await works.submit("/", mode=IngestMode.CRAWL)
        await hanging.knocked.wait()
        await works.jobs.pause(job_id)
        paused = await works.until(job_id, JobState.PAUSED)
        assert (paused.urls, paused.pause_requested) == ({UrlState.INDEXED: 1, UrlState.PENDING: 1}, False)
        assert (paused.working_since, paused.worked_s > 0) == (None, True)
        await works.until(await works.submit("/other"), JobState.SUCCEEDED)
        hanging.opened.set()
        await works.jobs.resume(job_id)
        done = await works.until(job_id, JobState.SUCCEEDED)
    assert (done.urls, done.run) == ({UrlState.INDEXED: 2}, 2)
    assert works.site.targets.count("/") == 1
    assert works.shelf.counts() == {3}


async def test_a_job_is_cancelled_in_the_midst_of_a_fetch(works: Works) -> None:
    hanging = Gate(page(html("one")))
    works.site.script("/a", hanging)
    async with works.worker():
        job_id = await works.submit("/a")
        await hanging.knocked.wait()
        await works.jobs.cancel(job_id)
        assert (await works.until(job_id, JobState.CANCELLED)).error is None
        hanging.opened.set()


async def test_a_pause_that_was_asked_for_holds_over_the_worker_s_end(works: Works) -> None:
    hanging = Gate(page(html("one")))
    works.site.script("/a", hanging, page(html("one")))
    job_id = await works.submit("/a")
    async with works.worker():
        await hanging.knocked.wait()
    hanging.opened.set()
    assert (await works.jobs.get(job_id)).state is JobState.RUNNING
    await works.jobs.pause(job_id)
    async with works.worker():
        await works.until(job_id, JobState.PAUSED)
    await works.jobs.resume(job_id)
    async with works.worker():
        assert (await works.until(job_id, JobState.SUCCEEDED)).run == 2


async def test_a_run_that_was_overtaken_does_nothing(works: Works) -> None:
    """A job that was paused and resumed while it was queued is on the queue twice."""
    works.site.script("/a", page(html("one")))
    job_id = await works.submit("/a")
    await works.jobs.pause(job_id)
    await works.jobs.resume(job_id)
    other = await works.submit("/other")
    async with works.worker() as worker:
        await works.until(job_id, JobState.SUCCEEDED)
        await works.until(other, JobState.FAILED)
        assert works.site.targets.count("/a") == 1
        await works.set_job(job_id, state=JobState.RUNNING)  # as if run 2 were still at work when run 1 is recovered
        crawler = worker._crawler
        assert not await worker._here(crawler.begin(job_id, run=1))
        assert not await worker._here(crawler.run_batch(job_id, run=1))
        assert await worker._here(crawler.finish(job_id, run=1, error="dead"))
        assert (await works.jobs.get(job_id)).state is JobState.RUNNING


async def test_a_pause_that_is_taken_back_before_it_came_is_none(works: Works) -> None:
    hanging = Gate(page(html("one")))
    works.site.script("/a", hanging, page(html("one")))
    async with works.worker() as worker:
        job_id = await works.submit("/a")
        await hanging.knocked.wait()
        assert not await worker._here(worker._crawler.finish(job_id))  # what the workflow asks once a batch has halted
        hanging.opened.set()
        assert (await works.until(job_id, JobState.SUCCEEDED)).run == 1


async def test_a_job_that_never_reached_the_queue_is_done(works: Works) -> None:
    works.site.script("/a", page(html("one")))
    lost, resumed = await works.record("/a"), await works.record("/b")
    await works.set_job(resumed, run=2)  # killed between the record and the queue
    async with works.worker():
        await works.until(lost, JobState.SUCCEEDED)
        await works.until(resumed, JobState.FAILED)
        recorded_later = await works.record("/a")
        await works.until(recorded_later, JobState.SUCCEEDED)


async def test_failed_urls_are_visited_again(works: Works) -> None:
    works.site.script("/", page(html("start", "/a", "/b")))
    works.site.script("/a", page(html("one")))
    works.site.script("/b", status(404), page(html("two")))
    async with works.worker():
        job_id = await works.submit("/", mode=IngestMode.CRAWL)
        ended = await works.until(job_id, JobState.SUCCEEDED)
        assert ended.urls == {UrlState.INDEXED: 2, UrlState.FAILED: 1}
        assert await works.jobs.retry(job_id) == 1
        again = await works.until(job_id, JobState.SUCCEEDED)
    assert again.urls == {UrlState.INDEXED: 3}
    assert [works.site.targets.count(path) for path in ("/", "/a", "/b")] == [1, 1, 2]


async def test_a_due_source_is_run_once_however_late(works: Works) -> None:
    works.site.script("/a", page(html("one")))
    now = utc_now()
    first = await works.submit("/a", every_s=3600)
    async with works.worker(clock=lambda: now):
        await works.until(first, JobState.SUCCEEDED)
    now += timedelta(days=3)
    async with works.worker(clock=lambda: now):
        for _ in range(100):
            if len(jobs := await works.jobs.list()) > 1:
                break
            await asyncio.sleep(0.1)
        assert (await works.until(jobs[0].id, JobState.SUCCEEDED)).urls == {UrlState.UNCHANGED: 1}
        await asyncio.sleep(2 * DISPATCH_EVERY_S)
    assert [job.source_id for job in await works.jobs.list()] == [jobs[0].source_id] * 2


async def test_schedules_outlive_what_nobody_foresaw(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.site.script("/a", page(html("one")))
    job_id = await works.record("/a")  # only the dispatcher puts it on the queue
    ready, failed = worker.ready, []

    async def failing_once(connection: Any) -> Any:
        if not failed:
            failed.append(True)
            raise ValueError("a row of another release, say")
        return await ready(connection)

    monkeypatch.setattr(worker, "ready", failing_once)
    monkeypatch.setattr(worker, "STORAGE_PAUSE_S", 0.0)
    async with works.worker():
        await works.until(job_id, JobState.SUCCEEDED)
    assert failed


async def test_old_jobs_are_forgotten_at_the_start_and_once_a_day(works: Works) -> None:
    """By the queue too, which would grow as well."""
    works.site.script("/a", page(html("one")), page(html("one")), page(html("one")), page(html("one")))
    now = utc_now()
    async with works.worker(clock=lambda: now):
        jobs = [await works.submit("/a") for _ in range(3)]
        await works.until(jobs[-1], JobState.SUCCEEDED)

        async def known() -> list[str]:
            return [job.id for job in await works.jobs.list()]

        async def until_forgotten(job_id: str) -> None:
            for _ in range(300):
                if job_id not in await known():
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("it was never forgotten")

        await works.set_job(jobs[0], finished_at=now - timedelta(days=91))
        assert sorted(await known()) == sorted(jobs)
        now += timedelta(hours=25)
        await until_forgotten(jobs[0])
    await works.set_job(jobs[1], finished_at=now - timedelta(days=91))
    async with works.worker(clock=lambda: now):
        await until_forgotten(jobs[1])
    assert await known() == [jobs[2]]
    client = await asyncio.to_thread(DBOSClient, system_database_url=works.shelf.corpus.queue_url, lazy=True)
    workflows = await asyncio.to_thread(client.list_workflows)
    await asyncio.to_thread(client.destroy)
    assert [workflow.workflow_id for workflow in workflows] == [jobs[2]]
