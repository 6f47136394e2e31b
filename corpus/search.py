"""Hybrid retrieval: dense and lexical candidates in parallel, fused, then looked up in the database.

The indexes propose; the database decides. A candidate becomes a hit only if its generation is live, so a page that was
deleted or replaced a moment ago can't appear. If pages moved while the indexes were being asked (the epoch changed) and
candidates fell away for it, the search is made again: otherwise a page replaced just then would be found neither in its old
version nor in its new one. And as many more candidates are asked for as the indexes hold chunks that aren't live (yet, or any
more), so that a long page being written can't crowd live ones out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, bindparam

from corpus.database import Database
from corpus.embedding import Embedder, Embedding
from corpus.fusion import convex, min_max, ranked
from corpus.generations import VisibleState, visible_state
from corpus.model import Chunk, Hit, SearchMode, StageScore
from corpus.pages import live_chunks, to_chunk
from corpus.query_batching import QueryBatcher
from corpus.settings import SearchSettings
from corpus.spans import span
from corpus.store import Candidate, ChunkIndex, IndexFilter
from corpus.tables import ChunkRow, PageRow

MAX_TRIES = 5
MAX_CANDIDATES = 16_384  # Milvus' own limit
# "+ 0" keeps SQLite from taking the collection's index, by which it would walk through all of its pages (8.9 ms at 10,000
# chunks) instead of looking up these ids (0.5 ms at any size).
LIVE_AMONG = live_chunks().where(
    ChunkRow.id.in_(bindparam("ids", expanding=True)), PageRow.collection_id + 0 == bindparam("collection_id")
)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    text: str
    collection_id: int
    limit: int = 10
    mode: SearchMode = SearchMode.HYBRID
    url_prefix: str | None = None
    language: str | None = None

    @property
    def where(self) -> IndexFilter:
        return IndexFilter(collection_id=self.collection_id, url_prefix=self.url_prefix, language=self.language)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``hits`` in descending order of ``score``, for the question ``text``. ``timings_ms`` by stage; lexical runs beside
    embed and dense."""

    text: str
    hits: list[Hit]
    query_embedding: Embedding | None
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an index proposed, and what readers saw just before it was asked; None if it wasn't."""

    candidates: list[Candidate]
    before: VisibleState | None = None


class Searcher:
    def __init__(self, *, database: Database, index: ChunkIndex, embedder: Embedder, settings: SearchSettings) -> None:
        self._database = database
        self._index = index
        self._queries = QueryBatcher(embedder=embedder)
        self._settings = settings
        # Of their own: who waits for words already has one of the event loop's.
        self._threads = ThreadPoolExecutor(thread_name_prefix="words")

    async def search(self, query: SearchQuery) -> SearchResult:
        """The first stage: at most ``query.limit`` hits, each with the ranks and scores of every stage it passed."""
        timings: dict[str, float] = {}
        embedding = asyncio.create_task(self._embed(query, timings))
        try:
            return await self._search(query, embedding, timings)
        finally:
            embedding.cancel()  # where the search failed before it

    async def _search(
        self, query: SearchQuery, embedding: asyncio.Task[Embedding | None], timings: dict[str, float]
    ) -> SearchResult:
        for _ in range(MAX_TRIES):
            # Words need no embedding, so they are looked up while it is made.
            lexical = self._threads.submit(copy_context().run, self._lexical, query, timings)
            made = await embedding
            hits, settled = await asyncio.to_thread(self._fused, query, made, lexical, timings)
            if settled:
                break
        return SearchResult(text=query.text, hits=hits, query_embedding=made, timings_ms=timings)

    def _fused(
        self, query: SearchQuery, embedding: Embedding | None, words: Future[_Asked], timings: dict[str, float]
    ) -> tuple[list[Hit], bool]:
        """The hits, and whether no page moved under them. Blocks: each change of threads costs as much as a look-up does, so
        all that is left to do is done in one."""
        dense = self._dense(query, embedding, timings)
        lexical = words.result()
        started = time.perf_counter()
        fused = self._fuse(query.mode, dense.candidates, lexical.candidates)
        order = ranked(fused)
        timings["fusion"] = _ms_since(started)
        started = time.perf_counter()
        with span("lookup"):
            chunks, stale, after = self._database.snapshot_now(partial(_look_up, ids=order, query=query))
        timings["lookup"] = _ms_since(started)
        hits = _to_hits(chunks, order=order, fused=fused, dense=dense.candidates, lexical=lexical.candidates)
        return hits, not stale or not any(one.before and _moved(one.before, after) for one in (dense, lexical))

    async def _embed(self, query: SearchQuery, timings: dict[str, float]) -> Embedding | None:
        if query.mode is SearchMode.LEXICAL:
            return None
        started = time.perf_counter()
        with span("embed"):
            embedding = await self._queries.embed(query.text)
        timings["embed"] = _ms_since(started)
        return embedding

    def _dense(self, query: SearchQuery, embedding: Embedding | None, timings: dict[str, float]) -> _Asked:
        if embedding is None:
            return _Asked([])
        started = time.perf_counter()
        found = self._ask("dense", partial(self._index.vectors.search, embedding.vector), query)
        timings["dense"] = _ms_since(started)
        return found

    def _lexical(self, query: SearchQuery, timings: dict[str, float]) -> _Asked:
        if query.mode is SearchMode.DENSE:
            return _Asked([])
        started = time.perf_counter()
        found = self._ask("bm25", partial(self._index.lexical.search, query.text), query)
        timings["lexical"] = _ms_since(started)
        return found

    def _ask(self, stage: str, search: Callable[..., list[Candidate]], query: SearchQuery) -> _Asked:
        """Candidates of one index, and what readers saw just before. Blocks."""
        before = self._database.snapshot_now(visible_state)
        wanted = max(self._settings.candidates, query.limit)
        candidates = min(wanted + before.hidden_chunks, MAX_CANDIDATES)
        with span(stage, footnote__candidates=candidates):
            return _Asked(search(where=query.where, limit=candidates), before)

    def _fuse(self, mode: SearchMode, dense: Sequence[Candidate], lexical: Sequence[Candidate]) -> dict[str, float]:
        dense_scores = {candidate.id: candidate.score for candidate in dense}
        lexical_scores = {candidate.id: candidate.score for candidate in lexical}
        if mode is SearchMode.HYBRID:
            return convex(dense_scores, lexical_scores, first_weight=self._settings.dense_weight)
        return min_max(dense_scores or lexical_scores)


def _moved(before: VisibleState, after: VisibleState) -> bool:
    return before.epoch != after.epoch or before.hidden_chunks < after.hidden_chunks


def _look_up(connection: Connection, *, ids: Sequence[str], query: SearchQuery) -> tuple[list[Chunk], int, VisibleState]:
    """The first ``query.limit`` live chunks among ``ids`` in their order, how many weren't live, and the state they were
    read in."""
    chunks: list[Chunk] = []
    stale = 0
    bound = {"collection_id": query.collection_id}
    for begin in range(0, len(ids), query.limit):
        part = ids[begin : begin + query.limit]
        found = {row.id: to_chunk(row) for row in connection.execute(LIVE_AMONG, bound | {"ids": part}).all()}
        stale += len(part) - len(found)
        chunks += [found[chunk_id] for chunk_id in part if chunk_id in found]
        if len(chunks) >= query.limit:
            break
    return chunks[: query.limit], stale, visible_state(connection)


def _to_hits(
    chunks: Sequence[Chunk], *, order: Sequence[str], fused: dict[str, float], dense: list[Candidate], lexical: list[Candidate]
) -> list[Hit]:
    """``order``: the ids of ``fused``, best first."""
    found = {
        "dense": {one.id: (rank, one.score) for rank, one in enumerate(dense, start=1)},
        "lexical": {one.id: (rank, one.score) for rank, one in enumerate(lexical, start=1)},
        "fusion": {chunk_id: (rank, fused[chunk_id]) for rank, chunk_id in enumerate(order, start=1)},
    }
    return [
        Hit(
            chunk=chunk,
            score=fused[chunk.id],
            stages={stage: StageScore(*at[chunk.id]) for stage, at in found.items() if chunk.id in at},
        )
        for chunk in chunks
    ]


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
