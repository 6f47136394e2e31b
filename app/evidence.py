"""Evidence first: which sentences of the retrieved chunks speak to the question, and how well.

Everything afterwards rests on this: whether to answer at all, what the model may say, what is quoted. Measured on XQuAD-en
(80 cases): the best single sentence by embedding holds the gold answer in 87% of cases, a 270M base model's own answer in 38%.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus.embedding import Embedder
from corpus.model import Chunk
from corpus.search import SearchResult
from corpus.sentences import sentence_spans

MIN_QUOTE_CHARS = 12  # shorter units ("See also.", "Yes.") say nothing on their own


@dataclass(frozen=True, slots=True)
class Sentence:
    """A citable unit of a page. ``start`` and ``end`` count in the page's text: ``page.text[start:end] == text``.

    ``score`` is the cosine of question and sentence, in [-1, 1].
    """

    chunk: Chunk
    start: int
    end: int
    text: str
    score: float = 0.0


class EvidenceFinder:
    def __init__(self, *, embedder: Embedder) -> None:
        self._embedder = embedder

    async def find(self, result: SearchResult) -> list[Sentence]:
        """All sentences of the hits' chunks, best first. Empty without hits, or where the query wasn't embedded."""
        if result.query_embedding is None:
            return []
        question = result.query_embedding.vector
        sentences = distinct_sentences([hit.chunk for hit in result.hits])
        vectors = await asyncio.to_thread(self._embedder.embed_sentences, [_in_context(s) for s in sentences])
        scored = [
            Sentence(s.chunk, s.start, s.end, s.text, float(score))
            for s, score in zip(sentences, np.asarray(vectors) @ question, strict=True)
        ]
        return sorted(scored, key=lambda s: (-s.score, s.chunk.page_id, s.start))


def distinct_sentences(chunks: Sequence[Chunk]) -> list[Sentence]:
    """The citable units of some chunks, each place of a page once, however many chunks overlap there."""
    seen: set[tuple[str, int, int]] = set()
    sentences = []
    for chunk in chunks:
        for start, end in sentence_spans(chunk.text):
            place = (chunk.page_id, chunk.start + start, chunk.start + end)
            if end - start >= MIN_QUOTE_CHARS and place not in seen:
                seen.add(place)
                sentences.append(Sentence(chunk, place[1], place[2], chunk.text[start:end]))
    return sentences


def _in_context(sentence: Sentence) -> str:
    """What is embedded of a sentence: with the heading it stands under, for "It returns None." means little without."""
    heading = sentence.chunk.heading_path[-1] if sentence.chunk.heading_path else sentence.chunk.title
    return f"{heading}: {sentence.text}" if heading else sentence.text
