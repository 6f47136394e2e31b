"""The queue between the service and the worker.

The service submits jobs and reads their progress here; the worker takes them from DBOS and writes their progress into the
same tables. A job's counters are counted over its URLs, so the totals are honest at every moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbos import DBOS, DBOSClient
from sqlalchemy import ColumnElement, ScalarSelect, Select, case, exists, func, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from corpus.coverage import StoredCoverage, poor_note
from corpus.coverage import poor as poorly_kept
from corpus.database import Database, utc_now
from corpus.errors import Conflict, NotFound
from corpus.grants import EVERYTHING, Grants, S
from corpus.model import OPEN_STATES, JobState, UrlState
from corpus.sources import JobSpec, as_known, no_such_source, open_job, record_job, remember, set_schedule
from corpus.tables import CollectionRow, JobRow, LeftOutRow, SourceRow, UrlRow

log = logging.getLogger(__name__)

_KEPT = (UrlState.INDEXED, UrlState.UNCHANGED)
APPLICATION = "footnote"
APPLICATION_VERSION = "1"  # fixed: a new release resumes the jobs of the old one
QUEUE = "ingest"
WORKFLOW = "ingest_job"
PROGRESS_POLL_S = 0.25
RECENT_FAILURES = 20
POOR_SHOWN = 3  # pages of which too little was kept that a job names


@dataclass(frozen=True, slots=True)
class UrlOutcome:
    """What happened to a URL. ``attempts`` counts the visits that failed for a passing reason; ``depth`` the links from a
    start URL; status, size (decoded) and time are the last answer's."""

    url: str
    state: UrlState
    reason: str | None
    message: str | None
    page_id: str | None
    chunks: int
    depth: int
    attempts: int
    http_status: int | None
    size_bytes: int | None
    elapsed_ms: int | None
    finished_at: datetime | None
    coverage: StoredCoverage | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A dead letter: a URL that failed for good, and the job and source that it is of."""

    job_id: str
    source_id: str
    outcome: UrlOutcome


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its progress. ``urls`` counts URLs by state; ``found`` is their sum; ``removed`` counts pages that vanished.

    ``poorly_kept`` counts pages of which too little was kept (``corpus/coverage.py``), which its notes name too.

    ``run`` counts how often it was begun: a resumed or retried job is begun again. ``worked_s`` is the time that was spent
    on it, but for what was since ``working_since``. ``waits_for``: the older job of its source that must end before it begins.
    """

    id: str
    collection: str
    spec: JobSpec
    state: JobState
    error: str | None
    source_id: str | None
    run: int
    cancel_requested: bool
    pause_requested: bool
    waits_for: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worked_s: float
    working_since: datetime | None
    removed: int
    notes: tuple[str, ...]
    poorly_kept: int
    urls: dict[UrlState, int]
    chunks: int
    failures: list[UrlOutcome]

    @property
    def found(self) -> int:
        return sum(self.urls.values())


def open_queue(url: str) -> DBOSClient:
    """The queue's sending end. Its tables are made if no worker has done so yet."""
    DBOS.migrate(url)
    return DBOSClient(system_database_url=url, lazy=True)


class Jobs:
    """``queue`` must point at the DBOS system database that the workers use. ``grants``: the collections whose jobs these are;
    others look as if they weren't there."""

    def __init__(self, *, database: Database, queue: DBOSClient, grants: Grants = EVERYTHING) -> None:
        self._database = database
        self._queue = queue
        self._grants = grants

    def within(self, grants: Grants) -> Jobs:
        return Jobs(database=self._database, queue=self._queue, grants=grants)

    async def submit(self, *, collection_id: int, spec: JobSpec, every_s: int | None = None) -> str:
        """Record a job and put it on the queue; gives its id. ``every_s``: and run its source again so often.

        The record comes first: if the process dies before the job is enqueued, a worker enqueues it. Jobs of one source
        don't overlap: while another of them is open, this one waits.
        """
        async with self._database.write() as connection:
            if not spec.dry_run:
                spec = await as_known(connection, collection_id=collection_id, spec=spec)
            source = None if spec.dry_run else await remember(connection, collection_id=collection_id, spec=spec)
            if source is not None and every_s is not None:
                await set_schedule(connection, source, every_s=every_s, now=utc_now())
            job_id = await record_job(connection, collection_id=collection_id, source_id=source, spec=spec, now=utc_now())
            is_ready = await _is_ready(connection, job_id)
        if is_ready:
            await self._enqueue(job_id, 1)
        return job_id

    async def run_source(self, source_id: str) -> str:
        """Run a source again with what it was last submitted with; gives the job's id.

        Raises: NotFound; Conflict while a job of it is open.
        """
        async with self._database.write() as connection:
            wanted = self._grants.bound(select(SourceRow).where(SourceRow.id == source_id), SourceRow.collection_id)
            source = (await connection.execute(wanted)).first()
            if source is None:
                raise no_such_source(source_id)
            if (other := await open_job(connection, source_id)) is not None:
                raise Conflict(f"The job {other} of this source hasn't ended yet. Wait for it, or cancel it.")
            spec = JobSpec.model_validate(source.spec)
            fields = {"collection_id": source.collection_id, "source_id": source_id, "spec": spec}
            job_id = await record_job(connection, **fields, now=utc_now())
        await self._enqueue(job_id, 1)
        return job_id

    async def get(self, job_id: str) -> JobStatus:
        """Raises: NotFound."""
        found = await self._statuses(_jobs().where(JobRow.id == job_id))
        if not found:
            raise _no_such_job(job_id)
        return found[0]

    async def list(self, *, limit: int = 50) -> Sequence[JobStatus]:
        """The newest jobs first."""
        return await self._statuses(_jobs().order_by(JobRow.created_at.desc()).limit(limit))

    async def urls(
        self, job_id: str, *, state: UrlState | None = None, max_kept: float | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, UrlOutcome]]:
        """What happened to each URL, in the order of discovery, with the cursor for ``after``. ``max_kept``: only pages of whose
        prose words (visible ones, less the links that were left out) at most this share was kept."""
        columns: Any = select(UrlRow, LeftOutRow.parts.label("left_out"))
        statement: Select[Any] = columns.outerjoin(LeftOutRow, LeftOutRow.url_seq == UrlRow.seq)
        statement = statement.where(UrlRow.job_id == job_id, UrlRow.seq > after).order_by(UrlRow.seq).limit(limit)
        if state is not None:
            statement = statement.where(UrlRow.state == state)
        if max_kept is not None:
            statement = statement.where(UrlRow.kept_words <= max_kept * UrlRow.prose_words)
        if self._grants != EVERYTHING:
            statement = statement.where(UrlRow.job_id.in_(self._bound(select(JobRow.id))))
        async with self._database.read() as connection:
            return [(row.seq, _outcome(row)) for row in (await connection.execute(statement)).all()]

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end. A queued or paused job ends at once, a running one within seconds.

        Raises: NotFound; Conflict if it has ended already.
        """
        async with self._database.write() as connection:
            job = await self._of(connection, job_id)
            if JobState(job.state).is_final:
                raise Conflict(f"The job {job_id} has ended already ({job.state}).")
            values: dict[str, Any] = {"cancel_requested": True, "pause_requested": False}
            if job.state != JobState.RUNNING:
                values |= {"state": JobState.CANCELLED, "finished_at": utc_now()}
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    async def pause(self, job_id: str) -> None:
        """Ask for a pause. A queued job pauses at once, a running one within seconds; what it has done stays done.

        Raises: NotFound; Conflict if it has ended, is to end, or is paused already.
        """
        async with self._database.write() as connection:
            job = await self._of(connection, job_id)
            if JobState(job.state).is_final or job.state == JobState.PAUSED:
                raise Conflict(f"The job {job_id} is {job.state}; only queued and running jobs can be paused.")
            if job.cancel_requested:
                raise Conflict(f"The job {job_id} is being cancelled and can't be paused.")
            running = job.state == JobState.RUNNING
            values = {"pause_requested": True} if running else {"state": JobState.PAUSED}
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    async def resume(self, job_id: str) -> None:
        """Let a paused job go on where it was, in a new run; one that is about to pause just goes on.

        Raises: NotFound; Conflict if it isn't paused.
        """
        async with self._database.write() as connection:
            job = await self._of(connection, job_id)
            if job.state == JobState.RUNNING and job.pause_requested:
                await connection.execute(update(JobRow).where(JobRow.id == job_id).values(pause_requested=False))
                return
            if job.state != JobState.PAUSED:
                raise Conflict(f"The job {job_id} is not paused ({job.state}).")
            is_ready = await _requeue(connection, job)
        if is_ready:
            await self._enqueue(job_id, job.run + 1)

    async def retry(self, job_id: str, *, reason: str | None = None) -> int:
        """Put an ended job's failed URLs (those that failed for ``reason``) back, as if never tried, and run it again; gives
        how many there are. What it hadn't come to when it was cancelled or broke is done as well.

        Raises: NotFound; Conflict if it hasn't ended, if there is nothing to retry, or if a newer job has been over its source.
        """
        async with self._database.write() as connection:
            job = await self._of(connection, job_id)
            if not JobState(job.state).is_final:
                raise Conflict(f"The job {job_id} hasn't ended yet ({job.state}). Wait for it, or cancel it.")
            if job.spec.get("dry_run"):
                raise Conflict(
                    f"The job {job_id} is a dry run; there is nothing to retry. Make another (POST /v1/ingest/preview)."
                )
            await _check_newest(connection, job)
            failed = (UrlRow.job_id == job_id) & (UrlRow.state == UrlState.FAILED)
            failed = failed & (UrlRow.reason == reason) if reason is not None else failed
            again = {"state": UrlState.PENDING, "attempts": 0, "reason": None, "message": None, "finished_at": None}
            count = (await connection.execute(update(UrlRow).where(failed).values(**again, not_before=None))).rowcount
            left = select(func.count()).where(UrlRow.job_id == job_id, UrlRow.state == UrlState.PENDING)
            if not count and (reason is not None or (job.started_at and not await connection.scalar(left))):
                why = f" for the reason {reason!r}" if reason is not None else ""
                raise Conflict(f"No URL of the job {job_id} failed{why}: there is nothing to retry.")
            is_ready = await _requeue(connection, job)
        if is_ready:
            await self._enqueue(job_id, job.run + 1)
        return count

    async def failures(
        self, *, collection_id: int | None = None, reason: str | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, Failure]]:
        """What failed when each source was last run, in the order of discovery, with the cursor for ``after``."""
        newer = aliased(JobRow)
        newest = ~exists().where(newer.source_id == JobRow.source_id, newer.started_at.is_not(None), _is_before(JobRow, newer))
        jobs = select(JobRow.id).where(JobRow.source_id.is_not(None), JobRow.started_at.is_not(None), newest)
        columns: Any = select(UrlRow, JobRow.source_id)
        statement: Select[Any] = columns.join(JobRow, JobRow.id == UrlRow.job_id)
        # As a list of jobs, whose failures an index finds: joined to them, the log of every URL of every job would be read.
        statement = statement.where(UrlRow.job_id.in_(jobs), UrlRow.state == UrlState.FAILED, UrlRow.seq > after)
        if collection_id is not None:
            statement = statement.where(JobRow.collection_id == collection_id)
        statement = self._bound(statement)
        if reason is not None:
            statement = statement.where(UrlRow.reason == reason)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(UrlRow.seq).limit(limit))).all()
        return [(row.seq, Failure(row.job_id, row.source_id, _outcome(row))) for row in rows]

    async def watch(self, job_id: str, *, until: asyncio.Event | None = None) -> AsyncGenerator[JobStatus]:
        """The job's status now and after every change, until it has ended or ``until`` is set. Raises: NotFound."""
        last: JobStatus | None = None
        until = until or asyncio.Event()
        while not until.is_set():
            status = await self.get(job_id)
            if status != last:
                yield status
            if status.state.is_final:
                return
            last = status
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), PROGRESS_POLL_S)

    async def _enqueue(self, job_id: str, run: int) -> None:
        """Hand a recorded job over. Where that fails, a worker does it: no job that was recorded is lost."""
        try:
            await asyncio.to_thread(self._queue.enqueue, enqueue_options(job_id, run), job_id, run)
        except SQLAlchemyError as exc:
            log.warning("the job %s waits for a worker to put it on the queue, which failed now: %s", job_id, exc)

    def _bound(self, statement: S) -> S:
        return self._grants.bound(statement, JobRow.collection_id)

    async def _of(self, connection: AsyncConnection, job_id: str) -> Any:
        """A job's row, which nobody else changes until the transaction ends. Raises: NotFound."""
        wanted = self._bound(select(JobRow).where(JobRow.id == job_id))
        row = (await connection.execute(wanted.with_for_update())).first()
        if row is None:
            raise _no_such_job(job_id)
        return row

    async def _statuses(self, statement: Select[Any]) -> Sequence[JobStatus]:
        async with self._database.read() as connection:
            jobs = (await connection.execute(self._bound(statement))).all()
            ids = [row.id for row in jobs]
            poor = func.sum(case((poorly_kept(UrlRow), 1), else_=0)).label("poor")
            counted = select(UrlRow.job_id, UrlRow.state, func.count().label("n"), func.sum(UrlRow.chunks).label("chunks"), poor)
            counts = (await connection.execute(counted.where(UrlRow.job_id.in_(ids)).group_by(UrlRow.job_id, UrlRow.state))).all()
            failures: dict[str, list[UrlOutcome]] = {}
            for job_id in ids:
                failed = select(UrlRow).where(UrlRow.job_id == job_id, UrlRow.state == UrlState.FAILED)
                rows = await connection.execute(failed.order_by(UrlRow.seq.desc()).limit(RECENT_FAILURES))
                failures[job_id] = [_outcome(row) for row in rows.all()]
            poorly = {job_id: sum(c.poor for c in counts if c.job_id == job_id and c.state in _KEPT) for job_id in ids}
            noted = {job_id: await note_of_poor(connection, job_id, count) for job_id, count in poorly.items() if count}
        return [
            JobStatus(
                id=row.id,
                collection=row.collection,
                spec=JobSpec.model_validate(row.spec),
                state=JobState(row.state),
                error=row.error,
                source_id=row.source_id,
                run=row.run,
                cancel_requested=row.cancel_requested,
                pause_requested=row.pause_requested,
                waits_for=row.waits_for if row.state == JobState.QUEUED else None,
                created_at=row.created_at,
                started_at=row.started_at,
                finished_at=row.finished_at,
                worked_s=row.worked_s,
                working_since=row.working_since,
                removed=row.removed,
                notes=(*(row.notes or ()), *([noted[row.id]] if row.id in noted else [])),
                poorly_kept=poorly[row.id],
                urls={UrlState(c.state): c.n for c in counts if c.job_id == row.id},
                chunks=sum(c.chunks or 0 for c in counts if c.job_id == row.id),
                failures=failures[row.id],
            )
            for row in jobs
        ]


async def count_poor(connection: AsyncConnection, job_id: str) -> int:
    """Of how many of a job's pages too little was kept."""
    return int(await connection.scalar(select(func.count()).select_from(UrlRow).where(_poor_of(job_id))) or 0)


async def note_of_poor(connection: AsyncConnection, job_id: str, count: int) -> str:
    """What a job notes of its ``count`` pages of which too little was kept."""
    urls = await connection.scalars(select(UrlRow.url).where(_poor_of(job_id)).order_by(UrlRow.seq).limit(POOR_SHOWN))
    return poor_note(count, list(urls))


def _poor_of(job_id: str) -> ColumnElement[bool]:
    return (UrlRow.job_id == job_id) & UrlRow.state.in_(_KEPT) & poorly_kept(UrlRow)


def worked_s(job: Any, now: datetime) -> float:
    """Seconds that a job has worked, by its row or status: without pauses and without the time between its runs."""
    return float(job.worked_s) + (max(0.0, (now - job.working_since).total_seconds()) if job.working_since else 0.0)


def workflow_id(job_id: str, run: int) -> str:
    """The first run's is the job's own, as it always was."""
    return job_id if run == 1 else f"{job_id}:{run}"


def enqueue_options(job_id: str, run: int = 1) -> Any:
    """How a run of a recorded job is put on the queue. Doing it twice is doing it once: the workflow's id is the run's."""
    options = {"workflow_name": WORKFLOW, "queue_name": QUEUE, "app_version": APPLICATION_VERSION}
    return options | {"workflow_id": workflow_id(job_id, run)}


async def ready(connection: AsyncConnection) -> Sequence[tuple[str, int]]:
    """The queued jobs, with their run, that need not wait for an older one of their source."""
    statement = select(JobRow.id, JobRow.run).where(JobRow.state == JobState.QUEUED, _ahead().is_(None))
    return [(row.id, row.run) for row in (await connection.execute(statement.order_by(JobRow.created_at))).all()]


async def _is_ready(connection: AsyncConnection, job_id: str) -> bool:
    return await connection.scalar(select(_ahead()).where(JobRow.id == job_id)) is None


def _is_before(one: Any, other: Any) -> ColumnElement[bool]:
    return tuple_(one.created_at, one.id) < tuple_(other.created_at, other.id)


def _ahead() -> ScalarSelect[Any]:
    """The oldest open job of a job's source that is older than it."""
    older = aliased(JobRow)
    ours = (older.source_id == JobRow.source_id) & older.state.in_(OPEN_STATES) & _is_before(older, JobRow)
    return select(older.id).where(ours).order_by(older.created_at, older.id).limit(1).correlate(JobRow).scalar_subquery()


def _no_such_job(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id}. GET /v1/jobs lists those there are.")


async def _check_newest(connection: AsyncConnection, job: Any) -> None:
    """An old job must not be run again after a newer one of its source: it would take the newer one's finds for vanished."""
    if job.source_id is None:
        return
    newer = select(JobRow.id).where(JobRow.source_id == job.source_id, JobRow.id != job.id)
    relevant = JobRow.state.in_(OPEN_STATES) | (JobRow.started_at.is_not(None) & (JobRow.created_at >= job.created_at))
    if (other := await connection.scalar(newer.where(relevant).order_by(JobRow.created_at.desc()).limit(1))) is not None:
        raise Conflict(f"The newer job {other} is of the same source. Retry that one, or run the source again.")


async def _requeue(connection: AsyncConnection, job: Any) -> bool:
    """Begin a new run of a job; whether it can begin now."""
    values = {"state": JobState.QUEUED, "run": job.run + 1, "cancel_requested": False, "pause_requested": False}
    await connection.execute(update(JobRow).where(JobRow.id == job.id).values(**values, error=None, finished_at=None))
    return await _is_ready(connection, job.id)


def _jobs() -> Select[Any]:
    statement: Any = select(JobRow, CollectionRow.name.label("collection"), _ahead().label("waits_for"))
    joined: Select[Any] = statement.join(CollectionRow, CollectionRow.id == JobRow.collection_id)
    return joined


def _outcome(row: Any) -> UrlOutcome:
    facts = (row.depth, row.attempts, row.http_status, row.size_bytes, row.elapsed_ms, row.finished_at)
    coverage = StoredCoverage.of_row(row)
    return UrlOutcome(row.url, UrlState(row.state), row.reason, row.message, row.page_id, row.chunks, *facts, coverage)
