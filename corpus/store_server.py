"""Vectors and words of an index in one collection of a Milvus server: a dense vector and the BM25 of the same chunk are written
by one upsert, and are there or not there together.

The server analyses nothing. What a term is, ``corpus/analysis.py`` says for this index as for the embedded one: a chunk's terms
are stored as words between spaces, spelled so that every tokenizer leaves them whole. k1 and b are tantivy's, and the idf is the
same formula. Titles and headings count a little more than the text that they are part of, as a field of their own
(``corpus/bm25.py``): what was found is scored by it in a second, narrow search.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from corpus.analysis import page_terms, query_terms
from corpus.bm25 import HEADINGS_BOOST, MAX_QUERY_TERMS, MIN_LANGUAGE_SHARE
from corpus.embedding import Float32
from corpus.errors import Unavailable
from corpus.store import MAX_IDS, Candidate, IdRange, IndexFailure, IndexFilter, IndexRow
from corpus.store_connection import MilvusServer, is_not_loaded
from corpus.store_milvus import DELETE_BATCH, ID_MAX_BYTES, URL_MAX_BYTES, filter_expression, ids_between

if TYPE_CHECKING:
    from pymilvus import MilvusClient

log = logging.getLogger(__name__)
T = TypeVar("T")

K1, B = 1.2, 0.75  # what tantivy fixes
BM25_FIELDS = {"sparse": "words", "sparse_headings": "headings"}
MAX_SCORED_BY_HEADINGS = 1_000  # of what is found, the best first: far more than are shown
WORDS_MAX_BYTES = 65_535  # Milvus' own limit of a VARCHAR
UPSERT_BATCH = 1_000  # rows; a call may hold 64 MB
LANGUAGES_KNOWN_S = 60.0
LANGUAGE_SAMPLE = 10_000
# How an index finds its neighbours: what it is built with, and how widely a search of so many looks.
BUILD: dict[str, dict[str, int]] = {"HNSW": {"M": 16, "efConstruction": 200}, "IVF_SQ8": {"nlist": 1024}}
BREADTH: dict[str, Callable[[int], dict[str, int]]] = {
    "HNSW": lambda limit: {"ef": max(128, limit)},
    "IVF_SQ8": lambda limit: {"nprobe": 64},
    "DISKANN": lambda limit: {"search_list": max(100, limit)},
}


class ServerCollection:
    """One index on a server: :attr:`vectors` and :attr:`lexical` are two views of the same rows."""

    def __init__(
        self,
        *,
        server: MilvusServer,
        name: str,
        dimension: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the collection, or create it. Raises: Unavailable; StartupError; IndexFailure."""
        self._server = server
        self._settings = server.settings
        self.name = name
        self._clock = clock
        self._languages: dict[int, tuple[float, list[str]]] = {}  # of each collection of pages, and until when that holds
        self._lock = threading.Lock()
        server.call(lambda client: self._make(client, dimension))
        self._index_type = server.call(self._check)
        server.call(lambda client: client.load_collection(name))
        self.vectors = ServerVectors(self)
        self.lexical = ServerWords(self)

    def call(self, do: Callable[[MilvusClient], T]) -> T:
        """As :meth:`MilvusServer.call`, once more if the server had let go of the collection."""
        try:
            return self._server.call(do)
        except IndexFailure as failure:
            if not is_not_loaded(failure):
                raise
            log.info("the index server holds the collection %s, but hadn't loaded it", self.name)
            self._server.call(lambda client: client.load_collection(self.name))
            return self._server.call(do)

    def upsert(self, rows: Sequence[IndexRow], vectors: Float32) -> None:
        values = [
            {
                "id": row.id,
                "collection_id": row.collection_id,
                "url": row.url,
                "language": row.language,
                "vector": vector,
                **_words(row),
            }
            for row, vector in zip(rows, vectors, strict=True)
        ]
        for begin in range(0, len(values), UPSERT_BATCH):
            part = values[begin : begin + UPSERT_BATCH]
            self.call(lambda client, part=part: client.upsert(self.name, part, timeout=self._timeout_s))  # type: ignore[misc]
        with self._lock:
            self._languages = {}

    def search_vector(self, vector: Float32, *, where: IndexFilter, limit: int) -> list[Candidate]:
        params = {} if self._index_type not in BREADTH else BREADTH[self._index_type](limit)
        return self._search(vector, field="vector", metric="IP", params=params, where=filter_expression(where), limit=limit)

    def search_words(self, text: str, *, where: IndexFilter, limit: int) -> list[Candidate]:
        languages = [where.language] if where.language is not None else self._languages_of(where.collection_id)
        terms = query_terms(text, languages, limit=MAX_QUERY_TERMS)
        if not terms:
            return []
        # A chunk's own stemmer makes one of a word's alternatives, so their sum is nearly always their greatest.
        query = " ".join(_spelled(stem) for alternatives in terms for stem in alternatives)
        found = self._search_bm25(query, field="sparse", where=filter_expression(where), limit=limit)
        # Whoever has a word in a heading has it in the text, so nothing else can be found by headings.
        ids = ", ".join(f'"{candidate.id}"' for candidate in found[:MAX_SCORED_BY_HEADINGS])
        if not ids:
            return []
        headings = self._search_bm25(query, field="sparse_headings", where=f"id in [{ids}]", limit=len(found))
        more = {candidate.id: HEADINGS_BOOST * candidate.score for candidate in headings}
        return sorted((Candidate(one.id, one.score + more.get(one.id, 0.0)) for one in found), key=lambda one: -one.score)

    def present(self, ids: Sequence[str]) -> set[str]:
        return {row["id"] for row in self._rows(ids, ["id"])}

    def load(self, ids: Sequence[str]) -> dict[str, Float32]:
        return {row["id"]: np.asarray(row["vector"], dtype=np.float32) for row in self._rows(ids, ["id", "vector"])}

    def ids(self, within: IdRange) -> list[str]:
        found = self._query(ids_between(within), ["id"], MAX_IDS)
        return [row["id"] for row in found]

    def delete(self, ids: Sequence[str]) -> None:
        for begin in range(0, len(ids), DELETE_BATCH):
            part = list(ids[begin : begin + DELETE_BATCH])
            self.call(lambda client, part=part: client.delete(self.name, ids=part, timeout=self._timeout_s))  # type: ignore[misc]

    def flush(self) -> None:
        if self._server.is_lite:  # a server seals and flushes by itself, and throttles those who ask
            self.call(lambda client: client.flush(self.name, timeout=self._timeout_s))

    def count(self) -> int:
        return int(self._query("", ["count(*)"], None)[0]["count(*)"])

    @property
    def _timeout_s(self) -> float:
        return self._settings.timeout_s

    def _search_bm25(self, query: str, *, field: str, where: str, limit: int) -> list[Candidate]:
        found = self._search(query, field=field, metric="BM25", params={}, where=where, limit=limit)
        if self._server.is_lite:  # which gives distances, the least being best
            return [Candidate(candidate.id, -candidate.score) for candidate in found]
        return found

    def _search(self, query: Any, *, field: str, metric: str, params: dict[str, int], where: str, limit: int) -> list[Candidate]:
        """Raises: Unavailable, whatever the server says: no search is answered with less than there is."""

        def do(client: MilvusClient) -> Any:
            return client.search(
                self.name,
                data=[query],
                anns_field=field,
                filter=where,
                limit=limit,
                output_fields=["id"],
                search_params={"metric_type": metric, "params": params},
                consistency_level=self._settings.search_consistency.capitalize(),
                timeout=self._timeout_s,
            )

        try:
            found = self.call(do)
        except IndexFailure as failure:
            log.error("the index server can't search %s: %s", self.name, failure.__cause__)
            raise Unavailable(f"{failure} to search. The log holds what it said.") from failure
        return [Candidate(id=hit["id"], score=float(hit["distance"])) for hit in found[0]]

    def _rows(self, ids: Sequence[str], fields: list[str]) -> Iterator[Any]:
        for begin in range(0, len(ids), UPSERT_BATCH):
            part = list(ids[begin : begin + UPSERT_BATCH])
            yield from self.call(
                lambda client, part=part: client.get(  # type: ignore[misc]
                    self.name, ids=part, output_fields=fields, consistency_level="Strong", timeout=self._timeout_s
                )
            )

    def _query(self, where: str, fields: list[str], limit: int | None) -> Any:
        bounds = {} if limit is None else {"limit": limit}
        return self.call(
            lambda client: client.query(
                self.name, filter=where, output_fields=fields, consistency_level="Strong", timeout=self._timeout_s, **bounds
            )
        )

    def _languages_of(self, collection_id: int) -> list[str]:
        """The languages that a fair share of the collection is in, by a sample: chunk ids are hashes, so that any are."""
        with self._lock:
            until, languages = self._languages.get(collection_id, (0.0, []))
        if self._clock() < until:
            return languages
        try:
            sample = self._query(f"collection_id == {collection_id:d}", ["language"], LANGUAGE_SAMPLE)
        except IndexFailure as failure:
            raise Unavailable(f"{failure} to tell the languages. The log holds what it said.") from failure
        counts = Counter(row["language"] for row in sample)
        languages = [language for language, n in counts.items() if n >= MIN_LANGUAGE_SHARE * len(sample)]
        with self._lock:
            self._languages[collection_id] = (self._clock() + LANGUAGES_KNOWN_S, languages)
        return languages

    def _make(self, client: MilvusClient, dimension: int) -> None:
        """Make what isn't there. A process that was killed while it did so may have left any part of it, and another may be
        doing the same."""
        if not client.has_collection(self.name, timeout=self._timeout_s):
            schema = self._schema(client, dimension)
            client.create_collection(self.name, schema=schema, consistency_level="Strong", timeout=self._timeout_s)
        there = set(client.list_indexes(self.name, timeout=self._timeout_s))
        index = client.prepare_index_params()
        if "vector" not in there:
            kind = "FLAT" if self._server.is_lite else self._settings.index_type
            index.add_index("vector", index_type=kind, metric_type="IP", params=BUILD.get(kind, {}))
        bm25 = {"bm25_k1": K1, "bm25_b": B}
        # Milvus takes each as a parameter of its own; Milvus Lite reads only those that are within "params".
        params = {"params": bm25} if self._server.is_lite else bm25
        for field in BM25_FIELDS.keys() - there:
            index.add_index(field, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=params)
        if len(index):
            client.create_index(self.name, index, timeout=self._timeout_s)

    def _schema(self, client: MilvusClient, dimension: int) -> Any:
        from pymilvus import DataType, Function, FunctionType

        analyzer = {"tokenizer": "standard" if self._server.is_lite else "whitespace"}  # Milvus Lite has no other
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_MAX_BYTES)
        schema.add_field("collection_id", DataType.INT64)
        schema.add_field("url", DataType.VARCHAR, max_length=URL_MAX_BYTES)
        schema.add_field("language", DataType.VARCHAR, max_length=16)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        bm25 = FunctionType.BM25
        for sparse, words in BM25_FIELDS.items():
            schema.add_field(words, DataType.VARCHAR, max_length=WORDS_MAX_BYTES, enable_analyzer=True, analyzer_params=analyzer)
            schema.add_field(sparse, DataType.SPARSE_FLOAT_VECTOR)
            schema.add_function(
                Function(name=f"bm25_{words}", function_type=bm25, input_field_names=[words], output_field_names=[sparse])
            )
        return schema

    def _check(self, client: MilvusClient) -> str:
        """The kind of index that the vectors have."""
        kind = str(client.describe_index(self.name, "vector", timeout=self._timeout_s).get("index_type", ""))
        if not self._server.is_lite and kind != self._settings.index_type:
            log.warning("the vectors' index is %s; milvus.index_type takes effect at the next `footnote reindex`", kind)
        return kind


class ServerVectors:
    """The collection as a :class:`corpus.store.VectorIndex`. What it writes and deletes, the words see too."""

    def __init__(self, collection: ServerCollection) -> None:
        self._collection = collection
        self.upsert = collection.upsert
        self.search = collection.search_vector
        self.present = collection.present
        self.load = collection.load
        self.ids = collection.ids
        self.delete = collection.delete
        self.flush = collection.flush
        self.count = collection.count

    def close(self) -> None:
        """The server's connection is closed by whoever opened it."""


class ServerWords:
    """The collection as a :class:`corpus.store.LexicalIndex`."""

    is_separate = False

    def __init__(self, collection: ServerCollection) -> None:
        self._collection = collection
        self.search = collection.search_words
        self.present = collection.present
        self.ids = collection.ids
        self.delete = collection.delete
        self.flush = collection.flush
        self.count = collection.count

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        """Write the words of chunks anew whose vectors are there."""
        vectors = self._collection.load([row.id for row in rows])
        if kept := [row for row in rows if row.id in vectors]:
            self._collection.upsert(kept, np.stack([vectors[row.id] for row in kept]))

    def close(self) -> None:
        """As :meth:`ServerVectors.close`."""


def _words(row: IndexRow) -> dict[str, str]:
    """A chunk's terms: those of its headings, and those of headings and text."""
    headings = page_terms(row.headings, row.language)
    return {"headings": _spaced(headings), "words": _spaced([*headings, *page_terms(row.text, row.language)])}


def _spaced(terms: Sequence[str]) -> str:
    """As many as a field holds."""
    words = " ".join(map(_spelled, terms))
    if len(words.encode()) <= WORDS_MAX_BYTES:
        return words
    return words.encode()[:WORDS_MAX_BYTES].decode(errors="ignore").rpartition(" ")[0]


def _spelled(term: str) -> str:
    """A term as one word for every tokenizer: os.path becomes os_2e_path."""
    return _NO_LETTER.sub(lambda found: f"_{ord(found[0]):x}_", term)


_NO_LETTER = re.compile(r"\W")
