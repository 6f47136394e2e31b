"""What is written of some URLs in one transaction: gathered, then written with a few statements for all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus import coverage
from corpus.model import IngestMode, UrlKind, UrlState, page_id
from corpus.pages import forget
from corpus.tables import GenerationRow, JobRow, PageRow
from ingest import aliases, frontier
from ingest.aliases import AliasKind, Vanished
from ingest.frontier import NO_FACTS, Ending, Facts, FrontierUrl
from ingest.job import Job
from ingest.sitemap_walk import MAX_SITEMAP_DEPTH, MAX_SITEMAPS, Listed
from ingest.traps import REASONS, Traps
from ingest.urls import normalise, same_site
from ingest.vanished import GONE, add_note, note_source
from ingest.verdicts import SameAs
from ingest.visit import Elsewhere, Unchanged

log = logging.getLogger(__name__)

LIMITING = frozenset(("query_variants", "date_variants", "host_budget"))  # reasons to refuse what another job may have taken
MAX_FRAME_DEPTH = 3  # frames within frames
TRAPPED_SHOWN = 20  # links refused for one reason that a job's log names

_generations = cast(Table, GenerationRow.__table__)
_SEEN = ("fetched_at", "etag", "last_modified")
_TOUCH = update(_generations).where(_generations.c.id == bindparam("of")).values({name: bindparam(name) for name in _SEEN})
_RELINK = update(_generations).where(_generations.c.id == bindparam("of")).values(links=bindparam("links"))
_READ = (*coverage.COLUMNS, "extraction_version", "selectors_hash", "notes")
_REREAD = update(_generations).where(_generations.c.id == bindparam("of")).values({name: bindparam(name) for name in _READ})


@dataclass(frozen=True, slots=True)
class Live:
    """What is stored of a URL."""

    page_id: str
    generation: int
    links: tuple[str, ...]


class Sheet:
    """See the module's docstring. ``took_out``: pages were removed, so the indexes want sweeping."""

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
        self._reread: list[dict[str, object]] = []
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
        live: Live | None = None,
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
        is_start = self._job.spec.mode is IngestMode.CRAWL and entry.depth == 0
        if is_start and state is UrlState.FAILED and not transient and live is None and reason not in GONE:
            why = f"The start URL {entry.url} was not read ({reason})"
            self._partial.append(f"{why}, so pages that were not found again were not removed.")

    def touch(self, live: Live, unchanged: Unchanged, links: tuple[str, ...]) -> None:
        seen = {"fetched_at": unchanged.fetched_at, "etag": unchanged.etag, "last_modified": unchanged.last_modified}
        self._touched.append({"of": live.generation, **seen})
        if links != live.links:
            self._relinked.append({"of": live.generation, "links": list(links)})
        if (read := unchanged.read) is not None:
            facts = coverage.columns(read.coverage) | asdict(read.read_by) | {"notes": list(read.notes)}
            self._reread.append({"of": live.generation, **facts})

    def follow(self, entry: FrontierUrl, links: Sequence[str]) -> None:
        if self._job.spec.mode is IngestMode.CRAWL and entry.kind is UrlKind.PAGE:
            for url in self._job.links_to_follow(links, entry.depth + 1):
                self._found.setdefault(url, entry.depth + 1)

    def follow_frames(self, entry: FrontierUrl, frames: Sequence[str]) -> None:
        """Visit the frames of a page: where a job follows no links, too, as they are parts of a page that was given or listed."""
        mode = self._job.spec.mode
        if mode is IngestMode.CRAWL:
            self.follow(entry, frames)
            return
        depth = entry.depth + (mode is IngestMode.PAGE)
        if depth <= MAX_FRAME_DEPTH:
            own = (url for url in self._job.links_to_follow(frames, depth) if same_site(url, entry.url))
            self._found.update(dict.fromkeys(own, depth))

    async def follow_sitemap(self, entry: FrontierUrl, listed: Listed) -> None:
        pages = [page for page in listed.pages if self._job.admits(page, 0)]
        added = await self._add(pages, depth=0, budget=self._job.spec.max_pages)
        deeper = listed.sitemaps if entry.depth < MAX_SITEMAP_DEPTH else ()
        sitemaps = await self._add(deeper, depth=entry.depth + 1, budget=MAX_SITEMAPS, kind=UrlKind.SITEMAP)
        if len(deeper) < len(listed.sitemaps):
            self._partial.append("Sitemaps within sitemaps were left out; pages that were not found again were not removed.")
        for note in listed.notes:
            self._partial.append(f"The sitemap {entry.url} {note}. Pages that were not found again were not removed.")
        message = (
            f"A sitemap of {len(listed.pages)} pages, {len(pages)} of them in scope and {added} added to the job, and of "
            f"{len(listed.sitemaps)} sitemaps, {sitemaps} of them added; {listed.foreign} entries are of other sites or no URLs."
        )
        if not (listed.pages or listed.sitemaps or listed.foreign):
            message = "The sitemap is empty: it was read whole and lists no pages."
        message = " ".join([message, *(f"It {note}." for note in listed.notes)])
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

    async def take_out(self, live: Live | None, *, vanished: bool = False) -> None:
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
        if self._reread:
            await self.connection.execute(_REREAD, self._reread)
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


async def live_pages(connection: AsyncConnection, job: Job, urls: Sequence[str]) -> dict[str, Live]:
    """What is stored of URLs."""
    columns = (PageRow.url, PageRow.id, PageRow.live_generation, GenerationRow.links)
    statement = select(*columns).join(GenerationRow, PageRow.live_generation == GenerationRow.id)
    rows = await connection.execute(statement.where(PageRow.id.in_([page_id(job.collection_id, url) for url in urls])))
    return {row.url: Live(row.id, row.live_generation, tuple(row.links)) for row in rows.all()}
