"""What becomes of a visit: a URL's outcome, its page, its links and its other names are committed together.

Pages with new text go through :class:`corpus.generations.GenerationWriter`. All else (unchanged, gone, elsewhere, failed) is
small: what one take of the queue brings of it is one transaction, whatever the number of URLs.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database
from corpus.errors import IngestError, PermanentError, TransientError
from corpus.generations import GenerationWriter, Pending
from corpus.model import UrlState
from corpus.settings import IngestSettings
from corpus.spans import span
from corpus.tables import UrlRow
from ingest import aliases, frontier
from ingest.frontier import Facts, FrontierUrl
from ingest.job import Job
from ingest.sheet import Live, Sheet, live_pages
from ingest.sitemap_walk import Listed
from ingest.traps import REASONS, Traps
from ingest.vanished import GONE
from ingest.verdicts import Read, SameAs, WaitsFor, judge
from ingest.visit import FRAMESET, Changed, Elsewhere, NotIndexed, Outcome, Unchanged

log = logging.getLogger(__name__)

RETRY_BASE_S = 2.0
RETRY_MAX_S = 600.0


@dataclass(frozen=True, slots=True)
class Visited:
    entry: FrontierUrl
    outcome: Outcome | Listed | SameAs | WaitsFor | IngestError


class Recorder:
    """``claimant``: this process' id, where several share a job's URLs. Then only what is still its own is recorded."""

    def __init__(
        self,
        *,
        database: Database,
        writer: GenerationWriter,
        settings: IngestSettings,
        jitter: Callable[[], float] = random.random,
        claimant: str | None = None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._settings = settings
        self._jitter = jitter
        self._claimant = claimant
        self._traps: dict[str, Traps] = {}
        self._seen_of_traps: dict[str, int] = {}  # where jobs are shared: the last URL of the job that its traps know of

    def forget(self, job_id: str) -> None:
        """The job has come to an end: what it remembers of its links is needed no more."""
        self._traps.pop(job_id, None)
        self._seen_of_traps.pop(job_id, None)

    async def record(self, job: Job, batch: Sequence[Visited], *, is_over: Callable[[], Awaitable[bool]]) -> None:
        """Commit what a batch of visits brought. What isn't recorded, for whatever reason, is still due and visited again."""
        small = [one for one in batch if not isinstance(one.outcome, Changed)]
        if small:
            await self._record_small(job, small)
        # Pages that name another as canonical come last: that other one may be among the batch.
        read = [(one.entry, one.outcome) for one in batch if isinstance(one.outcome, Changed)]
        read.sort(key=lambda one: one[0].seq)  # so that of pages that say the same, the one found first is kept
        waiting = [(entry, changed) for entry, changed in read if changed.canonical is None]
        named = [(entry, changed) for entry, changed in read if changed.canonical is not None]
        for pages in (waiting, named):
            while pages:
                pages = await self._record_read(job, pages, is_over)

    async def _record_read(self, job: Job, pages: list[Read], is_over: Callable[[], Awaitable[bool]]) -> list[Read]:
        """Record what can be; gives the pages that say the same as one that was only now written."""
        verdicts = await self._database.snapshot(partial(judge, job=job, pages=pages))
        if verdicts.settled:
            await self._record_small(job, [Visited(entry, verdict) for entry, verdict in verdicts.settled])
        overtaken = await self._write(job, verdicts.fresh, is_over) if verdicts.fresh else []
        return verdicts.repeated + overtaken

    async def _write(self, job: Job, pages: list[Read], is_over: Callable[[], Awaitable[bool]]) -> list[Read]:
        """Write pages; gives those that say the same as one which another worker wrote meanwhile."""
        by_id = {changed.page.id: (entry, changed) for entry, changed in pages}
        overtaken: list[Read] = []

        async def admit(connection: AsyncConnection, written: Sequence[Pending]) -> set[int]:
            overtaken.clear()
            ours = await self._ours(connection, job, [entry for entry, _ in pages])
            held = [one for one in written if by_id[one.new.id][0].seq in ours]
            if self._claimant is not None:
                twins = {one.new.id for one in held if await self._twin(connection, one, besides=list(by_id))}
                overtaken.extend(by_id[page] for page in twins)
                held = [one for one in held if one.new.id not in twins]
            return {one.generation for one in held}

        async def on_flip(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
            entry, changed = by_id[pending.new.id]
            sheet = Sheet(connection, job, await self._traps_of(connection, job))
            if went_live:
                if pending.replaces is not None:
                    await aliases.reopen(connection, job.collection_id, [pending.new.id])
                sheet.keep(entry, UrlState.INDEXED, pending.new.id, chunks=len(pending.new.chunks), facts=changed.facts)
            else:
                message = "The page was deleted or written by another job in the meantime."
                live = (await live_pages(connection, job, [entry.url])).get(entry.url)  # whoever wrote it, this job led to it
                sheet.end(entry, UrlState.SKIPPED, "superseded", message, facts=changed.facts, live=live)
            sheet.follow(entry, pending.new.links)
            await sheet.write()

        try:
            with span("commit", footnote__job_id=job.id, footnote__pages=len(pages)):
                await self._writer.commit([changed.page for _, changed in pages], on_flip=on_flip, is_over=is_over, admit=admit)
        except TransientError as exc:
            await self._record_small(job, [Visited(entry, exc) for entry, _ in pages])
        return overtaken

    async def _ours(self, connection: AsyncConnection, job: Job, entries: Sequence[FrontierUrl]) -> set[int]:
        """Which URLs this process may record, by ``seq``."""
        if self._claimant is None:
            return {entry.seq for entry in entries}
        return await frontier.held(connection, entries, run=job.run, me=self._claimant)

    async def _twin(self, connection: AsyncConnection, pending: Pending, *, besides: Sequence[str]) -> bool:
        """Whether there is now a page that says the same: when this one was judged, another worker may have been writing it."""
        return await connection.run_sync(aliases.twin_of, pending.new, besides=besides) is not None

    async def _record_small(self, job: Job, visits: Sequence[Visited]) -> None:
        async with self._database.write() as connection:
            ours = await self._ours(connection, job, [one.entry for one in visits])
            visits = [one for one in visits if one.entry.seq in ours]
            live = await live_pages(connection, job, [one.entry.url for one in visits])
            sheet = Sheet(connection, job, await self._traps_of(connection, job))
            for one in visits:
                await self._note(sheet, one, live.get(one.entry.url))
            await sheet.write()
        if sheet.took_out:
            await self._writer.clean_up()

    async def _note(self, sheet: Sheet, visited: Visited, live: Live | None) -> None:
        entry = visited.entry
        match visited.outcome:
            case Unchanged() as outcome:
                if live is None or live.generation != outcome.generation:
                    return  # deleted or replaced in the meantime: it is visited again
                links = live.links if outcome.links is None else outcome.links
                sheet.touch(live, outcome, links)
                sheet.keep(entry, UrlState.UNCHANGED, live.page_id, facts=outcome.facts)
                sheet.follow(entry, links)
            case SameAs() as outcome:
                await sheet.join(entry, outcome)
            case WaitsFor(url=url):
                await sheet.wait_for(entry, url)
            case Listed() as outcome:
                await sheet.follow_sitemap(entry, outcome)
            case Elsewhere() as outcome:
                await sheet.take_out(live)
                await sheet.move(entry, outcome)
            case NotIndexed() as outcome:
                if outcome.remove:
                    await sheet.take_out(live, vanished=True)
                    live = None
                sheet.end(entry, UrlState.SKIPPED, outcome.reason, outcome.message, facts=outcome.facts, live=live)
                if outcome.reason == FRAMESET:
                    sheet.follow_frames(entry, outcome.links)
                else:
                    sheet.follow(entry, outcome.links)
            case TransientError() as error if entry.attempts + 1 < self._settings.max_attempts:
                wait_s = min(max(error.retry_after_s or 0.0, self._backoff_s(entry.attempts)), RETRY_MAX_S)
                facts = facts_of(error)
                await frontier.postpone(
                    sheet.connection, entry, wait_s=wait_s, reason=error.reason, message=error.message, facts=facts
                )
            case IngestError() as error:
                if error.reason in GONE and isinstance(error, PermanentError):
                    await sheet.take_out(live, vanished=True)
                    live = None
                transient = isinstance(error, TransientError)
                sheet.end(
                    entry, UrlState.FAILED, error.reason, error.message, facts=facts_of(error), live=live, transient=transient
                )

    async def _traps_of(self, connection: AsyncConnection, job: Job) -> Traps:
        """What the job has to remember of its links: kept while this process works on it, and made from the frontier, of which
        what other workers found is read as it comes (numbers are given in order, as there is one writer at a time)."""
        traps = self._traps.get(job.id)
        if traps is not None and self._claimant is None:
            return traps
        traps = traps or self._traps.setdefault(job.id, Traps(settings=self._settings))
        columns = (UrlRow.seq, UrlRow.url, UrlRow.reason)
        unseen = select(*columns).where(UrlRow.job_id == job.id, UrlRow.seq > self._seen_of_traps.get(job.id, 0))
        for seq, url, reason in await connection.execute(unseen.order_by(UrlRow.seq)):
            self._seen_of_traps[job.id] = seq
            with suppress(PermanentError):  # what was given may be no URL
                traps.remember(url, reason if reason in REASONS else None)
        return traps

    def _backoff_s(self, attempts: int) -> float:
        """Exponential, with full jitter over its upper half."""
        return RETRY_BASE_S * 2.0**attempts * (0.5 + self._jitter() / 2)


def facts_of(error: IngestError) -> Facts:
    """What a failure tells of the answer."""
    status = error.reason.removeprefix("http_")
    known = {name: error.details.get(name) for name in ("http_status", "size_bytes", "elapsed_ms")}
    if known["http_status"] is None and status.isdecimal():
        known["http_status"] = int(status)
    return Facts(**known)
