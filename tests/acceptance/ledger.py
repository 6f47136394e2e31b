"""What a client was told, held against what is there.

The ledger knows, for each page, the versions that may be live: exactly one after an acknowledgement, several while a request
or a job is under way whose outcome the client hasn't been told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import tantivy

from corpus.bm25 import TantivyIndex
from corpus.datadir import DataDirectory
from corpus.model import content_hash as hash_of
from corpus.store_milvus import MilvusVectorIndex
from corpus.token_vectors import SqliteTokenStore
from ingest.extract.document import extract
from tests.acceptance.changing_site import ChangingSite

Version = int | None  # a revision, or not there


@dataclass
class Ledger:
    site: ChangingSite
    possible: dict[str, set[Version]] = field(default_factory=dict)
    _versions: dict[str, tuple[str, int]] = field(default_factory=dict)  # content hash -> path, revision

    def expect(self, path: str, version: Version) -> None:
        """It may happen from now on."""
        self.possible.setdefault(path, {None}).add(version)
        if version is not None:
            content = extract(self.site.body(path, version), url=self.site.url + path, content_type="text/html", charset="utf-8")
            self._versions[content.page.content_hash] = (path, version)

    def told(self, path: str, version: Version) -> None:
        """It was acknowledged."""
        assert version in self.possible[path], f"{path} can't be {version}, only {self.possible[path]}"
        self.possible[path] = {version}

    def check(self, data_dir: Path, *, at_rest: bool) -> dict[str, int]:
        """Hold the database (and, cheap to open, the BM25 index and the token vectors) against the ledger; gives the live
        revisions.

        ``at_rest``: nothing is under way, so nothing half-done may be left. Otherwise right after a kill.
        """
        directory = DataDirectory(data_dir)
        with _read_only(directory.database) as database:
            live = self._live_pages(database)
            for path, possible in self.possible.items():
                assert live.get(path) in possible, f"{path} is at {live.get(path)}, but only {possible} may be"
            assert set(live) <= set(self.possible)
            _check_generations(database, at_rest=at_rest)
            chunks = _live_chunks(database)
        with _read_only(directory.tokens) as tokens:
            in_tokens = {row[0] for row in tokens.execute("SELECT id FROM tokens")}
        in_lexical = _lexical_ids(directory.lexical)
        for name, ids in (("token vectors", in_tokens), ("BM25", in_lexical)):
            assert chunks <= ids, f"{name} lack {len(chunks - ids)} live chunks"
            assert not at_rest or chunks == ids, f"{name} hold {len(ids - chunks)} chunks that are not live"
        return live

    def _live_pages(self, database: sqlite3.Connection) -> dict[str, int]:
        live: dict[str, int] = {}
        rows = database.execute(
            "SELECT url, title, text, content_hash FROM pages JOIN generations ON generations.id = pages.live_generation"
        )
        for url, title, text, content_hash in rows:
            path = urlsplit(url).path
            assert path not in live, f"{path} is there twice"
            assert content_hash in self._versions, f"{path} was never served like this: {text[:200]!r}"
            assert hash_of(title, text) == content_hash
            served_as, live[path] = self._versions[content_hash]
            assert served_as == path
        return live


def _check_generations(database: sqlite3.Connection, *, at_rest: bool) -> None:
    def count(statement: str) -> int:
        return int(database.execute(f"SELECT count(*) FROM {statement}").fetchone()[0])

    assert not count(
        "pages LEFT JOIN generations ON generations.id = live_generation AND generations.page_id = pages.id "
        "WHERE live_generation IS NOT NULL AND state IS NOT 'live'"
    ), "a page whose live generation isn't live"
    assert not count(
        "generations LEFT JOIN pages ON live_generation = generations.id WHERE state = 'live' AND pages.id IS NULL"
    ), "a live generation that no page shows"
    assert not count(
        "generations WHERE state = 'live' AND chunk_count != (SELECT count(*) FROM chunks WHERE generation = generations.id)"
    ), "a live generation without all its chunks"
    if at_rest:
        states = dict(database.execute("SELECT state, count(*) FROM generations GROUP BY state"))
        assert set(states) <= {"live"}, f"generations left behind: {states}"
        orphans = "chunks LEFT JOIN generations ON generations.id = generation WHERE generations.id IS NULL"
        assert not count(orphans), "chunks of no generation"


def _live_chunks(database: sqlite3.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT chunks.id FROM chunks JOIN pages ON live_generation = generation")}


def _lexical_ids(path: Path) -> set[str]:
    """All ids, read beside a writer or after its death."""
    searcher = tantivy.Index.open(str(path)).searcher()
    found = searcher.search(tantivy.Query.all_query(), limit=100_000, count=False).hits
    return {searcher.doc(address)["id"][0] for _, address in found}


def check_closed_indexes(data_dir: Path) -> int:
    """All three indexes and the database hold the same chunks, none twice; gives how many. For a service that has ended."""
    directory = DataDirectory(data_dir)
    with _read_only(directory.database) as database:
        live = _live_chunks(database)
    vectors = MilvusVectorIndex(uri=str(directory.vectors), dimension=384)
    lexical = TantivyIndex(path=directory.lexical)
    tokens = SqliteTokenStore(path=directory.tokens)
    try:
        for index in (vectors, lexical, tokens):
            assert index.present(sorted(live)) == live
        assert vectors.count() == lexical.count() == tokens.count() == len(live)
    finally:
        vectors.close()
        lexical.close()
        tokens.close()
    return len(live)


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Without write access, so that closing it leaves a dead service's write-ahead log as it is."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()
