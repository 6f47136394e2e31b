"""A new index beside the live one, made of the stored text alone, and taken into use at once.

What an index holds is derived, so another embedder or another way to cut needs no fetch:

1. *begin*: the database notes which index (a number never used before) is being built, and with what.
2. *cut*: every live version's text is cut anew into chunk rows of that number. Readers of the live index don't see them.
3. *fill*: what the new index lacks of these chunks is embedded and written (``corpus/mending.py`` does no more at a start).
4. *check*: the new index is compared with the database, as ``footnote verify`` compares the live one.
5. *switch*: in one transaction, the new number and stamp become the live ones, provided that every live version is in it.
6. *clear*: the old index' rows and files go.

Each step looks for what is left to do instead of remembering what was done, so one that was killed is taken up by doing it
again. A crash before the transaction of step 5 leaves the old index whole, and one after it the new one. Versions that are
written meanwhile are in the live index alone until steps 2 and 3 find them; the last round is made while ingest waits. What is
deleted meanwhile leaves both (``ChunkIndex.beside``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from corpus.analysis import ANALYSIS_VERSION
from corpus.database import Database
from corpus.datadir import LEAST_FREE_BYTES
from corpus.embedding import Embedder
from corpus.errors import Conflict, FootnoteError, StorageFull
from corpus.generations import GenerationWriter, NewPage, bump_epoch, chunk_values
from corpus.index_facts import INDEX, REINDEX, IndexFacts, index_facts, made_with, put_fact
from corpus.index_homes import IndexHome
from corpus.mending import count_live, fill
from corpus.model import chunk_id
from corpus.page_check import StoredPage, made_anew, stored_pages
from corpus.settings import IndexSettings
from corpus.stamp import STAMP, differences, make_stamp
from corpus.store import ChunkIndex
from corpus.tables import ChunkRow, FactRow, GenerationRow, PageRow
from corpus.verify import Verifier

log = logging.getLogger(__name__)

PAGES_AT_ONCE = 16
ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reindex stands. ``step``: cut, fill, check, switch or clear. ``done`` of ``total`` chunks are in the new index."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reindex would do. ``differences``: what is to be other than now. ``resumes``: an earlier one, which was broken off.
    Sizes in bytes; what is needed is an estimate from the live index."""

    pages: int
    chunks: int
    differences: list[str]
    resumes: bool
    needed_bytes: int
    free_bytes: int
    settings: dict[str, Any]


Report = Callable[[Progress], Awaitable[None]]


async def _silent(progress: Progress) -> None:
    return None


class Reindexer:
    """Builds one index. ``settings`` and ``embedder`` are the new index'. ``report`` is told the progress, and may raise to break
    the work off between two batches."""

    def __init__(
        self,
        *,
        database: Database,
        home: IndexHome,
        settings: IndexSettings,
        embedder: Embedder,
        report: Report = _silent,
    ) -> None:
        self._database = database
        self._home = home
        self.settings = settings
        self.embedder = embedder
        self._report = report
        self.stamp = make_stamp(embedder.stamp, settings)

    async def plan(self) -> Plan:
        facts = await self._database.snapshot(index_facts)
        old_stamp, pages, chunks, characters = await self._database.snapshot(_what_there_is)
        ratio = self.embedder.stamp.dimension / old_stamp["embedder"]["dimension"] if old_stamp else 1.0
        # The rows hold the embedded texts once more, and SQLite's log holds them for a while too.
        needed = int(self._home.size_bytes(facts.number) * max(1.0, ratio) * 1.3) + 3 * characters + LEAST_FREE_BYTES
        return Plan(
            pages=pages,
            chunks=chunks,
            differences=differences(old_stamp, self.stamp) if old_stamp else [],
            resumes=facts.building is not None and facts.building_stamp == self.stamp,
            needed_bytes=needed,
            free_bytes=self._home.free_bytes(),
            settings=made_with(self.settings),
        )

    async def begin(self, *, anyway: bool = False) -> ChunkIndex:
        """Open the index to be built: a new one, or the one that an earlier reindex with the same aim left unfinished.

        Raises:
            Conflict: the live index is made like that already (and not ``anyway``).
            StorageFull: there isn't room for both.
        """
        plan = await self.plan()
        facts = await self._database.snapshot(index_facts)
        if not plan.differences and not plan.resumes and not anyway:
            raise Conflict("The index is made like that already, so there is nothing to do. Ask for it anyway with --anyway.")
        if not plan.resumes:
            if plan.free_bytes < plan.needed_bytes:
                raise StorageFull(
                    f"Both indexes need about {plan.needed_bytes // 1_000_000} MB for a while, and "
                    f"{plan.free_bytes // 1_000_000} MB are free. Free some space; the index in use is as it was."
                )
            await clear_others(self._database, self._home)
            number = max(facts.number, facts.building or 0) + 1
            async with self._database.write() as connection:
                aim = {"number": number, "stamp": self.stamp, "settings": plan.settings}
                await put_fact(connection, REINDEX, aim)
        else:
            assert facts.building is not None
            number = facts.building
            log.info("taking up the reindex that was broken off")
        return await asyncio.to_thread(self._home.open, dimension=self.embedder.stamp.dimension, number=number)

    async def build(self, index: ChunkIndex) -> int:
        """Cut and fill what is lacking; gives how many pages were new to the index. Raises: StorageFull, TransientError."""
        pages = await self._cut(index)
        total = await self._database.snapshot(partial(count_live, index_no=index.number))
        held = min(await asyncio.to_thread(lambda: index.counts().values()))
        before = min(held, total)

        async def tell(done: int) -> None:
            await self._report(Progress("fill", min(before + done, total), total))

        await tell(0)
        await fill(self._database, index, self.embedder, live=total, on_progress=tell)
        return pages

    async def check(self, index: ChunkIndex) -> None:
        """Raises: FootnoteError, if the new index isn't what the database says, and can't be mended."""
        total = await self._database.snapshot(partial(count_live, index_no=index.number))
        await self._report(Progress("check", total, total))
        verifier = Verifier(
            database=self._database,
            index=index,
            embedder=self.embedder,
            writer=GenerationWriter(database=self._database, index=index, embedder=self.embedder),
            settings=self.settings,
            being_built=True,
        )
        report = await verifier.verify_index()
        if report.differences > report.mended:
            examples = "; ".join(finding.message for finding in report.findings[:3])
            raise FootnoteError(
                f"The new index differs from the database in {report.differences} places ({examples}), so it isn't taken into "
                "use. Run footnote verify --repair, then reindex again."
            )

    async def switch(self, index: ChunkIndex) -> bool:
        """Make the index the live one, in one transaction. False if versions became live that it lacks: build again.

        Only while nobody writes pages: a version that is being written is given up.
        """
        total = await self._database.snapshot(partial(count_live, index_no=index.number))
        await self._report(Progress("switch", total, total))
        async with self._database.write() as connection:
            live = GenerationRow.state == "live"
            lacking = select(func.count()).select_from(GenerationRow).where(live, GenerationRow.other_count.is_(None))
            if await connection.scalar(lacking):
                return False
            # Both counts stay known, for what is deleted must leave both indexes until the old one is gone.
            swapped = {"chunk_count": GenerationRow.other_count, "other_count": GenerationRow.chunk_count}
            await connection.execute(update(GenerationRow).where(GenerationRow.other_count.is_not(None)).values(swapped))
            await connection.execute(update(GenerationRow).where(GenerationRow.state == "writing").values(state="revoked"))
            made = {"number": index.number, "settings": made_with(self.settings), "analysis": ANALYSIS_VERSION}
            await put_fact(connection, INDEX, made)
            await put_fact(connection, STAMP, self.stamp)
            await put_fact(connection, REINDEX, {"clear": True})
            await bump_epoch(connection)
        log.info("the index in use is now number %d, made by %s", index.number, self.embedder.stamp.name)
        return True

    async def _cut(self, index: ChunkIndex) -> int:
        """Give chunk rows to every live version that has none in this index; gives how many."""
        after, cut = "", 0
        read = partial(stored_pages, limit=PAGES_AT_ONCE, index_no=index.number, being_built=True, lacking=True)
        while batch := await self._database.snapshot(partial(read, after=after)):
            after = batch[-1].id
            await self._report(Progress("cut", cut))
            anew = await asyncio.to_thread(self._chunked, batch)
            async with self._database.write() as connection:
                for page, new in anew:
                    ours = (GenerationRow.id == page.generation) & (GenerationRow.state == "live")
                    ours &= GenerationRow.other_count.is_(None)
                    counted = update(GenerationRow).where(ours).values(other_count=len(new.chunks))
                    if (await connection.execute(counted)).rowcount and new.chunks:
                        await connection.execute(insert(ChunkRow), _rows(page, new, index.number))
            cut += len(batch)
        return cut

    def _chunked(self, pages: list[StoredPage]) -> list[tuple[StoredPage, NewPage]]:
        return [(page, made_anew(page, tokenizer=self.embedder.tokenizer, settings=self.settings)) for page in pages]


async def clear_others(database: Database, home: IndexHome, *, keep_building: bool = False) -> None:
    """Remove rows and files of all indexes but the live one, which must be closed: of one that was replaced, and of one that is
    no longer to be built. ``keep_building``: one that is may stay."""
    facts = await database.snapshot(index_facts)
    if facts.building is not None and keep_building:
        return
    if facts.unfinished:
        async with database.write() as connection:
            await put_fact(connection, REINDEX, {"clear": True})  # from here on it can't be taken up again
    for number in await asyncio.to_thread(home.numbers) - {facts.number}:
        await asyncio.to_thread(home.remove, number)
    if not facts.unfinished:
        return
    await _clear_rows(database, facts.number)
    async with database.write() as connection:
        counted = GenerationRow.other_count.is_not(None)
        await connection.execute(update(GenerationRow).where(counted).values(other_count=None))
        await put_fact(connection, REINDEX, None)


async def _clear_rows(database: Database, live: int) -> None:
    others = select(ChunkRow.id).where(ChunkRow.index_no != live).limit(ROWS_AT_ONCE)
    while True:
        async with database.write() as connection:
            ids = (await connection.scalars(others)).all()
            if not ids:
                return
            await connection.execute(delete(ChunkRow).where(ChunkRow.id.in_(ids)))


async def abandon(database: Database, home: IndexHome) -> bool:
    """Give up an unfinished reindex whose index is closed. False if there is none."""
    facts: IndexFacts = await database.snapshot(index_facts)
    if facts.building is None:
        return False
    await clear_others(database, home)
    return True


def _what_there_is(connection: Connection) -> tuple[dict[str, Any] | None, int, int, int]:
    stamp = connection.scalar(select(FactRow.value).where(FactRow.key == STAMP))
    counts = select(func.count(), func.sum(GenerationRow.chunk_count), func.sum(func.length(GenerationRow.text)))
    shown = PageRow.live_generation == GenerationRow.id
    pages, chunks, characters = connection.execute(counts.join(PageRow, shown)).one()
    return stamp, int(pages), int(chunks or 0), int(characters or 0)


def _rows(page: StoredPage, new: NewPage, index_no: int) -> list[dict[str, object]]:
    return [
        chunk_values(
            chunk,
            id=chunk_id(page.id, page.generation, chunk.ordinal, index_no=index_no),
            page_id=page.id,
            generation=page.generation,
            index_no=index_no,
        )
        for chunk in new.chunks
    ]
