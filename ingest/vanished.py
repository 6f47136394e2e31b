"""Which source led to which page, and what becomes of pages that none leads to any more.

A page that answers 404 or 410, or asks not to be indexed, goes at once (``ingest/recording.py``). A page that is merely no
longer linked or listed goes at the end of a job that saw all of its source: what this source led to in an earlier job and not
in this one loses the source, and what has no source left is removed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from corpus.database import Database
from corpus.generations import GenerationWriter
from corpus.model import IngestMode, JobState, UrlState
from corpus.pages import forget
from corpus.tables import GenerationRow, JobRow, PageRow, PageSourceRow, UrlRow
from ingest import aliases
from ingest.job import Job

log = logging.getLogger(__name__)

GONE = frozenset(("http_404", "http_410"))
PAGES_AT_ONCE = 50
MAX_NOTES = 50  # of one job: each of 500 sitemaps may have a fault of its own, which its entry in the job's log names
FEW_PAGES = 10  # so many may go at once, whatever their share
MOST = 0.5  # of a source's pages: if more would go, something else is wrong than that they are gone


async def note_source(connection: AsyncConnection, job: Job, page_ids: Sequence[str]) -> None:
    """Write down that the job's source led to these pages. Of two jobs that run at once, the later one is remembered."""
    if job.source_id is None or not page_ids:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    rows = [{"page_id": page, "source_id": job.source_id, "job_id": job.id} for page in sorted(set(page_ids))]
    statement = dialect.insert(PageSourceRow).values(rows)
    later = select(JobRow.id).where(JobRow.id == PageSourceRow.job_id, JobRow.started_at > job.started_at).exists()
    newest = statement.on_conflict_do_update(
        index_elements=[PageSourceRow.page_id, PageSourceRow.source_id],
        set_={"job_id": statement.excluded.job_id},
        where=~later,
    )
    await connection.execute(newest)


async def add_note(connection: AsyncConnection, job_id: str, note: str, *, partial: bool = False) -> None:
    """Say something of how a job went, once, among the first :data:`MAX_NOTES`. ``partial``: and that it didn't see all of its
    source."""
    row = (await connection.execute(select(JobRow.notes, JobRow.partial).where(JobRow.id == job_id).with_for_update())).one()
    notes = list(row.notes or [])
    is_new = note not in notes and len(notes) < MAX_NOTES
    if is_new or (partial and not row.partial):
        values = {"notes": [*notes, note] if is_new else notes, "partial": row.partial or partial}
        await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))


class Delisting:
    """Ends a job by removing what its source no longer leads to. Every step may be run again after a crash."""

    def __init__(self, *, database: Database, writer: GenerationWriter) -> None:
        self._database = database
        self._writer = writer

    async def run(self, job: Job) -> None:
        """Do nothing unless the job is about to succeed and saw all of its source; else remove page by page, until done or
        until the job is cancelled."""
        if job.source_id is None or job.started_at is None or job.spec.mode is IngestMode.PAGE:
            return
        if not await self._may_begin(job):
            return
        while await self._remove_some(job):
            await self._writer.clean_up()

    async def _may_begin(self, job: Job) -> bool:
        delisted = _delisted(job)
        async with self._database.write() as connection:
            if not await _saw_all(connection, job):
                return False
            gone = int(await connection.scalar(select(func.count()).select_from(delisted.subquery())) or 0)
            of_source = select(func.count()).select_from(PageSourceRow).where(PageSourceRow.source_id == job.source_id)
            every = int(await connection.scalar(of_source) or 0)
            if gone > FEW_PAGES and gone > MOST * every and not job.spec.prune:
                note = (
                    f"{gone} of the {every} pages that this source led to were not found again. That is most of them, so none "
                    "was removed. If they are really gone, ingest the same again with prune (footnote ingest --prune)."
                )
                log.warning("job %s: %s", job.id, note)
                await add_note(connection, job.id, note)
                return False
        return gone > 0

    async def _remove_some(self, job: Job) -> bool:
        """One transaction's worth; False if nothing is left to do."""
        other = aliased(PageSourceRow)
        async with self._database.write() as connection:
            if not await _saw_all(connection, job):
                return False
            ids = (await connection.scalars(_delisted(job).limit(PAGES_AT_ONCE))).all()
            if not ids:
                return False
            ours = PageSourceRow.page_id.in_(ids) & (PageSourceRow.source_id == job.source_id)
            await connection.execute(delete(PageSourceRow).where(ours))
            kept = set((await connection.scalars(select(other.page_id).where(other.page_id.in_(ids)))).all())
            pages = select(PageRow.id, PageRow.url).where(PageRow.id.in_(set(ids) - kept), PageRow.live_generation.is_not(None))
            rows = (await connection.execute(pages)).all()
            for row in rows:
                log.info("removed %s: its source no longer leads to it", row.url)
            if rows:
                await aliases.reopen(connection, job.collection_id, [row.id for row in rows])
                await forget(connection, [row.id for row in rows])
                counted = update(JobRow).where(JobRow.id == job.id)
                await connection.execute(counted.values(removed=JobRow.removed + len(rows)))
        return True


async def _saw_all(connection: AsyncConnection, job: Job) -> bool:
    """Whether a job has come to its end, nobody wants it to stop, and whatever its source leads to it has met."""
    row = (await connection.execute(select(JobRow).where(JobRow.id == job.id).with_for_update())).first()
    if row is None or row.run != job.run or row.state != JobState.RUNNING:
        return False
    if row.cancel_requested or row.pause_requested or row.partial:
        return False
    of_job = UrlRow.job_id == job.id
    hidden = of_job & ((UrlRow.state == UrlState.PENDING) | ((UrlRow.state == UrlState.FAILED) & UrlRow.transient))
    found = of_job & (UrlRow.state.in_((UrlState.INDEXED, UrlState.UNCHANGED)))
    return not await connection.scalar(select(UrlRow.seq).where(hidden).limit(1)) and bool(
        await connection.scalar(select(UrlRow.seq).where(found).limit(1))
    )


def _delisted(job: Job) -> Select[str]:
    """Pages that the source led to in earlier jobs alone. Not those that a job found which went deeper, and those that are
    just being written wait for the next time."""
    not_comparable = (JobRow.started_at >= job.started_at) | (JobRow.spec["max_depth"].as_integer() > job.spec.max_depth)
    spared = select(JobRow.id).where(JobRow.id == PageSourceRow.job_id, not_comparable).exists()
    writing = select(GenerationRow.id).where(GenerationRow.page_id == PageSourceRow.page_id, GenerationRow.state == "writing")
    statement = select(PageSourceRow.page_id).where(PageSourceRow.source_id == job.source_id, PageSourceRow.job_id != job.id)
    return statement.where(~spared, ~writing.exists()).order_by(PageSourceRow.page_id)
