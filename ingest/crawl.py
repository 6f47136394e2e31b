"""A job, batch by batch: visit what is due, write what changed, follow the links.

Fetching and parsing run ahead of embedding, which takes nearly all of the time. Everything here may be killed at any point
and run again: a URL's outcome, its page and its links are committed together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, is_disk_full, utc_now
from corpus.errors import IngestError, NotFound, PermanentError, StorageFull, Unavailable
from corpus.generations import ReadBy
from corpus.jobs import count_poor, note_of_poor, worked_s
from corpus.model import IngestMode, JobState, UrlKind, UrlState, page_id
from corpus.selectors import SiteSelectors
from corpus.settings import IngestSettings
from corpus.spans import span
from corpus.tables import GenerationRow, JobRow, PageRow, UrlRow
from ingest import frontier
from ingest.frontier import Ending, FrontierUrl
from ingest.job import Job
from ingest.preview import WOULD_CHECK, WOULD_FETCH, DryRun
from ingest.recording import Recorder, Visited
from ingest.sitemap_walk import Listed, SitemapReader, sitemap_address
from ingest.urls import check_url
from ingest.vanished import Delisting
from ingest.visit import Changed, KnownPage, NotIndexed, Outcome, Visitor

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_URLS = 64
SHARED_BATCH_URLS = 8  # where several workers share a job: a small site is to have enough for all of them
COMMIT_CHUNKS = 64  # chunks embedded and committed together: enough to fill the embedder's batches
READ_AHEAD_PAGES = 16
HALT_CHECK_S = 0.1  # between two looks, before a visit, whether the job is to end: a look costs as much as a quick visit
HALT_POLL_S = 0.5  # how long a cancelled or paused job may go on waiting for a site
STORAGE_PAUSE_S = 5.0
DISK_FULL = "The disk of the data directory is full. Free some space: the job waits and goes on by itself."


def storage_trouble(exc: BaseException) -> str | None:
    """What people should know where neither a page nor its job is to blame, but where all of them are kept."""
    if is_disk_full(exc):
        return DISK_FULL
    if isinstance(exc, BaseExceptionGroup):
        return next((found for found in map(storage_trouble, exc.exceptions) if found), None)
    return f"{exc.message} The job waits and goes on by itself." if isinstance(exc, Unavailable) else None


class Crawler:
    """Runs jobs. ``should_stop`` is asked between pages: when the process wants to end, a batch ends early.

    ``claimant``: this process' id, where several share a job. Each then visits only what it claimed (``ingest/frontier.py``): the
    one that owns the job's workflow, and those that :meth:`help`.
    """

    def __init__(
        self,
        *,
        database: Database,
        visitor: Visitor,
        recorder: Recorder,
        delisting: Delisting,
        sitemaps: SitemapReader,
        settings: IngestSettings,
        should_stop: Callable[[], bool],
        claimant: str | None = None,
    ) -> None:
        self._database = database
        self._visitor = visitor
        self._recorder = recorder
        self._delisting = delisting
        self._sitemaps = sitemaps
        self._settings = settings
        self._selectors = SiteSelectors(settings.selectors)
        self._should_stop = should_stop
        self._claimant = claimant
        self._at_work: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # one batch of a job at a time

    async def begin(self, job_id: str, *, run: int | None = None) -> bool:
        """Mark a job as running and put its first URLs on the frontier. False if no more is to be done now, which
        :meth:`finish` then settles. ``run``: for this run of the job alone; one that was overtaken does nothing."""
        job = await self._job(job_id, run)
        if job is None:
            return False
        async with self._database.write() as connection:
            ours = (JobRow.id == job_id) & (JobRow.run == job.run) & JobRow.state.in_((JobState.QUEUED, JobState.RUNNING))
            asked = JobRow.cancel_requested | JobRow.pause_requested
            now = utc_now()
            running = {
                "state": JobState.RUNNING,
                "started_at": func.coalesce(JobRow.started_at, now),
                "working_since": func.coalesce(JobRow.working_since, now),
            }
            if not (await connection.execute(update(JobRow).where(ours & ~asked).values(running))).rowcount:
                return False
        if job.spec.dry_run:
            return bool(await self._unless_over(job, self._dry_run(job)))
        urls, failures = self._first_urls(job)
        kind = UrlKind.SITEMAP if job.spec.mode is IngestMode.SITEMAP else UrlKind.PAGE
        async with self._database.write() as connection:
            await frontier.add(connection, job_id, urls, budget=job.budget, kind=kind)
            for url, error in failures:
                await self._add_failure(connection, job_id, url, error)
        return True

    async def run_batch(self, job_id: str, *, run: int | None = None) -> bool:
        """Visit the next URLs of a job and commit what they bring. False when none is left, or no more is to be done now."""
        async with self._at_work[job_id]:
            job = await self._job(job_id, run)
            if job is None or job.is_over or job.spec.dry_run:  # which did all it does when it began
                return False
            entries, wait_s = await self._due(job)
            if wait_s is None:
                return False
            if not entries:
                await asyncio.sleep(min(wait_s, 1.0))
                return True
            try:
                await self._visit_and_record(job, entries)
                await self._note(job_id, None)
            except Exception as exc:  # a task group wraps what its tasks raise
                trouble = storage_trouble(exc)
                if trouble is None:
                    raise
                # Nothing is lost: the URLs are still due, and the job goes on by itself once the trouble is over.
                log.error("job %s waits: %s", job_id, trouble)
                with suppress(StorageFull, Unavailable):
                    await self._note(job_id, trouble)
                await asyncio.sleep(STORAGE_PAUSE_S)
            return True

    async def help(self, job_id: str) -> bool:
        """Visit some URLs of a job that another worker runs. False if there was nothing to do.

        Raises: StorageFull, Unavailable, or what broke; the URLs are due again.
        """
        if self._at_work[job_id].locked():  # it is ours, or helped already
            return False
        async with self._at_work[job_id]:
            job = await self._job(job_id)
            if job is None or job.state is not JobState.RUNNING or job.is_over or job.spec.dry_run:
                return False
            entries, _ = await self._due(job)
            if entries:
                await self._visit_and_record(job, entries)
            return bool(entries)

    def forget(self, job_id: str) -> None:
        """The job needs no more help: what is remembered of it goes."""
        self._recorder.forget(job_id)
        if not self._at_work[job_id].locked():
            del self._at_work[job_id]

    async def _due(self, job: Job) -> tuple[list[FrontierUrl], float | None]:
        if self._claimant is None:
            return await frontier.due(self._database, job.id, now=utc_now(), limit=BATCH_URLS)
        return await frontier.claim(self._database, job.id, run=job.run, me=self._claimant, limit=SHARED_BATCH_URLS)

    async def _visit_and_record(self, job: Job, entries: list[FrontierUrl]) -> None:
        try:
            await self._work(job, entries)
        finally:
            if self._claimant is not None:
                with suppress(StorageFull, Unavailable):  # then they are ours again at the next claim
                    async with self._database.write() as connection:
                        await frontier.release(connection, job.id, me=self._claimant)

    async def finish(self, job_id: str, *, error: str | None = None, run: int | None = None, begun: bool = True) -> bool:
        """Record how a run of a job ended: paused, cancelled, failed if nothing at all could be indexed or with ``error``,
        else succeeded. False if it hasn't ended after all: it was to pause and was resumed before it did. ``begun``: what
        :meth:`begin` gave."""
        self.forget(job_id)
        if begun and error is None and (ending := await self._job(job_id, run)):
            await self._delisting.run(ending)
        counted = select(UrlRow.state, func.count().label("n")).where(UrlRow.job_id == job_id).group_by(UrlRow.state)
        async with self._database.write() as connection:
            job = (await connection.execute(select(JobRow).where(JobRow.id == job_id).with_for_update())).first()
            if job is None or job.run != (run or job.run) or job.state not in (JobState.QUEUED, JobState.RUNNING):
                return True
            counts: dict[str, int] = {row.state: row.n for row in (await connection.execute(counted)).all()}
            unfinished = error is None and not job.cancel_requested and (not begun or counts.get(UrlState.PENDING, 0))
            if unfinished and not job.pause_requested:
                return False
            state, now = JobState.PAUSED, utc_now()
            values: dict[str, Any] = {"pause_requested": False, "worked_s": worked_s(job, now), "working_since": None}
            if not unfinished:
                state, error = await self._judged(connection, job, counts, error)
                values |= {"error": error, "finished_at": now}
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values | {"state": state}))
            poor = await count_poor(connection, job_id)
            note = await note_of_poor(connection, job_id, poor) if poor else None
        if note:
            log.warning("job %s: %s", job_id, note)
        log.info("job %s %s: %s", job_id, state, ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "no URLs")
        return True

    async def _judged(
        self, connection: AsyncConnection, job: Any, counts: dict[str, int], error: str | None
    ) -> tuple[JobState, str | None]:
        """How a job has ended that has nothing left to do."""
        good = counts.get(UrlState.INDEXED, 0) + counts.get(UrlState.UNCHANGED, 0)
        if job.spec.get("dry_run"):
            would = (UrlRow.job_id == job.id) & UrlRow.reason.in_((WOULD_FETCH, WOULD_CHECK))
            good = await connection.scalar(select(func.count()).select_from(UrlRow).where(would)) or 0
        if not good:  # what is shown at another URL is there all the same
            elsewhere = select(UrlRow.seq).where(UrlRow.job_id == job.id, UrlRow.state == UrlState.SKIPPED)
            good = int(await connection.scalar(elsewhere.where(UrlRow.page_id.is_not(None)).limit(1)) is not None)
        if error is None and not good and counts.get(UrlState.FAILED, 0):
            error = "No page could be indexed; the failed URLs say why."
        elif error is None and not good and not job.cancel_requested:
            why = await connection.scalar(select(UrlRow.message).where(UrlRow.job_id == job.id, UrlRow.message.is_not(None)))
            error = f"Nothing was indexed. {why or 'No URL was found in scope.'}"
        cancelled = job.cancel_requested and (error is None or good)
        return JobState.CANCELLED if cancelled else JobState.FAILED if error else JobState.SUCCEEDED, error

    async def _job(self, job_id: str, run: int | None = None) -> Job | None:
        """The job, if ``run`` is its run now."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(JobRow).where(JobRow.id == job_id))).first()
        if row is None:
            raise NotFound(f"There is no job {job_id}; its collection may have been deleted.")
        if row.run != (run or row.run):
            return None
        return Job.of(row)

    async def _is_over(self, job: Job) -> bool:
        if self._should_stop():
            return True
        now = await self._job(job.id, job.run)
        return now is None or now.is_over

    async def _unless_over(self, job: Job, work: Coroutine[Any, Any, T]) -> T | None:
        """What ``work`` gives, or None if the job is to do no more before then. ``work`` may be broken off anywhere: it waits
        for other people's servers, up to many minutes, and writes nothing."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=HALT_POLL_S))[0]:
                if await self._is_over(job):
                    return None
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    async def _note(self, job_id: str, error: str | None) -> None:
        """After a batch: what it waits for, if it does, and the time that was worked."""
        async with self._database.write() as connection:
            job = (await connection.execute(select(JobRow).where(JobRow.id == job_id).with_for_update())).first()
            if job is not None and job.working_since is not None:
                now = utc_now()
                clock = {"worked_s": worked_s(job, now), "working_since": now}
                await connection.execute(update(JobRow).where(JobRow.id == job_id).values(clock))
            changed = (JobRow.id == job_id) & (JobRow.error.is_distinct_from(error))
            await connection.execute(update(JobRow).where(changed).values(error=error))

    async def _dry_run(self, job: Job) -> bool:
        dry_run = DryRun(
            database=self._database,
            visitor=self._visitor,
            sitemaps=self._sitemaps,
            settings=self._settings,
            job_id=job.id,
            collection_id=job.collection_id,
            spec=job.spec,
            scope=job.scope,
        )
        await dry_run.run()
        return True

    def _first_urls(self, job: Job) -> tuple[list[str], list[tuple[str, IngestError]]]:
        urls: list[str] = []
        failures: list[tuple[str, IngestError]] = []
        for url in job.spec.urls:
            try:
                checked = check_url(url, self._settings)
                urls.append(sitemap_address(checked) if job.spec.mode is IngestMode.SITEMAP else checked)
            except IngestError as exc:
                failures.append((url, exc))
        return list(dict.fromkeys(urls)), failures

    async def _add_failure(self, connection: AsyncConnection, job_id: str, url: str, error: IngestError) -> None:
        await frontier.add(connection, job_id, [url], budget=frontier.UNLIMITED)
        if entry := await frontier.find(connection, job_id, url):
            ending = Ending(entry=entry, state=UrlState.FAILED, reason=error.reason, message=error.message)
            await frontier.finish(connection, [ending])

    async def _work(self, job: Job, entries: list[FrontierUrl]) -> None:
        """Visitors put results on a short queue; this takes as many as are there and commits them together."""
        visited: asyncio.Queue[Visited | None] = asyncio.Queue(maxsize=READ_AHEAD_PAGES)
        is_over = partial(self._is_over, job)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._visit_all(job, entries, visited))
            finished = False
            while not finished:
                batch, finished = await _take(visited)
                if not await is_over():  # else what was read ahead is dropped: its URLs stay as they were
                    await self._recorder.record(job, batch, is_over=is_over)

    async def _visit_all(self, job: Job, entries: list[FrontierUrl], visited: asyncio.Queue[Visited | None]) -> None:
        known = await self._known(job, entries)
        waiting = iter(entries)
        looked_s = time.monotonic()

        async def visitor() -> None:
            nonlocal looked_s
            for entry in waiting:  # one iterator for all: each entry goes to one of them
                if time.monotonic() - looked_s >= HALT_CHECK_S:
                    looked_s = time.monotonic()
                    if await self._is_over(job):
                        return
                await visited.put(Visited(entry, await self._visit(job, entry, known.get(entry.url))))

        async def visitors() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrency, len(entries))):
                    group.create_task(visitor())

        await self._unless_over(job, visitors())
        await visited.put(None)

    async def _visit(self, job: Job, entry: FrontierUrl, known: KnownPage | None) -> Outcome | Listed | IngestError:
        try:
            if entry.kind is UrlKind.SITEMAP:
                async with self._database.read() as connection:
                    if await frontier.count(connection, job.id, UrlKind.PAGE) >= job.spec.max_pages:
                        return NotIndexed("page_budget", "The job had as many pages as it may before this sitemap's turn came.")
                return await self._sitemaps.read(entry.url)
            with span("visit", url__full=entry.url, footnote__job_id=job.id):
                return await self._visitor.visit(
                    entry.url,
                    collection_id=job.collection_id,
                    job_id=job.id,
                    known=known,
                    may_move_to=lambda url: job.admits(url, entry.depth),
                    selectors=partial(self._selectors.of, own=job.selectors),
                )
        except IngestError as exc:
            return exc
        except Exception as exc:  # one page, however odd, must not end the job of a thousand others
            if storage_trouble(exc):
                raise
            log.exception("unexpected error on %s", entry.url)
            return PermanentError(f"Unexpected: {exc!r}. The log holds the details.", reason="unexpected")

    async def _known(self, job: Job, entries: Sequence[FrontierUrl]) -> dict[str, KnownPage]:
        """What is stored of pages, by URL. A version that is replaced before the visit is recorded is noticed then."""
        columns = (GenerationRow.id, GenerationRow.content_hash, GenerationRow.etag, GenerationRow.last_modified)
        rules = (GenerationRow.extraction_version, GenerationRow.selectors_hash)
        statement = select(PageRow.url, *columns, *rules).join(PageRow, PageRow.live_generation == GenerationRow.id)
        wanted = [page_id(job.collection_id, entry.url) for entry in entries]
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.where(PageRow.id.in_(wanted)))).all()
        return {
            row.url: KnownPage(
                row.id, row.content_hash, row.etag, row.last_modified, ReadBy(row.extraction_version, row.selectors_hash)
            )
            for row in rows
        }


async def _take(visited: asyncio.Queue[Visited | None]) -> tuple[list[Visited], bool]:
    """Wait for one result, then take what else is there, up to a commit's worth; and whether that was the end."""
    batch: list[Visited] = []
    chunks = 0
    one = await visited.get()
    while one is not None:
        batch.append(one)
        chunks += len(one.outcome.page.chunks) if isinstance(one.outcome, Changed) else 0
        if chunks >= COMMIT_CHUNKS or visited.empty():
            return batch, False
        one = visited.get_nowait()
    return batch, True
