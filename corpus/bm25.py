"""BM25 in tantivy: the embedded lexical index (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).

Queries are built from analysed terms, never parsed: no operator, quote or bracket in a question can be a syntax error.
tantivy fixes k1 = 1.2 and b = 0.75.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import tantivy

from corpus.store import Candidate, IdRange, IndexFailure, IndexFilter, IndexRow

ANALYZER = "footnote_en"
HEADINGS_BOOST = 0.5
MAX_QUERY_TERMS = 64  # rarer than that in any question; it bounds the cost of a pasted page
WRITER_HEAP_BYTES = 32_000_000


def english_analyzer() -> tantivy.TextAnalyzer:
    """Words, lower-cased, accents folded, English stop words dropped, Porter-stemmed."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(64))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )


class TantivyIndex:
    def __init__(self, *, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("text", tokenizer_name=ANALYZER, index_option="freq")
        builder.add_text_field("headings", tokenizer_name=ANALYZER, index_option="freq")
        builder.add_unsigned_field("collection_id", indexed=True)
        builder.add_text_field("url_prefix", tokenizer_name="raw", index_option="basic")
        builder.add_text_field("language", tokenizer_name="raw", index_option="basic")
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, path=str(path))
        self._analyzer = english_analyzer()
        self._index.register_tokenizer(ANALYZER, self._analyzer)
        self._index.config_reader(reload_policy="manual")
        self._writer = self._new_writer()
        self._lock = threading.Lock()

    def upsert(self, rows: Sequence[IndexRow]) -> None:
        with self._lock:
            for row in rows:
                self._writer.delete_documents_by_term("id", row.id)
                document = tantivy.Document(
                    id=[row.id],
                    text=[row.text],
                    headings=[row.headings],
                    url_prefix=url_prefixes(row.url),
                    language=[row.language],
                )
                document.add_unsigned("collection_id", row.collection_id)
                self._writer.add_document(document)

    def search(self, text: str, *, where: IndexFilter, limit: int) -> list[Candidate]:
        terms = self._terms(text)
        if not terms:
            return []
        should = [(tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "text", term)) for term in terms]
        should += [
            (
                tantivy.Occur.Should,
                tantivy.Query.boost_query(tantivy.Query.term_query(self._schema, "headings", term), HEADINGS_BOOST),
            )
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

    def _terms(self, text: str) -> list[str]:
        """Distinct analysed terms of a query, in order."""
        return list(dict.fromkeys(self._analyzer.analyze(text)))[:MAX_QUERY_TERMS]

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
