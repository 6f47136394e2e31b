"""Collections and their live pages: reading, listing, deleting."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus import coverage
from corpus.coverage import StoredCoverage
from corpus.database import Database, utc_now
from corpus.errors import Conflict, InvalidInput, NotFound
from corpus.generations import GenerationWriter, bump_epoch, revoke_writers
from corpus.grants import EVERYTHING, Grants, S
from corpus.model import OPEN_STATES, Chunk
from corpus.tables import (
    AliasRow,
    ChunkRow,
    CollectionRow,
    FeedbackRow,
    GenerationRow,
    JobRow,
    LeftOutRow,
    PageRow,
    PageSourceRow,
    SourceRow,
    UrlRow,
)
from corpus.urls import spelled, spellings

log = logging.getLogger(__name__)

DEFAULT_COLLECTION = "default"
COLLECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HEADING_PATH = [field.name for field in fields(Chunk)].index("heading_path")
_ID_OF_COLLECTION = select(CollectionRow.id).where(CollectionRow.name == bindparam("name"))


@dataclass(frozen=True, slots=True)
class Collection:
    id: int
    name: str
    created_at: datetime
    pages: int


@dataclass(frozen=True, slots=True)
class Page:
    """A live page without its text."""

    id: str
    collection: str
    url: str
    title: str
    language: str | None
    content_hash: str
    fetched_at: datetime
    published_at: datetime | None
    modified_at: datetime | None
    notes: list[str]
    chunks: int
    characters: int
    coverage: StoredCoverage | None


@dataclass(frozen=True, slots=True)
class Alias:
    """Another URL of a page. ``kind``: why it is one (redirect, canonical or duplicate)."""

    url: str
    kind: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class PageAt:
    """A live page that was looked up by an address. ``alias``: the other URL of it that the address is, None if it is its own."""

    page: Page
    alias: Alias | None = None


@dataclass(frozen=True, slots=True)
class WholePage:
    """A live page with all that belongs to it, of one version."""

    page: Page
    text: str
    chunks: Sequence[Chunk]
    aliases: Sequence[Alias]


@dataclass(frozen=True, slots=True)
class StoredText:
    text: str
    content_hash: str
    fetched_at: datetime


class Pages:
    """``grants``: the collections whose pages these are; others look as if they weren't there."""

    def __init__(self, *, database: Database, writer: GenerationWriter, grants: Grants = EVERYTHING) -> None:
        self._database = database
        self._writer = writer
        self._grants = grants

    def within(self, grants: Grants) -> Pages:
        return Pages(database=self._database, writer=self._writer, grants=grants)

    async def collections(self) -> list[Collection]:
        live = select(PageRow.collection_id, func.count().label("pages")).where(PageRow.live_generation.is_not(None))
        counted = live.group_by(PageRow.collection_id).subquery()
        statement = select(CollectionRow, func.coalesce(counted.c.pages, 0).label("pages"))
        statement = statement.outerjoin(counted, counted.c.collection_id == CollectionRow.id).order_by(CollectionRow.name)
        statement = self._grants.bound(statement, CollectionRow.id)
        async with self._database.read() as connection:
            return [
                Collection(row.id, row.name, row.created_at, row.pages) for row in (await connection.execute(statement)).all()
            ]

    async def create_collection(self, name: str) -> Collection:
        """Raises: InvalidInput for a bad name, Conflict if it exists, NotFound for one that isn't granted."""
        if not COLLECTION_NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no collection name. Use 1 to 63 lower-case letters, digits, - and _; begin with a letter or digit."
            )
        if not self._grants.covers(name):
            raise _no_such_collection(name)
        created_at = utc_now()
        try:
            async with self._database.write() as connection:
                result = await connection.execute(
                    insert(CollectionRow).values(name=name, created_at=created_at).returning(CollectionRow.id)
                )
                return Collection(result.scalar_one(), name, created_at, 0)
        except IntegrityError as exc:
            raise Conflict(f"The collection {name!r} exists already.") from exc

    async def ensure_collection(self, name: str) -> int:
        """The id of a collection, which is made if it isn't there."""
        try:
            return await self.collection_id(name)
        except NotFound:
            try:
                return (await self.create_collection(name)).id
            except Conflict:  # made by another just now
                return await self.collection_id(name)

    async def collection_id(self, name: str) -> int:
        """Raises: NotFound."""
        if not self._grants.covers(name):
            raise _no_such_collection(name)
        found = await self._database.snapshot(lambda connection: connection.scalar(_ID_OF_COLLECTION, {"name": name}))
        if found is None:
            raise _no_such_collection(name)
        return int(found)

    async def delete_collection(self, name: str) -> int:
        """Delete a collection with its pages, its sources, its feedback and the log of its jobs; gives the number of pages.

        Raises: NotFound; Conflict while a job of it is open.
        """
        collection = await self.collection_id(name)
        async with self._database.write() as connection:
            jobs = select(JobRow.id).where(JobRow.collection_id == collection)
            if await connection.scalar(jobs.where(JobRow.state.in_(OPEN_STATES)).limit(1)):
                raise Conflict(f"A job of {name!r} hasn't ended yet. Cancel it first (POST /v1/jobs/{{id}}/cancel).")
            ids = (await connection.scalars(select(PageRow.id).where(PageRow.collection_id == collection))).all()
            await forget(connection, ids)
            await connection.execute(delete(UrlRow).where(UrlRow.job_id.in_(jobs)))
            for table in (JobRow, SourceRow, AliasRow, FeedbackRow):
                await connection.execute(delete(table).where(table.collection_id == collection))
            await connection.execute(delete(CollectionRow).where(CollectionRow.id == collection))
        await erase(self._database, self._writer)
        return len(ids)

    async def list(
        self,
        *,
        collection: str,
        url_prefix: str | None = None,
        max_kept: float | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Page], str | None]:
        """Live pages by URL, and the cursor of the next ones (a URL) or None. The prefix counts as it is given, and as URLs are
        spelled. ``max_kept``: only pages of whose prose words (visible ones, less the links that were left out) at most this
        share was kept."""
        collection_id = await self.collection_id(collection)
        statement = _live_pages().where(PageRow.collection_id == collection_id).order_by(PageRow.url).limit(limit + 1)
        if url_prefix:  # as ranges of the index: SQLite's LIKE takes upper and lower case for the same
            begins = {url_prefix, spelled(url_prefix)}
            statement = statement.where(or_(*(and_(PageRow.url >= one, PageRow.url < one + "\U0010ffff") for one in begins)))
        if max_kept is not None:
            statement = statement.where(GenerationRow.kept_words <= max_kept * GenerationRow.prose_words)
        if after:
            statement = statement.where(PageRow.url > after)
        async with self._database.read() as connection:
            pages = [_page(row) for row in (await connection.execute(statement)).all()]
        return (pages[:limit], pages[limit - 1].url) if len(pages) > limit else (pages, None)

    async def at(self, address: str, *, collection: str) -> PageAt | None:
        """The live page that somebody means by ``address``: it is stored under one of its spellings (``corpus/urls.py``), or one
        of them is known as another URL of it. The likeliest spelling decides; a page's own URL comes before other pages' aliases.

        Raises: NotFound, if there is no such collection.
        """
        collection_id = await self.collection_id(collection)
        urls = spellings(address)
        own = _live_pages().where(PageRow.collection_id == collection_id, PageRow.url.in_(urls))
        aliases = select(AliasRow).where(AliasRow.collection_id == collection_id, AliasRow.url.in_(urls))
        async with self._database.read() as connection:
            pages = {row.url: PageAt(_page(row)) for row in (await connection.execute(own)).all()}
            for alias in (await connection.execute(aliases)).all():
                row = (await connection.execute(_live_pages().where(PageRow.id == alias.page_id))).first()
                if row is not None and alias.url not in pages:
                    pages[alias.url] = PageAt(_page(row), Alias(alias.url, alias.kind, alias.seen_at))
        return next((pages[url] for url in urls if url in pages), None)

    async def get(self, page_id: str) -> Page:
        """Raises: NotFound."""
        async with self._database.read() as connection:
            row = (await connection.execute(self._bound(_live_pages().where(PageRow.id == page_id)))).first()
        if row is None:
            raise _no_such_page(page_id)
        return _page(row)

    async def whole(self, page_id: str) -> WholePage:
        """A live page, read in one snapshot: all is of one version. Raises: NotFound."""
        text = select(GenerationRow.text).join(PageRow, PageRow.live_generation == GenerationRow.id)
        ours = (PageRow.id == page_id) & (ChunkRow.index_no == self._writer.index_no)
        chunks = live_chunks().where(ours).order_by(ChunkRow.ordinal)
        aliases = select(AliasRow.url, AliasRow.kind, AliasRow.seen_at).where(AliasRow.page_id == page_id).order_by(AliasRow.url)
        async with self._database.read() as connection:
            row = (await connection.execute(self._bound(_live_pages().where(PageRow.id == page_id)))).first()
            if row is None:
                raise _no_such_page(page_id)
            return WholePage(
                page=_page(row),
                text=str(await connection.scalar(text.where(PageRow.id == page_id))),
                chunks=[to_chunk(chunk) for chunk in (await connection.execute(chunks)).all()],
                aliases=[Alias(*alias) for alias in (await connection.execute(aliases)).all()],
            )

    async def text(self, page_id: str) -> tuple[str, str]:
        """The stored text of a live page and its content hash. Raises: NotFound."""
        statement = select(GenerationRow.text, GenerationRow.content_hash).join(
            PageRow, PageRow.live_generation == GenerationRow.id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(self._bound(statement.where(PageRow.id == page_id)))).first()
        if row is None:
            raise _no_such_page(page_id)
        return row.text, row.content_hash

    async def read_texts(self, page_ids: Iterable[str], read: Callable[[str, StoredText | None], None]) -> None:
        """Call ``read`` with the stored text of each page, or None where there is none. In a thread, on one snapshot of all and
        one text at a time."""
        columns = (GenerationRow.text, GenerationRow.content_hash, GenerationRow.fetched_at)
        statement = self._bound(select(*columns).join(PageRow, PageRow.live_generation == GenerationRow.id))

        def read_all(connection: Connection) -> None:
            for page_id in page_ids:
                row = connection.execute(statement.where(PageRow.id == page_id)).first()
                read(page_id, StoredText(*row) if row else None)

        await self._database.snapshot(read_all)

    async def delete(self, page_id: str) -> None:
        """Delete a page. From the moment the transaction commits no reader sees it; when this returns, its chunks have left
        every index (or, where an index fails, they wait unseen for the next sweep) and its text every file.

        What stays: the URL in the log of the jobs that visited it, until ``ingest.keep_jobs_days`` have passed. And as both
        engines drop deleted rows only when they merge their files: in those of Milvus Lite the URL and the vectors, in those of
        tantivy the URL and which words there were, without order, place or text. A directory of theirs that is removed
        while the service is stopped is made again from what is left.

        Raises: NotFound.
        """
        async with self._database.write() as connection:
            if not await connection.scalar(self._bound(select(PageRow.live_generation).where(PageRow.id == page_id))):
                raise NotFound(f"There is no page {page_id}; nothing was deleted.")
            await forget(connection, [page_id])
        await erase(self._database, self._writer)

    async def counts(self) -> dict[str, int]:
        """Live pages and chunks of all collections, and generations that wait for the sweep."""
        async with self._database.read() as connection:
            live = select(func.count(), func.coalesce(func.sum(GenerationRow.chunk_count), 0)).where(
                GenerationRow.state == "live"
            )
            pages, chunks = (await connection.execute(live)).one()
            stale = await connection.scalar(select(func.count()).where(GenerationRow.state == "stale"))
        return {"pages": int(pages), "chunks": int(chunks), "awaiting_sweep": int(stale or 0)}

    def _bound(self, statement: S) -> S:
        return self._grants.bound(statement, PageRow.collection_id)


def _no_such_collection(name: str) -> NotFound:
    return NotFound(f"There is no collection {name!r}. See GET /v1/collections, or make it by ingesting into it.")


def _no_such_page(page_id: str) -> NotFound:
    return NotFound(f"There is no page {page_id}. It may have been deleted; GET /v1/pages lists those there are.")


async def forget(connection: AsyncConnection, page_ids: Sequence[str]) -> None:
    """Take pages from readers, with what points at them, and blank their texts, leaving only what the sweep needs to clean
    the indexes."""
    for begin in range(0, len(page_ids), 500):
        part = page_ids[begin : begin + 500]
        of_page = GenerationRow.page_id.in_(part)
        await revoke_writers(connection, part)
        await connection.execute(update(GenerationRow).where(of_page, GenerationRow.state == "live").values(state="stale"))
        blank: dict[str, Any] = {"title": "", "text": "", "blocks": [], "links": [], "left_out": None}
        await connection.execute(update(GenerationRow).where(of_page).values(blank))
        # What the log quotes of the page goes too; that its URL was visited, and what came of it, stays.
        named = (await connection.execute(select(PageRow.url, PageRow.collection_id).where(PageRow.id.in_(part)))).all()
        jobs = select(JobRow.id).where(JobRow.collection_id.in_({row.collection_id for row in named}))
        visits = select(UrlRow.seq).where(UrlRow.url.in_([row.url for row in named]), UrlRow.job_id.in_(jobs))
        await connection.execute(delete(LeftOutRow).where(LeftOutRow.url_seq.in_(visits)))
        await connection.execute(delete(ChunkRow).where(ChunkRow.page_id.in_(part)))
        for table in (AliasRow, PageSourceRow):
            await connection.execute(delete(table).where(table.page_id.in_(part)))
        await connection.execute(delete(PageRow).where(PageRow.id.in_(part)))
    await bump_epoch(connection)


async def erase(database: Database, writer: GenerationWriter) -> None:
    """After a deletion that somebody asked for: clear the indexes, and the database's log of what was deleted."""
    await writer.clean_up()
    try:
        if not await database.empty_log():
            log.warning("a deleted text stays in the database's write-ahead log for now: a long read is going on")
    except sqlite3.Error as exc:
        log.warning("a deleted text stays in the database's write-ahead log for now: %s", exc)


def live_chunks() -> Select[Any]:
    """Chunks of live generations alone, each with its text cut out of the page's: no reader sees anything else. The columns
    are the fields of :class:`Chunk`, in their order."""
    return (
        select(
            ChunkRow.id,
            ChunkRow.page_id,
            ChunkRow.generation,
            ChunkRow.ordinal,
            ChunkRow.start,
            ChunkRow.end,
            func.substr(GenerationRow.text, ChunkRow.start + 1, ChunkRow.end - ChunkRow.start).label("text"),
            ChunkRow.heading_path,
            PageRow.url,
            GenerationRow.title,
            GenerationRow.language,
            GenerationRow.content_hash,
            GenerationRow.fetched_at,
        )
        .join(GenerationRow, GenerationRow.id == ChunkRow.generation)
        .join(PageRow, and_(PageRow.id == ChunkRow.page_id, PageRow.live_generation == ChunkRow.generation))
    )


def to_chunk(row: Any) -> Chunk:
    values = list(row)
    values[_HEADING_PATH] = tuple(values[_HEADING_PATH])
    return Chunk(*values)


def _live_pages() -> Select[Any]:
    return (
        select(
            PageRow.id,
            CollectionRow.name.label("collection"),
            PageRow.url,
            GenerationRow.title,
            GenerationRow.language,
            GenerationRow.content_hash,
            GenerationRow.fetched_at,
            GenerationRow.published_at,
            GenerationRow.modified_at,
            GenerationRow.notes,
            GenerationRow.chunk_count.label("chunks"),
            func.length(GenerationRow.text).label("characters"),
            *(getattr(GenerationRow, name) for name in coverage.COLUMNS),
        )
        .join(GenerationRow, GenerationRow.id == PageRow.live_generation)
        .join(CollectionRow, CollectionRow.id == PageRow.collection_id)
    )


def _page(row: Any) -> Page:
    stored = {name: value for name, value in row._mapping.items() if name not in coverage.COLUMNS}
    return Page(**{**stored, "notes": list(row.notes or [])}, coverage=StoredCoverage.of_row(row))
