"""Where indexes are kept: files in the data directory, or a Milvus server. Indexes are told apart by number
(``corpus/reindexing.py``); what opens, counts and removes them is asked here, whichever it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Engine

from corpus.bm25 import TantivyIndex
from corpus.database import Database
from corpus.datadir import DataDirectory
from corpus.errors import StartupError
from corpus.index_facts import installation
from corpus.settings import MilvusSettings
from corpus.store import ChunkIndex, IndexFailure
from corpus.store_connection import MilvusServer
from corpus.store_milvus import MilvusVectorIndex
from corpus.store_server import ServerCollection
from corpus.token_vectors import SqliteTokenStore
from corpus.token_vectors_postgres import PostgresTokenStore, alone, drop_tokens, token_engine, token_tables

LITE_WRITER_LOCK = 0x6C697465  # "lite", among PostgreSQL's advisory locks


class IndexHome(Protocol):
    """All methods block."""

    @property
    def trouble(self) -> str | None:
        """What keeps the indexes from answering, as far as is known; None if nothing."""
        ...

    def ask(self) -> None:
        """Raises: Unavailable, if it isn't there (yet); StartupError, if it can't be used at all."""
        ...

    def open(self, *, dimension: int, number: int = 1) -> ChunkIndex:
        """Open or create an index. Raises: StartupError, Unavailable."""
        ...

    def numbers(self) -> set[int]:
        """The indexes of which anything is there. Raises: Unavailable."""
        ...

    def remove(self, number: int) -> None:
        """Remove an index, which must be closed. Raises: Unavailable."""
        ...

    def size_bytes(self, number: int) -> int:
        """How much of this machine's disk an index takes."""
        ...

    def free_bytes(self) -> int:
        """How much of it is free."""
        ...

    def close(self) -> None: ...


class LocalIndexes:
    """The embedded profile: Milvus Lite, tantivy and SQLite."""

    trouble = None

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory

    def ask(self) -> None:
        """Files are there."""

    def open(self, *, dimension: int, number: int = 1) -> ChunkIndex:
        files = self._directory.index(number)
        files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return ChunkIndex(
            vectors=MilvusVectorIndex(uri=str(files.vectors), dimension=dimension),
            lexical=TantivyIndex(path=files.lexical),
            tokens=SqliteTokenStore(path=files.tokens),
            number=number,
        )

    def numbers(self) -> set[int]:
        return self._directory.index_numbers()

    def remove(self, number: int) -> None:
        self._directory.index(number).remove()

    def size_bytes(self, number: int) -> int:
        return self._directory.index(number).size_bytes()

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._directory.path).free

    def close(self) -> None:
        """Nothing is open but indexes."""


class ServerIndexes:
    """The networked profile: a collection of a Milvus server each, named for the metadata database that it was made from
    (``owner``). Token vectors are kept where the metadata is: in PostgreSQL, or in a file of the data directory."""

    def __init__(self, *, settings: MilvusSettings, owner: str, directory: DataDirectory, database_url: str) -> None:
        """``database_url`` as SQLAlchemy writes it."""
        self._server = MilvusServer(settings)
        self._timeout_s = settings.timeout_s
        self._beginning = f"{settings.collection_prefix}_{owner}_"
        self._directory = directory
        self._tokens: Engine | None = token_engine(database_url) if database_url.startswith("postgresql") else None

    @property
    def trouble(self) -> str | None:
        return self._server.trouble

    def ask(self) -> None:
        try:
            self._server.ask()
        except IndexFailure as exc:
            raise StartupError(f"{exc}: {exc.__cause__}") from exc

    def open(self, *, dimension: int, number: int = 1) -> ChunkIndex:
        try:
            collection = ServerCollection(server=self._server, name=self._name(number), dimension=dimension)
        except IndexFailure as exc:
            raise StartupError(f"{exc} to open the collection {self._name(number)}: {exc.__cause__}") from exc
        return ChunkIndex(
            vectors=collection.vectors,
            lexical=collection.lexical,
            tokens=self._open_tokens(number),
            number=number,
            turn=self._turn,
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A milvus-lite server that two processes write to fails or loses rows. Milvus itself takes any number of writers."""
        if not self._server.is_lite or self._tokens is None:
            yield
            return
        with alone(self._tokens, LITE_WRITER_LOCK):
            yield

    def _open_tokens(self, number: int) -> SqliteTokenStore | PostgresTokenStore:
        if self._tokens is not None:
            return PostgresTokenStore(engine=self._tokens, number=number)
        files = self._directory.index(number)
        files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteTokenStore(path=files.tokens)

    def numbers(self) -> set[int]:
        names = self._server.call(lambda client: client.list_collections(timeout=self._timeout_s))
        ends = [name.removeprefix(self._beginning) for name in names if name.startswith(self._beginning)]
        numbers = {int(end) for end in ends if end.isdecimal()}
        return numbers | (token_tables(self._tokens) if self._tokens is not None else self._directory.index_numbers())

    def remove(self, number: int) -> None:
        self._server.call(lambda client: client.drop_collection(self._name(number), timeout=self._timeout_s))
        if self._tokens is not None:
            drop_tokens(self._tokens, number)
        else:
            self._directory.index(number).remove()

    def size_bytes(self, number: int) -> int:
        return self._directory.index(number).size_bytes()

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._directory.path).free

    def close(self) -> None:
        self._server.close()
        if self._tokens is not None:
            self._tokens.dispose()

    def _name(self, number: int) -> str:
        return f"{self._beginning}{number}"


async def index_home(milvus: MilvusSettings, *, directory: DataDirectory, database: Database) -> IndexHome:
    """Where the settings say."""
    if not milvus.uri:
        return LocalIndexes(directory)
    owner = await installation(database)
    return ServerIndexes(settings=milvus, owner=owner, directory=directory, database_url=database.url)
