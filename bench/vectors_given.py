"""Texts and vectors made beforehand, in the shapes in which a crawl hands them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from bench.synthetic import DIMENSION
from corpus.embedding import EmbedderStamp, Embedding, Float32, TokenOffsets
from corpus.generations import NewPage
from corpus.model import Block, BlockKind, ChunkSpan, PageText

_NO_TOKENS = np.zeros((0, DIMENSION), dtype=np.float32)


class GivenVectors:
    """An embedder that computes nothing: the next of ``passages`` for each passage, ``query`` for every query."""

    def __init__(self) -> None:
        self.stamp = EmbedderStamp("given", "1", DIMENSION, 256, True, "", "")
        self.tokenizer = TokenOffsets(
            backend=Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")), max_tokens=256, special_tokens=2
        )
        self.passages: Iterator[Float32] = iter(())
        self.query: Float32 = _NO_TOKENS

    def embed_query(self, text: str) -> Embedding:
        return Embedding(vector=self.query, tokens=_NO_TOKENS)

    def embed_queries(self, texts: Sequence[str]) -> list[Embedding]:
        return [self.embed_query(text) for text in texts]

    def embed_passages(self, texts: Sequence[str]) -> list[Embedding]:
        return [Embedding(vector=next(self.passages), tokens=_NO_TOKENS) for _ in texts]

    def embed_sentences(self, texts: Sequence[str]) -> Float32:
        return np.stack([next(self.passages) for _ in texts])

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return []


def new_page(collection_id: int, number: int, chunks: Sequence[str]) -> NewPage:
    """A page whose paragraphs are the chunks."""
    blocks: list[Block] = []
    spans: list[ChunkSpan] = []
    start = 0
    for ordinal, chunk in enumerate(chunks):
        blocks.append(Block(BlockKind.PARAGRAPH, start, start + len(chunk)))
        spans.append(ChunkSpan(ordinal, start, start + len(chunk), (), chunk, len(chunk.split())))
        start += len(chunk) + 2
    page = PageText(title=f"Page {number}", text="\n\n".join(chunks), blocks=tuple(blocks), language="en")
    url = f"http://site/{number // 100}/{number}.html"
    return NewPage(collection_id, url, page, spans, [], None, None, datetime.now(UTC), None)
