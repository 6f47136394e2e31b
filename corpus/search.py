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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, bindparam

from corpus.database import ChunkRow, Database, PageRow
from corpus.embedding import Embedder, Embedding
from corpus.fusion import convex, min_max, ranked
from corpus.generations import VisibleState, visible_state
from corpus.model import Chunk, Hit, SearchMode, StageScore
from corpus.pages import live_chunks, to_chunk
from corpus.query_batching import QueryBatcher
from corpus.settings import SearchSettings
from corpus.spans import span
from corpus.store import Candidate, ChunkIndex, IndexFilter

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


class Searcher:
    def __init__(self, *, database: Database, index: ChunkIndex, embedder: Embedder, settings: SearchSettings) -> None:
        self._database = database
        self._index = index
        self._queries = QueryBatcher(embedder=embedder)
        self._settings = settings

    async def search(self, query: SearchQuery) -> SearchResult:
        """The first stage: at most ``query.limit`` hits, each with the ranks and scores of every stage it passed."""
        wanted = max(self._settings.candidates, query.limit)
        timings: dict[str, float] = {}
        embedding = asyncio.create_task(self._embed(query, timings))
        try:
            return await self._search(query, embedding, wanted, timings)
        finally:
            embedding.cancel()  # where the search failed before it

    async def _search(
        self, query: SearchQuery, embedding: asyncio.Task[Embedding | None], wanted: int, timings: dict[str, float]
    ) -> SearchResult:
        before = await self._database.snapshot(visible_state)
        for attempt in range(1, MAX_TRIES + 1):
            candidates = min(wanted + before.hidden_chunks, MAX_CANDIDATES)
            # Words need no embedding, so they are looked up while it is made.
            dense, lexical = await asyncio.gather(
                self._dense(query, embedding, candidates, timings), self._lexical(query, candidates, timings)
            )
            started = time.perf_counter()
            fused = self._fuse(query.mode, dense, lexical)
            timings["fusion"] = _ms_since(started)
            started = time.perf_counter()
            with span("lookup"):
                chunks, stale, after = await self._database.snapshot(partial(_look_up, ids=ranked(fused), query=query))
            timings["lookup"] = _ms_since(started)
            moved = before.epoch != after.epoch or before.hidden_chunks < after.hidden_chunks
            if not stale or not moved or attempt == MAX_TRIES:
                break
            before = await self._database.snapshot(visible_state)
        hits = _to_hits(chunks, fused=fused, dense=dense, lexical=lexical)
        return SearchResult(text=query.text, hits=hits, query_embedding=await embedding, timings_ms=timings)

    async def _embed(self, query: SearchQuery, timings: dict[str, float]) -> Embedding | None:
        if query.mode is SearchMode.LEXICAL:
            return None
        started = time.perf_counter()
        with span("embed"):
            embedding = await self._queries.embed(query.text)
        timings["embed"] = _ms_since(started)
        return embedding

    async def _dense(
        self, query: SearchQuery, embedding: asyncio.Task[Embedding | None], candidates: int, timings: dict[str, float]
    ) -> list[Candidate]:
        made = await embedding
        if made is None:
            return []
        started = time.perf_counter()
        with span("dense", footnote__candidates=candidates):
            found = await asyncio.to_thread(self._index.vectors.search, made.vector, where=query.where, limit=candidates)
        timings["dense"] = _ms_since(started)
        return found

    async def _lexical(self, query: SearchQuery, candidates: int, timings: dict[str, float]) -> list[Candidate]:
        if query.mode is SearchMode.DENSE:
            return []
        started = time.perf_counter()
        with span("bm25", footnote__candidates=candidates):
            found = await asyncio.to_thread(self._index.lexical.search, query.text, where=query.where, limit=candidates)
        timings["lexical"] = _ms_since(started)
        return found

    def _fuse(self, mode: SearchMode, dense: Sequence[Candidate], lexical: Sequence[Candidate]) -> dict[str, float]:
        dense_scores = {candidate.id: candidate.score for candidate in dense}
        lexical_scores = {candidate.id: candidate.score for candidate in lexical}
        if mode is SearchMode.HYBRID:
            return convex(dense_scores, lexical_scores, first_weight=self._settings.dense_weight)
        return min_max(dense_scores or lexical_scores)


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
    chunks: Sequence[Chunk], *, fused: dict[str, float], dense: Sequence[Candidate], lexical: Sequence[Candidate]
) -> list[Hit]:
    stages = {
        name: {candidate.id: StageScore(rank, candidate.score) for rank, candidate in enumerate(candidates, start=1)}
        for name, candidates in (("dense", dense), ("lexical", lexical))
    }
    stages["fusion"] = {key: StageScore(rank, fused[key]) for rank, key in enumerate(ranked(fused), start=1)}
    return [
        Hit(chunk=c, score=fused[c.id], stages={name: scores[c.id] for name, scores in stages.items() if c.id in scores})
        for c in chunks
    ]


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
