"""Proof that the corpus holds together, and its repair.

The database is compared with itself (spans, hashes, which version of a page is live) and with every index, whose ids must be
those of the live chunks, each once. It goes in parts of a few thousand ids, so its memory doesn't grow with the corpus, and
beside readers and writers: it locks nothing, and what looks wrong is believed only if it can't have been a change under way.

* *Missing*: live in the database, then not in the index, then still live in the database. Chunk ids are never used twice, so it
  was live all the while, and live chunks must be in every index.
* *Orphan*: in the index, then unknown to the database, then still in the index. Chunks are known to the database before they are
  written to an index and until they have been deleted from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import Conflict, TransientError, Unavailable
from corpus.generations import GenerationWriter, Pending
from corpus.mending import live_among, live_ids, parts, rebuild
from corpus.model import chunk_id
from corpus.page_check import StoredPage, broken_chunks, has_its_hash, made_anew, stored_pages
from corpus.pages import forget
from corpus.settings import IndexSettings
from corpus.store import ChunkIndex, IdRange
from corpus.tables import AliasRow, ChunkRow, GenerationRow, PageRow, PageSourceRow

log = logging.getLogger(__name__)

MAX_FINDINGS = 100  # told one by one; all are counted
PAGES_AT_ONCE = 16
IDS_AT_ONCE = 500
NOT_LIVE = ("writing", "revoked", "stale")  # not "!= live", which no index can answer


class Difference(StrEnum):
    """What can be wrong, and how it is mended."""

    MISSING = "missing_in_index"  # written again, from the database
    ORPHAN = "orphan_in_index"  # deleted
    DOUBLED = "doubled_in_index"  # written again, which leaves one
    HALF_LIVE = "version_half_live"  # what readers see is kept; what they can't see goes
    TEXT = "text_not_as_hashed"  # written anew from the stored text, and compared with the site at the next visit
    CHUNKS = "chunks_broken"  # cut, embedded and indexed anew, from the stored text
    ALIAS = "alias_of_no_page"  # dropped
    PAGE_SOURCE = "source_of_no_page"  # dropped


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject``: the id of a chunk or a page, or an alias' URL. ``store``: the index it concerns, if it is one."""

    difference: Difference
    subject: str
    message: str
    store: str | None = None
    mended: bool = False


@dataclass(slots=True)
class Report:
    """``counts`` of all findings by kind; ``findings`` holds the first. ``pending``: versions that are being written or wait to
    be removed, which are no difference."""

    pages: int = 0
    chunks: int = 0
    pending: int = 0
    mended: int = 0
    counts: Counter[Difference] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def differences(self) -> int:
        return self.counts.total()

    def add(self, finding: Finding) -> None:
        self.add_all(finding.difference, 1, [finding], mended=finding.mended)

    def add_all(self, difference: Difference, count: int, examples: Sequence[Finding], *, mended: bool) -> None:
        if count:
            self.counts[difference] += count
            self.mended += count if mended else 0
            room = MAX_FINDINGS - len(self.findings)
            self.findings += [replace(one, mended=mended) for one in examples[:room]]


class Verifier:
    """``rebuilt_at_start``: how many chunks opening the corpus had to index again; the first report tells of them.
    ``being_built``: the index isn't the live one (yet)."""

    def __init__(
        self,
        *,
        database: Database,
        index: ChunkIndex,
        embedder: Embedder,
        writer: GenerationWriter,
        settings: IndexSettings,
        rebuilt_at_start: int = 0,
        being_built: bool = False,
    ) -> None:
        self._database = database
        self._index = index
        self._embedder = embedder
        self._writer = writer
        self._settings = settings
        self._rebuilt_at_start = rebuilt_at_start
        self._being_built = being_built
        self._running = asyncio.Lock()

    async def verify(self, *, repair: bool = False) -> Report:
        """Compare everything with everything. With ``repair``, mend what differs: each finding tells whether that was done.

        Raises: Conflict while another one is running; StorageFull; Unavailable if an index can't be read.
        """
        if self._running.locked():
            raise Conflict("A verification is running already. Wait for its end.")
        async with self._running:
            report = Report()
            report.add_all(Difference.MISSING, self._rebuilt_at_start, [], mended=True)
            self._rebuilt_at_start = 0
            try:
                await self._half_live(report, repair=repair)
                await self._dangling(report, repair=repair)
                await self._pages(report, repair=repair)
                await self._indexes(report, repair=repair)
            except TransientError as exc:
                raise Unavailable(f"The corpus can't be verified now. {exc.message}") from exc
            report.pending = await self._database.snapshot(_pending)
            if report.differences:
                found = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
                log.warning("verified: %s; %d of %d mended", found, report.mended, report.differences)
            return report

    async def verify_index(self) -> Report:
        """Compare this index alone with the database, and mend the index. Raises as :meth:`verify`."""
        async with self._running:
            report = Report()
            try:
                await self._pages(report, repair=False)
                await self._indexes(report, repair=True)
            except TransientError as exc:
                raise Unavailable(f"The index can't be verified now. {exc.message}") from exc
            return report

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """No verification runs within the block; one that does is waited for."""
        async with self._running:
            yield

    # The database with itself

    async def _half_live(self, report: Report, *, repair: bool) -> None:
        """The version that a page shows, and no other, is marked as live."""
        unmarked, unshown = await self._database.snapshot(_half_live)
        if repair and (unmarked or unshown):
            async with self._database.write() as connection:
                await _mend_half_live(connection)
        if repair:
            await self._writer.clean_up()
        for page in unmarked:
            report.add(Finding(Difference.HALF_LIVE, page, "The page shows a version that isn't marked as live.", mended=repair))
        for page in unshown:
            report.add(Finding(Difference.HALF_LIVE, page, "A version is marked as live that no page shows.", mended=repair))

    async def _dangling(self, report: Report, *, repair: bool) -> None:
        """What points at pages points at living ones."""
        # That a URL redirects is known before its target was visited, and whatever comes of that.
        stands_for_text = AliasRow.kind != "redirect"
        for table, difference, subject, must_live in (
            (AliasRow, Difference.ALIAS, AliasRow.url, stands_for_text),
            (PageSourceRow, Difference.PAGE_SOURCE, PageSourceRow.page_id, true()),
        ):
            dangling = must_live & ~exists().where(PageRow.id == table.page_id, PageRow.live_generation.is_not(None))
            count, examples = await self._database.snapshot(partial(_count, subject=subject, where=dangling))
            if count and repair:
                async with self._database.write() as connection:
                    await connection.execute(delete(table).where(dangling))
            message = "It points at a page that isn't there."
            report.add_all(difference, count, [Finding(difference, one, message) for one in examples], mended=repair)

    async def _pages(self, report: Report, *, repair: bool) -> None:
        """Every page's text is the one that was hashed, and its chunks lie within it."""
        after = ""
        read = partial(stored_pages, limit=PAGES_AT_ONCE, index_no=self._index.number, being_built=self._being_built)
        while batch := await self._database.snapshot(partial(read, after=after)):
            after = batch[-1].id
            report.pages += len(batch)
            report.chunks += sum(len(page.chunks) for page in batch)
            for page, findings in await asyncio.to_thread(_inconsistent, batch):
                mended = repair and await self._rewrite(page)
                for finding in findings:
                    report.add(replace(finding, mended=mended))

    async def _rewrite(self, page: StoredPage) -> bool:
        """Write a page anew from its own text. False if it is changing anyway, or an index failed."""
        if await self._database.snapshot(partial(_is_being_written, page_id=page.id)):
            return False
        new = await asyncio.to_thread(made_anew, page, tokenizer=self._embedder.tokenizer, settings=self._settings)
        if new.id != page.id:
            return False

        async def insist(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
            if not went_live:
                raise Conflict("it was replaced or deleted in the meantime")

        try:
            await self._writer.commit([new], on_flip=insist)
        except (Conflict, TransientError) as exc:
            log.warning("%s wasn't mended: %s", page.url, exc.message)
            return False
        return True

    # The database with the indexes

    async def _indexes(self, report: Report, *, repair: bool) -> None:
        counts = await asyncio.to_thread(self._index.counts)
        for within in parts(max(report.chunks, *counts.values())):
            live = await self._database.snapshot(partial(live_ids, within=within, index_no=self._index.number))
            held = await asyncio.to_thread(self._index.ids, within)
            findings: list[Finding] = []
            for store, ids in held.items():
                findings += await self._missing(store, sorted(live.difference(ids)))
                findings += await self._doubled(store, within, live.intersection(ids), Counter(ids))
            orphans = {store: set(ids) - live for store, ids in held.items()}
            unknown = await self._unknown(set.union(*orphans.values()))
            for store, ids_of_store in orphans.items():
                findings += await self._orphans(store, sorted(ids_of_store & unknown))
            mended = await self._mend(findings) if findings and repair else set()
            for finding in findings:
                report.add(replace(finding, mended=finding.subject in mended))

    async def _missing(self, store: str, ids: Sequence[str]) -> list[Finding]:
        """Those of ``ids``, which were live, that the store lacks though they still are."""
        found: list[Finding] = []
        for part in _parts(ids):
            absent = set(part) - await asyncio.to_thread(self._index.present, store, part)
            still_live = await self._database.snapshot(partial(live_among, ids=sorted(absent))) if absent else set()
            message = "A live chunk that this index doesn't hold: searches miss it."
            found += [Finding(Difference.MISSING, one, message, store) for one in sorted(absent & still_live)]
        return found

    async def _doubled(self, store: str, within: IdRange, live: set[str], held: Counter[str]) -> list[Finding]:
        suspects = {one for one in live if held[one] > 1}
        if not suspects:
            return []
        again = Counter((await asyncio.to_thread(self._index.ids, within))[store])
        message = "This index holds the chunk more than once."
        return [Finding(Difference.DOUBLED, one, message, store) for one in sorted(suspects) if again[one] > 1]

    async def _unknown(self, ids: set[str]) -> set[str]:
        """Those of ``ids`` that belong to no version, neither to a live one nor to one being written or removed."""
        return await self._database.snapshot(partial(_unknown, ids=ids, index_no=self._index.number)) if ids else set()

    async def _orphans(self, store: str, ids: Sequence[str]) -> list[Finding]:
        """Those of ``ids``, unknown to the database, that are in the store still."""
        message = "A chunk of no version of any page."
        found: set[str] = set()
        for part in _parts(ids):
            found |= await asyncio.to_thread(self._index.present, store, part)
        return [Finding(Difference.ORPHAN, one, message, store) for one in sorted(found)]

    async def _mend(self, findings: Sequence[Finding]) -> set[str]:
        """Mend the indexes; gives the chunks that are as they should be now."""
        orphans = sorted({one.subject for one in findings if one.difference is Difference.ORPHAN})
        others = sorted({one.subject for one in findings if one.difference is not Difference.ORPHAN})
        mended: set[str] = set()
        try:
            for part in _parts(orphans):
                await asyncio.to_thread(self._index.delete, part)
                mended.update(part)
            await rebuild(self._database, self._index, self._embedder, others)
            for part in _parts(others):
                mended |= set(part) - await asyncio.to_thread(self._index.missing, part)
                mended |= set(part) - await self._database.snapshot(partial(live_among, ids=part))
        except TransientError as exc:
            log.warning("the indexes can't be mended now: %s", exc.message)
        return mended


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[begin : begin + IDS_AT_ONCE] for begin in range(0, len(ids), IDS_AT_ONCE)]


def _inconsistent(pages: Sequence[StoredPage]) -> list[tuple[StoredPage, list[Finding]]]:
    """The pages that aren't as they should be, with what is wrong."""
    found = []
    for page in pages:
        findings = []
        if not has_its_hash(page):
            findings.append(Finding(Difference.TEXT, page.id, f"{page.url}: The text isn't the one that was hashed."))
        if wrong := broken_chunks(page):
            findings.append(Finding(Difference.CHUNKS, page.id, f"{page.url}: {wrong}"))
        if findings:
            found.append((page, findings))
    return found


_SHOWN = (PageRow.id == GenerationRow.page_id) & (PageRow.live_generation == GenerationRow.id)


def _half_live(connection: Connection) -> tuple[list[str], list[str]]:
    """Pages whose version isn't marked as live, and those of versions that are marked and not shown."""
    marked = exists().where(_SHOWN, GenerationRow.state == "live")
    unmarked = select(PageRow.id).where(PageRow.live_generation.is_not(None), ~marked)
    unshown = select(GenerationRow.page_id).where(GenerationRow.state == "live", ~exists().where(_SHOWN))
    return list(connection.scalars(unmarked)), list(connection.scalars(unshown))


async def _mend_half_live(connection: AsyncConnection) -> None:
    """What a page points at is what readers see, so that is live; what is live otherwise goes, as do pages without text."""
    shown = exists().where(_SHOWN)
    await connection.execute(update(GenerationRow).where(GenerationRow.state != "live", shown).values(state="live"))
    await connection.execute(update(GenerationRow).where(GenerationRow.state == "live", ~shown).values(state="stale"))
    textless = select(PageRow.id).where(PageRow.live_generation.is_not(None), ~exists().where(_SHOWN))
    await forget(connection, (await connection.scalars(textless)).all())


def _count(connection: Connection, *, subject: InstrumentedAttribute[str], where: ColumnElement[bool]) -> tuple[int, list[str]]:
    count = connection.scalar(select(func.count()).select_from(subject.class_).where(where)) or 0
    return int(count), list(connection.scalars(select(subject).where(where).limit(MAX_FINDINGS)))


def _is_being_written(connection: Connection, *, page_id: str) -> bool:
    writing = select(GenerationRow.id).where(GenerationRow.page_id == page_id, GenerationRow.state == "writing")
    return connection.scalar(writing.limit(1)) is not None


def _unknown(connection: Connection, *, ids: set[str], index_no: int) -> set[str]:
    unknown = set(ids)
    for part in _parts(sorted(ids)):
        unknown.difference_update(connection.scalars(select(ChunkRow.id).where(ChunkRow.id.in_(part))))
    if unknown:  # a deleted page's chunks have no rows any more, only their number is kept until they are swept
        columns = (GenerationRow.id, GenerationRow.page_id, GenerationRow.chunk_count, GenerationRow.other_count)
        for row in connection.execute(select(*columns).where(GenerationRow.state.in_(NOT_LIVE))):
            count = max(row.chunk_count, row.other_count or 0)
            unknown.difference_update(chunk_id(row.page_id, row.id, ordinal, index_no=index_no) for ordinal in range(count))
    return unknown


def _pending(connection: Connection) -> int:
    return int(connection.scalar(select(func.count()).where(GenerationRow.state.in_(NOT_LIVE))) or 0)
