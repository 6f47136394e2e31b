"""Late interaction over stored token vectors."""

from __future__ import annotations

import numpy as np
import pytest

from app.reranker import MaxSimReranker, max_sim, max_sims
from corpus.model import SearchMode
from corpus.search import SearchQuery
from corpus.store import PackedTokens
from tests.shelf import Shelf, urls


def test_max_sim_golden() -> None:
    query = np.array([[1, 0], [0, 1]], dtype=np.float32)
    passage = np.array([[0.6, 0.8], [1, 0], [-1, 0]], dtype=np.float32)
    assert max_sim(query, passage) == pytest.approx((1.0 + 0.8) / 2)
    assert max_sim(query, passage[2:]) == pytest.approx((-1.0 + 0.0) / 2)


def test_max_sim_of_nothing_is_nothing() -> None:
    some, none = np.ones((2, 2), dtype=np.float32), np.zeros((0, 2), dtype=np.float32)
    assert max_sim(none, some) == max_sim(some, none) == 0.0


def test_max_sim_does_not_depend_on_the_order_of_tokens() -> None:
    rng = np.random.default_rng(3)
    query, passage = rng.standard_normal((4, 8)).astype(np.float32), rng.standard_normal((9, 8)).astype(np.float32)
    assert max_sim(query[::-1], passage[::-1]) == pytest.approx(max_sim(query, passage))


def test_max_sims_in_one_product_are_those_one_by_one() -> None:
    rng = np.random.default_rng(5)
    counts = [3, 1, 7]
    values = rng.integers(-127, 128, (sum(counts), 8), dtype=np.int8)
    scales = rng.random(sum(counts), dtype=np.float32)
    query = rng.standard_normal((4, 8)).astype(np.float32)
    scores = max_sims(query, PackedTokens(["a", "b", "c"], counts, values, scales))
    matrices = np.split(values.astype(np.float32) * scales[:, None], np.cumsum(counts)[:-1])
    assert scores == pytest.approx({name: max_sim(query, matrix) for name, matrix in zip("abc", matrices, strict=True)})
    assert max_sims(query[:0], PackedTokens(["a"], [3], values[:3], scales[:3])) == {"a": 0.0}


async def fill(shelf: Shelf) -> None:
    await shelf.put(
        "https://a.example/all",
        "red fox jumps over fence tonight with many other words around it to thin out the vector entirely",
    )
    await shelf.put("https://a.example/some", "red fox")
    await shelf.put("https://a.example/none", "blue whale sings")


async def test_the_stage_tells_its_rank_and_score_and_the_order_follows_the_fusion(shelf: Shelf) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery("red fox fence", shelf.collection, mode=SearchMode.DENSE))
    assert urls(found.hits) == ["https://a.example/some", "https://a.example/all", "https://a.example/none"]
    reranked = await MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=1.0).rerank(found, limit=10)
    # Every token of the query has its equal in the longer page: the mean of the best cosines is 1, int8 rounding aside.
    assert urls(reranked.hits)[0] == "https://a.example/all"
    stage = reranked.hits[0].stages["rerank"]
    assert (stage.rank, stage.score) == (1, pytest.approx(1.0, abs=5e-3))
    assert {"dense", "fusion", "rerank"} <= set(reranked.hits[0].stages)
    assert "rerank" in reranked.timings_ms
    assert [hit.score for hit in reranked.hits] == sorted((hit.score for hit in reranked.hits), reverse=True)


async def test_weight_zero_keeps_the_first_stages_order(shelf: Shelf) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery("red fox fence", shelf.collection))
    reranked = await MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=0.0).rerank(found, limit=10)
    assert urls(reranked.hits) == urls(found.hits)


async def test_the_limit_holds_and_picks_the_best(shelf: Shelf) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery("red fox fence", shelf.collection))
    reranker = MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=1.0)
    assert urls((await reranker.rerank(found, limit=1)).hits) == urls((await reranker.rerank(found, limit=10)).hits)[:1]


async def test_hits_whose_token_vectors_are_gone_keep_their_first_stage_score(shelf: Shelf) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery("red fox fence", shelf.collection))
    gone = found.hits[0].chunk.id
    shelf.corpus.index.tokens.delete([gone])
    reranked = await MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=0.5).rerank(found, limit=10)
    assert {hit.chunk.id for hit in reranked.hits} == {hit.chunk.id for hit in found.hits}
    assert next("rerank" not in hit.stages for hit in reranked.hits if hit.chunk.id == gone)


async def test_lexical_search_has_no_query_vectors_to_rerank_by(shelf: Shelf) -> None:
    await fill(shelf)
    found = await shelf.searcher.search(SearchQuery("red fox fence", shelf.collection, mode=SearchMode.LEXICAL))
    reranked = await MaxSimReranker(tokens=shelf.corpus.index.tokens, weight=1.0).rerank(found, limit=1)
    assert reranked.hits == found.hits[:1]
