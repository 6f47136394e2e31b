"""Queries asked at the same time share forward passes; who asks alone, fails or leaves has nothing to do with the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from corpus.embedding import Embedding
from corpus.query_batching import MOST_TOGETHER, QueryBatcher
from tests.fakes import FakeEmbedder

TIMEOUT_S = 60.0


class SlowEmbedder(FakeEmbedder):
    """Notes what each pass was given, and holds every pass until it is let go."""

    def __init__(self) -> None:
        super().__init__(dimension=8)
        self.passes: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()

    def embed_queries(self, texts: Sequence[str]) -> list[Embedding]:
        self.passes.append(list(texts))
        self.begun.release()
        assert self.let_go.wait(TIMEOUT_S)
        if "bad" in texts:
            raise ValueError("a bad query")
        return super().embed_queries(texts)


@pytest.fixture
def embedder() -> SlowEmbedder:
    return SlowEmbedder()


async def ask_beside(embedder: SlowEmbedder, batcher: QueryBatcher, *texts: str) -> list[asyncio.Task[Embedding]]:
    """Ask for ``texts`` while a first query is being embedded, and wait until all of them are queued."""
    first = asyncio.create_task(batcher.embed("first"))
    assert await asyncio.to_thread(embedder.begun.acquire, timeout=TIMEOUT_S)
    asked = [asyncio.create_task(batcher.embed(text)) for text in texts]
    await asyncio.sleep(0)
    return [first, *asked]


async def test_a_query_alone_is_embedded_at_once(embedder: SlowEmbedder) -> None:
    embedder.let_go.set()
    batcher = QueryBatcher(embedder=embedder)
    for text in ("one", "two"):
        assert (await batcher.embed(text)).vector == pytest.approx(embedder.embed_query(text).vector)
    assert embedder.passes == [["one"], ["two"]]


async def test_those_that_come_meanwhile_share_the_next_pass_and_each_gets_its_own(embedder: SlowEmbedder) -> None:
    texts = [f"query {number}" for number in range(MOST_TOGETHER + 1)]
    tasks = await ask_beside(embedder, QueryBatcher(embedder=embedder), *texts)
    embedder.let_go.set()
    for text, embedding in zip(["first", *texts], await asyncio.gather(*tasks), strict=True):
        assert embedding.vector == pytest.approx(embedder.embed_query(text).vector)
    assert embedder.passes == [["first"], texts[:MOST_TOGETHER], texts[MOST_TOGETHER:]]


async def test_a_pasted_page_is_not_what_questions_are_padded_to(embedder: SlowEmbedder) -> None:
    page = "a pasted page " * 500
    tasks = await ask_beside(embedder, QueryBatcher(embedder=embedder), "one", page, "two")
    embedder.let_go.set()
    await asyncio.gather(*tasks)
    assert embedder.passes == [["first"], ["one", "two"], [page]]


async def test_the_longest_waiting_goes_first_with_those_nearest_in_length(embedder: SlowEmbedder) -> None:
    texts = [
        letter * length
        for letter, length in zip("abcdefghijkl", (100, 60, 190, 90, 40, 120, 99, 101, 150, 98, 300, 95), strict=True)
    ]
    tasks = await ask_beside(embedder, QueryBatcher(embedder=embedder), *texts)
    embedder.let_go.set()
    await asyncio.gather(*tasks)
    passes = ["".join(text[0] for text in together) for together in embedder.passes[1:]]
    assert passes == ["aghjldfb", "cik", "e"]


async def test_one_that_is_cancelled_is_left_out_and_harms_nobody(embedder: SlowEmbedder) -> None:
    batcher = QueryBatcher(embedder=embedder)
    first, leaves, stays = await ask_beside(embedder, batcher, "leaves", "stays")
    first.cancel()  # while its pass is running
    leaves.cancel()  # while it waits
    await asyncio.sleep(0)
    embedder.let_go.set()
    assert (await stays).vector == pytest.approx(embedder.embed_query("stays").vector)
    assert first.cancelled()
    assert leaves.cancelled()
    assert embedder.passes == [["first"], ["stays"]]
    await batcher.embed("later")


async def test_a_query_that_fails_fails_alone(embedder: SlowEmbedder) -> None:
    batcher = QueryBatcher(embedder=embedder)
    tasks = await ask_beside(embedder, batcher, "good", "bad")
    embedder.let_go.set()
    _, good, bad = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(good, Embedding)
    assert isinstance(bad, ValueError)
    assert (await batcher.embed("later")).vector == pytest.approx(embedder.embed_query("later").vector)
