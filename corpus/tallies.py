"""What the metadata database can tell of the whole: how much there is, what waits, and what ended since it was last asked.

So figures about crawls are right whichever process crawls, the service or any number of workers. Everything is read from
indexes alone, for it is read every few seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from corpus.database import Database, utc_now
from corpus.model import OPEN_STATES, JobState, UrlState
from corpus.tables import GenerationRow, JobRow, UrlRow

# What ended is stamped before it is committed: only what is older than this is counted, so that nothing slips in behind.
SETTLED_AFTER = timedelta(seconds=15)
COMMON_STATUSES = frozenset({"400", "401", "403", "404", "410", "429", "500", "502", "503", "504"})
_STATUS = re.compile(r"http_(\d)\d\d")


@dataclass(frozen=True, slots=True)
class Tally:
    """``finished_urls`` by state and reason; they and ``finished_jobs`` are those since the last tally."""

    pages: int
    chunks: int
    stale_versions: int
    open_jobs: dict[JobState, int]
    oldest_queued_s: float
    urls_due: int
    finished_jobs: Counter[JobState]
    finished_urls: Counter[tuple[UrlState, str]]


class Tallies:
    """For one reader, who adds up what ended. Counting begins when it is made."""

    def __init__(self, *, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock
        self._counted_until = clock() - SETTLED_AFTER
        self._counting = asyncio.Lock()

    async def take(self) -> Tally:
        """What ended is given once. Raises: Unavailable."""
        async with self._counting:
            now = self._clock()
            since, until = self._counted_until, max(self._counted_until, now - SETTLED_AFTER)
            tally = await self._database.snapshot(lambda connection: _take(connection, now=now, since=since, until=until))
            self._counted_until = until
        return tally


def _take(connection: Connection, *, now: datetime, since: datetime, until: datetime) -> Tally:
    counted = select(func.count(), func.coalesce(func.sum(GenerationRow.chunk_count), 0))
    pages, chunks = connection.execute(counted.where(GenerationRow.state == "live")).one()
    stale = connection.scalar(select(func.count()).where(GenerationRow.state == "stale"))
    jobs = select(JobRow.state, func.count().label("n"), func.min(JobRow.created_at).label("oldest"))
    opened = {row.state: row for row in connection.execute(jobs.where(JobRow.state.in_(OPEN_STATES)).group_by(JobRow.state))}
    queued = opened.get(JobState.QUEUED)
    ours = select(JobRow.id).where(JobRow.state.in_(OPEN_STATES))
    due = select(func.count()).where(UrlRow.job_id.in_(ours), UrlRow.state == UrlState.PENDING)
    ended = select(JobRow.state, func.count().label("n")).where(JobRow.finished_at > since, JobRow.finished_at <= until)
    urls = select(UrlRow.state, UrlRow.reason, func.count().label("n"))
    urls = urls.where(UrlRow.finished_at > since, UrlRow.finished_at <= until).group_by(UrlRow.state, UrlRow.reason)
    finished_urls: Counter[tuple[UrlState, str]] = Counter()
    for row in connection.execute(urls):
        finished_urls[UrlState(row.state), reason_label(row.reason)] += row.n
    return Tally(
        pages=int(pages),
        chunks=int(chunks),
        stale_versions=int(stale or 0),
        open_jobs={state: opened[state].n if state in opened else 0 for state in OPEN_STATES},
        oldest_queued_s=max(0.0, (now - queued.oldest).total_seconds()) if queued else 0.0,
        urls_due=int(connection.scalar(due) or 0),
        finished_jobs=Counter({JobState(row.state): row.n for row in connection.execute(ended.group_by(JobRow.state))}),
        finished_urls=finished_urls,
    )


def reason_label(reason: str | None) -> str:
    """A URL's reason as one of few words: a site may answer with any of nine hundred statuses."""
    if reason is None:
        return ""
    status = _STATUS.fullmatch(reason)
    return f"http_{status[1]}xx" if status and reason.removeprefix("http_") not in COMMON_STATUSES else reason
