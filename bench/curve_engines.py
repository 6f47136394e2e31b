"""One engine of the curves in a process of its own: ``build`` it from texts on disk, or ``open`` what was built and ``search``.

Each raw library is used as its documentation shows it. All give the ids of the best ``limit``; queries' vectors are ready made.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.clean_process import Body, serve_requests
from bench.synthetic import DIMENSION, chunk_vectors, query_vectors, read_texts

INSERT_ROWS = 1000
PAGE_CHUNKS = 20
COMMIT_CHUNKS = 160  # about what a crawl writes at once


class Engine(Protocol):
    def build(self, texts: Sequence[str], folder: Path) -> None: ...

    def open(self, folder: Path) -> None: ...

    def search(self, text: str, vector: Any, limit: int) -> None: ...

    def close(self) -> None: ...


class Footnote:
    """The whole first stage but for the embedder, written as a crawl writes and asked as ``/v1/search`` asks: ``limit``
    candidates from each index, and of them the hits that the reranker sees, with their texts. Token vectors are left out."""

    def build(self, texts: Sequence[str], folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._build(texts, folder))

    def open(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._loop.run_until_complete(self._open(folder))

    def search(self, text: str, vector: Any, limit: int, mode: str = "hybrid") -> None:
        from corpus.model import SearchMode
        from corpus.search import SearchQuery

        self._embedder.query = vector
        hits = min(limit, self._settings.rerank_candidates)
        query = SearchQuery(text=text, collection_id=self._collection_id, limit=hits, mode=SearchMode(mode))
        self._loop.run_until_complete(self._searcher.search(query))

    def search_lexically(self, text: str, vector: Any, limit: int) -> None:
        self.search(text, vector, limit, "lexical")

    def close(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()

    async def _open(self, folder: Path) -> None:
        from bench.vectors_given import GivenVectors
        from corpus.database import Database, sqlite_url
        from corpus.datadir import DataDirectory
        from corpus.generations import GenerationWriter
        from corpus.index_homes import LocalIndexes
        from corpus.pages import DEFAULT_COLLECTION, Pages
        from corpus.search import Searcher
        from corpus.settings import Settings

        directory = self._stack.enter_context(DataDirectory(folder))
        database = await self._stack.enter_async_context(Database(url=sqlite_url(directory.database)))
        await database.migrate()
        index = LocalIndexes(directory).open(dimension=DIMENSION)
        self._stack.callback(index.close)
        self._embedder = GivenVectors()
        self._writer = GenerationWriter(database=database, index=index, embedder=self._embedder)
        pages = Pages(database=database, writer=self._writer)
        await pages.ensure_collection(DEFAULT_COLLECTION)
        self._collection_id = await pages.collection_id(DEFAULT_COLLECTION)
        self._settings = Settings(data_dir=folder).search
        self._searcher = Searcher(database=database, index=index, embedder=self._embedder, settings=self._settings)

    async def _build(self, texts: Sequence[str], folder: Path) -> None:
        from bench.vectors_given import new_page

        self._stack = AsyncExitStack()
        await self._open(folder)
        self._embedder.passages = iter(chunk_vectors(len(texts)))
        for first in range(0, len(texts), COMMIT_CHUNKS):
            some = range(first, min(first + COMMIT_CHUNKS, len(texts)), PAGE_CHUNKS)
            pages = [new_page(self._collection_id, begin, texts[begin : begin + PAGE_CHUNKS]) for begin in some]
            await self._writer.commit(pages, on_flip=_nothing_else)


async def _nothing_else(*_: object) -> None:
    """What must be true together with a page's change: here only the change itself."""


class Milvus:
    """Milvus Lite, FLAT, which is exact, without the filter by collection that every search of ours has."""

    def build(self, texts: Sequence[str], folder: Path) -> None:
        from pymilvus import DataType, MilvusClient

        self._folder = folder
        self._client = MilvusClient(str(folder / "milvus.db"))
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        self._client.create_collection("bare", schema=schema, index_params=index)
        rows = [{"id": str(number), "vector": vector} for number, vector in enumerate(chunk_vectors(len(texts)))]
        for begin in range(0, len(rows), INSERT_ROWS):
            self._client.insert("bare", rows[begin : begin + INSERT_ROWS])
        self._client.flush("bare")

    def open(self, folder: Path) -> None:
        from pymilvus import MilvusClient

        self._folder = folder
        self._client = MilvusClient(str(folder / "milvus.db"))
        self._client.load_collection("bare")

    def search(self, text: str, vector: Any, limit: int) -> None:
        self._client.search("bare", data=[vector], anns_field="vector", limit=limit, output_fields=[])

    def close(self) -> None:
        from milvus_lite.server_manager import server_manager_instance

        self._client.close()
        server_manager_instance.release_server(str(self._folder / "milvus.db"))  # else its indexing would be cut off


class Tantivy:
    def build(self, texts: Sequence[str], folder: Path) -> None:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
        index = tantivy.Index(builder.build(), path=str(folder))
        writer = index.writer(heap_size=128_000_000, num_threads=1)
        for number, text in enumerate(texts):
            writer.add_document(tantivy.Document(id=[str(number)], text=[text]))
        writer.commit()
        writer.wait_merging_threads()

    def open(self, folder: Path) -> None:
        import tantivy

        self._index = tantivy.Index.open(str(folder))

    def search(self, text: str, vector: Any, limit: int) -> None:
        query, _ = self._index.parse_query_lenient(text, ["text"])
        searcher = self._index.searcher()
        for _, address in searcher.search(query, limit=limit, count=False).hits:
            searcher.doc(address)

    def close(self) -> None: ...


class Bm25s:
    def build(self, texts: Sequence[str], folder: Path) -> None:
        import bm25s

        index = bm25s.BM25()
        index.index(bm25s.tokenize(list(texts), stopwords="en", show_progress=False), show_progress=False)
        index.save(str(folder))

    def open(self, folder: Path) -> None:
        import bm25s

        self._index = bm25s.BM25.load(str(folder))

    def search(self, text: str, vector: Any, limit: int) -> None:
        import bm25s

        self._index.retrieve(bm25s.tokenize(text, stopwords="en", show_progress=False), k=limit, show_progress=False)

    def close(self) -> None: ...


class RankBm25:
    """It can't be saved, so opening builds it again."""

    def build(self, texts: Sequence[str], folder: Path) -> None:
        from rank_bm25 import BM25Okapi

        BM25Okapi([text.lower().split() for text in texts])
        (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))

    def open(self, folder: Path) -> None:
        from rank_bm25 import BM25Okapi

        self._index = BM25Okapi([text.lower().split() for text in read_texts(folder / "texts.jsonl")])

    def search(self, text: str, vector: Any, limit: int) -> None:
        scores = self._index.get_scores(text.lower().split())
        best = np.argpartition(scores, -limit)[-limit:]
        best[np.argsort(-scores[best])]

    def close(self) -> None: ...


ENGINES: dict[str, type[Engine]] = {
    "footnote": Footnote,
    "milvus": Milvus,
    "tantivy": Tantivy,
    "bm25s": Bm25s,
    "rank-bm25": RankBm25,
}


class Child:
    _engine: Engine

    def build(self, *, name: str, texts: str, folder: str) -> Body:
        """Seconds from texts in memory to an index on disk that can be searched, imports included."""
        engine = ENGINES[name]()
        given = list(read_texts(Path(texts)))
        began = time.perf_counter()
        engine.build(given, Path(folder))
        took_s = time.perf_counter() - began
        engine.close()
        return {"build_s": took_s}

    def open(self, *, name: str, folder: str, queries: int) -> Body:
        self._vectors = query_vectors(queries)
        self._engine = ENGINES[name]()
        began = time.perf_counter()
        self._engine.open(Path(folder))
        return {"open_s": time.perf_counter() - began}

    def search(self, *, text: str, number: int, limit: int) -> Body:
        """Milliseconds that passed, and of this process's processor time; ours also by words alone."""
        before = time.process_time()
        found = {"ms": _ms(self._engine.search, text, self._vectors[number], limit)}
        found["cpu_ms"] = (time.process_time() - before) * 1000
        if isinstance(self._engine, Footnote):
            found["lexical_ms"] = _ms(self._engine.search_lexically, text, self._vectors[number], limit)
        return found

    def close(self) -> Body:
        self._engine.close()
        return {}


def _ms(search: Callable[[str, Any, int], None], text: str, vector: Any, limit: int) -> float:
    began = time.perf_counter()
    search(text, vector, limit)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    child = Child()
    serve_requests({"build": child.build, "open": child.open, "search": child.search, "close": child.close})
