"""Dry runs: what a job would fetch, and why not the rest. Nothing is indexed, and nothing that is stored changes.

A dry run reads robots.txt and the start pages (crawl) or the sitemaps (sitemap), and then tells of each URL that it found
there what would become of it, without asking for it. So it sees one link deep, within :data:`MAX_URLS` URLs and
:data:`DEADLINE_S` seconds. Its verdicts are the job's log: ``would_fetch``; ``would_check``, for a page that is indexed and
would be asked whether it has changed; or the reason why not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select, update

from corpus.database import Database, utc_now
from corpus.errors import IngestError, PermanentError
from corpus.generations import insert_or_ignore
from corpus.model import IngestMode, UrlKind, UrlState, page_id
from corpus.settings import IngestSettings
from corpus.sources import JobSpec
from corpus.tables import JobRow, PageRow, UrlRow
from ingest.sitemap_walk import SitemapReader, sitemap_address
from ingest.traps import REASONS, Traps, clean_link
from ingest.urls import Scope, check_url, normalise, split_url
from ingest.visit import Elsewhere, NotIndexed, Outcome, Visitor

MAX_URLS = 200
MAX_SITEMAPS = 10
TOLD_AT_ONCE = 20  # verdicts written together
DEADLINE_S = 60.0
WOULD_FETCH = "would_fetch"
WOULD_CHECK = "would_check"


class _Enough(Exception):
    """As many URLs were looked at as a dry run may."""


class DryRun:
    """One dry run of a job. ``scope`` is where the job may go, None if it takes its URLs as they are."""

    def __init__(
        self,
        *,
        database: Database,
        visitor: Visitor,
        sitemaps: SitemapReader,
        settings: IngestSettings,
        job_id: str,
        collection_id: int,
        spec: JobSpec,
        scope: Scope | None,
    ) -> None:
        self._database = database
        self._visitor = visitor
        self._sitemaps = sitemaps
        self._settings = settings
        self._job_id = job_id
        self._collection_id = collection_id
        self._spec = spec
        self._scope = scope
        self._traps = Traps(settings=settings)
        self._seen: set[str] = set()
        self._wanted: Counter[str] = Counter()  # URLs to be fetched, by origin

    async def run(self) -> None:
        """Write the verdicts, and notes on the whole. What an earlier try of the same job wrote is forgotten."""
        async with self._database.write() as connection:
            await connection.execute(delete(UrlRow).where(UrlRow.job_id == self._job_id))
        cut = None
        try:
            async with asyncio.timeout(DEADLINE_S):
                for given in self._spec.urls:
                    await self._look(given)
        except TimeoutError:
            cut = f"The dry run stopped after {DEADLINE_S:g} s; a job goes on."
        except _Enough:
            cut = f"The dry run looked at {MAX_URLS} URLs; a job goes on."
        async with self._database.write() as connection:
            values = {"notes": [*self._notes(), cut] if cut else self._notes()}
            await connection.execute(update(JobRow).where(JobRow.id == self._job_id).values(values))

    async def _look(self, given: str) -> None:
        try:
            url = check_url(given, self._settings)
        except IngestError as exc:
            await self._tell([(given, exc)], depth=0)
            return
        match self._spec.mode:
            case IngestMode.SITEMAP:
                await self._read_sitemaps(sitemap_address(url))
            case IngestMode.PAGE:
                await self._judge([url], depth=0)
            case IngestMode.CRAWL:
                await self._start(url)

    async def _start(self, url: str) -> None:
        """Fetch a crawl's start page, for its links and for where it redirects."""
        outcome = await self._looked(url, fetch=True)
        if isinstance(outcome, Elsewhere):
            await self._tell([(url, outcome)], depth=0)
            url, outcome = outcome.url, await self._looked(outcome.url, fetch=True)
        await self._tell([(url, outcome)], depth=0)
        if isinstance(outcome, NotIndexed):
            await self._judge(_cleaned(outcome.links), depth=1)

    async def _read_sitemaps(self, first: str) -> None:
        addresses = [first]
        for address in addresses:  # which grows meanwhile
            try:
                listed = await self._sitemaps.read(address)
            except IngestError as exc:
                await self._tell([(address, exc)], depth=0, kind=UrlKind.SITEMAP)
                continue
            listing = f"A sitemap of {len(listed.pages)} pages and {len(listed.sitemaps)} sitemaps."
            said = NotIndexed("sitemap", " ".join([listing, *(f"It {note}." for note in listed.notes)]))
            await self._tell([(address, said)], depth=0, kind=UrlKind.SITEMAP)
            room = MAX_SITEMAPS - len(addresses)
            addresses += [sitemap for sitemap in listed.sitemaps if sitemap not in addresses][:room]
            await self._judge(listed.pages, depth=0)

    async def _judge(self, urls: Sequence[str], *, depth: int) -> None:
        """Tell what would become of URLs that were found, without asking for them."""
        for start in range(0, len(urls), TOLD_AT_ONCE):
            some = [url for url in urls[start : start + TOLD_AT_ONCE] if url not in self._seen]
            await self._tell([(url, await self._judged(url, depth)) for url in some], depth=depth)

    async def _judged(self, url: str, depth: int) -> Outcome | IngestError:
        reason = self._scope.admits(url, depth) if self._scope else None
        if reason is None and depth:
            reason = self._traps.refuses(url)
        return NotIndexed(reason, REASONS[reason]) if reason else await self._looked(url, fetch=False)

    async def _looked(self, url: str, *, fetch: bool) -> Outcome | IngestError:
        try:
            return await self._visitor.look(url, fetch=fetch, may_move_to=self._may_move_to)
        except IngestError as exc:
            return exc

    def _may_move_to(self, url: str) -> bool:
        return self._scope is None or self._scope.admits(url, 0) is None

    async def _tell(self, told: Iterable[tuple[str, Outcome | IngestError]], *, depth: int, kind: UrlKind = UrlKind.PAGE) -> None:
        """Write verdicts into the job's log."""
        same = {"job_id": self._job_id, "depth": depth, "kind": kind, "attempts": 0, "chunks": 0, "finished_at": utc_now()}
        rows: list[dict[str, Any]] = []
        for url, outcome in told:
            row = same | {"url": url, "state": UrlState.SKIPPED}
            match outcome:
                case NotIndexed(reason=reason) if reason == WOULD_FETCH:
                    self._wanted[split_url(url).origin] += 1
                    row |= {"reason": WOULD_CHECK if await self._is_known(url) else WOULD_FETCH, "message": outcome.message}
                case NotIndexed():
                    row |= {"reason": outcome.reason, "message": outcome.message}
                case Elsewhere():
                    row |= {"reason": "redirected", "message": f"It redirects to {outcome.url}."}
                case IngestError():
                    row |= {"state": UrlState.FAILED, "reason": outcome.reason, "message": outcome.message}
            rows.append(row)
        async with self._database.write() as connection:
            for row in rows:
                await connection.execute(insert_or_ignore(connection, UrlRow).values(row))
        self._seen |= {row["url"] for row in rows}
        if len(self._seen) >= MAX_URLS:
            raise _Enough

    async def _is_known(self, url: str) -> bool:
        live = select(PageRow.id).where(PageRow.id == page_id(self._collection_id, url), PageRow.live_generation.is_not(None))
        async with self._database.read() as connection:
            return await connection.scalar(live) is not None

    def _notes(self) -> list[str]:
        """How long the job would take at least, and what a dry run doesn't look at."""
        notes = []
        for origin, pages in self._wanted.items():
            pause_s = self._visitor.pause_s(origin)
            some = min(pages, self._spec.max_pages)
            notes.append(f"{origin}: {some} pages, one every {pause_s:g} s: {some * pause_s:.0f} s at least.")
        if self._wanted.total() > self._spec.max_pages:
            notes.append(f"A job ends after {self._spec.max_pages} pages (max_pages).")
        if self._spec.mode is IngestMode.CRAWL and self._spec.max_depth > 1:
            notes.append("These are the links of the start pages alone; a crawl goes on to the links of the pages behind them.")
        return notes


def _cleaned(links: Iterable[str]) -> list[str]:
    cleaned: dict[str, None] = {}
    for link in links:
        try:
            cleaned[clean_link(normalise(link))] = None
        except PermanentError:
            continue  # mailto: and the like
    return list(cleaned)
