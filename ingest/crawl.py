"""A job, batch by batch: visit what is due, write what changed, follow the links.

Fetching and parsing run ahead of embedding, which takes nearly all of the time. Everything here may be killed at any point
and run again: a URL's outcome, its page and its links are committed together.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, GenerationRow, JobRow, PageRow, UrlRow, is_disk_full, utc_now
from corpus.errors import IngestError, NotFound, PermanentError, StorageFull, TransientError
from corpus.generations import GenerationWriter, Pending
from corpus.model import IngestMode, JobState, UrlKind, UrlState, page_id
from corpus.pages import Pages
from corpus.settings import IngestSettings
from corpus.sources import JobSpec
from ingest import frontier
from ingest.frontier import FrontierUrl
from ingest.preview import WOULD_CHECK, WOULD_FETCH, DryRun
from ingest.sitemap_walk import MAX_SITEMAP_DEPTH, MAX_SITEMAPS, Listed, SitemapReader, sitemap_address
from ingest.traps import REASONS, Traps, clean_link
from ingest.urls import Scope, check_url, normalise
from ingest.visit import Changed, Elsewhere, KnownPage, NotIndexed, Outcome, Unchanged, Visitor

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_URLS = 64
COMMIT_CHUNKS = 64  # chunks embedded and committed together: enough to fill the embedder's batches
READ_AHEAD_PAGES = 16
HALT_POLL_S = 0.5  # how long a cancelled or paused job may go on waiting for a site
RETRY_BASE_S = 2.0
RETRY_MAX_S = 600.0
TRAPPED_SHOWN = 20  # links refused for one reason that a job's log names
DISK_FULL_PAUSE_S = 5.0
DISK_FULL = "The disk of the data directory is full. Free some space: the job waits and goes on by itself."
GONE = frozenset(("http_404", "http_410"))


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    collection_id: int
    spec: JobSpec
    state: JobState
    run: int
    cancel_requested: bool
    pause_requested: bool

    @property
    def is_over(self) -> bool:
        """Whether no more is to be done now: it has ended, or is to end or to pause."""
        return self.cancel_requested or self.pause_requested or self.state not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class _Visited:
    entry: FrontierUrl
    outcome: Outcome | Listed | IngestError


class Crawler:
    """Runs jobs. ``should_stop`` is asked between pages: when the process wants to end, a batch ends early."""

    def __init__(
        self,
        *,
        database: Database,
        writer: GenerationWriter,
        pages: Pages,
        visitor: Visitor,
        sitemaps: SitemapReader,
        settings: IngestSettings,
        should_stop: Callable[[], bool],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._writer = writer
        self._pages = pages
        self._visitor = visitor
        self._sitemaps = sitemaps
        self._settings = settings
        self._should_stop = should_stop
        self._jitter = jitter
        self._traps: dict[str, Traps] = {}

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
            await frontier.add(connection, job_id, urls, depth=0, budget=max(job.spec.max_pages, len(job.spec.urls)), kind=kind)
            for url, error in failures:
                await self._add_failure(connection, job_id, url, error)
        return True

    async def run_batch(self, job_id: str, *, run: int | None = None) -> bool:
        """Visit the next URLs of a job and commit what they bring. False when none is left, or no more is to be done now."""
        job = await self._job(job_id, run)
        if job is None or job.is_over or job.spec.dry_run:  # which did all it does when it began
            return False
        entries, wait_s = await frontier.due(self._database, job_id, now=utc_now(), limit=BATCH_URLS)
        if wait_s is None:
            return False
        if not entries:
            await asyncio.sleep(min(wait_s, 1.0))
            return True
        try:
            await self._work(job, entries)
            await self._note(job_id, None)
        except Exception as exc:  # a task group wraps what its tasks raise
            if not is_disk_full(exc):
                raise
            # Nothing is lost: the URLs are still due, and the job goes on by itself once there is room.
            log.error("job %s waits: %s", job_id, DISK_FULL)
            with suppress(StorageFull):
                await self._note(job_id, DISK_FULL)
            await asyncio.sleep(DISK_FULL_PAUSE_S)
        return True

    async def finish(self, job_id: str, *, error: str | None = None, run: int | None = None, begun: bool = True) -> bool:
        """Record how a run of a job ended: paused, cancelled, failed if nothing at all could be indexed or with ``error``,
        else succeeded. False if it hasn't ended after all: it was to pause and was resumed before it did. ``begun``: what
        :meth:`begin` gave."""
        self._traps.pop(job_id, None)
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
        spec, state = JobSpec.model_validate(row.spec), JobState(row.state)
        return Job(row.id, row.collection_id, spec, state, row.run, row.cancel_requested, row.pause_requested)

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
            scope=_scope(job.spec),
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
        await frontier.add(connection, job_id, [url], depth=0, budget=2**31)
        if entry := await frontier.find(connection, job_id, url):
            await frontier.finish(connection, entry, UrlState.FAILED, reason=error.reason, message=error.message)

    async def _work(self, job: Job, entries: list[FrontierUrl]) -> None:
        """Visitors put results on a short queue; this takes as many as are there and commits them together."""
        visited: asyncio.Queue[_Visited | None] = asyncio.Queue(maxsize=READ_AHEAD_PAGES)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._visit_all(job, entries, visited))
            finished = False
            while not finished:
                batch, finished = await _take(visited)
                if not await self._is_over(job):  # else what was read ahead is dropped: its URLs stay as they were
                    await self._record(job, batch)

    async def _visit_all(self, job: Job, entries: list[FrontierUrl], visited: asyncio.Queue[_Visited | None]) -> None:
        waiting = iter(entries)

        async def visitor() -> None:
            for entry in waiting:  # one iterator for all: each entry goes to one of them
                if await self._is_over(job):
                    return
                await visited.put(_Visited(entry, await self._visit(job, entry)))

        async def visitors() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._settings.concurrency, len(entries))):
                    group.create_task(visitor())

        await self._unless_over(job, visitors())
        await visited.put(None)

    async def _visit(self, job: Job, entry: FrontierUrl) -> Outcome | Listed | IngestError:
        scope = _scope(job.spec)
        known = await self._known(job, entry.url)
        try:
            if entry.kind is UrlKind.SITEMAP:
                async with self._database.read() as connection:
                    if await frontier.count(connection, job.id, UrlKind.PAGE) >= job.spec.max_pages:
                        return NotIndexed("page_budget", "The job had as many pages as it may before this sitemap's turn came.")
                return await self._sitemaps.read(entry.url)
            return await self._visitor.visit(
                entry.url,
                collection_id=job.collection_id,
                job_id=job.id,
                known=known,
                may_move_to=lambda url: scope is None or scope.admits(url, entry.depth) is None,
            )
        except IngestError as exc:
            return exc
        except Exception as exc:  # one page, however odd, must not end the job of a thousand others
            if is_disk_full(exc):
                raise
            log.exception("unexpected error on %s", entry.url)
            return PermanentError(f"Unexpected: {exc!r}. The log holds the details.", reason="unexpected")

    async def _known(self, job: Job, url: str) -> KnownPage | None:
        columns = (GenerationRow.content_hash, GenerationRow.etag, GenerationRow.last_modified, GenerationRow.links)
        wanted = page_id(job.collection_id, url)
        statement = select(*columns).join(PageRow, PageRow.live_generation == GenerationRow.id).where(PageRow.id == wanted)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).first()
        return KnownPage(wanted, row.content_hash, row.etag, row.last_modified, tuple(row.links)) if row else None

    async def _record(self, job: Job, batch: list[_Visited]) -> None:
        changed: dict[str, tuple[FrontierUrl, Changed]] = {}
        for one in batch:
            match one.outcome:
                case Changed(page=page):
                    changed[page.id] = (one.entry, one.outcome)
                case outcome:
                    await self._record_small(job, one.entry, outcome)
        if not changed:
            return

        async def on_flip(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
            entry = changed[pending.new.id][0]
            if went_live:
                await frontier.finish(connection, entry, UrlState.INDEXED, page_id=pending.new.id, chunks=len(pending.new.chunks))
            else:
                message = "The page was deleted or written by another job in the meantime."
                await frontier.finish(connection, entry, UrlState.SKIPPED, reason="superseded", message=message)
            await self._follow(connection, job, entry, pending.new.links)

        try:
            await self._writer.commit(
                [outcome.page for _, outcome in changed.values()], on_flip=on_flip, is_over=partial(self._is_over, job)
            )
        except TransientError as exc:
            for entry, _ in changed.values():
                await self._record_small(job, entry, exc)

    async def _record_small(self, job: Job, entry: FrontierUrl, outcome: Outcome | Listed | IngestError) -> None:
        """Everything but a changed page: one short transaction, after taking out the page that is no longer there. In this
        order, for a URL whose outcome is recorded isn't visited again."""
        if _takes_page_out(outcome):
            with suppress(NotFound):
                await self._pages.delete(page_id(job.collection_id, entry.url))
                log.info("removed %s: it is gone, has moved, or asks not to be indexed", entry.url)
        async with self._database.write() as connection:
            match outcome:
                case Unchanged():
                    await self._touch(connection, outcome)
                    await frontier.finish(connection, entry, UrlState.UNCHANGED, page_id=outcome.page_id)
                    await self._follow(connection, job, entry, outcome.links)
                case Listed():
                    await self._follow_sitemap(connection, job, entry, outcome)
                case Elsewhere(url=url):
                    await self._move(connection, job, entry, url)
                case NotIndexed():
                    await frontier.finish(connection, entry, UrlState.SKIPPED, reason=outcome.reason, message=outcome.message)
                    await self._follow(connection, job, entry, outcome.links)
                case TransientError() if entry.attempts + 1 < self._settings.max_attempts:
                    wait_s = max(outcome.retry_after_s or 0.0, self._backoff_s(entry.attempts))
                    await frontier.postpone(
                        connection, entry, wait_s=min(wait_s, RETRY_MAX_S), reason=outcome.reason, message=outcome.message
                    )
                case IngestError():
                    await frontier.finish(connection, entry, UrlState.FAILED, reason=outcome.reason, message=outcome.message)

    async def _touch(self, connection: AsyncConnection, unchanged: Unchanged) -> None:
        live = select(PageRow.live_generation).where(PageRow.id == unchanged.page_id).scalar_subquery()
        values = {
            "fetched_at": unchanged.fetched_at,
            "etag": unchanged.etag,
            "last_modified": unchanged.last_modified,
            "links": list(unchanged.links),
        }
        await connection.execute(update(GenerationRow).where(GenerationRow.id == live).values(values))

    async def _move(self, connection: AsyncConnection, job: Job, entry: FrontierUrl, url: str) -> None:
        """Visit a redirect's target in the URL's place. Once: a target that redirects again, and each time elsewhere, would
        never end."""
        target = normalise(url)
        if entry.moved_here:
            message = f"A redirect led here, and it redirects again, to {target}."
            await frontier.finish(connection, entry, UrlState.FAILED, reason="redirects_again", message=message)
            return
        # The budget counts pages, and this one only changed its address.
        await frontier.add(connection, job.id, [target], depth=entry.depth, budget=2**31, moved_here=True)
        await frontier.finish(connection, entry, UrlState.SKIPPED, reason="redirected", message=f"It redirects to {target}.")

    async def _follow(self, connection: AsyncConnection, job: Job, entry: FrontierUrl, links: Sequence[str]) -> None:
        if job.spec.mode is not IngestMode.CRAWL:
            return
        scope = _scope(job.spec)
        traps = await self._traps_of(connection, job)
        wanted: list[str] = []
        for link in links:
            try:
                url = clean_link(normalise(link))
            except PermanentError:
                continue  # a broken link on somebody's page is no event
            if scope is None or scope.admits(url, entry.depth + 1) is not None:
                continue
            if reason := traps.refuses(url):
                if traps.tells(reason, limit=TRAPPED_SHOWN):
                    why = REASONS[reason]
                    await frontier.refuse(connection, job.id, url, depth=entry.depth + 1, reason=reason, message=why)
                continue
            wanted.append(url)
        await frontier.add(connection, job.id, dict.fromkeys(wanted), depth=entry.depth + 1, budget=job.spec.max_pages)

    async def _traps_of(self, connection: AsyncConnection, job: Job) -> Traps:
        """What the job has to remember of its links: kept while this process works on it, and made from the frontier."""
        traps = self._traps.get(job.id)
        if traps is None:
            traps = self._traps[job.id] = Traps(settings=self._settings)
            for url, reason in await connection.execute(select(UrlRow.url, UrlRow.reason).where(UrlRow.job_id == job.id)):
                with suppress(PermanentError):  # what was given may be no URL
                    traps.remember(url, reason if reason in REASONS else None)
        return traps

    async def _follow_sitemap(self, connection: AsyncConnection, job: Job, entry: FrontierUrl, listed: Listed) -> None:
        scope = _scope(job.spec)
        pages = [page for page in listed.pages if scope is None or scope.admits(page, 0) is None]
        added = await frontier.add(connection, job.id, pages, depth=0, budget=job.spec.max_pages)
        deeper = listed.sitemaps if entry.depth < MAX_SITEMAP_DEPTH else ()
        below = entry.depth + 1
        sitemaps = await frontier.add(connection, job.id, deeper, depth=below, budget=MAX_SITEMAPS, kind=UrlKind.SITEMAP)
        message = (
            f"A sitemap of {len(listed.pages)} pages, {len(pages)} of them in scope and {added} added to the job, and of "
            f"{len(listed.sitemaps)} sitemaps, {sitemaps} of them added; {listed.foreign} entries are of other sites or no URLs."
        )
        await frontier.finish(connection, entry, UrlState.SKIPPED, reason="sitemap", message=message)

    def _backoff_s(self, attempts: int) -> float:
        """Exponential, with full jitter over its upper half."""
        return RETRY_BASE_S * 2.0**attempts * (0.5 + self._jitter() / 2)


def worked_s(job: Any, now: datetime) -> float:
    """Seconds that a job has worked, by its row: without pauses and without the time between its runs."""
    return float(job.worked_s) + (max(0.0, (now - job.working_since).total_seconds()) if job.working_since else 0.0)


def _scope(spec: JobSpec) -> Scope | None:
    """Where a job may go: a crawl stays under its start URLs; patterns alone bound a sitemap; pages are taken as given."""
    if spec.mode is IngestMode.PAGE:
        return None
    roots = []
    for url in spec.urls:
        with suppress(PermanentError):  # recorded as failed when the job began
            roots.append(normalise(url))
    if spec.mode is IngestMode.CRAWL:
        return Scope.of(roots, max_depth=spec.max_depth, include=spec.include, exclude=spec.exclude)
    return Scope.of(roots, max_depth=0, include=spec.include, exclude=spec.exclude, prefix="/")


def _takes_page_out(outcome: Outcome | Listed | IngestError) -> bool:
    """Whether the site says that what is stored under this URL is no longer there, or shouldn't be shown."""
    match outcome:
        case NotIndexed(remove=remove):
            return remove
        case PermanentError(reason=reason):
            return reason in GONE
        case _:
            return isinstance(outcome, Elsewhere)


async def _take(visited: asyncio.Queue[_Visited | None]) -> tuple[list[_Visited], bool]:
    """Wait for one result, then take what else is there, up to a commit's worth; and whether that was the end."""
    batch: list[_Visited] = []
    chunks = 0
    one = await visited.get()
    while one is not None:
        batch.append(one)
        chunks += len(one.outcome.page.chunks) if isinstance(one.outcome, Changed) else 0
        if chunks >= COMMIT_CHUNKS or visited.empty():
            return batch, False
        one = visited.get_nowait()
    return batch, True
