"""The durable frontier: which URLs a job still has to visit, and what became of the others.

It lives in the metadata database, and a URL's outcome is written in the same transaction as its page and its links. A
process that is killed therefore finds, at its next start, exactly the URLs that were not done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, UrlRow, utc_now
from corpus.generations import insert_or_ignore
from corpus.model import UrlKind, UrlState

ROWS_AT_ONCE = 100  # inserted with one statement


@dataclass(frozen=True, slots=True)
class FrontierUrl:
    """A URL that is due. ``attempts`` counts the visits that failed for a passing reason; ``moved_here``: a redirect led to
    it. A sitemap is no page: it counts for no budget, and its ``depth`` is that of indexes within indexes."""

    seq: int
    job_id: str
    url: str
    depth: int
    attempts: int
    moved_here: bool
    kind: UrlKind


async def add(
    connection: AsyncConnection,
    job_id: str,
    urls: Iterable[str],
    *,
    depth: int,
    budget: int,
    moved_here: bool = False,
    kind: UrlKind = UrlKind.PAGE,
) -> int:
    """Add normalised URLs that the job doesn't know yet, as long as it knows fewer than ``budget`` of their kind; gives how
    many."""
    room = max(0, budget - await count(connection, job_id, kind))
    added = 0
    waiting = iter(urls)
    while batch := list(islice(waiting, min(room - added, ROWS_AT_ONCE))):  # a sitemap may list 50,000
        same = {"job_id": job_id, "depth": depth, "state": UrlState.PENDING, "attempts": 0, "chunks": 0}
        same |= {"moved_here": moved_here, "kind": kind}
        rows = [{**same, "url": url} for url in batch]
        added += (await connection.execute(insert_or_ignore(connection, UrlRow).values(rows))).rowcount
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
    """The next URLs to visit, in the order of their discovery, and one sitemap among them at most: what it lists decides
    whether another is read. If none is due: the seconds until one is, or None if the job has none left."""
    pending = (UrlRow.job_id == job_id) & (UrlRow.state == UrlState.PENDING)
    async with database.read() as connection:
        ready = pending & (UrlRow.not_before.is_(None) | (UrlRow.not_before <= now))
        rows = (await connection.execute(select(UrlRow).where(ready).order_by(UrlRow.seq).limit(limit))).all()
        if rows:
            sitemaps = [row.seq for row in rows if row.kind == UrlKind.SITEMAP]
            return [_entry(row) for row in rows if row.seq not in sitemaps[1:]], 0.0
        soonest: datetime | None = await connection.scalar(select(func.min(UrlRow.not_before)).where(pending))
    return [], max(0.0, (soonest - now).total_seconds()) if soonest else None


async def find(connection: AsyncConnection, job_id: str, url: str) -> FrontierUrl | None:
    """The job's entry for a URL, if it has one."""
    row = (await connection.execute(select(UrlRow).where(UrlRow.job_id == job_id, UrlRow.url == url))).first()
    return _entry(row) if row else None


async def refuse(connection: AsyncConnection, job_id: str, url: str, *, depth: int, reason: str, message: str) -> None:
    """Record a URL that the job found and won't visit, unless it knows it already."""
    row = {"job_id": job_id, "url": url, "depth": depth, "state": UrlState.SKIPPED, "reason": reason, "message": message}
    row |= {"attempts": 0, "chunks": 0, "finished_at": utc_now()}
    await connection.execute(insert_or_ignore(connection, UrlRow).values(row))


async def count(connection: AsyncConnection, job_id: str, kind: UrlKind) -> int:
    """How many URLs of this kind the job knows. Skipped pages leave their place to others; sitemaps don't."""
    wanted = [UrlRow.job_id == job_id, UrlRow.kind == kind]
    wanted += [UrlRow.state != UrlState.SKIPPED] if kind is UrlKind.PAGE else []
    return int(await connection.scalar(select(func.count()).select_from(UrlRow).where(*wanted)) or 0)


def _entry(row: Any) -> FrontierUrl:
    return FrontierUrl(row.seq, row.job_id, row.url, row.depth, row.attempts, row.moved_here, UrlKind(row.kind))
