"""The queue between the service and the worker.

The service submits jobs and reads their progress here; the worker takes them from DBOS and writes their progress into the
same tables. A job's counters are counted over its URLs, so the totals are honest at every moment.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbos import DBOSClient
from sqlalchemy import Select, func, insert, select, update

from corpus.database import CollectionRow, Database, JobRow, UrlRow, utc_now
from corpus.errors import Conflict, NotFound
from corpus.model import JobState, UrlState
from corpus.sources import JobSpec, remember

APPLICATION = "footnote"
APPLICATION_VERSION = "1"  # fixed: a new release resumes the jobs of the old one
QUEUE = "ingest"
WORKFLOW = "ingest_job"
PROGRESS_POLL_S = 0.25
RECENT_FAILURES = 20


@dataclass(frozen=True, slots=True)
class UrlOutcome:
    url: str
    state: UrlState
    reason: str | None
    message: str | None
    page_id: str | None
    chunks: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job and its progress. ``urls`` counts URLs by state; ``found`` is their sum."""

    id: str
    collection: str
    spec: JobSpec
    state: JobState
    error: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    urls: dict[UrlState, int]
    chunks: int
    failures: list[UrlOutcome]

    @property
    def found(self) -> int:
        return sum(self.urls.values())


class Jobs:
    """``queue`` must point at the DBOS system database that the workers use."""

    def __init__(self, *, database: Database, queue: DBOSClient) -> None:
        self._database = database
        self._queue = queue

    async def submit(self, *, collection_id: int, spec: JobSpec) -> str:
        """Record a job and put it on the queue; gives its id.

        The record comes first: if the process dies before the job is enqueued, the worker enqueues it at its next start.
        """
        job_id = str(uuid.uuid4())
        async with self._database.write() as connection:
            row = {"id": job_id, "collection_id": collection_id, "spec": spec.model_dump(mode="json"), "state": JobState.QUEUED}
            row["source_id"] = await remember(connection, collection_id=collection_id, spec=spec)
            await connection.execute(insert(JobRow).values(**row, cancel_requested=False, created_at=utc_now()))
        try:
            await asyncio.to_thread(self._queue.enqueue, enqueue_options(job_id), job_id)
        except Exception:  # whatever the queue's database says: the caller will try again, so this one must not run too
            async with self._database.write() as connection:
                ended = {"state": JobState.FAILED, "error": "The job could not be put on the queue.", "finished_at": utc_now()}
                await connection.execute(update(JobRow).where(JobRow.id == job_id).values(ended))
            raise
        return job_id

    async def get(self, job_id: str) -> JobStatus:
        """Raises: NotFound."""
        found = await self._statuses(_jobs().where(JobRow.id == job_id))
        if not found:
            raise NotFound(f"There is no job {job_id}. GET /v1/jobs lists those there are.")
        return found[0]

    async def list(self, *, limit: int = 50) -> Sequence[JobStatus]:
        """The newest jobs first."""
        return await self._statuses(_jobs().order_by(JobRow.created_at.desc()).limit(limit))

    async def urls(
        self, job_id: str, *, state: UrlState | None = None, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, UrlOutcome]]:
        """What happened to each URL, in the order of discovery, with the cursor for ``after``."""
        statement = select(UrlRow).where(UrlRow.job_id == job_id, UrlRow.seq > after).order_by(UrlRow.seq).limit(limit)
        if state is not None:
            statement = statement.where(UrlRow.state == state)
        async with self._database.read() as connection:
            return [(row.seq, _outcome(row)) for row in (await connection.execute(statement)).all()]

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end. A queued job ends at once, a running one after the page it is at.

        Raises: NotFound; Conflict if it has ended already.
        """
        async with self._database.write() as connection:
            state = await connection.scalar(select(JobRow.state).where(JobRow.id == job_id))
            if state is None:
                raise NotFound(f"There is no job {job_id}. GET /v1/jobs lists those there are.")
            if JobState(state).is_final:
                raise Conflict(f"The job {job_id} has ended already ({state}).")
            values: dict[str, Any] = {"cancel_requested": True}
            if state == JobState.QUEUED:
                values |= {"state": JobState.CANCELLED, "finished_at": utc_now()}
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    async def watch(self, job_id: str) -> AsyncIterator[JobStatus]:
        """The job's status now and after every change, until it has ended. Raises: NotFound."""
        last: JobStatus | None = None
        while True:
            status = await self.get(job_id)
            if status != last:
                yield status
            if status.state.is_final:
                return
            last = status
            await asyncio.sleep(PROGRESS_POLL_S)

    async def _statuses(self, statement: Select[Any]) -> Sequence[JobStatus]:
        async with self._database.read() as connection:
            jobs = (await connection.execute(statement)).all()
            ids = [row.id for row in jobs]
            counted = select(UrlRow.job_id, UrlRow.state, func.count().label("n"), func.sum(UrlRow.chunks).label("chunks"))
            counts = (await connection.execute(counted.where(UrlRow.job_id.in_(ids)).group_by(UrlRow.job_id, UrlRow.state))).all()
            failures: dict[str, list[UrlOutcome]] = {}
            for job_id in ids:
                failed = select(UrlRow).where(UrlRow.job_id == job_id, UrlRow.state == UrlState.FAILED)
                rows = await connection.execute(failed.order_by(UrlRow.seq.desc()).limit(RECENT_FAILURES))
                failures[job_id] = [_outcome(row) for row in rows.all()]
        return [
            JobStatus(
                id=row.id,
                collection=row.collection,
                spec=JobSpec.model_validate(row.spec),
                state=JobState(row.state),
                error=row.error,
                cancel_requested=row.cancel_requested,
                created_at=row.created_at,
                started_at=row.started_at,
                finished_at=row.finished_at,
                urls={UrlState(c.state): c.n for c in counts if c.job_id == row.id},
                chunks=sum(c.chunks or 0 for c in counts if c.job_id == row.id),
                failures=failures[row.id],
            )
            for row in jobs
        ]


def enqueue_options(job_id: str) -> Any:
    """How a recorded job is put on the queue. Doing it twice is doing it once: the workflow's id is the job's."""
    return {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": job_id, "app_version": APPLICATION_VERSION}


def _jobs() -> Select[Any]:
    statement: Any = select(JobRow, CollectionRow.name.label("collection"))
    joined: Select[Any] = statement.join(CollectionRow, CollectionRow.id == JobRow.collection_id)
    return joined


def _outcome(row: Any) -> UrlOutcome:
    return UrlOutcome(row.url, UrlState(row.state), row.reason, row.message, row.page_id, row.chunks)
