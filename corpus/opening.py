"""Opening the corpus: the data directory, the embedder and the indexes, checked against each other."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import make_url, select

from corpus.analysis import ANALYSIS_VERSION
from corpus.arrival import arrived
from corpus.database import Database, postgres_url, sqlite_url, utc_now
from corpus.datadir import LITE_ADVISED_CHUNKS, DataDirectory
from corpus.embedding import Embedder, SentenceTransformerEmbedder
from corpus.errors import StartupError
from corpus.generations import GenerationWriter
from corpus.index_facts import INDEX, IndexFacts, index_facts, made_with, put_fact, with_remembered
from corpus.index_homes import IndexHome, index_home
from corpus.mending import mend_indexes
from corpus.pages import DEFAULT_COLLECTION, Pages
from corpus.processes import EMBEDDED, Presence
from corpus.reindexing import clear_others
from corpus.settings import IndexSettings, Settings
from corpus.stamp import check_stamp, make_stamp
from corpus.store import ChunkIndex
from corpus.tables import GenerationRow

log = logging.getLogger(__name__)
OPENING_LOCK = 0x6F70656E  # "open", among PostgreSQL's advisory locks


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the service and the worker share within a process. Databases are opened by each, one per event loop."""

    settings: Settings
    directory: DataDirectory
    home: IndexHome
    embedder: Embedder
    index: ChunkIndex
    rebuilt_chunks: int  # how many the indexes lacked when they were opened
    presence: Presence | None = None  # among other processes; None where there can be none (SQLite)
    has_old_words: bool = False  # a server's, which another version of the analysis wrote; a reindex writes them anew

    @property
    def shared_as(self) -> str | None:
        """This process' id, where it shares the corpus with others; None where it has it to itself."""
        return self.presence.id if self.presence is not None and self.settings.is_shared else None

    @property
    def database_url(self) -> str:
        return database_url(self.settings, self.directory)

    @property
    def queue_url(self) -> str:
        """Where DBOS keeps what it knows of running jobs: tables of its own, in a schema of its own on PostgreSQL."""
        server = self.settings.database.url.get_secret_value()
        return server or sqlite_url(self.directory.queue, driver="sqlite")


@asynccontextmanager
async def open_corpus(
    settings: Settings, *, role: str = "service", report: Callable[[str], None] = lambda stage: None
) -> AsyncIterator[Corpus]:
    """Open everything that searching and ingesting need. ``report`` is told each stage as it begins, other processes the
    ``role``.

    Raises:
        StartupError: the directory is locked or unusable, weights are missing, the index was made by another embedder, or
            another process uses the same database with an index of its own.
    """
    async with AsyncExitStack() as stack:
        report("opening the data directory")
        directory = stack.enter_context(DataDirectory(settings.data_dir))
        database = await stack.enter_async_context(Database(url=database_url(settings, directory)))
        wait_s = settings.database.startup_wait_s
        await arrived(database.migrate, name=server_name(database.url), wait_s=wait_s, report=report)
        presence = await join_others(stack, settings, database, directory, role)
        facts = await database.snapshot(index_facts)
        settings = settings.model_copy(update={"index": with_remembered(settings.index, facts.settings)})
        report("loading the embedder")
        embedder = await asyncio.to_thread(load_embedder, settings.index, models_dir=directory.models)
        await check_stamp(database, make_stamp(embedder.stamp, settings.index))
        analysis = await _analysis_of(database, facts, is_on_server=bool(settings.milvus.uri))
        await _remember(database, facts, settings.index, analysis)
        report("opening the indexes")
        home = await index_home(settings.milvus, directory=directory, database=database)
        stack.push_async_callback(asyncio.to_thread, home.close)
        name = f"The index server at {settings.milvus.uri}"
        wait_s = settings.milvus.startup_wait_s
        await arrived(partial(asyncio.to_thread, home.ask), name=name, wait_s=wait_s, report=report)
        if facts.building is not None:
            await _refuse_beside_reindex(settings, database, presence)
            log.warning("a reindex was broken off: `footnote reindex` takes it up again, `footnote reindex --abandon` drops it")
        async with database.alone(OPENING_LOCK):  # of several that start at once, one makes the index, and the others find it
            await clear_others(database, home, keep_building=True)
            index = await asyncio.to_thread(home.open, dimension=embedder.stamp.dimension, number=facts.number)
            stack.push_async_callback(asyncio.to_thread, index.close)
            rebuilt = await mend_indexes(database, index, embedder, report=report)
        us = presence.id if presence is not None and settings.is_shared else None
        writer = GenerationWriter(database=database, index=index, embedder=embedder, process=us)
        pages = Pages(database=database, writer=writer)
        await pages.ensure_collection(DEFAULT_COLLECTION)
        swept = await writer.sweep(abandoned_before=utc_now())
        counts = await pages.counts()
        log.info("corpus open: %(pages)d pages, %(chunks)d chunks", counts)
        if swept:
            log.info("removed %d generations that a replacement, a deletion or a crash left behind", swept)
        if analysis != ANALYSIS_VERSION:
            log.warning(
                "the index server's words were written by an older Footnote: `footnote reindex --anyway` writes them anew"
            )
        if counts["chunks"] > LITE_ADVISED_CHUNKS and not settings.milvus.uri:
            log.warning(
                "the index holds %d chunks: beyond %d a Milvus server answers faster than Milvus Lite",
                counts["chunks"],
                LITE_ADVISED_CHUNKS,
            )
        yield Corpus(
            settings=settings,
            directory=directory,
            home=home,
            embedder=embedder,
            index=index,
            rebuilt_chunks=rebuilt,
            presence=presence,
            has_old_words=analysis != ANALYSIS_VERSION,
        )


async def _refuse_beside_reindex(settings: Settings, database: Database, presence: Presence | None) -> None:
    """A process that opened the old index now would go on with it when the others have the new one. Raises: StartupError."""
    if presence is None or not (there := await presence.others(database)):
        return
    raise StartupError(
        f"An index is being made anew, and the process {there[0].pid} on {there[0].host} may be at it. Start this one when "
        "`footnote reindex` has ended; if that was broken off, stop all processes and run it again, or with --abandon."
    )


async def join_others(
    stack: AsyncExitStack, settings: Settings, database: Database, directory: DataDirectory, role: str
) -> Presence | None:
    """Take this process' place among those that use the same database; None where that is a file. Raises: StartupError."""
    if database.is_one_file:
        return None
    presence = Presence(
        database_url=database.url,
        id=str(uuid.uuid4()) if settings.is_shared else EMBEDDED,
        role=role,
        place=directory.identity(),
        shares_index=settings.is_shared,
        timeout_s=settings.database.process_timeout_s,
    )
    await asyncio.to_thread(presence.__enter__)
    stack.push_async_callback(asyncio.to_thread, presence.__exit__)
    return presence


def database_url(settings: Settings, directory: DataDirectory) -> str:
    server = settings.database.url.get_secret_value()
    return postgres_url(server) if server else sqlite_url(directory.database)


def server_name(url: str) -> str:
    """For people, without the password."""
    parsed = make_url(url)
    return f"The metadata database at {parsed.host or 'its socket'}{f':{parsed.port}' if parsed.port else ''}"


async def _analysis_of(database: Database, facts: IndexFacts, *, is_on_server: bool) -> int | None:
    """By which analysis the words of the live index are written. Files of another version are made anew when they are opened; a
    server's words stay as they are until a reindex."""
    if not is_on_server or facts.analysis == ANALYSIS_VERSION:
        return ANALYSIS_VERSION
    async with database.read() as connection:
        has_pages = await connection.scalar(select(GenerationRow.id).where(GenerationRow.state == "live").limit(1))
    return facts.analysis if has_pages else ANALYSIS_VERSION


async def _remember(database: Database, facts: IndexFacts, settings: IndexSettings, analysis: int | None) -> None:
    if facts.settings != made_with(settings) or facts.analysis != analysis:
        async with database.write() as connection:
            await put_fact(connection, INDEX, {"number": facts.number, "settings": made_with(settings), "analysis": analysis})


def load_embedder(settings: IndexSettings, *, models_dir: Path) -> SentenceTransformerEmbedder:
    """Raises: ModelMissing, StartupError, StorageFull."""
    embedder = SentenceTransformerEmbedder.load(
        name=settings.embedder,
        models_dir=models_dir,
        device=settings.device,
        dtype=settings.dtype,
        batch_size=settings.embed_batch_size,
        query_prompt=settings.query_prompt,
        passage_prompt=settings.passage_prompt,
    )
    if settings.chunk_max_tokens > embedder.stamp.max_tokens:
        log.warning(
            "index.chunk_max_tokens is %d, but %s takes in %d tokens: chunks are cut to that",
            settings.chunk_max_tokens,
            embedder.stamp.name,
            embedder.stamp.max_tokens,
        )
    return embedder
