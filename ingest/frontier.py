"""The durable frontier: which URLs a job still has to visit, and what became of the others.

It lives in the metadata database, and a URL's outcome is written in the same transaction as its page and its links. A
process that is killed therefore finds, at its next start, exactly the URLs that were not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from corpus import coverage
from corpus.coverage import StoredCoverage
from corpus.database import Database, database_now, utc_now
from corpus.generations import insert_or_ignore
from corpus.model import JobState, UrlKind, UrlState
from corpus.processes import is_free, living
from corpus.tables import JobRow, LeftOutRow, UrlRow

ROWS_AT_ONCE = 100  # inserted with one statement
KNOWN_AT_ONCE = 500  # URLs looked up with one statement
UNLIMITED = 2**31
# Skipped pages leave their place in the budget to others, so a site of nothing else would never end. This is where it does.
MAX_URLS_PER_PAGE = 10

_urls = cast(Table, UrlRow.__table__)
_OUTCOME = ("state", "reason", "message", "page_id", "chunks", "finished_at", "transient")
_FACTS = ("http_status", "size_bytes", "elapsed_ms", *coverage.FIGURES)
_FINISH = update(_urls).where(_urls.c.seq == bindparam("of"))
_FINISH = _FINISH.values({name: bindparam(name) for name in _OUTCOME + _FACTS} | {"claimed_by": None})
CLAIMS_POLL_S = 0.5  # before a job looks again whether other workers are done with its last URLs


@dataclass(frozen=True, slots=True)
class FrontierUrl:
    """A URL that is due. ``attempts`` counts the visits that failed for a passing reason; ``moved_here``: a redirect led to
    it; ``waits_for``: the canonical URL that it has waited for. A sitemap is no page: it counts for no budget, and its
    ``depth`` is that of indexes within indexes."""

    seq: int
    job_id: str
    url: str
    depth: int
    attempts: int
    moved_here: bool
    waits_for: str | None
    kind: UrlKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a URL's last visit. ``size_bytes`` is the body's, decoded; ``elapsed_ms`` the network's time;
    ``coverage`` how much of its text was kept, where it was read."""

    http_status: int | None = None
    size_bytes: int | None = None
    elapsed_ms: int | None = None
    coverage: StoredCoverage | None = None


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Added:
    """How many URLs were new to the job, and how many more would have been but for its budget."""

    count: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of a URL. ``transient``: it failed, but may not another time."""

    entry: FrontierUrl
    state: UrlState
    reason: str | None = None
    message: str | None = None
    page_id: str | None = None
    chunks: int = 0
    transient: bool = False
    facts: Facts = NO_FACTS


async def add(
    connection: AsyncConnection,
    job_id: str,
    urls: Iterable[str] | Mapping[str, int],
    *,
    budget: int,
    depth: int = 0,
    moved_here: bool = False,
    kind: UrlKind = UrlKind.PAGE,
) -> Added:
    """Add normalised URLs that the job doesn't know yet, the first ones first, as long as it knows fewer than ``budget`` of
    their kind. ``urls`` may map each to a depth of its own."""
    found = urls if isinstance(urls, Mapping) else dict.fromkeys(urls, depth)
    new = await unknown(connection, job_id, list(found))
    if not new:
        return Added(0, 0)
    taken = new if budget >= UNLIMITED else new[: await _room(connection, job_id, kind, budget)]
    same = {"job_id": job_id, "state": UrlState.PENDING, "attempts": 0, "chunks": 0, "moved_here": moved_here, "kind": kind}
    waiting = iter(taken)
    while batch := list(islice(waiting, ROWS_AT_ONCE)):  # a sitemap may list 50,000
        rows = [{**same, "url": url, "depth": found[url]} for url in batch]
        await connection.execute(insert_or_ignore(connection, UrlRow).values(rows))
    return Added(len(taken), len(new) - len(taken))


async def unknown(connection: AsyncConnection, job_id: str, urls: Sequence[str]) -> list[str]:
    """Those of ``urls`` that the job hasn't met."""
    known: set[str] = set()
    for begin in range(0, len(urls), KNOWN_AT_ONCE):
        asked = UrlRow.url.in_(urls[begin : begin + KNOWN_AT_ONCE])
        known.update(await connection.scalars(select(UrlRow.url).where(UrlRow.job_id == job_id, asked)))
    return [url for url in urls if url not in known]


async def finish(connection: AsyncConnection, endings: Sequence[Ending]) -> None:
    """Record outcomes."""
    now = utc_now()
    rows = [
        {
            "of": one.entry.seq,
            "state": one.state,
            "reason": one.reason,
            "message": one.message,
            "page_id": one.page_id,
            "chunks": one.chunks,
            "finished_at": now,
            "http_status": one.facts.http_status,
            "size_bytes": one.facts.size_bytes,
            "elapsed_ms": one.facts.elapsed_ms,
            "transient": one.transient,
            **coverage.figures(one.facts.coverage),
        }
        for one in endings
    ]
    if rows:
        await connection.execute(_FINISH, rows)
        await connection.execute(delete(LeftOutRow).where(LeftOutRow.url_seq.in_([row["of"] for row in rows])))
    parts = [{"url_seq": one.entry.seq, "parts": found} for one in endings if (found := _quoted(one)) is not None]
    if parts:
        await connection.execute(insert(LeftOutRow), parts)


def _quoted(ending: Ending) -> list[Any] | None:
    """What was left out of a page that is there. Of others nothing is quoted: nobody would know when that is to go."""
    found = ending.facts.coverage
    return coverage.parts_of(found) if found and ending.state in (UrlState.INDEXED, UrlState.UNCHANGED) else None


async def postpone(
    connection: AsyncConnection, entry: FrontierUrl, *, wait_s: float, reason: str, message: str, facts: Facts = NO_FACTS
) -> None:
    """Try a URL again later, and remember why."""
    now: datetime = (await connection.execute(select(database_now(connection.dialect)))).scalar_one()
    values = {
        "attempts": entry.attempts + 1,
        "not_before": now + timedelta(seconds=wait_s),
        "reason": reason,
        "message": message,
        "http_status": facts.http_status,
        "size_bytes": facts.size_bytes,
        "elapsed_ms": facts.elapsed_ms,
        "claimed_by": None,
    }
    await connection.execute(update(UrlRow).where(UrlRow.seq == entry.seq).values(values))


async def wait_for(connection: AsyncConnection, entry: FrontierUrl, url: str) -> None:
    """Visit a URL again once the job is done with ``url``. It costs no attempt."""
    values = {"waits_for": url, "message": f"It waits for {url}, which it names as canonical.", "claimed_by": None}
    await connection.execute(update(UrlRow).where(UrlRow.seq == entry.seq).values(values))


async def due(database: Database, job_id: str, *, now: datetime, limit: int) -> tuple[list[FrontierUrl], float | None]:
    """The next URLs to visit, in the order of their discovery, and one sitemap among them at most: what it lists decides
    whether another is read. If none is due: the seconds until one is, or None if the job has none left.

    A URL that waits for another is due once that one has an outcome. Where pages wait for each other in a ring and nothing
    else is left, the one found first is due.
    """
    async with database.read() as connection:
        return await _next(connection, job_id, now=now, limit=limit)


async def claim(database: Database, job_id: str, *, run: int, me: str, limit: int) -> tuple[list[FrontierUrl], float | None]:
    """As :func:`due`, where several workers share the job: what this gives is ``me``'s until it has an outcome, is postponed, or
    :func:`release` gives it back, or until ``me`` is dead (``corpus/processes.py``). What others hold isn't due, but it is
    waited for. None if this isn't the job's run, or it is to do no more."""
    async with database.write() as connection:
        if not await _is_running(connection, job_id, run):
            return [], None
        now: datetime = (await connection.execute(select(database_now(connection.dialect)))).scalar_one()
        entries, wait_s = await _next(connection, job_id, now=now, limit=limit, me=me)
        if entries:
            taken = UrlRow.seq.in_([entry.seq for entry in entries])
            await connection.execute(update(UrlRow).where(taken).values(claimed_by=me))
    return entries, wait_s


async def wanting(database: Database, *, me: str) -> list[str]:
    """The running jobs that have a URL which is due and which nobody has claimed."""
    async with database.read() as connection:
        now: datetime = (await connection.execute(select(database_now(connection.dialect)))).scalar_one()
        due_now = UrlRow.not_before.is_(None) | (UrlRow.not_before <= now)
        pending = (UrlRow.job_id == JobRow.id) & (UrlRow.state == UrlState.PENDING) & UrlRow.waits_for.is_(None)
        free = select(UrlRow.seq).where(pending, due_now, is_free(UrlRow.claimed_by, me=me)).exists()
        running = (JobRow.state == JobState.RUNNING) & ~JobRow.cancel_requested & ~JobRow.pause_requested
        return list((await connection.scalars(select(JobRow.id).where(running, free))).all())


async def held(connection: AsyncConnection, entries: Sequence[FrontierUrl], *, run: int, me: str) -> set[int]:
    """Which of a job's URLs are still ``me``'s to record, by ``seq``: those of a job that has ended, or was taken up by another
    run, are nobody's, nor is anything of who was taken for dead."""
    if not entries or not await _is_running(connection, entries[0].job_id, run):
        return set()
    seqs = [entry.seq for entry in entries]
    ours = (UrlRow.claimed_by == me) & UrlRow.claimed_by.in_(living()) & (UrlRow.state == UrlState.PENDING)
    return set((await connection.scalars(select(UrlRow.seq).where(UrlRow.seq.in_(seqs), ours))).all())


async def release(connection: AsyncConnection, job_id: str, *, me: str) -> None:
    """Give back what ``me`` claimed of a job and hasn't come to."""
    ours = (UrlRow.job_id == job_id) & (UrlRow.state == UrlState.PENDING) & (UrlRow.claimed_by == me)
    await connection.execute(update(UrlRow).where(ours).values(claimed_by=None))


async def _is_running(connection: AsyncConnection, job_id: str, run: int) -> bool:
    going_on = (JobRow.run == run) & (JobRow.state == JobState.RUNNING) & ~JobRow.cancel_requested & ~JobRow.pause_requested
    return await connection.scalar(select(JobRow.id).where(JobRow.id == job_id, going_on)) is not None


async def _next(
    connection: AsyncConnection, job_id: str, *, now: datetime, limit: int, me: str | None = None
) -> tuple[list[FrontierUrl], float | None]:
    pending = (UrlRow.job_id == job_id) & (UrlRow.state == UrlState.PENDING)
    awaited = aliased(UrlRow)
    is_pending = (awaited.job_id == job_id) & (awaited.url == UrlRow.waits_for) & (awaited.state == UrlState.PENDING)
    waits = UrlRow.waits_for.is_not(None) & select(awaited.seq).where(is_pending).exists()
    free = is_free(UrlRow.claimed_by, me=me) if me is not None else true()
    for candidates, most in ((pending & ~waits, limit), (pending, 1)):
        ready = candidates & (UrlRow.not_before.is_(None) | (UrlRow.not_before <= now)) & free
        rows = (await connection.execute(select(UrlRow).where(ready).order_by(UrlRow.seq).limit(most))).all()
        if rows:
            sitemaps = [row.seq for row in rows if row.kind == UrlKind.SITEMAP]
            return [_entry(row) for row in rows if row.seq not in sitemaps[1:]], 0.0
        if me is not None and await connection.scalar(select(UrlRow.seq).where(pending, ~free).limit(1)) is not None:
            return [], CLAIMS_POLL_S
        soonest: datetime | None = await connection.scalar(select(func.min(UrlRow.not_before)).where(candidates))
        if soonest:
            return [], max(0.0, (soonest - now).total_seconds())
    return [], None


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


async def _room(connection: AsyncConnection, job_id: str, kind: UrlKind, budget: int) -> int:
    room = budget - await count(connection, job_id, kind)
    if kind is UrlKind.PAGE:
        every = select(func.count()).select_from(UrlRow).where(UrlRow.job_id == job_id)
        room = min(room, budget * MAX_URLS_PER_PAGE - int(await connection.scalar(every) or 0))
    return max(0, room)


def _entry(row: Any) -> FrontierUrl:
    return FrontierUrl(row.seq, row.job_id, row.url, row.depth, row.attempts, row.moved_here, row.waits_for, UrlKind(row.kind))
