"""From a query to hits: the search, the reranker, and identifiers to the letter. The same for answers and for searches."""

from __future__ import annotations

from dataclasses import replace

from app.hard_terms import Requirement
from app.reranker import Reranker
from corpus.model import SearchMode
from corpus.search import Searcher, SearchQuery, SearchResult
from corpus.spans import span


async def retrieve(query: SearchQuery, *, searcher: Searcher, reranker: Reranker | None, candidates: int) -> SearchResult:
    """The best ``query.limit`` hits. In hybrid searches, those that hold the query's identifiers come first.

    Args:
        candidates: how many hits of the first stage are looked at.
    """
    required = Requirement(query.text if query.mode is SearchMode.HYBRID else "")
    if reranker is None and not required:
        return await searcher.search(query)
    result = await searcher.search(replace(query, limit=max(query.limit, candidates)))
    if reranker is not None:
        with span("rerank", footnote__candidates=len(result.hits)):
            result = await reranker.rerank(result, limit=len(result.hits) if required else query.limit)
    return replace(result, hits=required.preferring(result.hits)[: query.limit])
