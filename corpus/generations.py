"""How a page changes: at once or not at all.

``begin`` records what will be written, under a generation number that was never used before; the chunks go to the indexes
and are verified; ``flip`` makes the new generation live in one database transaction. Readers ask the database which
generation is live, so they see the old page until the flip and the new one after it. What a crash leaves behind is a
generation that never went live: the sweep removes it, as it removes those that were replaced or deleted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.coverage import StoredCoverage, columns
from corpus.database import Database, utc_now
from corpus.embedding import Embedder, Embedding
from corpus.errors import StorageFull, TransientError, Unavailable
from corpus.model import ChunkSpan, PageText, chunk_id, page_id
from corpus.processes import living
from corpus.spans import span
from corpus.store import ChunkIndex, IndexRow, headings_text
from corpus.tables import ChunkRow, FactRow, GenerationRow, PageRow

log = logging.getLogger(__name__)

SWEEP_BATCH = 50
EMBED_SLICE = 128  # a few seconds of work on two cores


@dataclass(frozen=True, slots=True)
class ReadBy:
    """The rules that made a page's text of its bytes: ``extraction_version`` (0: before they were counted), and the hash of the
    CSS selectors that were in force, None without any."""

    extraction_version: int = 0
    selectors_hash: str | None = None


NO_RULES = ReadBy()


@dataclass(frozen=True, slots=True)
class NewPage:
    """A fetched, extracted and chunked page, ready to be written."""

    collection_id: int
    url: str
    page: PageText
    chunks: Sequence[ChunkSpan]
    links: Sequence[str]
    etag: str | None
    last_modified: str | None
    fetched_at: datetime
    job_id: str | None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    notes: Sequence[str] = ()
    simhash: Sequence[int] | None = None  # four bands of 16 bits
    instead_of: int | None = None  # the only version it may replace, none of whose vectors are taken over
    coverage: StoredCoverage | None = None
    read_by: ReadBy = NO_RULES

    @property
    def id(self) -> str:
        return page_id(self.collection_id, self.url)


@dataclass(frozen=True, slots=True)
class Pending:
    """A generation that was begun and is not live yet."""

    new: NewPage
    generation: int
    replaces: int | None
    index_no: int = 1

    @property
    def chunk_ids(self) -> list[str]:
        return [self.chunk_id(chunk) for chunk in self.new.chunks]

    def chunk_id(self, chunk: ChunkSpan) -> str:
        return chunk_id(self.new.id, self.generation, chunk.ordinal, index_no=self.index_no)


class _GivenUp(Exception):
    """Nobody wants the pages any more that are being written."""


async def _never() -> bool:
    return False


async def _all(connection: AsyncConnection, pending: Sequence[Pending]) -> set[int]:
    return {one.generation for one in pending}


class GenerationWriter:
    """``process``: the id of the one that writes, where there are several (``corpus/processes.py``); what it doesn't finish is
    swept once it is dead."""

    def __init__(self, *, database: Database, index: ChunkIndex, embedder: Embedder, process: str | None = None) -> None:
        self._database = database
        self._index = index
        self._embedder = embedder
        self._process = process

    @property
    def index_no(self) -> int:
        return self._index.number

    async def commit(
        self,
        pages: Sequence[NewPage],
        *,
        on_flip: Callable[[AsyncConnection, Pending, bool], Awaitable[None]],
        is_over: Callable[[], Awaitable[bool]] = _never,
        admit: Callable[[AsyncConnection, Sequence[Pending]], Awaitable[set[int]]] = _all,
    ) -> None:
        """Write pages and make them live. ``on_flip(connection, pending, went_live)`` runs inside the flip's transaction,
        once a page, so that what else must be true together with the page (its URL is done, its links are known) is.

        ``admit`` is asked first in that transaction which generations may still go live; the others are dropped, and
        ``on_flip`` isn't called for them. Nor for those that were swept meanwhile, as this process was taken for dead.

        ``is_over`` is asked as embedding goes on, which takes nearly all of the time. Once it says so, all is given up: no
        page changes, and ``on_flip`` isn't called.

        Raises:
            TransientError: the indexes don't hold what was written to them; nothing went live.
            StorageFull: nothing went live.
        """
        pending = await self._begin(pages)
        swept: set[int] = set()
        try:
            await self._write(pending, is_over)
            async with self._database.write() as connection:
                swept = await self._swept(connection, pending)
                admitted = await admit(connection, pending) - swept
                for one in pending:
                    if one.generation in admitted:
                        await on_flip(connection, one, await _flip(connection, one))
                await _drop(connection, [one.generation for one in pending if one.generation not in admitted])
                await bump_epoch(connection)
        except _GivenUp:
            await self._give_up(pending)
        except Exception:  # but not cancellation: a thread may still be writing, so that is left to the next start
            await self._give_up(pending)
            raise
        if late := [chunk for one in pending if one.generation in swept for chunk in one.chunk_ids]:
            log.warning("%d versions were swept while they were written, as this process was taken for dead", len(swept))
            await asyncio.to_thread(self._index.delete, late)  # what was written after the sweep, which nobody would look for
        await self.clean_up()

    async def clean_up(self, *, abandoned_before: datetime | None = None) -> None:
        """Sweep now if it can be done now. No reader sees what is stale, so a failing index only makes it wait."""
        try:
            await self.sweep(abandoned_before=abandoned_before)
        except (TransientError, StorageFull, Unavailable) as exc:
            log.warning("removed pages stay in the indexes, unseen, until the next sweep: %s", exc.message)

    async def sweep(self, *, abandoned_before: datetime | None = None) -> int:
        """Remove stale generations from the indexes, then from the database; gives how many.

        ``abandoned_before``: also those begun before then and never made live, whose writer must be dead by now. Where there
        are several processes, those of the living are passed over.
        """
        if abandoned_before is not None:
            async with self._database.write() as connection:
                dead = GenerationRow.state.in_(("writing", "revoked")) & (GenerationRow.fetched_at < abandoned_before)
                if self._process is not None:
                    dead &= GenerationRow.writer.is_(None) | GenerationRow.writer.not_in(living())
                await connection.execute(update(GenerationRow).where(dead).values(state="stale"))
        swept = 0
        while True:
            async with self._database.read() as connection:
                columns = (GenerationRow.id, GenerationRow.page_id, GenerationRow.chunk_count, GenerationRow.other_count)
                rows = (await connection.execute(select(*columns).where(GenerationRow.state == "stale").limit(SWEEP_BATCH))).all()
            if not rows:
                return swept
            for index in filter(None, (self._index, self._index.beside)):
                ids = [
                    chunk_id(row.page_id, row.id, ordinal, index_no=index.number)
                    for row in rows
                    for ordinal in range(max(row.chunk_count, row.other_count or 0))
                ]
                await asyncio.to_thread(index.delete, ids)
            generations = [row.id for row in rows]
            async with self._database.write() as connection:
                await connection.execute(delete(ChunkRow).where(ChunkRow.generation.in_(generations)))
                await connection.execute(delete(GenerationRow).where(GenerationRow.id.in_(generations)))
                # A page that was never written to the end isn't known any more either.
                has_version = exists().where(GenerationRow.page_id == PageRow.id)
                empty = PageRow.id.in_([row.page_id for row in rows]) & PageRow.live_generation.is_(None) & ~has_version
                await connection.execute(delete(PageRow).where(empty))
            swept += len(rows)

    async def _write(self, pending: Sequence[Pending], is_over: Callable[[], Awaitable[bool]]) -> None:
        """Embed what is new, index all, and look whether all can be found again."""
        chunks = [(one, chunk) for one in pending for chunk in one.new.chunks]
        kept = await self._unchanged(pending)
        new = [chunk.embed_text for one, chunk in chunks if (one.generation, chunk.embed_text) not in kept]
        with span("embed", footnote__chunks=len(new)):
            embedded = iter(await self._embed(new, is_over))
        embeddings = [kept.get((one.generation, chunk.embed_text)) or next(embedded) for one, chunk in chunks]
        with span("store", footnote__chunks=len(chunks)):
            await asyncio.to_thread(self._index.write, [_index_row(one, chunk) for one, chunk in chunks], embeddings)
            missing = await asyncio.to_thread(self._index.missing, [i for one in pending for i in one.chunk_ids])
        if missing:
            raise TransientError(
                f"{len(missing)} of {len(chunks)} chunks can't be found again after writing them.", reason="index_write_failed"
            )

    async def _unchanged(self, pending: Sequence[Pending]) -> dict[tuple[int, str], Embedding]:
        """What the indexes hold of texts that stand in the replaced version too, by new generation and text. The same embedder
        made it, or the corpus would not have opened (``corpus/stamp.py``). What can't be read back is embedded again."""
        replaced = {one.replaces: one for one in pending if one.replaces is not None and one.new.instead_of is None}
        columns = (ChunkRow.id, ChunkRow.generation, ChunkRow.embed_text)
        statement = select(*columns).where(ChunkRow.generation.in_(replaced), ChunkRow.index_no == self.index_no)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all() if replaced else []
        wanted = {(one.generation, chunk.embed_text) for one in replaced.values() for chunk in one.new.chunks}
        keys = {row.id: (replaced[row.generation].generation, row.embed_text) for row in rows}
        ids = [chunk for chunk, key in keys.items() if key in wanted]
        try:
            stored = await asyncio.to_thread(self._index.load, ids)
        except TransientError as exc:
            log.warning("vectors of unchanged chunks can't be read back, so they are made again: %s", exc.message)
            return {}
        return {keys[chunk]: embedding for chunk, embedding in stored.items()}

    async def _swept(self, connection: AsyncConnection, pending: Sequence[Pending]) -> set[int]:
        """Those that another process took for abandoned."""
        if self._process is None:
            return set()
        ours = GenerationRow.id.in_([one.generation for one in pending]) & GenerationRow.state.in_(("writing", "revoked"))
        return {one.generation for one in pending} - set(await connection.scalars(select(GenerationRow.id).where(ours)))

    async def _give_up(self, pending: Sequence[Pending]) -> None:
        """Leave generations that couldn't be written to the sweep."""
        with suppress(StorageFull, Unavailable):  # then it is left to the next start
            async with self._database.write() as connection:
                await _drop(connection, [one.generation for one in pending])

    async def _embed(self, texts: Sequence[str], is_over: Callable[[], Awaitable[bool]]) -> list[Embedding]:
        """In slices, for a thread can't be cancelled but what comes after it can. Raises: _GivenUp."""
        embeddings: list[Embedding] = []
        for begin in range(0, len(texts), EMBED_SLICE):
            if await is_over():
                raise _GivenUp
            embeddings += await asyncio.to_thread(self._embedder.embed_passages, texts[begin : begin + EMBED_SLICE])
        return embeddings

    async def _begin(self, pages: Sequence[NewPage]) -> list[Pending]:
        pending = []
        async with self._database.write() as connection:
            for new in pages:
                row = {"id": new.id, "collection_id": new.collection_id, "url": new.url, "created_at": utc_now()}
                await connection.execute(insert_or_ignore(connection, PageRow).values(row))
                live = await connection.scalar(select(PageRow.live_generation).where(PageRow.id == new.id))
                await revoke_writers(connection, [new.id])  # the newest writer wins
                result = await connection.execute(
                    insert(GenerationRow).values(_generation_values(new) | {"writer": self._process}).returning(GenerationRow.id)
                )
                one = Pending(new, result.scalar_one(), new.instead_of or live, self.index_no)
                if new.chunks:
                    await connection.execute(insert(ChunkRow), [_chunk_values(one, chunk) for chunk in new.chunks])
                pending.append(one)
        return pending


async def _flip(connection: AsyncConnection, pending: Pending) -> bool:
    """Make a generation live. False if the page was deleted, or written by another, since ``begin``."""
    ours = (GenerationRow.id == pending.generation) & (GenerationRow.state == "writing")
    flipped = await connection.execute(update(GenerationRow).where(ours).values(state="live"))
    if flipped.rowcount:
        expected = PageRow.live_generation.is_(None) if pending.replaces is None else PageRow.live_generation == pending.replaces
        moved = await connection.execute(
            update(PageRow).where((PageRow.id == pending.new.id) & expected).values(live_generation=pending.generation)
        )
        if moved.rowcount:
            if pending.replaces is not None:
                await connection.execute(update(GenerationRow).where(GenerationRow.id == pending.replaces).values(state="stale"))
            return True
    await _drop(connection, [pending.generation])
    return False


async def _drop(connection: AsyncConnection, generations: Sequence[int]) -> None:
    """Leave generations to the sweep."""
    if generations:
        await connection.execute(update(GenerationRow).where(GenerationRow.id.in_(generations)).values(state="stale"))


async def revoke_writers(connection: AsyncConnection, page_ids: Sequence[str]) -> None:
    """Forbid the flip of generations that are being written. They become stale only when their writer has finished, for
    until then it may still be adding chunks to the indexes."""
    writing = GenerationRow.page_id.in_(page_ids) & (GenerationRow.state == "writing")
    await connection.execute(update(GenerationRow).where(writing).values(state="revoked"))


async def bump_epoch(connection: AsyncConnection) -> None:
    """Count one visible change. A search compares the epoch before and after to know whether pages moved under it."""
    value = (await connection.run_sync(visible_state)).epoch + 1
    changed = await connection.execute(update(FactRow).where(FactRow.key == "epoch").values(value={"count": value}))
    if not changed.rowcount:
        await connection.execute(insert(FactRow).values(key="epoch", value={"count": value}))


@dataclass(frozen=True, slots=True)
class VisibleState:
    """``epoch`` counts visible changes. ``hidden_chunks``: how many the indexes may hold that no reader may see, because they
    are being written or wait for the sweep."""

    epoch: int
    hidden_chunks: int


def _select_visible_state() -> Select[Any]:
    epoch = select(FactRow.value).where(FactRow.key == "epoch").scalar_subquery()
    states = ("writing", "revoked", "stale")  # not "!= live", which no index can answer
    hidden = select(func.coalesce(func.sum(GenerationRow.chunk_count), 0)).where(GenerationRow.state.in_(states))
    return select(epoch.label("epoch"), hidden.scalar_subquery().label("hidden_chunks"))


_VISIBLE_STATE = _select_visible_state()  # once: to put a statement together costs more than to run it


def visible_state(connection: Connection) -> VisibleState:
    row = connection.execute(_VISIBLE_STATE).one()
    return VisibleState(epoch=int(row.epoch["count"]) if row.epoch else 0, hidden_chunks=int(row.hidden_chunks))


def insert_or_ignore(connection: AsyncConnection, table: type) -> sqlite.Insert | postgresql.Insert:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement: sqlite.Insert | postgresql.Insert = dialect.insert(table).on_conflict_do_nothing()
    return statement


def _generation_values(new: NewPage) -> dict[str, object]:
    return {
        "page_id": new.id,
        "state": "writing",
        "job_id": new.job_id,
        "title": new.page.title,
        "text": new.page.text,
        "blocks": [[block.kind, block.start, block.end, block.level] for block in new.page.blocks],
        "language": new.page.language,
        "content_hash": new.page.content_hash,
        "links": list(new.links),
        "etag": new.etag,
        "last_modified": new.last_modified,
        "fetched_at": new.fetched_at,
        "chunk_count": len(new.chunks),
        "published_at": new.published_at,
        "modified_at": new.modified_at,
        "notes": list(new.notes),
        **columns(new.coverage),
        **asdict(new.read_by),
        **{f"simhash_{band}": bits for band, bits in enumerate(new.simhash or (None,) * 4)},
    }


def chunk_values(chunk: ChunkSpan, *, id: str, page_id: str, generation: int, index_no: int) -> dict[str, object]:
    """A chunk's row in the database."""
    return {
        "id": id,
        "index_no": index_no,
        "page_id": page_id,
        "generation": generation,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "heading_path": list(chunk.heading_path),
        "embed_text": chunk.embed_text,
        "token_count": chunk.token_count,
    }


def _chunk_values(pending: Pending, chunk: ChunkSpan) -> dict[str, object]:
    return chunk_values(
        chunk, id=pending.chunk_id(chunk), page_id=pending.new.id, generation=pending.generation, index_no=pending.index_no
    )


def _index_row(pending: Pending, chunk: ChunkSpan) -> IndexRow:
    new = pending.new
    return IndexRow(
        id=pending.chunk_id(chunk),
        page_id=new.id,
        generation=pending.generation,
        collection_id=new.collection_id,
        url=new.url,
        language=new.page.language or "",
        headings=headings_text(new.page.title, chunk.heading_path),
        text=new.page.text[chunk.start : chunk.end],
    )
