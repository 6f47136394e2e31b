"""What a measurement searches with: an index opened here, or a service that is asked over HTTP. Neither is changed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from corpus.model import Hit, SearchMode
from corpus.search import SearchQuery
from corpus.settings import SearchSettings
from footnote.client import Client
from footnote.evaluation.baseline import RankBm25, is_installed
from footnote.evaluation.dataset import Document
from footnote.evaluation.found import Found, Ranked
from footnote.evaluation.index import FilledIndex, reranker_kind


class Engine(Protocol):
    """``rerankers`` are the kinds that it can rerank with, ``own_reranker`` is the one that it does unless it is told otherwise;
    ``most_hits`` is the most that one search gives; ``chunks_per_document`` how many there are on average, None if unknown."""

    search_settings: SearchSettings
    rerankers: Sequence[str]
    own_reranker: str | None
    most_hits: int
    chunks_per_document: float | None

    def rank_bm25(self) -> RankBm25 | str:
        """The baseline over the same documents, or why there is none."""
        ...

    async def search(self, text: str, *, mode: SearchMode, limit: int, reranker: str | None = None) -> Ranked: ...


class IndexEngine:
    """The service's own search and reranker, in this process."""

    def __init__(self, index: FilledIndex, *, documents: Sequence[Document], settings: SearchSettings) -> None:
        self._index = index
        self.search_settings = settings
        self.rerankers: Sequence[str] = tuple(index.rerankers)
        kind = reranker_kind(settings.reranker)
        self.own_reranker = kind if kind in self.rerankers else None
        self.most_hits = 1000
        self.chunks_per_document: float | None = index.filling.chunks / max(1, index.filling.pages)
        self._documents = documents
        self._baseline: RankBm25 | None = None

    def rank_bm25(self) -> RankBm25 | str:
        if not is_installed():
            return "the package rank-bm25 is not installed (pip install rank-bm25)"
        self._baseline = self._baseline or RankBm25(self._documents)
        return self._baseline

    async def search(self, text: str, *, mode: SearchMode, limit: int, reranker: str | None = None) -> Ranked:
        query = SearchQuery(text=text, collection_id=self._index.collection_id, limit=limit, mode=mode)
        result = await self._index.searcher.search(query)
        if reranker is not None:
            result = await self._index.rerankers[reranker].rerank(result, limit=limit)
        return Ranked([self._found(hit) for hit in result.hits], result.timings_ms)

    def _found(self, hit: Hit) -> Found:
        chunk = hit.chunk
        return Found(chunk.id, self._index.documents[chunk.url], chunk.title, chunk.text)


class ServiceEngine:
    """A running service and one of its collections. It has at most one reranker, the one that it was set up with."""

    def __init__(self, client: Client, *, collection: str, settings: SearchSettings) -> None:
        self._client = client
        self._collection = collection
        self.search_settings = settings
        self.own_reranker = reranker_kind(client.readiness().get("reranker"))
        self.rerankers: Sequence[str] = [self.own_reranker] if self.own_reranker else []
        self.most_hits = settings.max_limit
        self.chunks_per_document: float | None = None

    def rank_bm25(self) -> RankBm25 | str:
        return "it needs the documents themselves, which stay in the service"

    async def search(self, text: str, *, mode: SearchMode, limit: int, reranker: str | None = None) -> Ranked:
        def ask() -> Ranked:
            body = self._client.search(
                text, collection=self._collection, mode=mode.value, limit=limit, rerank=reranker is not None, explain=True
            )
            hits = [Found(hit["chunk_id"], hit["url"], hit["title"], hit["text"]) for hit in body["hits"]]
            return Ranked(hits, body["timings_ms"] or {})

        return await asyncio.to_thread(ask)
