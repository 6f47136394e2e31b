"""Dense vectors in a Milvus Lite directory: the embedded profile. ``corpus/store_server.py`` is the networked one.

The primary key is the chunk id and never automatic, and writes are upserts: in Milvus an insert of a known key adds a
second row. The embedded index is FLAT, which is exact: measured at 20,000 rows, Milvus Lite answers from it as fast as
from HNSW (about 25 ms, nearly all of it outside the index), and it has no graph to rebuild at start-up.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from corpus.embedding import Float32
from corpus.store import MAX_IDS, Candidate, IdRange, IndexFailure, IndexFilter, IndexRow

log = logging.getLogger(__name__)

COLLECTION = "chunks"
ID_MAX_BYTES = 64
URL_MAX_BYTES = 8192
DELETE_BATCH = 1000
CLOSING_S = 2.0
# Searching rows that aren't flushed yet is 10–90 times slower in Milvus Lite, so its memory table is kept small.
LITE_MEMTABLE_BYTES = 8 << 20
_UNQUOTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class MilvusVectorIndex:
    def __init__(self, *, uri: str, dimension: int) -> None:
        """Open or create the index. ``uri``: its directory."""
        os.environ.setdefault("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(LITE_MEMTABLE_BYTES))
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from pymilvus import MilvusClient

        self._uri = uri
        # pymilvus pings idle connections every 10 s, which Milvus Lite's server answers by hanging up (too_many_pings).
        # And a proxy named in the environment is not for a server in this very process.
        options = {
            "grpc.keepalive_time_ms": 2**31 - 1,
            "grpc.keepalive_permit_without_calls": 0,
            "grpc.enable_http_proxy": 0,
        }
        self._server, self._engine, port = start_server_in_thread(data_dir=uri)
        self._client = MilvusClient(f"http://127.0.0.1:{port}", grpc_options=options)
        try:
            self._make(dimension)
            self._load()
        except BaseException:
            self.close()  # or the engine would go on, with its lock on the directory
            raise

    def _load(self) -> None:
        """Make it searchable. Milvus Lite writes the index of a segment in place, so a process that was killed meanwhile, or a
        full disk, leaves a part of a file, which no later start could read. It is derived from the segment's rows, so it goes."""
        from pymilvus.exceptions import MilvusException

        try:
            with _without_their_errors():  # what can be mended is a warning of ours, not three errors of theirs
                self._client.load_collection(COLLECTION)
        except MilvusException as exc:
            partitions = Path(self._uri) / "collections" / COLLECTION / "partitions"
            derived = list(partitions.glob("*/indexes/*idx"))
            if not derived:
                raise
            log.warning("the vector index can't be loaded (%s), so it is made again from its rows", exc.message)
            for file in derived:
                file.unlink()
            self._client.load_collection(COLLECTION)

    def _make(self, dimension: int) -> None:
        """Make what isn't there. A process that was killed while it did so may have left any part of it."""
        from pymilvus import DataType

        if not self._client.has_collection(COLLECTION):
            # Milvus Lite makes the folder first, whose being there then stops every later try.
            shutil.rmtree(Path(self._uri) / "collections" / COLLECTION, ignore_errors=True)
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_MAX_BYTES)
            schema.add_field("collection_id", DataType.INT64)
            schema.add_field("url", DataType.VARCHAR, max_length=URL_MAX_BYTES)
            schema.add_field("language", DataType.VARCHAR, max_length=16)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
            self._client.create_collection(COLLECTION, schema=schema, consistency_level="Strong")
        if not self._client.list_indexes(COLLECTION):
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type="IP")
            self._client.create_index(COLLECTION, index)

    def upsert(self, rows: Sequence[IndexRow], vectors: Float32) -> None:
        values = [
            {"id": row.id, "collection_id": row.collection_id, "url": row.url, "language": row.language, "vector": vector}
            for row, vector in zip(rows, vectors, strict=True)
        ]
        with _failures():
            self._client.upsert(COLLECTION, values)

    def search(self, vector: Float32, *, where: IndexFilter, limit: int) -> list[Candidate]:
        # The engine itself, which is in this process: by way of its server, a search costs about twice as much.
        hits = self._engine.get_collection(COLLECTION).search(
            [vector],
            anns_field="vector",
            metric_type="IP",
            expr=filter_expression(where),
            top_k=limit,
            output_fields=[],
        )[0]
        return [Candidate(id=hit["id"], score=float(hit["distance"])) for hit in hits]

    def present(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        with _failures():
            found = self._client.get(COLLECTION, ids=list(ids), output_fields=["id"], consistency_level="Strong")
        return {row["id"] for row in found}

    def load(self, ids: Sequence[str]) -> dict[str, Float32]:
        if not ids:
            return {}
        with _failures():
            found = self._client.get(COLLECTION, ids=list(ids), output_fields=["id", "vector"], consistency_level="Strong")
        return {row["id"]: np.asarray(row["vector"], dtype=np.float32) for row in found}

    def ids(self, within: IdRange) -> list[str]:
        with _failures():
            found: Any = self._client.query(
                COLLECTION, filter=ids_between(within), output_fields=["id"], limit=MAX_IDS, consistency_level="Strong"
            )
        return [row["id"] for row in found]

    def delete(self, ids: Sequence[str]) -> None:
        for begin in range(0, len(ids), DELETE_BATCH):
            with _failures():
                self._client.delete(COLLECTION, ids=list(ids[begin : begin + DELETE_BATCH]))

    def flush(self) -> None:
        with _failures():
            self._client.flush(COLLECTION)

    def count(self) -> int:
        rows: Any = self._client.query(COLLECTION, filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(rows[0]["count(*)"])

    def close(self) -> None:
        self._client.close()
        self._server.stop(grace=CLOSING_S).wait()
        self._engine.close()


@contextmanager
def _failures() -> Iterator[None]:
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as exc:
        raise IndexFailure("Milvus refused") from exc


def filter_expression(where: IndexFilter) -> str:
    """A Milvus boolean expression. Values are quoted here, for Milvus Lite knows no filter templates."""
    parts = [f"collection_id == {where.collection_id:d}"]
    if where.url_prefix is not None:
        parts.append(_under(where.url_prefix))
    if where.language is not None:
        parts.append(f"language == {_quoted(where.language)}")
    return " and ".join(parts)


def ids_between(within: IdRange) -> str:
    """A Milvus boolean expression for a range of ids; empty for all."""
    return f"id >= {_quoted(within.first)} and id < {_quoted(within.beyond)}" if within.first else ""


def _under(url_prefix: str) -> str:
    """Whole path segments: the URL itself, with a query, or below it."""
    if url_prefix.endswith("/"):
        return f"url like {_like(url_prefix)}"
    return f"(url == {_quoted(url_prefix)} or url like {_like(url_prefix + '/')} or url like {_like(url_prefix + '?')})"


def _like(beginning: str) -> str:
    # LIKE's own wildcards must be taken literally in a URL, where % is everywhere; "\\" escapes them.
    literal = beginning.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return _quoted(literal + "%")


def _quoted(value: str) -> str:
    # Milvus Lite knows no \u escapes, so letters stay as they are. No URL and no language holds control characters.
    return json.dumps(_UNQUOTABLE.sub("\ufffd", value), ensure_ascii=False)


@contextmanager
def _without_their_errors() -> Iterator[None]:
    """Keep what Milvus' packages log out of the log: their exception says it, to who can tell what it means."""
    loggers = [logging.getLogger(name) for name in ("milvus_lite", "pymilvus")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
