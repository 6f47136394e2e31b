"""What puts the first stage's hits in a better order. Built in is late interaction: MaxSim over the embedder's token vectors
(Khattab & Zaharia, "ColBERT", SIGIR 2020); ``app/cross_encoder.py`` holds the other kind.

Used zero-shot, fused with the first stage by a convex combination; ``docs/retrieval.md`` tells what it gains.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from corpus.embedding import Float32
from corpus.fusion import convex, ranked
from corpus.model import StageScore
from corpus.search import SearchResult
from corpus.store import PackedTokens, TokenStore


class Reranker(Protocol):
    name: str

    async def rerank(self, result: SearchResult, *, limit: int) -> SearchResult:
        """The best ``limit`` hits in their new order, each with the stage ``rerank``."""
        ...


class MaxSimReranker:
    name = "maxsim"

    def __init__(self, *, tokens: TokenStore, weight: float) -> None:
        """``weight`` of MaxSim against the first stage's scores, in [0, 1]."""
        self._tokens = tokens
        self._weight = weight

    async def rerank(self, result: SearchResult, *, limit: int) -> SearchResult:
        """The best ``limit`` hits in their new order. Hits without token vectors keep their first-stage score alone."""
        if result.query_embedding is None or not result.hits:
            return replace(result, hits=result.hits[:limit])
        started = time.perf_counter()
        similarity = await asyncio.to_thread(self._score, result.query_embedding.tokens, [hit.chunk.id for hit in result.hits])
        return reordered(result, similarity, weight=self._weight, limit=limit, started=started)

    def _score(self, query: Float32, chunk_ids: list[str]) -> dict[str, float]:
        packed = self._tokens.load_packed(chunk_ids, dimension=query.shape[1])
        return max_sims(query, packed) if packed else {}


def reordered(result: SearchResult, scores: Mapping[str, float], *, weight: float, limit: int, started: float) -> SearchResult:
    """The best ``limit`` hits by a convex combination of a reranker's ``scores`` (by chunk id) and the first stage's. A hit
    that wasn't scored keeps its first-stage score alone. ``started``: when reranking began, by ``time.perf_counter``."""
    combined = convex(scores, {hit.chunk.id: hit.score for hit in result.hits}, first_weight=weight)
    ranks = {chunk_id: rank for rank, chunk_id in enumerate(ranked(scores), start=1)}
    by_id = {hit.chunk.id: hit for hit in result.hits}
    hits = []
    for chunk_id in ranked(combined)[:limit]:
        hit = by_id[chunk_id]
        stages = dict(hit.stages)
        if chunk_id in scores:
            stages["rerank"] = StageScore(ranks[chunk_id], scores[chunk_id])
        hits.append(replace(hit, score=combined[chunk_id], stages=stages))
    return replace(result, hits=hits, timings_ms={**result.timings_ms, "rerank": (time.perf_counter() - started) * 1000})


def max_sims(query: Float32, passages: PackedTokens) -> dict[str, float]:
    """:func:`max_sim` of each passage, in one product: a third of the time that it takes one by one."""
    if not len(query):
        return dict.fromkeys(passages.ids, 0.0)
    cosines = passages.values.astype(np.float32) @ query.T
    cosines *= passages.scales[:, None]
    starts = np.cumsum([0, *passages.counts[:-1]])
    best = np.maximum.reduceat(cosines, starts, axis=0).mean(axis=1)
    return {chunk_id: float(score) for chunk_id, score in zip(passages.ids, best, strict=True)}


def max_sim(query: Float32, passage: Float32) -> float:
    """Mean over the query's tokens of the greatest cosine with any of the passage's. Shapes (q, d) and (p, d)."""
    if not len(query) or not len(passage):
        return 0.0
    return float(np.max(query @ passage.T, axis=1).mean())
