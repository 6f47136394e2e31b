"""Is what the database holds of a page consistent in itself? And if not: the page again, made of its text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from corpus.chunking import Tokenizer, chunk_by_settings
from corpus.coverage import StoredCoverage
from corpus.generations import NewPage, ReadBy
from corpus.model import Block, BlockKind, PageText, chunk_id, content_hash
from corpus.settings import IndexSettings
from corpus.tables import ChunkRow, GenerationRow, PageRow


@dataclass(frozen=True, slots=True)
class StoredChunk:
    id: str
    ordinal: int
    start: int
    end: int
    embed_text: str


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A live page as its rows say, whatever that is."""

    id: str
    url: str
    collection_id: int
    generation: int
    job_id: str | None
    title: str
    text: str
    blocks: list[Any]
    language: str | None
    content_hash: str
    links: list[Any]
    fetched_at: datetime
    published_at: datetime | None
    modified_at: datetime | None
    notes: list[Any] | None
    simhash: tuple[int | None, ...]
    coverage: StoredCoverage | None
    read_by: ReadBy
    index_no: int
    chunk_count: int
    chunks: Sequence[StoredChunk]


def stored_pages(
    connection: Connection, *, after: str, limit: int, index_no: int = 1, being_built: bool = False, lacking: bool = False
) -> list[StoredPage]:
    """The next live pages by id, in one consistent state each, with their chunks in the index ``index_no``. ``being_built``: it
    isn't the live one. ``lacking``: only pages that have no chunks cut for the index being built."""
    statement = select(GenerationRow, PageRow.id.label("shown_as"), PageRow.url, PageRow.collection_id).join_from(
        PageRow, GenerationRow, GenerationRow.id == PageRow.live_generation
    )
    if lacking:
        statement = statement.where(GenerationRow.other_count.is_(None))
    rows = connection.execute(statement.where(PageRow.id > after).order_by(PageRow.id).limit(limit)).all()
    return [
        StoredPage(
            id=row.shown_as,
            url=row.url,
            collection_id=row.collection_id,
            generation=row.id,
            job_id=row.job_id,
            title=row.title,
            text=row.text,
            blocks=row.blocks,
            language=row.language,
            content_hash=row.content_hash,
            links=row.links,
            fetched_at=row.fetched_at,
            published_at=row.published_at,
            modified_at=row.modified_at,
            notes=row.notes,
            simhash=(row.simhash_0, row.simhash_1, row.simhash_2, row.simhash_3),
            coverage=StoredCoverage.of_row(row),
            read_by=ReadBy(row.extraction_version, row.selectors_hash),
            index_no=index_no,
            chunk_count=(row.other_count or 0) if being_built else row.chunk_count,
            chunks=_chunks(connection, row.id, index_no),
        )
        for row in rows
    ]


def _chunks(connection: Connection, generation: int, index_no: int) -> list[StoredChunk]:
    columns = (ChunkRow.id, ChunkRow.ordinal, ChunkRow.start, ChunkRow.end, ChunkRow.embed_text)
    ours = (ChunkRow.generation == generation) & (ChunkRow.index_no == index_no)
    rows = connection.execute(select(*columns).where(ours).order_by(ChunkRow.ordinal)).all()
    return [StoredChunk(*row) for row in rows]


def has_its_hash(page: StoredPage) -> bool:
    return content_hash(page.title, page.text) == page.content_hash


def broken_chunks(page: StoredPage) -> str | None:
    """What is wrong with the page's chunks, or None: all are there, under their own ids, and show text of the page."""
    if [chunk.ordinal for chunk in page.chunks] != list(range(page.chunk_count)):
        return f"{page.chunk_count} chunks were written, and {len(page.chunks)} are there."
    for chunk in page.chunks:
        if chunk.id != chunk_id(page.id, page.generation, chunk.ordinal, index_no=page.index_no):
            return f"Chunk {chunk.ordinal} has another chunk's id."
        if not 0 <= chunk.start < chunk.end <= len(page.text):
            return f"Chunk {chunk.ordinal} is said to stand at {chunk.start} to {chunk.end} of {len(page.text)} characters."
        if not chunk.embed_text.endswith(page.text[chunk.start : chunk.end]):  # only context comes before
            return f"What was embedded for chunk {chunk.ordinal} isn't what stands there."
    return None


def made_anew(page: StoredPage, *, tokenizer: Tokenizer, settings: IndexSettings) -> NewPage:
    """The page with its chunks cut again. Without validators: the next visit fetches it whole, and compares the texts."""
    text = PageText(title=page.title, text=page.text, blocks=_blocks(page), language=page.language)
    bands = [band for band in page.simhash if band is not None]
    return NewPage(
        collection_id=page.collection_id,
        url=page.url,
        page=text,
        chunks=chunk_by_settings(text, tokenizer=tokenizer, settings=settings),
        links=page.links,
        etag=None,
        last_modified=None,
        fetched_at=page.fetched_at,
        job_id=page.job_id,
        published_at=page.published_at,
        modified_at=page.modified_at,
        notes=page.notes or (),
        simhash=bands if len(bands) == len(page.simhash) else None,
        instead_of=page.generation,
        coverage=page.coverage,
        read_by=page.read_by,
    )


def _blocks(page: StoredPage) -> tuple[Block, ...]:
    """The page's blocks; one paragraph of all its text if they aren't such."""
    try:
        blocks = tuple(Block(BlockKind(kind), start, end, level) for kind, start, end, level in page.blocks)
    except (TypeError, ValueError):
        blocks = ()
    end = 0
    for block in blocks:
        if not end <= block.start < block.end <= len(page.text):
            break
        end = block.end
    else:
        if blocks:
            return blocks
    start = len(page.text) - len(page.text.lstrip())
    return (Block(BlockKind.PARAGRAPH, start, len(page.text.rstrip())),) if page.text.strip() else ()
