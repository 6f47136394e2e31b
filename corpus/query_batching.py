"""Queries that are asked at the same time are embedded in one forward pass.

Nothing is waited for: a query that comes alone is embedded at once. Those that come meanwhile share the next pass, which costs
little more than one of them would: on two cores, 16 queries together take about six times as long as one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from corpus.embedding import Embedder, Embedding

MOST_TOGETHER = 16  # beyond that a query's share of the pass falls no further on a CPU
SHORT_CHARS = 128


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str
    embedding: asyncio.Future[Embedding]


class QueryBatcher:
    """For one event loop. A caller may be cancelled at any time: its query is dropped, or its embedding not looked at."""

    def __init__(self, *, embedder: Embedder) -> None:
        self._embedder = embedder
        self._waiting: list[_Asked] = []
        self._working: asyncio.Task[None] | None = None

    async def embed(self, text: str) -> Embedding:
        """The query's embedding. Raises: what the embedder raises for this very query."""
        asked = _Asked(text, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await asked.embedding

    async def _work(self) -> None:
        try:
            while batch := self._next_batch():
                await self._embed(batch)
        finally:
            self._working = None

    def _next_batch(self) -> list[_Asked]:
        """The query that has waited longest, and those of about its length: a batch is padded to its longest text, so beside
        a pasted page a question would cost as much as the page."""
        self._waiting = [asked for asked in self._waiting if not asked.embedding.done()]
        batch = [asked for asked in self._waiting if _size(asked.text) == _size(self._waiting[0].text)][:MOST_TOGETHER]
        self._waiting = [asked for asked in self._waiting if asked not in batch]
        return batch

    async def _embed(self, batch: list[_Asked]) -> None:
        texts = [asked.text for asked in batch]
        passing = asyncio.ensure_future(asyncio.to_thread(self._embedder.embed_queries, texts))
        await asyncio.wait([passing])
        error = passing.exception()
        if error and len(batch) > 1:  # no query fails for one that happened to be beside it
            for asked in batch:
                await self._embed([asked])
        elif error:
            _settle(batch[0], error)
        else:
            for asked, embedding in zip(batch, passing.result(), strict=True):
                _settle(asked, embedding)


def _settle(asked: _Asked, outcome: Embedding | BaseException) -> None:
    if asked.embedding.done():  # nobody waits for it any more
        return
    if isinstance(outcome, Embedding):
        asked.embedding.set_result(outcome)
    else:
        asked.embedding.set_exception(outcome)


def _size(text: str) -> int:
    """Texts of one size differ in length by less than a factor of two, or are all short."""
    return max(len(text), SHORT_CHARS - 1).bit_length()
