"""The durable frontier: which URLs a job still has to visit, and what became of the others.

It lives in the metadata database, and a URL's outcome is written in the same transaction as its page and its links. A
process that is killed therefore finds, at its next start, exactly the URLs that were not done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, UrlRow, utc_now
from corpus.generations import insert_or_ignore
from corpus.model import UrlState


@dataclass(frozen=True, slots=True)
class FrontierUrl:
    """A URL that is due. ``attempts`` counts the visits that failed for a passing reason; ``moved_here``: a redirect led to
    it."""

    seq: int
    job_id: str
    url: str
    depth: int
    attempts: int
    moved_here: bool


async def add(
    connection: AsyncConnection, job_id: str, urls: Iterable[str], *, depth: int, budget: int, moved_here: bool = False
) -> int:
    """Add normalised URLs that the job doesn't know yet, as long as it knows fewer than ``budget``; gives how many."""
    known = await connection.scalar(select(func.count()).where(UrlRow.job_id == job_id, UrlRow.state != UrlState.SKIPPED))
    room = budget - int(known or 0)
    added = 0
    for url in urls:
        if added >= room:
            break
        row = {"job_id": job_id, "url": url, "depth": depth, "state": UrlState.PENDING, "attempts": 0, "chunks": 0}
        row["moved_here"] = moved_here
        result = await connection.execute(insert_or_ignore(connection, UrlRow).values(row))
        added += result.rowcount
    return added


async def finish(
    connection: AsyncConnection,
    entry: FrontierUrl,
    state: UrlState,
    *,
    reason: str | None = None,
    message: str | None = None,
    page_id: str | None = None,
    chunks: int = 0,
) -> None:
    """Record a URL's outcome."""
    values = {
        "state": state,
        "reason": reason,
        "message": message,
        "page_id": page_id,
        "chunks": chunks,
        "finished_at": utc_now(),
    }
    await connection.execute(update(UrlRow).where(UrlRow.seq == entry.seq).values(values))


async def postpone(connection: AsyncConnection, entry: FrontierUrl, *, wait_s: float, reason: str, message: str) -> None:
    """Try a URL again later, and remember why."""
    values = {
        "attempts": entry.attempts + 1,
        "not_before": utc_now() + timedelta(seconds=wait_s),
        "reason": reason,
        "message": message,
    }
    await connection.execute(update(UrlRow).where(UrlRow.seq == entry.seq).values(values))


async def due(database: Database, job_id: str, *, now: datetime, limit: int) -> tuple[list[FrontierUrl], float | None]:
    """The next URLs to visit, in the order of their discovery. If none is due: the seconds until one is, or None if the
    job has none left."""
    pending = (UrlRow.job_id == job_id) & (UrlRow.state == UrlState.PENDING)
    async with database.read() as connection:
        ready = pending & (UrlRow.not_before.is_(None) | (UrlRow.not_before <= now))
        rows = (await connection.execute(select(UrlRow).where(ready).order_by(UrlRow.seq).limit(limit))).all()
        if rows:
            return [FrontierUrl(row.seq, row.job_id, row.url, row.depth, row.attempts, row.moved_here) for row in rows], 0.0
        soonest: datetime | None = await connection.scalar(select(func.min(UrlRow.not_before)).where(pending))
    return [], max(0.0, (soonest - now).total_seconds()) if soonest else None


async def find(connection: AsyncConnection, job_id: str, url: str) -> FrontierUrl | None:
    """The job's entry for a URL, if it has one."""
    row = (await connection.execute(select(UrlRow).where(UrlRow.job_id == job_id, UrlRow.url == url))).first()
    return FrontierUrl(row.seq, row.job_id, row.url, row.depth, row.attempts, row.moved_here) if row else None
