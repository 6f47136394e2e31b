"""How long what happened is remembered. Under schedules the log of every URL in every job would grow for ever.

What is needed to go on is kept, however old: the newest job of each source with its log, jobs that aren't over, and of jobs
that led to pages which are there still the job itself, for what it was asked decides whether its pages may vanish
(``ingest/vanished.py``). Which source leads to which page is never forgotten here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import aliased

from corpus.database import Database
from corpus.model import OPEN_STATES
from corpus.tables import JobRow, PageSourceRow, UrlRow

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 50
ROWS_AT_ONCE = 1000
FORGOTTEN = "The log of its URLs was removed, as ingest.keep_jobs_days have passed since it ended."


async def forget_jobs(
    database: Database, *, ended_before: datetime, before_row_goes: Callable[[Sequence[tuple[str, int]]], Awaitable[None]]
) -> int:
    """Remove the logs of jobs that ended before then, and the jobs themselves where nothing needs them; gives how many jobs
    lost their log.

    ``before_row_goes`` is told id and run of the jobs that are about to go, so that others forget them too. All may be run
    again after a crash.

    Raises: StorageFull.
    """
    forgotten = 0
    while ids := await _some(database, _old(ended_before) & exists().where(UrlRow.job_id == JobRow.id)):
        for job_id, _ in ids:
            await _remove_log(database, job_id, ended_before)
        forgotten += len(ids)
    leads_to_pages = exists().where(PageSourceRow.source_id == JobRow.source_id, PageSourceRow.job_id == JobRow.id)
    while ids := await _some(database, _old(ended_before) & ~leads_to_pages):
        await before_row_goes(ids)
        gone = JobRow.id.in_([job_id for job_id, _ in ids]) & _old(ended_before)
        async with database.write() as connection:
            await connection.execute(delete(UrlRow).where(UrlRow.job_id.in_(select(JobRow.id).where(gone))))
            await connection.execute(delete(JobRow).where(gone))
    if forgotten:
        log.info("removed the logs of %d jobs that ended before %s", forgotten, f"{ended_before:%Y-%m-%d}")
    return forgotten


def _old(ended_before: datetime) -> ColumnElement[bool]:
    """Jobs that are over since then, and of whose source there is a newer one."""
    newer = aliased(JobRow)
    is_newest = ~exists().where(newer.source_id == JobRow.source_id, newer.created_at > JobRow.created_at)
    is_kept = JobRow.source_id.is_not(None) & is_newest
    return JobRow.state.not_in(OPEN_STATES) & (JobRow.finished_at < ended_before) & ~is_kept


async def _some(database: Database, which: ColumnElement[bool]) -> list[tuple[str, int]]:
    async with database.read() as connection:
        rows = await connection.execute(select(JobRow.id, JobRow.run).where(which).limit(JOBS_AT_ONCE))
        return [(row.id, row.run) for row in rows.all()]


async def _remove_log(database: Database, job_id: str, ended_before: datetime) -> None:
    """In short transactions, for a job may have seen a million URLs; each looks whether the job was opened again."""
    while True:
        async with database.write() as connection:
            still_old = select(JobRow.notes).where(JobRow.id == job_id, _old(ended_before))
            job = (await connection.execute(still_old)).first()
            if job is None:
                return
            part = select(UrlRow.seq).where(UrlRow.job_id == job_id).limit(ROWS_AT_ONCE)
            removed = await connection.execute(delete(UrlRow).where(UrlRow.seq.in_(part)))
            if removed.rowcount < ROWS_AT_ONCE:
                notes = [*(job.notes or []), FORGOTTEN]
                await connection.execute(update(JobRow).where(JobRow.id == job_id).values(notes=notes))
                return
