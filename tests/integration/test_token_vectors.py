"""Token vectors: in an SQLite file, and in a table of PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.database import postgres_url
from corpus.embedding import Float32
from corpus.errors import Unavailable
from corpus.store import IdRange, IndexFailure, TokenStore
from corpus.token_vectors import SqliteTokenStore, quantise
from corpus.token_vectors_postgres import PostgresTokenStore, drop_tokens, token_engine, token_tables
from tests.postgres import PostgresServer


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[SqliteTokenStore]:
    opened = SqliteTokenStore(path=tmp_path / "tokens.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def in_postgresql(postgres: PostgresServer) -> Iterator[PostgresTokenStore]:
    engine = token_engine(postgres_url(postgres.fresh_database()))
    yield PostgresTokenStore(engine=engine, number=1)
    engine.dispose()


@pytest.fixture(params=["in_file", "in_postgresql"])
def store(request: pytest.FixtureRequest) -> TokenStore:
    opened: TokenStore = request.getfixturevalue(request.param)
    return opened


def spoil(store: TokenStore, change: str) -> None:
    """Change rows behind the store's back. ``change``: an UPDATE of a table called tokens, as both databases know it."""
    if isinstance(store, SqliteTokenStore):
        store._connection.execute(change)
    else:
        assert isinstance(store, PostgresTokenStore)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(change.replace("tokens", "footnote_index.tokens_1", 1))


def unit_rows(count: int, *, seed: int = 0, dimension: int = 384) -> Float32:
    matrix = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_what_is_loaded_is_within_half_a_step_of_what_was_stored(store: TokenStore) -> None:
    matrix = unit_rows(40)
    store.upsert(["a"], [matrix])
    loaded = store.load(["a"])["a"]
    step = np.abs(matrix).max(axis=1, keepdims=True) / 127
    assert loaded.dtype == np.float32
    assert (np.abs(loaded - matrix) <= step / 2 + 1e-7).all()
    assert (matrix * loaded).sum(axis=1) == pytest.approx(np.ones(40), abs=2e-3)


def test_quantise_golden() -> None:
    scales, values = quantise(np.array([[1.27, -0.01, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32))
    assert scales[0] == pytest.approx(0.01)
    assert values.tolist() == [[127, -1, 0], [0, 0, 0]]


@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-12, 6))
def test_what_was_loaded_is_stored_bit_for_bit(seed: int, exponent: int) -> None:
    """Else vectors that are taken over from version to version of a page would drift."""
    matrix = (np.random.default_rng(seed).standard_normal((5, 64)) * 10.0**exponent).astype(np.float32)
    matrix[0] = 0
    scales, values = quantise(matrix)
    again_scales, again_values = quantise(values.astype(np.float32) * scales[:, None])
    assert (again_scales.tobytes(), again_values.tobytes()) == (scales.tobytes(), values.tobytes())


def test_ids_by_their_beginning(store: TokenStore) -> None:
    store.upsert(["0a", "0f", "1a", "zz"], [unit_rows(1)] * 4)
    assert sorted(store.ids(IdRange("0", "0"))) == ["0a", "0f"]
    assert sorted(store.ids(IdRange())) == ["0a", "0f", "1a", "zz"]
    assert store.ids(IdRange("2", "f")) == []


def test_a_damaged_row_is_as_good_as_missing(store: TokenStore) -> None:
    store.upsert(["a", "b"], [unit_rows(3), unit_rows(3)])
    spoil(store, "UPDATE tokens SET values_i8 = substr(values_i8, 1, 2) WHERE id = 'a'")
    assert set(store.load(["a", "b"])) == {"b"}


def test_packed_is_what_load_gives_and_leaves_out_what_has_no_tokens_or_is_damaged(store: TokenStore) -> None:
    store.upsert(["a", "b", "empty", "cut", "narrow"], [unit_rows(3), unit_rows(5), unit_rows(0), unit_rows(4), unit_rows(4)])
    spoil(store, "UPDATE tokens SET values_i8 = substr(values_i8, 1, 7) WHERE id = 'cut'")
    spoil(store, "UPDATE tokens SET values_i8 = substr(values_i8, 1, 8) WHERE id = 'narrow'")  # two dimensions
    dimension = unit_rows(1).shape[1]
    packed = store.load_packed(["b", "a", "empty", "cut", "narrow", "unknown"], dimension=dimension)
    assert packed is not None
    assert dict(zip(packed.ids, packed.counts, strict=True)) == {"a": 3, "b": 5}
    loaded = store.load(["a", "b"])
    expected = np.concatenate([loaded[chunk_id] for chunk_id in packed.ids])
    assert np.array_equal(packed.values.astype(np.float32) * packed.scales[:, None], expected)
    assert store.load_packed(["empty", "unknown"], dimension=dimension) is None


def test_a_chunk_without_tokens_has_none(store: TokenStore) -> None:
    store.upsert(["empty"], [np.zeros((0, 384), dtype=np.float32)])
    assert len(store.load(["empty"])["empty"]) == 0


def test_the_same_id_again_overwrites(store: TokenStore) -> None:
    store.upsert(["a"], [unit_rows(3)])
    store.upsert(["a", "b"], [unit_rows(5), unit_rows(2)])
    assert {key: len(matrix) for key, matrix in store.load(["a", "b", "z"]).items()} == {"a": 5, "b": 2}
    assert store.count() == 2


def test_many_ids_at_once(store: TokenStore) -> None:
    keys = [str(i) for i in range(1200)]
    store.upsert(keys, [unit_rows(1, dimension=4)] * len(keys))
    assert set(store.load(keys)) == set(keys)
    store.delete(keys[1:])
    assert set(store.load(keys)) == {"0"}


def test_a_failed_write_leaves_nothing_and_the_store_usable(store: TokenStore) -> None:
    with pytest.raises((sqlite3.Error, IndexFailure)):
        store.upsert(["a", object()], [unit_rows(1), unit_rows(1)])  # type: ignore[list-item]
    assert store.count() == 0
    store.upsert(["b"], [unit_rows(1)])
    with pytest.raises((sqlite3.Error, IndexFailure)):
        store.delete(["b", object()])  # type: ignore[list-item]
    assert store.count() == 1
    store.delete(["b"])
    assert store.count() == 0


def test_readers_in_other_threads(store: TokenStore) -> None:
    store.upsert(["a"], [unit_rows(30)])
    loaded: list[int] = []
    threads = [threading.Thread(target=lambda: loaded.append(len(store.load(["a"])["a"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [30] * 8


def test_it_is_there_again_after_reopening(tmp_path: Path) -> None:
    first = SqliteTokenStore(path=tmp_path / "tokens.sqlite")
    first.upsert(["a"], [unit_rows(3)])
    first.close()
    second = SqliteTokenStore(path=tmp_path / "tokens.sqlite")
    assert len(second.load(["a"])["a"]) == 3
    second.close()


def test_each_index_has_a_table_of_its_own(postgres: PostgresServer) -> None:
    engine = token_engine(postgres_url(postgres.fresh_database()))
    assert token_tables(engine) == set()
    first, second = (PostgresTokenStore(engine=engine, number=number) for number in (1, 12))
    first.upsert(["a"], [unit_rows(3)])
    assert (token_tables(engine), first.count(), second.count()) == ({1, 12}, 1, 0)
    assert PostgresTokenStore(engine=engine, number=1).present(["a"]) == {"a"}
    drop_tokens(engine, 1)
    drop_tokens(engine, 1)
    assert token_tables(engine) == {12}
    engine.dispose()


def test_processes_that_make_the_table_at_once_make_it_once(postgres: PostgresServer) -> None:
    url = postgres_url(postgres.fresh_database())
    engines = [token_engine(url) for _ in range(6)]
    with ThreadPoolExecutor(max_workers=6) as threads:
        made = list(threads.map(lambda engine: PostgresTokenStore(engine=engine, number=1).count(), engines))
    assert made == [0] * 6
    for engine in engines:
        engine.dispose()


def test_a_server_that_is_away_is_told_from_a_wrong_statement_and_comes_back(postgres: PostgresServer) -> None:
    engine = token_engine(postgres_url(postgres.fresh_database()))
    store = PostgresTokenStore(engine=engine, number=1)
    store.upsert(["a"], [unit_rows(3)])
    postgres.stop()
    try:
        for use in (
            store.count,
            lambda: store.load(["a"]),
            lambda: store.upsert(["b"], [unit_rows(1)]),
            lambda: token_tables(engine),
        ):
            with pytest.raises(Unavailable, match="can't be reached"):
                use()
    finally:
        postgres.start()
    assert store.present(["a", "b"]) == {"a"}
    drop_tokens(engine, 1)
    with pytest.raises(IndexFailure):
        store.delete(["a"])
    with pytest.raises(Unavailable, match="The log holds"):
        store.count()
    engine.dispose()


def test_a_connection_that_breaks_is_followed_by_another(postgres: PostgresServer) -> None:
    engine = token_engine(postgres_url(postgres.fresh_database()))
    store = PostgresTokenStore(engine=engine, number=1)
    with pytest.raises(Unavailable), store._cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    store.upsert(["a"], [unit_rows(3)])
    assert store.count() == 1
    engine.dispose()
