"""Query encoding, Milvus and tantivy alone, in a process of their own, on a copy of the service's data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.clean_process import Body, serve_requests


class BareSearch:
    _model: Any
    _milvus: Any
    _tantivy: Any
    _analyzer: Any

    def load(self, *, folder: str, device: str | None, vectors: str, lexical: str) -> Body:
        import tantivy
        from pymilvus import MilvusClient
        from sentence_transformers import SentenceTransformer

        from corpus.analysis import english_analyzer

        self._model = SentenceTransformer(folder, device=device, local_files_only=True, trust_remote_code=False)
        self._milvus = MilvusClient(vectors)
        self._collection = self._milvus.list_collections()[0]
        self._milvus.load_collection(self._collection)
        self._tantivy = tantivy.Index.open(str(Path(lexical)))
        self._analyzer = english_analyzer()
        count = self._milvus.query(self._collection, filter="", output_fields=["count(*)"])[0]["count(*)"]
        return {"vectors": count, "lexical": self._tantivy.searcher().num_docs}

    def search(self, *, text: str, limit: int, filter: str) -> Body:
        """Milliseconds of each library for one query, and of Milvus without the filter that every search of ours has."""
        began = time.perf_counter()
        vector = self._model.encode([text], show_progress_bar=False)[0]
        encoded = time.perf_counter()
        self._milvus.search(self._collection, data=[vector], anns_field="vector", filter=filter, limit=limit, output_fields=[])
        searched = time.perf_counter()
        query, _ = self._tantivy.parse_query_lenient(" ".join(self._analyzer.analyze(text)), ["text", "headings"])
        searcher = self._tantivy.searcher()
        for _, address in searcher.search(query, limit=limit, count=False).hits:
            searcher.doc(address)
        ended = time.perf_counter()
        self._milvus.search(self._collection, data=[vector], anns_field="vector", limit=limit, output_fields=[])
        unfiltered = time.perf_counter()
        return {
            "encode": (encoded - began) * 1000,
            "milvus": (searched - encoded) * 1000,
            "tantivy": (ended - searched) * 1000,
            "sum": (ended - began) * 1000,
            "milvus_unfiltered": (unfiltered - ended) * 1000,
        }


if __name__ == "__main__":
    bare = BareSearch()
    serve_requests({"load": bare.load, "search": bare.search})
