"""Rebuilding the indexes from the database, which holds all they were made from.

Looked at whenever the corpus is opened: an index directory may have been lost, moved away or put back from an older copy, the
token vectors' last writes aren't synced to disk, and a lexical index that an older version made is emptied when it is opened.
Without this, pages would be missing from searches although each new
crawl finds them unchanged. ``corpus/verify.py`` looks closer, and rebuilds what it misses in the same way.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from sqlalchemy import Connection, func, select

from corpus.database import Database
from corpus.embedding import Embedder
from corpus.pages import live_chunks
from corpus.store import ChunkIndex, IdRange, IndexRow, headings_text
from corpus.tables import ChunkRow, PageRow

log = logging.getLogger(__name__)
BATCH = 128
WORDS_BATCH = 2_048  # nothing is embedded, and every batch is a commit
IDS_AT_ONCE = 8192  # on average; chunk ids are hashes, so that equal parts hold about the same number


async def mend_indexes(
    database: Database, index: ChunkIndex, embedder: Embedder, *, report: Callable[[str], None] = lambda stage: None
) -> int:
    """Index live chunks that any index lacks; gives how many. Costs nothing but four counts where all are there.

    Only for the one process that owns the indexes, before it begins to write. ``report`` is told how far it is.
    """
    live = await database.snapshot(partial(count_live, index_no=index.number))
    counts = await asyncio.to_thread(index.counts)
    if min(counts.values()) >= live:
        return 0
    log.warning("the indexes lack chunks (%s of %d live ones): rebuilding them from the database", counts, live)
    mended = await fill(database, index, embedder, live=live, report=report)
    log.info("rebuilt %d chunks", mended)
    return mended


async def fill(
    database: Database,
    index: ChunkIndex,
    embedder: Embedder,
    *,
    live: int,
    report: Callable[[str], None] = lambda stage: None,
    on_progress: Callable[[int], Awaitable[None]] | None = None,
) -> int:
    """Index those of the ``live`` chunks that any of the index's stores lacks; gives how many. ``report`` is told how far it is,
    ``on_progress`` how many chunks were written; what that raises ends the work, which can be taken up again.

    Raises: StorageFull, TransientError.
    """
    mended = 0
    ranges = parts(live)
    for number, within in enumerate(ranges):
        report(f"rebuilding the indexes ({100 * number // len(ranges)} %)")
        ids = await database.snapshot(partial(live_ids, within=within, index_no=index.number))
        held = {name: set(found) for name, found in (await asyncio.to_thread(index.ids, within)).items()}
        embedded = held["vectors"] & held["tokens"]
        mended += await rebuild_words(database, index, sorted(ids & embedded - held["lexical"]))
        missing = sorted(ids - embedded)
        for begin in range(0, len(missing), BATCH):
            mended += await rebuild(database, index, embedder, missing[begin : begin + BATCH])
            if on_progress is not None:
                await on_progress(mended)
    return mended


async def rebuild_words(database: Database, index: ChunkIndex, ids: Sequence[str]) -> int:
    """As :func:`rebuild`, for chunks that only the lexical index lacks: thousands a second.

    Raises: StorageFull, TransientError.
    """
    written = 0
    for begin in range(0, len(ids), WORDS_BATCH):
        part = list(ids[begin : begin + WORDS_BATCH])
        rows = [row for row, _ in await database.snapshot(partial(_rows, ids=part))]
        await asyncio.to_thread(index.write_words, rows)
        await _delete_gone(database, index, part)
        written += len(rows)
    return written


async def rebuild(database: Database, index: ChunkIndex, embedder: Embedder, ids: Sequence[str]) -> int:
    """Write these chunks to every index anew, from the database; gives how many were written. Those that aren't live are
    passed over. Only what both vector stores have lost is embedded.

    Raises: StorageFull, TransientError.
    """
    written = 0
    for begin in range(0, len(ids), BATCH):
        part = list(ids[begin : begin + BATCH])
        rows = await database.snapshot(partial(_rows, ids=part))
        kept = await asyncio.to_thread(index.load, [row.id for row, _ in rows])
        lost = [embed_text for row, embed_text in rows if row.id not in kept]
        embedded = iter(await asyncio.to_thread(embedder.embed_passages, lost) if lost else [])
        embeddings = [kept.get(row.id) or next(embedded) for row, _ in rows]
        await asyncio.to_thread(index.write, [row for row, _ in rows], embeddings)
        await _delete_gone(database, index, part)
        written += len(rows)
    return written


async def _delete_gone(database: Database, index: ChunkIndex, ids: Sequence[str]) -> None:
    """A page that was replaced meanwhile may have been swept before its chunks were written again."""
    gone = set(ids) - await database.snapshot(partial(live_among, ids=ids))
    await asyncio.to_thread(index.delete, sorted(gone))


def parts(count: int) -> list[IdRange]:
    """Ranges that part ``count`` chunk ids into sets of a few thousand. Not many more, for Milvus Lite looks through all of its
    rows for each: 100,000 ids in 256 parts took 370 s, on two busy cores."""
    wanted = -(-count // IDS_AT_ONCE)
    if wanted <= 1:
        return [IdRange()]
    digits = 2
    while 16**digits < wanted:
        digits += 1
    bounds = [number * 16**digits // wanted for number in range(wanted + 1)]
    return [IdRange(f"{low:0{digits}x}", f"{high - 1:0{digits}x}") for low, high in itertools.pairwise(bounds)]


def live_ids(connection: Connection, *, within: IdRange, index_no: int = 1) -> set[str]:
    """The ids of an index's live chunks in the range."""
    statement = select(ChunkRow.id).join(PageRow, PageRow.id == ChunkRow.page_id)
    statement = statement.where(PageRow.live_generation == ChunkRow.generation)
    ours = (ChunkRow.index_no == index_no) & (ChunkRow.id >= within.first) & (ChunkRow.id < within.beyond)
    return set(connection.scalars(statement.where(ours)))


def live_among(connection: Connection, *, ids: Sequence[str]) -> set[str]:
    statement = select(ChunkRow.id).join(PageRow, PageRow.id == ChunkRow.page_id)
    return set(connection.scalars(statement.where(PageRow.live_generation == ChunkRow.generation, ChunkRow.id.in_(ids))))


def count_live(connection: Connection, *, index_no: int) -> int:
    statement = select(func.count()).select_from(ChunkRow).join(PageRow, PageRow.id == ChunkRow.page_id)
    ours = (PageRow.live_generation == ChunkRow.generation) & (ChunkRow.index_no == index_no)
    return int(connection.scalar(statement.where(ours)) or 0)


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
