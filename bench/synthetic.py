"""A corpus of any size: texts put together from a site's own sentences, and random vectors.

Words are as frequent as on the site, which is what BM25 depends on. The vectors mean nothing: embedding 100,000 chunks takes
an hour and a half on two cores, and how long an exact index takes doesn't depend on where its vectors point.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.errors import BenchError
from bench.site import pages_of
from bench.stored import fragment
from corpus.embedding import Float32
from corpus.errors import PermanentError
from corpus.sentences import sentence_spans
from ingest.extract.document import extract

DIMENSION = 384  # as of the built-in embedder
CHUNK_WORDS = (40, 160)
MOST_SENTENCES = 20_000
LEAST_SENTENCES = 100
SENTENCE_WORDS = (4, 60)
_QUERIES, _CHUNKS = 0, 1  # seeds


def sentences_of(site: Path) -> list[str]:
    """Distinct sentences of a folder's HTML pages, in their order. Raises: BenchError, if there are too few."""
    found: dict[str, None] = {}
    for file in pages_of(site):
        try:
            page = extract((site / file).read_bytes(), url=f"http://site/{file}", content_type="text/html", charset=None).page
        except PermanentError:
            continue
        for start, end in sentence_spans(page.text):
            sentence = " ".join(page.text[start:end].split())
            if SENTENCE_WORDS[0] <= len(sentence.split()) <= SENTENCE_WORDS[1]:
                found[sentence] = None
        if len(found) >= MOST_SENTENCES:
            break
    if len(found) < LEAST_SENTENCES:
        raise BenchError(f"{site} has {len(found)} sentences; at least {LEAST_SENTENCES} are needed. Name a larger site.")
    return list(found)


def write_texts(path: Path, sentences: Sequence[str], *, count: int, seed: int) -> None:
    """``count`` texts as JSON strings, one a line."""
    chance = random.Random(seed)
    with path.open("w") as file:
        for _ in range(count):
            file.write(json.dumps(_text(sentences, chance)) + "\n")


def read_texts(path: Path) -> Iterator[str]:
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def queries(sentences: Sequence[str], *, count: int, seed: int) -> list[str]:
    """A few consecutive words of a sentence each."""
    chance = random.Random(f"queries {seed}")
    return [fragment(chance.choice(sentences), chance) for _ in range(count)]


def chunk_vectors(count: int) -> Float32:
    return _unit_vectors(_CHUNKS, count)


def query_vectors(count: int) -> Float32:
    return _unit_vectors(_QUERIES, count)


def _unit_vectors(seed: int, count: int) -> Float32:
    """Shape (count, DIMENSION), the same for the same seed."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _text(sentences: Sequence[str], chance: random.Random) -> str:
    wanted = chance.randint(*CHUNK_WORDS)
    chosen: list[str] = []
    while sum(sentence.count(" ") + 1 for sentence in chosen) < wanted:
        chosen.append(chance.choice(sentences))
    return " ".join(chosen)
