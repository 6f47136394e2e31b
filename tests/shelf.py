"""A whole corpus in a temporary directory (SQLite, Milvus Lite, tantivy), and short ways to put pages on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus.chunking import chunk_by_settings
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import NotFound
from corpus.generations import GenerationWriter, NewPage, Pending
from corpus.model import Block, BlockKind, Chunk, Hit, PageText
from corpus.opening import Corpus, open_corpus
from corpus.pages import DEFAULT_COLLECTION, Pages
from corpus.search import Searcher, SearchQuery
from corpus.settings import Settings
from corpus.tables import ChunkRow, GenerationRow
from corpus.verify import Verifier

FETCHED_AT = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
OnFlip = Callable[[AsyncConnection, Pending, bool], Awaitable[None]]


def page_text(*blocks: str, title: str = "Guide", language: str | None = "en") -> PageText:
    """``blocks`` are Markdown-like: a heading begins with #, a table with |, code with a fence, a list item with "- "."""
    found: list[Block] = []
    text = ""
    for block in blocks:
        text += "\n\n" if text else ""
        level = len(block) - len(block.lstrip("#"))
        kinds = {
            "#": BlockKind.HEADING,
            "|": BlockKind.TABLE,
            "`": BlockKind.CODE,
            "-": BlockKind.LIST_ITEM,
            ">": BlockKind.QUOTE,
        }
        found.append(Block(kinds.get(block[0], BlockKind.PARAGRAPH), len(text), len(text) + len(block), level))
        text += block
    return PageText(title=title, text=text, blocks=tuple(found), language=language)


async def ignore_flip(connection: AsyncConnection, pending: Pending, went_live: bool) -> None:
    """For writes that nothing else must be true together with."""


@dataclass(frozen=True, slots=True)
class Shelf:
    corpus: Corpus
    database: Database
    writer: GenerationWriter
    pages: Pages
    searcher: Searcher
    collection: int

    def new_page(
        self, url: str, *blocks: str, collection: int | None = None, fetched_at: datetime = FETCHED_AT, **facts: Any
    ) -> NewPage:
        page = page_text(*blocks, **facts)
        chunks = chunk_by_settings(page, tokenizer=self.corpus.embedder.tokenizer, settings=self.corpus.settings.index)
        return NewPage(collection or self.collection, url, page, chunks, [], None, None, fetched_at, None)

    async def chunks(self, page_id: str) -> Sequence[Chunk]:
        """The chunks of a live page; none if there is no such page."""
        try:
            return (await self.pages.whole(page_id)).chunks
        except NotFound:
            return []

    async def put(self, url: str, *blocks: str, on_flip: OnFlip = ignore_flip, **facts: Any) -> str:
        """Write a page and make it live; gives its id."""
        new = self.new_page(url, *blocks, **facts)
        await self.writer.commit([new], on_flip=on_flip)
        return new.id

    async def search(self, text: str, *, collection: int | None = None, **options: Any) -> list[Hit]:
        query = SearchQuery(text=text, collection_id=collection or self.collection, **options)
        return (await self.searcher.search(query)).hits

    def verifier(self, **facts: Any) -> Verifier:
        return Verifier(
            database=self.database,
            index=self.corpus.index,
            embedder=self.corpus.embedder,
            writer=self.writer,
            settings=self.corpus.settings.index,
            **facts,
        )

    def counts(self) -> set[int]:
        """How many chunks each index holds; one number when they agree."""
        return set(self.corpus.index.counts().values())

    async def generation_states(self) -> list[str]:
        async with self.database.read() as connection:
            return list((await connection.scalars(select(GenerationRow.state).order_by(GenerationRow.id))).all())

    async def stored_chunks(self) -> int:
        async with self.database.read() as connection:
            return len((await connection.scalars(select(ChunkRow.id))).all())


def urls(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.url for hit in hits]


@asynccontextmanager
async def open_shelf(settings: Settings, embedder: Embedder) -> AsyncIterator[Shelf]:
    """``open_corpus`` as the service does it, but for the embedder, which is loaded once for all tests."""
    async with AsyncExitStack() as stack:
        with patch("corpus.opening.load_embedder", return_value=embedder):
            corpus = await stack.enter_async_context(open_corpus(settings))
        database = await stack.enter_async_context(Database(url=corpus.database_url))
        writer = GenerationWriter(database=database, index=corpus.index, embedder=embedder)
        pages = Pages(database=database, writer=writer)
        searcher = Searcher(database=database, index=corpus.index, embedder=embedder, settings=settings.search)
        yield Shelf(corpus, database, writer, pages, searcher, await pages.collection_id(DEFAULT_COLLECTION))
