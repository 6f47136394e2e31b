"""Rebuilding the indexes from the database, which holds all they were made from.

Looked at whenever the corpus is opened: an index directory may have been lost, moved away or put back from an older copy, and
the token vectors' last writes aren't synced to disk. Without this, pages would be missing from searches although each new
crawl finds them unchanged.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from sqlalchemy import Connection, select

from corpus.database import ChunkRow, Database, PageRow
from corpus.embedding import Embedder
from corpus.pages import live_chunks
from corpus.store import ChunkIndex, IndexRow, headings_text

log = logging.getLogger(__name__)
BATCH = 128


async def mend_indexes(database: Database, index: ChunkIndex, embedder: Embedder) -> int:
    """Index live chunks that any index lacks; gives how many. Costs nothing but three counts where all are there.

    Only for the one process that owns the indexes, before it begins to write.
    """
    live = await database.snapshot(_live_ids)
    counts = await asyncio.to_thread(index.counts)
    if min(counts.values()) >= len(live):
        return 0
    log.warning("the indexes lack chunks (%s of %d live ones): rebuilding them from the database", counts, len(live))
    mended = 0
    for begin in range(0, len(live), BATCH):
        missing = await asyncio.to_thread(index.missing, live[begin : begin + BATCH])
        if missing:
            rows = await database.snapshot(partial(_rows, ids=sorted(missing)))
            embeddings = await asyncio.to_thread(embedder.embed_passages, [embed_text for _, embed_text in rows])
            await asyncio.to_thread(index.write, [row for row, _ in rows], embeddings)
            mended += len(rows)
    log.info("rebuilt %d chunks", mended)
    return mended


def _live_ids(connection: Connection) -> list[str]:
    statement = select(ChunkRow.id).join(PageRow, PageRow.id == ChunkRow.page_id)
    return list(connection.scalars(statement.where(PageRow.live_generation == ChunkRow.generation).order_by(ChunkRow.id)))


def _rows(connection: Connection, *, ids: list[str]) -> list[tuple[IndexRow, str]]:
    """What was written to the indexes for these chunks, and the text that was embedded."""
    statement = live_chunks().add_columns(ChunkRow.embed_text, PageRow.collection_id).where(ChunkRow.id.in_(ids))
    return [
        (
            IndexRow(
                id=row.id,
                page_id=row.page_id,
                generation=row.generation,
                collection_id=row.collection_id,
                url=row.url,
                language=row.language or "",
                headings=headings_text(row.title, row.heading_path),
                text=row.text,
            ),
            row.embed_text,
        )
        for row in connection.execute(statement).all()
    ]
