"""Sources: what jobs are run over, again and again.

A source is a set of URLs, the way they are taken, and the patterns that bound them, in one collection. Whoever submits the
same again means the same source, so its id is a hash of these. Budgets (``max_pages``, ``max_depth``) and CSS selectors are how a
run goes and how pages are read, and not what it is of: the newest ones are kept with the source.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import ada_url
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select, delete, exists, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from corpus.database import Database, utc_now
from corpus.errors import Conflict, InvalidInput, NotFound
from corpus.generations import GenerationWriter, insert_or_ignore
from corpus.grants import EVERYTHING, Grants, S
from corpus.model import OPEN_STATES, IngestMode, JobState
from corpus.pages import erase, forget
from corpus.tables import CollectionRow, JobRow, PageRow, PageSourceRow, SourceRow

MIN_EVERY_S = 15 * 60
MAX_EVERY_S = 366 * 24 * 3600
SKIPPED = "As this job hadn't ended, scheduled runs of its source were skipped, first"
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_EVERY = re.compile(r"([0-9]{1,9})\s*([smhdw]?)")


class JobSpec(BaseModel):
    """What a job was asked to do. ``prune``: remove pages that the source no longer leads to even where they are most of it.
    ``dry_run``: only to tell what it would do; such a job is of no source. ``keep`` and ``drop``: CSS selectors of what of its
    pages is content; None: as it was said for this source before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: list[str]
    mode: IngestMode = IngestMode.PAGE
    include: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    max_pages: int
    max_depth: int
    prune: bool = False
    dry_run: bool = False
    keep: list[str] | None = None
    drop: list[str] | None = None


@dataclass(frozen=True, slots=True)
class LastJob:
    id: str
    state: JobState
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Source:
    """``pages``: how many live pages it leads to. ``every_s`` and ``next_at``: its schedule, if it has one."""

    id: str
    collection: str
    spec: JobSpec
    pages: int
    every_s: int | None
    next_at: datetime | None
    created_at: datetime
    last_job: LastJob | None


class Sources:
    """What is known of sources, and their schedules. ``grants``: the collections whose sources these are; others look as if they
    weren't there."""

    def __init__(self, *, database: Database, writer: GenerationWriter, grants: Grants = EVERYTHING) -> None:
        self._database = database
        self._writer = writer
        self._grants = grants

    def within(self, grants: Grants) -> Sources:
        return Sources(database=self._database, writer=self._writer, grants=grants)

    async def list(
        self, *, collection_id: int | None = None, after: str | None = None, limit: int = 100
    ) -> tuple[Sequence[Source], str | None]:
        """The newest sources first, and the cursor of the next ones or None. Raises: NotFound for an unknown cursor."""
        statement = self._bound(_sources()).order_by(SourceRow.created_at.desc(), SourceRow.id.desc()).limit(limit + 1)
        if collection_id is not None:
            statement = statement.where(SourceRow.collection_id == collection_id)
        async with self._database.read() as connection:
            if after is not None:
                made = await connection.scalar(self._bound(select(SourceRow.created_at).where(SourceRow.id == after)))
                if made is None:
                    raise no_such_source(after)
                statement = statement.where(tuple_(SourceRow.created_at, SourceRow.id) < tuple_(made, after))
            found = [_source(row) for row in (await connection.execute(statement)).all()]
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def get(self, source: str) -> Source:
        """Raises: NotFound."""
        async with self._database.read() as connection:
            row = (await connection.execute(self._bound(_sources()).where(SourceRow.id == source))).first()
        if row is None:
            raise no_such_source(source)
        return _source(row)

    async def schedule(self, source: str, *, every_s: int | None) -> None:
        """Run a source every so often, for the first time after one such while; None: no more. Raises: NotFound."""
        async with self._database.write() as connection:
            await self._check(connection, source)
            await set_schedule(connection, source, every_s=every_s, now=utc_now())

    async def select(self, source: str, *, keep: Sequence[str], drop: Sequence[str]) -> None:
        """Say by CSS selectors what of a source's pages is content, from its next run on; empty ones say nothing. Raises:
        NotFound."""
        async with self._database.write() as connection:
            await self._check(connection, source)
            spec = JobSpec.model_validate(await connection.scalar(select(SourceRow.spec).where(SourceRow.id == source)))
            spec = spec.model_copy(update={"keep": list(keep), "drop": list(drop)})
            await connection.execute(update(SourceRow).where(SourceRow.id == source).values(spec=spec.model_dump(mode="json")))

    async def delete(self, source: str, *, with_pages: bool = False) -> int:
        """Forget a source and its schedule; ``with_pages``: delete the pages that no other source leads to, and give how many
        those were. The log of its jobs stays.

        Raises: NotFound; Conflict while a job of it is open.
        """
        async with self._database.write() as connection:
            await self._check(connection, source)
            if (job := await open_job(connection, source)) is not None:
                raise Conflict(f"The job {job} of this source hasn't ended yet. Cancel it first (POST /v1/jobs/{{id}}/cancel).")
            other = aliased(PageSourceRow)
            shared = exists().where(other.page_id == PageSourceRow.page_id, other.source_id != source)
            alone = select(PageSourceRow.page_id).where(PageSourceRow.source_id == source, ~shared)
            pages = (await connection.scalars(alone)).all() if with_pages else []
            if pages:
                await forget(connection, pages)
            await connection.execute(delete(PageSourceRow).where(PageSourceRow.source_id == source))
            await connection.execute(update(JobRow).where(JobRow.source_id == source).values(source_id=None))
            await connection.execute(delete(SourceRow).where(SourceRow.id == source))
        if pages:
            await erase(self._database, self._writer)
        return len(pages)

    def _bound(self, statement: S) -> S:
        return self._grants.bound(statement, SourceRow.collection_id)

    async def _check(self, connection: AsyncConnection, source: str) -> None:
        """That there is such a source, which nobody else changes until the transaction ends. Raises: NotFound."""
        wanted = self._bound(select(SourceRow.id).where(SourceRow.id == source))
        if not await connection.scalar(wanted.with_for_update()):
            raise no_such_source(source)


def source_id(collection_id: int, spec: JobSpec) -> str:
    """The source that a job of this spec is of: 32 hex digits. Neither order nor repetition nor spelling of its URLs counts."""
    identity = [
        collection_id,
        spec.mode.value,
        sorted({_spelled(url) for url in spec.urls}),
        sorted(set(spec.include)),
        sorted(set(spec.exclude)),
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


async def as_known(connection: AsyncConnection, *, collection_id: int, spec: JobSpec) -> JobSpec:
    """A job's spec with the selectors of its source, where it names none itself: who runs a source again need not know them."""
    if spec.keep is not None and spec.drop is not None:
        return spec
    stored = await connection.scalar(select(SourceRow.spec).where(SourceRow.id == source_id(collection_id, spec)))
    known = JobSpec.model_validate(stored) if stored else spec
    said = {name: getattr(spec, name) for name in ("keep", "drop")}
    return spec.model_copy(update={name: getattr(known, name) if given is None else given for name, given in said.items()})


async def remember(connection: AsyncConnection, *, collection_id: int, spec: JobSpec) -> str:
    """Record a job's source, or its newest budgets and selectors if it is known; gives its id."""
    found = source_id(collection_id, spec)
    kept = spec.model_copy(update={"prune": False})  # said once, for one run
    row = {"id": found, "collection_id": collection_id, "spec": kept.model_dump(mode="json"), "created_at": utc_now()}
    await connection.execute(insert_or_ignore(connection, SourceRow).values(row))
    await connection.execute(update(SourceRow).where(SourceRow.id == found).values(spec=row["spec"]))
    return found


async def set_schedule(connection: AsyncConnection, source: str, *, every_s: int | None, now: datetime) -> None:
    """Run a source again every so often, for the first time after one such while; None: no more. Raises: NotFound."""
    next_at = now + timedelta(seconds=every_s) if every_s else None
    changed = await connection.execute(
        update(SourceRow).where(SourceRow.id == source).values(every_s=every_s or None, next_at=next_at)
    )
    if not changed.rowcount:
        raise no_such_source(source)


async def fire_due(connection: AsyncConnection, *, now: datetime) -> int:
    """Record a job for every source that is due, and when it is due next, in one transaction; gives how many.

    The next time counts from now, so that a long downtime makes one run and not many. A source whose job is still open is
    passed over, which that job notes.
    """
    due = select(SourceRow).where(SourceRow.next_at <= now).order_by(SourceRow.next_at).with_for_update(skip_locked=True)
    fired = 0
    for source in (await connection.execute(due)).all():
        await set_schedule(connection, source.id, every_s=source.every_s, now=now)
        if (job := await open_job(connection, source.id)) is not None:
            await _note_skipped(connection, job, now)
            continue
        spec = JobSpec.model_validate(source.spec)
        await record_job(connection, collection_id=source.collection_id, source_id=source.id, spec=spec, now=now)
        fired += 1
    return fired


async def record_job(
    connection: AsyncConnection, *, collection_id: int, source_id: str | None, spec: JobSpec, now: datetime
) -> str:
    """A new job, queued; gives its id. It is for the caller to enqueue it, else a worker does."""
    job_id = str(uuid.uuid4())
    row = {"id": job_id, "collection_id": collection_id, "source_id": source_id, "spec": spec.model_dump(mode="json")}
    values = {**row, "state": JobState.QUEUED, "cancel_requested": False, "created_at": now}
    await connection.execute(insert(JobRow).values(values))
    return job_id


async def open_job(connection: AsyncConnection, source: str) -> str | None:
    """A job of the source that hasn't ended."""
    ours = select(JobRow.id).where(JobRow.source_id == source, JobRow.state.in_(OPEN_STATES))
    found: str | None = await connection.scalar(ours.order_by(JobRow.created_at).limit(1))
    return found


async def _note_skipped(connection: AsyncConnection, job: str, now: datetime) -> None:
    notes = list(await connection.scalar(select(JobRow.notes).where(JobRow.id == job)) or [])
    if any(str(note).startswith(SKIPPED) for note in notes):
        return  # once is enough, however long the job takes
    notes.append(f"{SKIPPED} the one that was due at {now:%Y-%m-%d %H:%M} UTC.")
    await connection.execute(update(JobRow).where(JobRow.id == job).values(notes=notes))


def no_such_source(source: str) -> NotFound:
    return NotFound(f"There is no source {source}. GET /v1/sources lists those there are.")


def every_seconds(value: str | int) -> int:
    """An interval in seconds, given as such or as ``90m``, ``12h``, ``1d``, ``2w``. Raises: InvalidInput."""
    found = _EVERY.fullmatch(str(value).strip().lower())
    seconds = int(found[1]) * _UNIT_S[found[2] or "s"] if found else 0
    if not found or not MIN_EVERY_S <= seconds <= MAX_EVERY_S:
        raise InvalidInput(
            f"{str(value)[:40]!r} is no interval to run a source at. Give one from 15m to 366d, such as 90m, 12h, 1d or 1w."
        )
    return seconds


def _sources() -> Select[Any]:
    newest = aliased(JobRow)
    last = select(newest.id).where(newest.source_id == SourceRow.id).order_by(newest.created_at.desc(), newest.id.desc())
    led_to = select(func.count()).select_from(PageSourceRow).join(PageRow, PageRow.id == PageSourceRow.page_id)
    pages = led_to.where(PageSourceRow.source_id == SourceRow.id, PageRow.live_generation.is_not(None))
    statement: Any = select(
        SourceRow,
        CollectionRow.name.label("collection"),
        pages.correlate(SourceRow).scalar_subquery().label("pages"),
        JobRow.id.label("job_id"),
        JobRow.state.label("job_state"),
        JobRow.created_at.label("job_created_at"),
        JobRow.finished_at.label("job_finished_at"),
    )
    joined: Select[Any] = statement.join(CollectionRow, CollectionRow.id == SourceRow.collection_id)
    return joined.outerjoin(JobRow, JobRow.id == last.limit(1).correlate(SourceRow).scalar_subquery())


def _source(row: Any) -> Source:
    last = LastJob(row.job_id, JobState(row.job_state), row.job_created_at, row.job_finished_at) if row.job_id else None
    spec = JobSpec.model_validate(row.spec)
    return Source(row.id, row.collection, spec, row.pages, row.every_s, row.next_at, row.created_at, last)


def _spelled(url: str) -> str:
    """The WHATWG spelling without the fragment; what is no URL, as it stands: the job will say so."""
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        return url
    parsed.hash = ""
    return parsed.href
