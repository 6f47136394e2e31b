"""``python -m bench.late_interaction SITE``: MaxSim of 50 candidates, token vectors recomputed or stored in several forms.

The first line is the service's own way: the stored bytes of all candidates, scored in one product. The others score one by
one, for memory against time: recomputing stores nothing and takes seconds, float32 in memory is the largest. numpy's products
are measured with one thread, as the service has it, and with as many as there are cores, which is numpy's default.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from app.reranker import max_sim, max_sims
from bench import machine, synthetic
from bench.errors import BenchError
from bench.report import Goal, Line, Section, bytes_text, median, p50_p95, ratio, table
from corpus.embedding import Embedding, Float32, SentenceTransformerEmbedder
from corpus.settings import IndexSettings
from corpus.token_vectors import SqliteTokenStore
from corpus.weights import MINILM

RECOMPUTED = 1  # query: it takes seconds
WARM_UPS = 3
GOAL = Goal("at most", 60.0, " ms")
Load = Callable[[list[str]], dict[str, Float32]]
Score = Callable[[Embedding, list[str]], dict[str, float]]


def measure(sentences: list[str], folder: Path, *, chunks: int, candidates: int, queries: int, seed: int) -> Section:
    """``candidates`` of ``chunks`` texts are drawn anew for each query."""
    chance = random.Random(seed)
    embedder = SentenceTransformerEmbedder.load(name=MINILM, batch_size=IndexSettings().embed_batch_size)
    synthetic.write_texts(folder / "texts.jsonl", sentences, count=chunks, seed=seed)
    texts = {f"{number:032x}": text for number, text in enumerate(synthetic.read_texts(folder / "texts.jsonl"))}
    tokens = {key: e.tokens for key, e in zip(texts, embedder.embed_passages(list(texts.values())), strict=True)}
    asked = [embedder.embed_query(text) for text in synthetic.queries(sentences, count=queries, seed=seed)]
    drawn = [chance.sample(list(texts), min(candidates, chunks)) for _ in asked]

    store = SqliteTokenStore(path=folder / "int8.sqlite")
    store.upsert(list(tokens), list(tokens.values()))
    with closing(_float_store(folder / "float32.sqlite", tokens)) as floats:

        def load_float32(keys: list[str]) -> dict[str, Float32]:
            marks = ",".join("?" * len(keys))
            rows = floats.execute(f"SELECT id, tokens FROM tokens WHERE id IN ({marks})", keys).fetchall()
            return {key: np.frombuffer(blob, dtype=np.float32).reshape(-1, synthetic.DIMENSION) for key, blob in rows}

        def recompute(keys: list[str]) -> dict[str, Float32]:
            embedded = embedder.embed_passages([texts[key] for key in keys])
            return {key: embedding.tokens for key, embedding in zip(keys, embedded, strict=True)}

        counts = [len(matrix) for matrix in tokens.values()]
        float_bytes = 4 * synthetic.DIMENSION * sum(counts) // chunks
        int8_bytes = (synthetic.DIMENSION + 4) * sum(counts) // chunks

        def in_one_product(query: Embedding, keys: list[str]) -> dict[str, float]:
            packed = store.load_packed(keys, dimension=synthetic.DIMENSION)
            return max_sims(query.tokens, packed) if packed else {}

        int8_ms = _times(in_one_product, asked, drawn, threads=1)
        lines = [Line("int8 in SQLite (taken), a chunk " + bytes_text(int8_bytes), p50_p95(int8_ms), "", median(int8_ms), GOAL)]
        ms = _times(in_one_product, asked, drawn, threads=machine.cores())
        lines.append(Line("the same, numpy's own number of threads", p50_p95(ms), "", ratio(median(ms), median(int8_ms))))

        def remember(keys: list[str]) -> dict[str, Float32]:
            return {key: tokens[key] for key in keys}

        others: list[tuple[str, int, Load, int]] = [
            ("int8 in SQLite, one by one", int8_bytes, store.load, len(asked)),
            ("float32 in SQLite, one by one", float_bytes, load_float32, len(asked)),
            ("float32 in memory, one by one", float_bytes, remember, len(asked)),
            ("recomputed", 0, recompute, RECOMPUTED),
        ]
        for name, size, load, count in others:
            ms = _times(partial(_scores, load), asked[:count], drawn, threads=1)
            lines.append(Line(f"{name}, a chunk {bytes_text(size)}", p50_p95(ms), "", ratio(median(ms), median(int8_ms))))
        errors = []
        for query, keys in zip(asked, drawn, strict=True):
            stored, exact = in_one_product(query, keys), _scores(remember, query, keys)
            errors += [abs(stored[key] - exact[key]) for key in keys]
    store.close()
    return Section(
        f"MaxSim of {len(drawn[0])} candidates; ratios are to int8",
        lines,
        (
            f"{len(asked)} queries over {chunks} chunks of {sum(counts) / chunks:.0f} tokens that count.",
            f"The service's way at best: {min(int8_ms):.1f} ms.",
            f"int8 changes a score by {max(errors):.5f} at most.",
        ),
    )


def _scores(load: Load, query: Embedding, keys: list[str]) -> dict[str, float]:
    return {key: max_sim(query.tokens, matrix) for key, matrix in load(keys).items()}


def _times(score: Score, queries: Sequence[Embedding], drawn: Sequence[list[str]], *, threads: int) -> list[float]:
    """Milliseconds for each query, loading and scoring."""
    ms = []
    with threadpool_limits(threads, user_api="blas"):
        for query, keys in list(zip(queries, drawn, strict=False))[:WARM_UPS]:
            score(query, keys)
        for query, keys in zip(queries, drawn, strict=False):
            began = time.perf_counter()
            score(query, keys)
            ms.append((time.perf_counter() - began) * 1000)
    return ms


def _float_store(path: Path, tokens: dict[str, Float32]) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE tokens (id TEXT PRIMARY KEY, tokens BLOB) WITHOUT ROWID")
    connection.executemany("INSERT INTO tokens VALUES (?, ?)", [(key, matrix.tobytes()) for key, matrix in tokens.items()])
    connection.commit()
    return connection


def main() -> int:
    arguments = _arguments()
    try:
        sentences = synthetic.sentences_of(arguments.site)
        with tempfile.TemporaryDirectory(prefix="footnote-bench-") as folder:
            found = measure(
                sentences,
                Path(folder),
                chunks=arguments.chunks,
                candidates=arguments.candidates,
                queries=arguments.queries,
                seed=arguments.seed,
            )
    except (BenchError, OSError) as exc:
        print(f"The benchmark broke off: {exc}", file=sys.stderr)
        return 1
    print(table([found]))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.late_interaction", description="Measure MaxSim, stored and recomputed."
    )
    parser.add_argument("site", type=Path, metavar="SITE", help="a folder of HTML pages, whose sentences make the texts")
    parser.add_argument("--chunks", type=int, default=150, help="chunks that candidates are drawn from (150)")
    parser.add_argument("--candidates", type=int, default=50, help="of each query (50)")
    parser.add_argument("--queries", type=int, default=30, help="searches (30)")
    parser.add_argument("--seed", type=int, default=1, help="of texts and queries (1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
