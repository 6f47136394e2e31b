"""The derived indexes behind one door: vectors, BM25 and token vectors, written and deleted together.

Nothing here is the truth. Any row may be missing, doubled or stale, and readers notice: a search's candidates count only
once the metadata database says that they belong to a live generation (``corpus/search.py``).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.database import is_disk_full
from corpus.embedding import Embedding, Float32
from corpus.errors import StorageFull, TransientError

MAX_IDS = 16_384  # Milvus' own limit of rows in one answer
LOAD_BATCH = 500


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One chunk as the indexes hold it. ``headings`` is title and heading path; ``text`` the chunk's own text."""

    id: str
    page_id: str
    generation: int
    collection_id: int
    url: str
    language: str
    headings: str
    text: str


@dataclass(frozen=True, slots=True)
class IndexFilter:
    """What a candidate must satisfy, enforced inside each index. ``url_prefix`` matches whole path segments."""

    collection_id: int
    url_prefix: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk id and the index's score: greater is better."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class IdRange:
    """The chunk ids whose first hex digits are ``first``, ``last`` or between. Both are empty for all ids, or equally long."""

    first: str = ""
    last: str = ""

    @property
    def beyond(self) -> str:
        """Greater than every id of the range."""
        return self.last + "g" if self.last else "\U0010ffff"

    @property
    def beginnings(self) -> list[str]:
        if not self.first:
            return [""]
        return [f"{number:0{len(self.first)}x}" for number in range(int(self.first, 16), int(self.last, 16) + 1)]


def headings_text(title: str, heading_path: Sequence[str]) -> str:
    """What ``IndexRow.headings`` holds, when a chunk is first written and when it is rebuilt."""
    return " ".join((title, *heading_path))


class VectorIndex(Protocol):
    """Dense vectors, compared by inner product. Thread-safe for reading; one writer at a time."""

    def upsert(self, rows: Sequence[IndexRow], vectors: Float32) -> None: ...
    def search(self, vector: Float32, *, where: IndexFilter, limit: int) -> list[Candidate]: ...
    def present(self, ids: Sequence[str]) -> set[str]:
        """Which of ``ids`` a reader would now find, at the strongest consistency."""
        ...

    def load(self, ids: Sequence[str]) -> dict[str, Float32]:
        """The vectors of those of ``ids`` that are there, bit for bit as they were stored."""
        ...

    def ids(self, within: IdRange) -> list[str]:
        """All ids of a range, which must hold fewer than ``MAX_IDS``. One that is held twice comes twice."""
        ...

    def delete(self, ids: Sequence[str]) -> None: ...
    def flush(self) -> None: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


class LexicalIndex(Protocol):
    """BM25. Thread-safe for reading; one writer at a time. Writes show at ``flush``."""

    @property
    def is_separate(self) -> bool:
        """False if its rows are the vector index' own, which writes and deletes both at once."""
        ...

    def upsert(self, rows: Sequence[IndexRow]) -> None: ...
    def search(self, text: str, *, where: IndexFilter, limit: int) -> list[Candidate]: ...
    def present(self, ids: Sequence[str]) -> set[str]: ...
    def ids(self, within: IdRange) -> list[str]:
        """As :meth:`VectorIndex.ids`."""
        ...

    def delete(self, ids: Sequence[str]) -> None: ...
    def flush(self) -> None: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PackedTokens:
    """The token vectors of several chunks, as they are stored: ``values * scales[:, None]``, shape (tokens, dimension), those of
    ``ids[0]`` first. ``counts`` is how many each chunk has, none of them 0."""

    ids: list[str]
    counts: list[int]
    values: NDArray[np.int8]
    scales: Float32


class TokenStore(Protocol):
    """Token vectors by chunk id, for late interaction. They may be kept rounded; storing what was loaded changes nothing more."""

    def upsert(self, ids: Sequence[str], tokens: Sequence[Float32]) -> None: ...
    def load(self, ids: Sequence[str]) -> dict[str, Float32]: ...
    def load_packed(self, ids: Sequence[str], *, dimension: int) -> PackedTokens | None:
        """Those of ``ids`` that have token vectors (of this dimension), in no order; None if none has."""
        ...

    def present(self, ids: Sequence[str]) -> set[str]: ...
    def ids(self, within: IdRange) -> list[str]:
        """As :meth:`VectorIndex.ids`."""
        ...

    def delete(self, ids: Sequence[str]) -> None: ...
    def count(self) -> int: ...
    def close(self) -> None: ...


class ChunkIndex:
    """Writes to all indexes through one writer, since two concurrent writers of Milvus Lite lose rows in silence.

    ``number`` tells its chunks from those of other indexes over the same pages. ``beside``: while a reindex is going on, the
    other index (``corpus/reindexing.py``), from which what is deleted must go too. ``turn``: what a writer must hold besides,
    where there are writers in other processes that it must not meet.
    """

    def __init__(
        self,
        *,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        tokens: TokenStore,
        number: int = 1,
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._turn = turn
        self.vectors = vectors
        self.lexical = lexical
        self.tokens = tokens
        self.number = number
        self.beside: ChunkIndex | None = None
        self._writer = threading.Lock()
        self._closed = False

    def write(self, rows: Sequence[IndexRow], embeddings: Sequence[Embedding]) -> None:
        """Insert or overwrite chunks, and make them findable. Blocks.

        Raises: StorageFull; TransientError, if an index failed: nothing is live yet, so writing again mends it.
        """
        if not rows:
            return
        with self._writer, self._turn(), _classified("write"):
            self.tokens.upsert([row.id for row in rows], [embedding.tokens for embedding in embeddings])
            self.vectors.upsert(rows, np.stack([embedding.vector for embedding in embeddings]))
            self.vectors.flush()
            if self.lexical.is_separate:
                self.lexical.upsert(rows)
                self.lexical.flush()

    def write_words(self, rows: Sequence[IndexRow]) -> None:
        """Insert or overwrite chunks in the lexical index alone. Blocks. Raises as :meth:`write`."""
        if not rows:
            return
        with self._writer, self._turn(), _classified("write"):
            self.lexical.upsert(rows)
            self.lexical.flush()

    def load(self, ids: Sequence[str]) -> dict[str, Embedding]:
        """What was stored for those of ``ids`` that both vector stores hold; writing it again stores the same. Blocks.

        Raises: TransientError, if an index failed.
        """
        found: dict[str, Embedding] = {}
        with _classified("read"):
            for begin in range(0, len(ids), LOAD_BATCH):
                part = ids[begin : begin + LOAD_BATCH]
                vectors, tokens = self.vectors.load(part), self.tokens.load(part)
                found |= {key: Embedding(vectors[key], tokens[key]) for key in vectors.keys() & tokens.keys()}
        return found

    def missing(self, ids: Sequence[str]) -> set[str]:
        """Which of ``ids`` are not findable in every index. Blocks. Raises: TransientError."""
        return set(ids) - reduce(and_, (self.present(store, ids) for store in self.stores))

    def present(self, store: str, ids: Sequence[str]) -> set[str]:
        """Which of ``ids`` the named store holds. Blocks. Raises: TransientError."""
        with _classified("read"):
            return self.stores[store].present(ids)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove chunks from every index; ids that aren't there are passed over. Blocks. Raises as :meth:`write`."""
        if not ids:
            return
        with self._writer, self._turn(), _classified("delete"):
            self.vectors.delete(ids)
            if self.lexical.is_separate:
                self.lexical.delete(ids)
                self.lexical.flush()
            self.tokens.delete(ids)

    @property
    def stores(self) -> dict[str, VectorIndex | LexicalIndex | TokenStore]:
        """All of them by name, for what is asked of each alike."""
        return {"vectors": self.vectors, "lexical": self.lexical, "tokens": self.tokens}

    def ids(self, within: IdRange) -> dict[str, list[str]]:
        """The ids of a range that each store holds. Blocks. Raises: TransientError."""
        with _classified("read"):
            return {name: store.ids(within) for name, store in self.stores.items()}

    def counts(self) -> dict[str, int]:
        return {name: store.count() for name, store in self.stores.items()}

    def close(self) -> None:
        """Twice is once."""
        with self._writer:
            if not self._closed:
                self._closed = True
                self.vectors.close()
                self.lexical.close()
                self.tokens.close()


class IndexFailure(Exception):
    """What an index's own library raised, whatever its type; the cause holds it."""


@contextmanager
def _classified(doing: str) -> Iterator[None]:
    try:
        yield
    except (IndexFailure, sqlite3.Error, OSError) as exc:
        if is_disk_full(exc):
            raise StorageFull("The disk that holds the indexes is full. Free some space; nothing was lost.") from exc
        raise TransientError(f"An index failed to {doing}: {exc.__cause__ or exc}", reason=f"index_{doing}_failed") from exc
