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
from typing import cast

from sqlalchemy import Connection, Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.database import Database, GenerationRow, JobRow, PageRow, UrlRow
from corpus.errors import IngestError, PermanentError, TransientError
from corpus.generations import GenerationWriter, Pending
from corpus.model import IngestMode, UrlKind, UrlState, page_id
from corpus.pages import forget
from corpus.settings import IngestSettings
from ingest import aliases, frontier
from ingest.aliases import AliasKind, Kept, Vanished
from ingest.duplicates import MAX_DISTANCE_BITS, distance_bits, says_the_same
from ingest.frontier import NO_FACTS, Ending, Facts, FrontierUrl
from ingest.job import Job
from ingest.sitemap_walk import MAX_SITEMAP_DEPTH, MAX_SITEMAPS, Listed
from ingest.traps import REASONS, Traps
from ingest.urls import normalise
from ingest.vanished import add_note, note_source
from ingest.visit import Changed, Elsewhere, NotIndexed, Outcome, Unchanged

log = logging.getLogger(__name__)

RETRY_BASE_S = 2.0
RETRY_MAX_S = 600.0
LIMITING = frozenset(("query_variants", "date_variants", "host_budget"))  # reasons to refuse what another job may have taken
TRAPPED_SHOWN = 20  # links refused for one reason that a job's log names
GONE = frozenset(("http_404", "http_410"))

_generations = cast(Table, GenerationRow.__table__)
_SEEN = ("fetched_at", "etag", "last_modified")
_TOUCH = update(_generations).where(_generations.c.id == bindparam("of")).values({name: bindparam(name) for name in _SEEN})
_RELINK = update(_generations).where(_generations.c.id == bindparam("of")).values(links=bindparam("links"))


@dataclass(frozen=True, slots=True)
class SameAs:
    """The page is not indexed, for another stands for it."""

    kind: AliasKind
    kept: Kept
    links: tuple[str, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """The page names a canonical URL that the job has yet to visit."""

    url: str


@dataclass(frozen=True, slots=True)
class Visited:
    entry: FrontierUrl
    outcome: Outcome | Listed | SameAs | WaitsFor | IngestError


@dataclass(frozen=True, slots=True)
class _Live:
    """What is stored of a URL."""

    page_id: str
    generation: int
    links: tuple[str, ...]


_Read = tuple[FrontierUrl, Changed]


class Recorder:
    def __init__(
        self,
        *,
        database: Database,
        writer: GenerationWriter,
        settings: IngestSettings,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._writer = writer
        self._settings = settings
        self._jitter = jitter
        self._traps: dict[str, Traps] = {}

    def forget(self, job_id: str) -> None:
        """The job has come to an end: what it remembers of its links is needed no more."""
        self._traps.pop(job_id, None)

    async def record(self, job: Job, batch: Sequence[Visited], *, is_over: Callable[[], Awaitable[bool]]) -> None:
        """Commit what a batch of visits brought. What isn't recorded, for whatever reason, is still due and visited again."""
        small = [one for one in batch if not isinstance(one.outcome, Changed)]
        if small:
            await self._record_small(job, small)
        # Pages that name another as canonical come last: that other one may be among the batch.
        read = [(one.entry, one.outcome) for one in batch if isinstance(one.outcome, Changed)]
        waiting = [(entry, changed) for entry, changed in read if changed.canonical is None]
        named = [(entry, changed) for entry, changed in read if changed.canonical is not None]
        for pages in (waiting, named):
            while pages:
                pages = await self._record_read(job, pages, is_over)

    async def _record_read(self, job: Job, pages: list[_Read], is_over: Callable[[], Awaitable[bool]]) -> list[_Read]:
        """Record what can be; gives the pages that say the same as one that was only now written."""
        fresh, settled, repeated = await self._database.snapshot(partial(_judge, job=job, pages=pages))
        if settled:
            await self._record_small(job, settled)
        if fresh:
            await self._write(job, fresh, is_over)
        return repeated

    async def _write(self, job: Job, pages: list[_Read], is_over: Callable[[], Awaitable[bool]]) -> None:
        by_id = {changed.page.id: (entry, changed) for entry, changed in pages}

        async def on_flip(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
            entry, changed = by_id[pending.new.id]
            sheet = _Sheet(connection, job, await self._traps_of(connection, job))
            if went_live:
                if pending.replaces is not None:
                    await aliases.reopen(connection, job.collection_id, [pending.new.id])
                sheet.keep(entry, UrlState.INDEXED, pending.new.id, chunks=len(pending.new.chunks), facts=changed.facts)
            else:
                message = "The page was deleted or written by another job in the meantime."
                sheet.end(entry, UrlState.SKIPPED, "superseded", message, facts=changed.facts)
            sheet.follow(entry, pending.new.links)
            await sheet.write()

        try:
            await self._writer.commit([changed.page for _, changed in pages], on_flip=on_flip, is_over=is_over)
        except TransientError as exc:
            await self._record_small(job, [Visited(entry, exc) for entry, _ in pages])

    async def _record_small(self, job: Job, visits: Sequence[Visited]) -> None:
        async with self._database.write() as connection:
            live = await _live_pages(connection, job, [one.entry.url for one in visits])
            sheet = _Sheet(connection, job, await self._traps_of(connection, job))
            for one in visits:
                await self._note(sheet, one, live.get(one.entry.url))
            await sheet.write()
        if sheet.took_out:
            await self._writer.clean_up()

    async def _note(self, sheet: _Sheet, visited: Visited, live: _Live | None) -> None:
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
        """What the job has to remember of its links: kept while this process works on it, and made from the frontier."""
        traps = self._traps.get(job.id)
        if traps is None:
            traps = self._traps[job.id] = Traps(settings=self._settings)
            for url, reason in await connection.execute(select(UrlRow.url, UrlRow.reason).where(UrlRow.job_id == job.id)):
                with suppress(PermanentError):  # what was given may be no URL
                    traps.remember(url, reason if reason in REASONS else None)
        return traps

    def _backoff_s(self, attempts: int) -> float:
        """Exponential, with full jitter over its upper half."""
        return RETRY_BASE_S * 2.0**attempts * (0.5 + self._jitter() / 2)


class _Sheet:
    """What is to be written of some URLs in one transaction: gathered, then written with a few statements for all."""

    def __init__(self, connection: AsyncConnection, job: Job, traps: Traps) -> None:
        self.connection = connection
        self._traps = traps
        self.took_out = False
        self._job = job
        self._endings: list[Ending] = []
        self._found: dict[str, int] = {}
        self._led_to: list[str] = []
        self._no_aliases: list[str] = []
        self._touched: list[dict[str, object]] = []
        self._relinked: list[dict[str, object]] = []
        self._partial: list[str] = []

    def keep(self, entry: FrontierUrl, state: UrlState, page: str, *, chunks: int = 0, facts: Facts) -> None:
        """The URL's own page is live."""
        self._endings.append(Ending(entry=entry, state=state, page_id=page, chunks=chunks, facts=facts))
        self._no_aliases.append(entry.url)
        self._led_to.append(page)

    def end(
        self,
        entry: FrontierUrl,
        state: UrlState,
        reason: str,
        message: str,
        *,
        facts: Facts = NO_FACTS,
        live: _Live | None = None,
        transient: bool = False,
    ) -> None:
        """There is nothing to be had under the URL now. ``live``: what is stored of it stays, and leads on as it did."""
        ending = Ending(entry=entry, state=state, reason=reason, message=message, facts=facts, transient=transient)
        self._endings.append(ending)
        if not transient:
            self._no_aliases.append(entry.url)
        if live is not None:
            self._led_to.append(live.page_id)
            self.follow(entry, live.links)
        if entry.kind is UrlKind.SITEMAP and reason != "sitemap":
            self._partial.append(f"A sitemap was not read ({reason}), so pages that were not found again were not removed.")

    def touch(self, live: _Live, unchanged: Unchanged, links: tuple[str, ...]) -> None:
        seen = {"fetched_at": unchanged.fetched_at, "etag": unchanged.etag, "last_modified": unchanged.last_modified}
        self._touched.append({"of": live.generation, **seen})
        if links != live.links:
            self._relinked.append({"of": live.generation, "links": list(links)})

    def follow(self, entry: FrontierUrl, links: Sequence[str]) -> None:
        if self._job.spec.mode is IngestMode.CRAWL and entry.kind is UrlKind.PAGE:
            for url in self._job.links_to_follow(links, entry.depth + 1):
                self._found.setdefault(url, entry.depth + 1)

    async def follow_sitemap(self, entry: FrontierUrl, listed: Listed) -> None:
        pages = [page for page in listed.pages if self._job.admits(page, 0)]
        added = await self._add(pages, depth=0, budget=self._job.spec.max_pages)
        deeper = listed.sitemaps if entry.depth < MAX_SITEMAP_DEPTH else ()
        sitemaps = await self._add(deeper, depth=entry.depth + 1, budget=MAX_SITEMAPS, kind=UrlKind.SITEMAP)
        if len(deeper) < len(listed.sitemaps):
            self._partial.append("Sitemaps within sitemaps were left out; pages that were not found again were not removed.")
        message = (
            f"A sitemap of {len(listed.pages)} pages, {len(pages)} of them in scope and {added} added to the job, and of "
            f"{len(listed.sitemaps)} sitemaps, {sitemaps} of them added; {listed.foreign} entries are of other sites or no URLs."
        )
        self.end(entry, UrlState.SKIPPED, "sitemap", message)

    async def move(self, entry: FrontierUrl, elsewhere: Elsewhere) -> None:
        """Visit a redirect's target in the URL's place. Once: a target that redirects again, and each time elsewhere, would
        never end."""
        target = normalise(elsewhere.url)
        if entry.moved_here:
            message = f"A redirect led here, and it redirects again, to {target}."
            self.end(entry, UrlState.FAILED, "redirects_again", message, facts=elsewhere.facts)
            return
        # The budget counts pages, and this one only changed its address.
        await self._add([target], depth=entry.depth, budget=frontier.UNLIMITED, moved_here=True)
        message = f"It redirects to {target}."
        ending = Ending(entry=entry, state=UrlState.SKIPPED, reason="redirected", message=message, facts=elsewhere.facts)
        self._endings.append(ending)
        await aliases.record(
            self.connection,
            collection_id=self._job.collection_id,
            url=entry.url,
            page_id=page_id(self._job.collection_id, target),
            kind=AliasKind.REDIRECT,
        )

    async def join(self, entry: FrontierUrl, same: SameAs) -> None:
        """Record a URL as another name of a page, if that one is still there as it was compared."""
        collection = self._job.collection_id
        try:
            own = await aliases.join(self.connection, collection_id=collection, url=entry.url, kept=same.kept)
        except Vanished:
            return  # it is visited again, and judged by what is there then
        if own is not None:
            await self._forget(own)
        await aliases.record(self.connection, collection_id=collection, url=entry.url, page_id=same.kept.page_id, kind=same.kind)
        why = "names as canonical" if same.kind is AliasKind.CANONICAL else "shows the same text as"
        message = f"It {why} {same.kept.url}, which is kept."
        kept = same.kept.page_id
        ending = Ending(entry=entry, state=UrlState.SKIPPED, reason=same.kind, message=message, page_id=kept, facts=same.facts)
        self._endings.append(ending)
        self._led_to.append(kept)
        self.follow(entry, same.links)

    async def wait_for(self, entry: FrontierUrl, url: str) -> None:
        await self._add([url], depth=entry.depth, budget=self._job.budget)
        await frontier.wait_for(self.connection, entry, url)

    async def take_out(self, live: _Live | None, *, vanished: bool = False) -> None:
        """Remove what is stored of a URL: it is gone, has moved, or asks not to be indexed."""
        if live is None:
            return
        log.info("removed the page %s: it is gone, has moved, or asks not to be indexed", live.page_id)
        await self._forget(live.page_id)
        if vanished:
            counted = update(JobRow).where(JobRow.id == self._job.id)
            await self.connection.execute(counted.values(removed=JobRow.removed + 1))

    async def write(self) -> None:
        await frontier.finish(self.connection, self._endings)
        if self._touched:
            await self.connection.execute(_TOUCH, self._touched)
        if self._relinked:
            await self.connection.execute(_RELINK, self._relinked)
        if self._no_aliases:
            await aliases.forget_names(self.connection, self._job.collection_id, self._no_aliases)
        await note_source(self.connection, self._job, self._led_to)
        await self._add(await self._safe(self._found), budget=self._job.spec.max_pages)
        for note in dict.fromkeys(self._partial):
            await add_note(self.connection, self._job.id, note, partial=True)

    async def _safe(self, found: dict[str, int]) -> dict[str, int]:
        """Links that are new to the job and lead into no trap."""
        safe = {}
        for url in await frontier.unknown(self.connection, self._job.id, list(found)):
            reason = self._traps.refuses(url)
            if reason is None:
                safe[url] = found[url]
                continue
            if self._traps.tells(reason, limit=TRAPPED_SHOWN):
                why = REASONS[reason]
                await frontier.refuse(self.connection, self._job.id, url, depth=found[url], reason=reason, message=why)
            if reason in LIMITING:
                self._partial.append(f"Links were left out ({reason}), so pages that were not found again were not removed.")
        return safe

    async def _forget(self, page: str) -> None:
        # What was dropped for this page's sake a moment ago is to be found by who opens it again.
        await frontier.finish(self.connection, self._endings)
        self._endings.clear()
        self._led_to = [other for other in self._led_to if other != page]
        await aliases.reopen(self.connection, self._job.collection_id, [page])
        await forget(self.connection, [page])
        self.took_out = True

    async def _add(
        self,
        urls: Sequence[str] | dict[str, int],
        *,
        budget: int,
        depth: int = 0,
        moved_here: bool = False,
        kind: UrlKind = UrlKind.PAGE,
    ) -> int:
        added = await frontier.add(
            self.connection, self._job.id, urls, depth=depth, budget=budget, moved_here=moved_here, kind=kind
        )
        if added.left_out:
            what = "sitemaps" if kind is UrlKind.SITEMAP else "pages"
            self._partial.append(
                f"The job's budget of {budget} {what} was reached and others were left out, so pages that were not found again "
                "were not removed."
            )
        return added.count


def facts_of(error: IngestError) -> Facts:
    """What a failure tells of the answer."""
    status = error.reason.removeprefix("http_")
    known = {name: error.details.get(name) for name in ("http_status", "size_bytes", "elapsed_ms")}
    if known["http_status"] is None and status.isdecimal():
        known["http_status"] = int(status)
    return Facts(**known)


async def _live_pages(connection: AsyncConnection, job: Job, urls: Sequence[str]) -> dict[str, _Live]:
    columns = (PageRow.url, PageRow.id, PageRow.live_generation, GenerationRow.links)
    statement = select(*columns).join(GenerationRow, PageRow.live_generation == GenerationRow.id)
    rows = await connection.execute(statement.where(PageRow.id.in_([page_id(job.collection_id, url) for url in urls])))
    return {row.url: _Live(row.id, row.live_generation, tuple(row.links)) for row in rows.all()}


def _judge(connection: Connection, *, job: Job, pages: list[_Read]) -> tuple[list[_Read], list[Visited], list[_Read]]:
    """What becomes of pages with new text: those to be written, those that need not be, and those to be judged again once
    the first are written, because they say the same as one of them."""
    fresh: list[_Read] = []
    settled: list[Visited] = []
    repeated: list[_Read] = []
    ids = [changed.page.id for _, changed in pages]
    for entry, changed in pages:
        if verdict := _canonical(connection, job, entry, changed):
            settled.append(Visited(entry, verdict))
        elif kept := aliases.twin_of(connection, changed.page, besides=ids):
            settled.append(Visited(entry, SameAs(AliasKind.DUPLICATE, kept, tuple(changed.page.links), changed.facts)))
        elif any(_are_twins(changed, other) for _, other in fresh):
            repeated.append((entry, changed))
        else:
            fresh.append((entry, changed))
    return fresh, settled, repeated


def _canonical(connection: Connection, job: Job, entry: FrontierUrl, changed: Changed) -> SameAs | WaitsFor | None:
    """What the canonical URL that a page names makes of it; None if it is to be indexed like any other.

    It goes only if the canonical page is there and holds its text: what a site names wrongly (its home page everywhere) must
    not cost a page. Where pages name each other in a ring, the one whose turn comes first no longer waits and is indexed.
    """
    url = changed.canonical
    if url is None:
        return None
    kept = aliases.live_at(connection, job.collection_id, url)
    if kept and kept.page_id != changed.page.id and aliases.holds(connection, kept, changed.page.page):
        return SameAs(AliasKind.CANONICAL, kept, tuple(changed.page.links), changed.facts)
    if entry.waits_for == url:
        return None
    state = connection.scalar(select(UrlRow.state).where(UrlRow.job_id == job.id, UrlRow.url == url))
    if state == UrlState.PENDING or (state is None and job.spec.mode is not IngestMode.PAGE):
        return WaitsFor(url)
    return None


def _are_twins(changed: Changed, other: Changed) -> bool:
    one, two = changed.page.simhash, other.page.simhash
    if one is None or two is None or distance_bits(tuple(one), tuple(two)) > MAX_DISTANCE_BITS:
        return False
    return says_the_same(changed.page.page, other.page.page)
