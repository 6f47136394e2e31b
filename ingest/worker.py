"""The ingest worker: takes jobs from the queue and runs them, durably.

Each job is one DBOS workflow whose steps are batches of URLs. A process that is killed leaves its workflows pending; the next
one with the same executor id resumes them at the step that was running, and the frontier knows which URLs that step had
finished. The worker has an event loop and a thread of its own, so that a crawl never delays an answer's loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from corpus.database import Database, utc_now
from corpus.errors import FootnoteError
from corpus.explaining import Explanation
from corpus.generations import GenerationWriter
from corpus.jobs import APPLICATION, APPLICATION_VERSION, QUEUE, WORKFLOW, enqueue_options, ready, workflow_id
from corpus.model import ContentSelectors, JobState
from corpus.opening import Corpus
from corpus.processes import BEATS, EMBEDDED, bury, find_dead
from corpus.retention import forget_jobs
from corpus.sources import fire_due
from corpus.tables import JobRow, SourceRow
from ingest import frontier
from ingest.crawl import STORAGE_PAUSE_S, Crawler, storage_trouble
from ingest.explain import PageExplainer
from ingest.recording import Recorder
from ingest.shared_politeness import forget_hosts
from ingest.sitemap_walk import SitemapReader
from ingest.vanished import Delisting
from ingest.visiting import visiting

log = logging.getLogger(__name__)
T = TypeVar("T")

JOBS_AT_ONCE = 4
QUEUE_POLL_S = 0.2
DISPATCH_EVERY_S = 1.0
FORGET_EVERY = timedelta(days=1)
FORGETTING_LOCK = 0x666F7267  # "forg", among PostgreSQL's advisory locks
HELP_POLL_S = 0.5
# Recovery is what durability is for; DBOS would give a job up after 100 of them.
MAX_RECOVERIES = 1_000_000


class WorkerStopping(BaseException):
    """Leaves a workflow without an outcome, so that DBOS resumes it. Not an Exception: DBOS records those as failures."""


class IngestWorker:
    """Owns the crawler's resources, in its own thread's event loop."""

    def __init__(self, *, corpus: Corpus, clock: Callable[[], datetime] = utc_now) -> None:
        self._corpus = corpus
        self._us = corpus.shared_as
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ingest-worker", daemon=True)
        self._stack = AsyncExitStack()
        self._stopping = threading.Event()
        self._leaving = asyncio.Event()  # as _stopping, for the worker's own loop
        self._loops: list[Future[None]] = []
        self._forget_at: datetime | None = None
        self._database: Database
        self._crawler: Crawler
        self._explainer: PageExplainer

    async def __aenter__(self) -> Self:
        self._thread.start()
        await self._here(self._open())
        await asyncio.to_thread(self._launch)
        for (job_id, run), ended_as in (await asyncio.to_thread(self._astray, await self._here(self._open_jobs()))).items():
            await self._here(self._settle(job_id, run, ended_as))
        loops = [self._dispatch()] if self._us is None else [self._dispatch(), self._help(), self._watch(self._us)]
        self._loops = [asyncio.run_coroutine_threadsafe(loop, self._loop) for loop in loops]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        self._loop.call_soon_threadsafe(self._leaving.set)
        for ending in self._loops:
            await asyncio.wrap_future(ending)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True, workflow_completion_timeout_sec=0)
        await self._here(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def answers(self) -> None:
        """Comes back once the worker's own loop had a turn: in vain waits who asks one that hangs."""
        await self._here(asyncio.sleep(0))

    async def explain(self, url: str, *, selectors: ContentSelectors) -> Explanation:
        """As :meth:`ingest.explain.PageExplainer.explain`, among the worker's own visits."""
        return await self._here(self._explainer.explain(url, selectors=selectors))

    async def _open(self) -> None:
        settings, enter = self._corpus.settings.ingest, self._stack.enter_async_context
        database = await enter(Database(url=self._corpus.database_url))
        opened = await enter(visiting(self._corpus, database))
        embedder = self._corpus.embedder
        writer = GenerationWriter(database=database, index=self._corpus.index, embedder=embedder, process=self._us)
        self._database = database
        self._explainer = PageExplainer(visitor=opened.visitor, settings=settings)
        self._crawler = Crawler(
            database=database,
            visitor=opened.visitor,
            recorder=Recorder(database=database, writer=writer, settings=settings, claimant=self._us),
            delisting=Delisting(database=database, writer=writer),
            sitemaps=SitemapReader(fetcher=opened.fetcher, robots=opened.robots, parser=opened.parser, settings=settings),
            settings=settings,
            should_stop=self._stopping.is_set,
            claimant=self._us,
        )
        self._writer = writer

    async def _close(self) -> None:
        # Workflows that were in the middle of a batch see the stop between two pages.
        current = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._corpus.settings.server.shutdown_grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._stack.aclose()

    def _launch(self) -> None:
        """Register the workflow and start DBOS, which recovers what a dead process left pending."""
        config = DBOSConfig(
            name=APPLICATION,
            system_database_url=self._corpus.queue_url,
            application_version=APPLICATION_VERSION,
            executor_id=self._us or EMBEDDED,
            log_level="WARNING",
            enable_otlp=False,
        )
        DBOS(config=config)
        self._register()
        DBOS.launch()
        if self._us is not None:  # jobs of the time when this corpus had one process, which isn't there any more
            DBOS._recover_pending_workflows([EMBEDDED])
        DBOS.register_queue(QUEUE, worker_concurrency=JOBS_AT_ONCE, polling_interval_sec=QUEUE_POLL_S)

    def _register(self) -> None:
        crawler = self._crawler

        @DBOS.step(name="begin")
        def begin(job_id: str, run: int) -> bool:
            return self._call(crawler.begin(job_id, run=run))

        @DBOS.step(name="batch")
        def batch(job_id: str, run: int) -> bool:
            return self._call(crawler.run_batch(job_id, run=run))

        @DBOS.step(name="finish")
        def finish(job_id: str, run: int, error: str | None, begun: bool) -> bool | None:
            return self._call(crawler.finish(job_id, run=run, error=error, begun=begun))

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MAX_RECOVERIES)
        def ingest_job(job_id: str, run: int = 1) -> None:
            try:
                ended: bool | None = False
                while ended is False:  # not None, which an older release recorded
                    begun = more = self._patiently(begin, job_id, run)
                    while more:
                        more = self._patiently(batch, job_id, run)
                    ended = self._patiently(finish, job_id, run, None, begun)
            except Exception as exc:  # one of the two outermost loops: a job that breaks must say so and not just stop
                if self._stopping.is_set():
                    raise WorkerStopping from exc
                log.exception("job %s broke", job_id)
                self._patiently(finish, job_id, run, f"The job broke: {exc}. The log holds the details.", True)

    def _patiently(self, step: Callable[..., T], job_id: str, *args: object) -> T:
        """Run a step, and again as long as the disk is full or the database server away: what the step writes, or DBOS' note of
        it, then finds no room. Every step may run twice."""
        while not self._stopping.is_set():
            try:
                return step(job_id, *args)
            except Exception as exc:
                trouble = storage_trouble(exc)
                if trouble is None:
                    raise
                log.error("job %s waits: %s", job_id, trouble)
                self._stopping.wait(STORAGE_PAUSE_S)
        raise WorkerStopping

    async def _open_jobs(self) -> Sequence[tuple[str, int]]:
        """The jobs that have a workflow, or are to have one. The time that no worker ran isn't counted as work."""
        presence = self._corpus.presence
        is_alone = presence is None or not await presence.others(self._database)
        async with self._database.write() as connection:
            if is_alone:
                running = (JobRow.state == JobState.RUNNING) & JobRow.working_since.is_not(None)
                await connection.execute(update(JobRow).where(running).values(working_since=utc_now()))
            open_jobs = select(JobRow.id, JobRow.run).where(JobRow.state.in_((JobState.QUEUED, JobState.RUNNING)))
            return [(row.id, row.run) for row in (await connection.execute(open_jobs)).all()]

    def _astray(self, jobs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str | None]:
        """The jobs that have no living workflow, and how it ended if they had one. Synchronous, for DBOS' asynchronous calls
        make its own thread pool the loop's, which then dies with DBOS."""
        found: dict[tuple[str, int], str | None] = {}
        for job_id, run in jobs:
            workflow = DBOS.get_workflow_status(workflow_id(job_id, run))
            if workflow is None or workflow.status not in ("PENDING", "ENQUEUED", "DELAYED"):
                found[job_id, run] = workflow.status if workflow else None
        return found

    async def _settle(self, job_id: str, run: int, ended_as: str | None) -> None:
        if ended_as is not None:
            error = f"The job's workflow ended as {ended_as} and left the job unfinished."
            await self._crawler.finish(job_id, run=run, error=error)
            return
        async with self._database.write() as connection:  # it never reached the queue, or the queue's file was lost
            ours = (JobRow.id == job_id) & (JobRow.run == run)
            open_state = JobRow.state.in_((JobState.QUEUED, JobState.RUNNING))
            await connection.execute(update(JobRow).where(ours & open_state).values(state=JobState.QUEUED))

    async def _help(self) -> None:
        """Visit URLs of jobs that other workers run, as long as there are any that nobody has claimed."""
        assert self._us is not None
        helped: set[str] = set()
        while not self._stopping.is_set():
            try:
                wanting = await frontier.wanting(self._database, me=self._us)
                for job_id in helped - set(wanting):
                    self._crawler.forget(job_id)
                helped &= set(wanting)
                random.shuffle(wanting)
                for job_id in wanting:
                    if not self._stopping.is_set() and await self._crawler.help(job_id):
                        helped.add(job_id)
                        break
                else:
                    await self._rest(HELP_POLL_S)
            except Exception as exc:  # an outermost loop: whatever breaks a job is its owner's to tell
                trouble = storage_trouble(exc)
                log.error("no help for other workers' jobs for now: %s", trouble or exc, exc_info=trouble is None)
                await self._rest(STORAGE_PAUSE_S)

    async def _watch(self, us: str) -> None:
        """Take over the work of processes that have died. Any living worker may, and all may at once: a workflow goes back to
        the queue once, from which one of them takes it."""
        timeout_s = self._corpus.settings.database.process_timeout_s
        presence = self._corpus.presence
        while not self._stopping.is_set():
            try:
                if presence is not None and presence.is_steady:
                    dead = [one for one in await find_dead(self._database, timeout_s=timeout_s) if one != us]
                    if dead:
                        await asyncio.to_thread(DBOS._recover_pending_workflows, dead)
                        await self._writer.clean_up(abandoned_before=utc_now())
                        await bury(self._database, dead)
            except Exception as exc:  # an outermost loop
                foreseen = isinstance(exc, FootnoteError | SQLAlchemyError)
                log.error("dead processes' work waits, as the queue or the database fails: %s", exc, exc_info=not foreseen)
            await self._rest(timeout_s / BEATS)

    async def _dispatch(self) -> None:
        """Fire schedules, and put on the queue what was recorded but never reached it: jobs that a schedule made, that waited
        for another of their source, or whose submitter died in between."""
        client = await asyncio.to_thread(DBOSClient, system_database_url=self._corpus.queue_url, lazy=True)
        enqueued: set[tuple[str, int]] = set()
        try:
            while not self._stopping.is_set():
                try:
                    waiting = await self._recorded()
                    for job_id, run in waiting - enqueued:
                        await asyncio.to_thread(client.enqueue, enqueue_options(job_id, run), job_id, run)
                        enqueued.add((job_id, run))
                    enqueued &= waiting
                    await self._forget_old_jobs(client)
                except Exception as exc:  # an outermost loop: schedules must outlive whatever fails, a full disk say
                    foreseen = isinstance(exc, FootnoteError | SQLAlchemyError)
                    log.error("due jobs wait, as the queue or the database fails: %s", exc, exc_info=not foreseen)
                    await self._rest(STORAGE_PAUSE_S)
                await self._rest(DISPATCH_EVERY_S)
        finally:
            await asyncio.to_thread(client.destroy)

    async def _forget_old_jobs(self, client: DBOSClient) -> None:
        """At the start, and once a day."""
        now = self._clock()
        if self._forget_at is not None and now < self._forget_at:
            return

        async def forget_workflows(jobs: Sequence[tuple[str, int]]) -> None:
            ids = [workflow_id(job_id, run) for job_id, runs in jobs for run in range(1, runs + 1)]
            await asyncio.to_thread(client.delete_workflows, ids)

        keep = timedelta(days=self._corpus.settings.ingest.keep_jobs_days)
        async with self._database.alone(FORGETTING_LOCK, wait=False) as ours:
            if ours:  # else another worker does it just now
                await forget_jobs(self._database, ended_before=now - keep, before_row_goes=forget_workflows)
                await forget_hosts(self._database, idle_for=FORGET_EVERY)
        self._forget_at = now + FORGET_EVERY

    async def _recorded(self) -> set[tuple[str, int]]:
        now = self._clock()
        async with self._database.read() as connection:
            is_due = await connection.scalar(select(SourceRow.id).where(SourceRow.next_at <= now).limit(1))
        if is_due:  # looked at first, so that nobody waits for a write lock every second
            async with self._database.write() as connection:
                if fired := await fire_due(connection, now=now):
                    log.info("%d sources were due and are run again", fired)
        async with self._database.read() as connection:
            return set(await ready(connection))

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the worker's loop from one of DBOS's threads."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _here(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the worker's loop from another loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))


@asynccontextmanager
async def worker_for(corpus: Corpus) -> AsyncIterator[IngestWorker]:
    """A worker in this process, for the length of the block."""
    async with IngestWorker(corpus=corpus) as worker:
        yield worker
