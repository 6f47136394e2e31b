"""POST /v1/search: the chunks that match, and why."""

from __future__ import annotations

import time

from fastapi import APIRouter

from app.retrieval import retrieve
from app.routes.asking import tell_if_slow
from app.routes.problems import problems
from app.schemas import HitBody, SearchRequest, SearchResponse
from app.state import Querying
from corpus.errors import InvalidInput
from corpus.model import SearchMode
from corpus.search import SearchQuery

router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search", responses=problems(404), response_model_exclude_none=True)
async def search(body: SearchRequest, service: Querying) -> SearchResponse:
    """Hybrid, dense or lexical search. With `explain`, each stage's rank and score and its milliseconds are shown."""
    settings = service.settings
    if len(body.query) > settings.answer.max_question_chars:
        raise InvalidInput(
            f"The query has {len(body.query)} characters; at most {settings.answer.max_question_chars} are allowed."
        )
    if body.limit > settings.search.max_limit:
        raise InvalidInput(f"limit is {body.limit}; at most {settings.search.max_limit} hits are given (search.max_limit).")
    query = SearchQuery(
        text=body.query,
        collection_id=await service.pages.collection_id(body.collection),
        limit=body.limit,
        mode=body.mode,
        url_prefix=body.filters.url_prefix,
        language=body.filters.language,
    )
    started = time.perf_counter()
    reranker = service.reranker if body.rerank and body.mode is not SearchMode.LEXICAL else None
    result = await retrieve(query, searcher=service.searcher, reranker=reranker, candidates=settings.search.rerank_candidates)
    service.metrics.searched(result.timings_ms)
    elapsed_ms = (time.perf_counter() - started) * 1000
    tell_if_slow(settings.server, "search", body.query, result.timings_ms, elapsed_ms=elapsed_ms)
    hits = [HitBody.of(hit, explain=body.explain) for hit in result.hits]
    return SearchResponse(
        hits=hits, reranked="rerank" in result.timings_ms, timings_ms=result.timings_ms if body.explain else None
    )
