"""The prompts that the service gave its model, built again from what it sent, in a process of its own.

The `retrieval` event of an answer holds the chunks; evidence, passages and prompt follow from them by the service's own code.
Only the fence's marker differs, as it does between any two requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from app.evidence import EvidenceFinder
from app.llm.llamacpp import most_tokens
from app.prompts import chat_prompt, completion_prompt, passages_around
from bench.clean_process import Body, serve_requests
from corpus.embedding import SentenceTransformerEmbedder
from corpus.model import Chunk, Hit
from corpus.search import SearchResult
from corpus.token_vectors import SqliteTokenStore


class PromptBuilder:
    def load(self, *, embedder: str, device: str, batch_size: int, tokens: str) -> Body:
        self._embedder = SentenceTransformerEmbedder.load(name=embedder, device=device, batch_size=batch_size)
        self._evidence = EvidenceFinder(embedder=self._embedder, tokens=SqliteTokenStore(path=Path(tokens)))
        return {}

    def build(self, *, question: str, hits: Sequence[dict[str, Any]], budget_tokens: int, style: str) -> Body:
        result = SearchResult(
            text=question,
            hits=[Hit(chunk=_chunk(hit), score=hit["score"]) for hit in hits],
            query_embedding=self._embedder.embed_query(question),
        )
        sentences = asyncio.run(self._evidence.find(result))
        passages = passages_around(sentences, sentences, budget_tokens=budget_tokens, count=most_tokens)
        return {"prompt": (chat_prompt if style == "chat" else completion_prompt)(question, passages)}


def _chunk(hit: dict[str, Any]) -> Chunk:
    return Chunk(
        id=hit["chunk_id"],
        page_id=hit["page_id"],
        generation=0,
        ordinal=0,
        start=hit["start"],
        end=hit["end"],
        text=hit["text"],
        heading_path=tuple(hit["heading_path"]),
        url=hit["url"],
        title=hit["title"],
        language=None,
        content_hash=hit["content_hash"],
        fetched_at=datetime.fromisoformat(hit["fetched_at"]),
    )


if __name__ == "__main__":
    builder = PromptBuilder()
    serve_requests({"load": builder.load, "build": builder.build})
