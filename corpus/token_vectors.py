"""Token vectors on disk, for late interaction without running the embedder again.

Recomputing them costs 1.5 CPU-seconds a query on two cores, reading them a few milliseconds. Each vector has unit length and is
stored as int8 with one scale per token: one byte a dimension.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from corpus.embedding import Float32
from corpus.store import IdRange, PackedTokens

MAX_VARIABLES = 500  # well under SQLite's limit of bound parameters
TokenRow = tuple[str, int, bytes, bytes]  # id, how many tokens, their scales and values


class SqliteTokenStore:
    """One SQLite file beside the metadata database: derived data, so it isn't synced on every commit."""

    def __init__(self, *, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "mmap_size=1073741824", "secure_delete=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS tokens (id TEXT PRIMARY KEY, count INTEGER, scales BLOB, values_i8 BLOB) WITHOUT ROWID"
        )

    def upsert(self, ids: Sequence[str], tokens: Sequence[Float32]) -> None:
        rows = []
        for chunk_id, matrix in zip(ids, tokens, strict=True):
            scales, values = quantise(matrix)
            rows.append((chunk_id, len(matrix), scales.tobytes(), values.tobytes()))
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", rows)

    def load(self, ids: Sequence[str]) -> dict[str, Float32]:
        return unpacked(self._rows(ids))

    def load_packed(self, ids: Sequence[str], *, dimension: int) -> PackedTokens | None:
        return packed(self._rows(ids), dimension=dimension)

    def _rows(self, ids: Sequence[str]) -> Iterator[TokenRow]:
        for begin in range(0, len(ids), MAX_VARIABLES):
            part = list(ids[begin : begin + MAX_VARIABLES])
            marks = ",".join("?" * len(part))
            with self._lock:
                rows = self._connection.execute(
                    f"SELECT id, count, scales, values_i8 FROM tokens WHERE id IN ({marks})", part
                ).fetchall()
            yield from rows

    def present(self, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for begin in range(0, len(ids), MAX_VARIABLES):
            part = list(ids[begin : begin + MAX_VARIABLES])
            marks = ",".join("?" * len(part))
            with self._lock:
                found |= {row[0] for row in self._connection.execute(f"SELECT id FROM tokens WHERE id IN ({marks})", part)}
        return found

    def ids(self, within: IdRange) -> list[str]:
        with self._lock:
            between = (within.first, within.beyond)
            rows = self._connection.execute("SELECT id FROM tokens WHERE id >= ? AND id < ?", between).fetchall()
        return [row[0] for row in rows]

    def delete(self, ids: Sequence[str]) -> None:
        with self._transaction():
            self._connection.executemany("DELETE FROM tokens WHERE id = ?", [(chunk_id,) for chunk_id in ids])

    def count(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM tokens").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise


def unpacked(rows: Iterable[TokenRow]) -> dict[str, Float32]:
    """The vectors of rows as they are stored."""
    found: dict[str, Float32] = {}
    for chunk_id, count, scales, values in filter(_is_whole, rows):
        matrix = np.frombuffer(values, dtype=np.int8).reshape(count, -1) if count else np.zeros((0, 1), dtype=np.int8)
        found[chunk_id] = matrix.astype(np.float32) * np.frombuffer(scales, dtype=np.float32)[:, None]
    return found


def packed(rows: Iterable[TokenRow], *, dimension: int) -> PackedTokens | None:
    """As :meth:`corpus.store.TokenStore.load_packed` gives them."""
    kept = [row for row in rows if _is_whole(row) and row[1] and len(row[3]) == row[1] * dimension]
    if not kept:
        return None
    return PackedTokens(
        ids=[chunk_id for chunk_id, *_ in kept],
        counts=[count for _, count, _, _ in kept],
        values=np.frombuffer(b"".join(values for *_, values in kept), dtype=np.int8).reshape(-1, dimension),
        scales=np.frombuffer(b"".join(scales for _, _, scales, _ in kept), dtype=np.float32),
    )


def _is_whole(row: TokenRow) -> bool:
    """What is damaged is as good as missing."""
    _, count, scales, values = row
    return len(scales) == 4 * count and (not count or len(values) % count == 0)


def quantise(matrix: Float32) -> tuple[Float32, np.ndarray]:
    """Symmetric int8 per row: ``values * scales[:, None]`` is within half a step of ``matrix``.

    Quantising that product gives the same values and scales again, so that vectors can be taken over from one chunk to another
    for ever: a scale keeps 17 of its 24 significant bits, which makes its product with any 7-bit value exact.
    """
    scales = (np.abs(matrix).max(axis=1, initial=1e-12) / 127.0).astype(np.float32)
    scales = (scales.view(np.uint32) & np.uint32(0xFFFF_FF80)).view(np.float32)
    return scales, np.rint(matrix / scales[:, None]).astype(np.int8)
