"""BM25 in tantivy: the embedded lexical index (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).

A chunk is indexed with its title and heading path, which count a little more. What a term is, ``corpus/analysis.py`` says:
queries are built from terms, never parsed, so that no operator, quote or bracket in a question can be a syntax error. tantivy
fixes k1 = 1.2 and b = 0.75.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import tantivy

from corpus.analysis import ANALYSIS_VERSION, page_terms, query_terms
from corpus.store import Candidate, IdRange, IndexFailure, IndexFilter, IndexRow

log = logging.getLogger(__name__)
HEADINGS_BOOST = 0.25  # of a match in title or headings, besides that in the text, which they are part of
MAX_QUERY_TERMS = 64  # rarer than that in any question; it bounds the cost of a pasted page
MIN_LANGUAGE_SHARE = 0.01  # of a collection's chunks: short pages' languages are often misread
WRITER_HEAP_BYTES = 32_000_000
_VERSION_FILE = "analysis-version"


class TantivyIndex:
    is_separate = True

    def __init__(self, *, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        _discard_other_versions(path)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("text", tokenizer_name="whitespace", index_option="freq")
        builder.add_text_field("headings", tokenizer_name="whitespace", index_option="freq")
        builder.add_unsigned_field("collection_id", indexed=True)
        builder.add_text_field("url_prefix", tokenizer_name="raw", index_option="basic")
        builder.add_text_field("language", tokenizer_name="raw", index_option="basic", fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=str(path))
        if not (path / _VERSION_FILE).is_file():
            (path / _VERSION_FILE).write_text(f"{ANALYSIS_VERSION}\n")
        self._index.config_reader(reload_policy="manual")
        self._writer = self._new_writer()
        self._lock = threading.Lock()
        self._languages: dict[int, list[str]] = {}  # of each collection, until the next flush

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        documents = [(row.id, self._document(row)) for row in rows]
        with self._lock:
            for chunk_id, document in documents:
                self._writer.delete_documents_by_term("id", chunk_id)
                self._writer.add_document(document)

    def search(self, text: str, *, where: IndexFilter, limit: int) -> list[Candidate]:
        languages = [where.language] if where.language is not None else self._languages_of(where.collection_id)
        terms = query_terms(text, languages, limit=MAX_QUERY_TERMS)
        if not terms:
            return []
        should = [(tantivy.Occur.Should, self._term_query("text", term)) for term in terms]
        should += [
            (tantivy.Occur.Should, tantivy.Query.boost_query(self._term_query("headings", term), HEADINGS_BOOST))
            for term in terms
        ]
        query = tantivy.Query.boolean_query(
            [(tantivy.Occur.Must, tantivy.Query.boolean_query(should)), *((tantivy.Occur.Must, q) for q in self._filters(where))]
        )
        searcher = self._index.searcher()
        hits = searcher.search(query, limit=limit, count=False).hits
        return [Candidate(id=searcher.doc(address)["id"][0], score=float(score)) for score, address in hits]

    def present(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        searcher = self._index.searcher()
        found = searcher.search(tantivy.Query.term_set_query(self._schema, "id", list(ids)), limit=len(ids) * 2, count=False).hits
        return {searcher.doc(address)["id"][0] for _, address in found}

    def ids(self, within: IdRange) -> list[str]:
        searcher = self._index.searcher()
        query = tantivy.Query.regex_query(self._schema, "id", f"(?:{'|'.join(within.beginnings)}).*")
        found = searcher.search(query, limit=max(1, searcher.num_docs), count=False).hits
        return [searcher.doc(address)["id"][0] for _, address in found]

    def delete(self, ids: Sequence[str]) -> None:
        with self._lock:
            for chunk_id in ids:
                self._writer.delete_documents_by_term("id", chunk_id)

    def flush(self) -> None:
        with self._lock:
            try:
                self._writer.commit()
            except ValueError as exc:  # tantivy's only exception; its writer is dead after one
                del self._writer  # frees the lock file
                self._writer = self._new_writer()
                raise IndexFailure("tantivy can't commit") from exc
        self._index.reload()
        self._languages = {}

    def count(self) -> int:
        return self._index.searcher().num_docs

    def close(self) -> None:
        with self._lock:
            self._writer.wait_merging_threads()

    def _new_writer(self) -> tantivy.IndexWriter:
        # One thread: a second would make tiny segments out of small batches.
        writer = self._index.writer(heap_size=WRITER_HEAP_BYTES, num_threads=1)
        # A process killed in the midst of a commit leaves files that the next commit would give the same names, and fail on.
        writer.garbage_collect_files()
        return writer

    def _document(self, row: IndexRow) -> tantivy.Document:
        headings = page_terms(row.headings, row.language)
        document = tantivy.Document(
            id=[row.id],
            text=[" ".join([*headings, *page_terms(row.text, row.language)])],
            headings=[" ".join(headings)],
            url_prefix=url_prefixes(row.url),
            language=[row.language],
        )
        document.add_unsigned("collection_id", row.collection_id)
        return document

    def _term_query(self, field: str, alternatives: Sequence[str]) -> tantivy.Query:
        queries = [tantivy.Query.term_query(self._schema, field, term) for term in alternatives]
        return queries[0] if len(queries) == 1 else tantivy.Query.disjunction_max_query(queries)

    def _languages_of(self, collection_id: int) -> list[str]:
        """The languages that a fair share of the collection is in."""
        known = self._languages  # another may take its place meanwhile
        if collection_id not in known:
            of_collection = tantivy.Query.term_query(self._schema, "collection_id", collection_id)
            wanted = {"languages": {"terms": {"field": "language", "size": 1_000}}}
            buckets = self._index.searcher().aggregate(of_collection, wanted)["languages"]["buckets"]
            least = MIN_LANGUAGE_SHARE * sum(bucket["doc_count"] for bucket in buckets)
            known[collection_id] = [bucket["key"] for bucket in buckets if bucket["doc_count"] >= least]
        return known[collection_id]

    def _filters(self, where: IndexFilter) -> list[tantivy.Query]:
        # Filters must not add to the score.
        exact: list[tuple[str, str | int]] = [("collection_id", where.collection_id)]
        if where.language is not None:
            exact.append(("language", where.language))
        queries = [tantivy.Query.term_query(self._schema, name, value) for name, value in exact]
        if (prefix := where.url_prefix) is not None:
            spellings = [prefix] if prefix.endswith("/") else [prefix, f"{prefix}/"]
            queries.append(tantivy.Query.term_set_query(self._schema, "url_prefix", spellings))
        return [tantivy.Query.const_score_query(query, 0.0) for query in queries]


def _discard_other_versions(path: Path) -> None:
    """Empty the directory of an index that another version of the analysis made: it is derived, and made anew from the
    database (``corpus/mending.py``)."""
    version = path / _VERSION_FILE
    if not any(path.iterdir()) or (version.is_file() and version.read_text().strip() == str(ANALYSIS_VERSION)):
        return
    log.warning("the lexical index was made by another version of Footnote: it is made anew from the database")
    shutil.rmtree(path)
    path.mkdir()


def url_prefixes(url: str) -> list[str]:
    """All prefixes of a URL that end at a path segment, and the URL itself with and without its query: what ``url_prefix``
    may be set to."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}/"
    prefixes = [origin]
    segments = parts.path.lstrip("/").split("/")
    for depth in range(1, len(segments)):
        prefixes.append(origin + "/".join(segments[:depth]) + "/")
    return list(dict.fromkeys([*prefixes, f"{parts.scheme}://{parts.netloc}{parts.path}", url]))
