"""The vector index: in Milvus Lite's files, and in a collection of a Milvus server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from milvus_lite.server_manager import server_manager_instance
from pymilvus.exceptions import MilvusException

from corpus.embedding import Float32
from corpus.store import IdRange, IndexFilter, IndexRow, VectorIndex
from corpus.store_connection import MilvusServer
from corpus.store_milvus import MilvusVectorIndex
from corpus.store_server import ServerCollection

DIMENSION = 8
SEGMENT_ROWS = 100
EVERYTHING = IndexFilter(collection_id=1)


@pytest.fixture(params=["files", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    if request.param == "files":
        opened = MilvusVectorIndex(uri=str(tmp_path / "vectors.db"), dimension=DIMENSION)
        yield opened
        opened.close()
        return
    server = MilvusServer(request.getfixturevalue("milvus_settings"))
    yield ServerCollection(server=server, name=server.settings.collection_prefix, dimension=DIMENSION).vectors
    server.close()


def row(key: str, *, url: str = "https://a.example/x", language: str = "en", collection: int = 1) -> IndexRow:
    return IndexRow(key, "page", 1, collection, url, language, "", "")


def axis(i: int) -> Float32:
    return np.eye(DIMENSION, dtype=np.float32)[i]


def put(index: VectorIndex, *rows: IndexRow, vectors: list[Float32] | None = None) -> None:
    index.upsert(rows, np.stack(vectors or [axis(i % DIMENSION) for i in range(len(rows))]))
    index.flush()


def ids(index: VectorIndex, where: IndexFilter = EVERYTHING) -> set[str]:
    return {candidate.id for candidate in index.search(axis(0), where=where, limit=100)}


def test_scores_are_inner_products_best_first(index: VectorIndex) -> None:
    tilted = np.array([0.6, 0.8, 0, 0, 0, 0, 0, 0], dtype=np.float32)
    put(index, row("same"), row("tilted"), row("across"), row("against"), vectors=[axis(0), tilted, axis(2), -axis(0)])
    found = index.search(axis(0), where=EVERYTHING, limit=10)
    assert [candidate.id for candidate in found] == ["same", "tilted", "across", "against"]
    assert [candidate.score for candidate in found] == pytest.approx([1, 0.6, 0, -1], abs=1e-6)
    assert len(index.search(axis(0), where=EVERYTHING, limit=2)) == 2


@pytest.mark.parametrize("left_bytes", [0, 60, 200])
def test_an_index_file_that_was_written_in_part_is_made_again(
    tmp_path: Path, left_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    opened = MilvusVectorIndex(uri=str(tmp_path / "vectors.db"), dimension=DIMENSION)
    rows = [row(f"{number:03}") for number in range(SEGMENT_ROWS)]
    put(opened, *rows)
    opened.close()
    MilvusVectorIndex(uri=str(tmp_path / "vectors.db"), dimension=DIMENSION).close()  # loading makes what is lacking
    [file] = tmp_path.rglob("*.idx")
    os.truncate(file, left_bytes)
    opened = MilvusVectorIndex(uri=str(tmp_path / "vectors.db"), dimension=DIMENSION)
    try:
        assert opened.count() == SEGMENT_ROWS
        found = opened.search(axis(0), where=EVERYTHING, limit=10)
        assert [candidate.score for candidate in found] == pytest.approx([1] * 10)
        assert [record.levelname for record in caplog.records if record.name.startswith(("corpus", "pymilvus", "milvus"))] == [
            "WARNING"
        ]
    finally:
        opened.close()


def test_the_same_id_again_overwrites(index: VectorIndex) -> None:
    put(index, row("a"), vectors=[axis(0)])
    put(index, row("a"), vectors=[axis(1)])
    found = index.search(axis(1), where=EVERYTHING, limit=10)
    assert [(candidate.id, candidate.score) for candidate in found] == [("a", pytest.approx(1))]
    assert index.count() == 1


def test_rows_are_found_before_they_are_flushed(index: VectorIndex) -> None:
    index.upsert([row("a")], axis(0)[None])
    assert index.present(["a", "b"]) == {"a"}
    assert ids(index) == {"a"}


def test_deleted_is_neither_found_nor_counted(index: VectorIndex) -> None:
    put(index, row("a"), row("b"))
    index.delete(["a", "was-never-there"])
    assert (ids(index), index.present(["a", "b"]), index.count()) == ({"b"}, {"b"}, 1)
    index.delete(["b"])
    assert (ids(index), index.present(["a", "b"]), index.count()) == (set(), set(), 0)


def test_vectors_are_read_back_bit_for_bit(index: VectorIndex) -> None:
    vectors = np.random.default_rng(0).standard_normal((600, DIMENSION)).astype(np.float32)
    keys = [f"{i:032}" for i in range(600)]
    put(index, *(row(key) for key in keys[:300]), vectors=list(vectors[:300]))
    index.upsert([row(key) for key in keys[300:]], vectors[300:])  # and not flushed
    index.delete(keys[:1])
    loaded = index.load([*keys, "was-never-there"])
    assert set(loaded) == set(keys[1:])
    assert all(loaded[key].dtype == np.float32 and (loaded[key] == vectors[i]).all() for i, key in enumerate(keys) if i)
    assert index.load([]) == {}


def test_ids_by_their_beginning(index: VectorIndex) -> None:
    put(index, row("0a"), row("0f"), row("1a"), row("zz"))
    index.delete(["0f"])
    assert index.ids(IdRange("0", "0")) == ["0a"]
    assert sorted(index.ids(IdRange())) == ["0a", "1a", "zz"]
    assert index.ids(IdRange("2", "f")) == []


def test_an_empty_index_answers(index: VectorIndex) -> None:
    assert (ids(index), index.present([]), index.present(["a"]), index.count()) == (set(), set(), set(), 0)


URLS = {
    "plain": "https://a.example/docs/x",
    "percent": "https://a.example/100%25/x",
    "percent-like": "https://a.example/100z25/x",
    "underscore": "https://a.example/a_b/x",
    "underscore-like": "https://a.example/aXb/x",
    "quotes": "https://a.example/say\"hi\"/'x'",
    "umlaut": "https://a.example/über/x",
    "emoji": "https://a.example/🙂/x",
    "bracket": "https://a.example/a[0]*?(b)/x",
}


def test_url_prefixes_are_literal_whatever_stands_in_them(index: VectorIndex) -> None:
    put(index, *(row(key, url=url) for key, url in URLS.items()))
    wrong = {}
    for key, url in URLS.items():
        found = ids(index, IndexFilter(1, url_prefix=url[:-1].rpartition("/")[0] + "/"))
        if found != {key}:
            wrong[key] = found
    assert wrong == {}
    assert ids(index, IndexFilter(1, url_prefix="https://a.example/")) == set(URLS)
    assert ids(index, IndexFilter(1, url_prefix="https://")) <= set(URLS)
    assert ids(index, IndexFilter(1, url_prefix="%")) == set()


@pytest.mark.parametrize("junk", ["https://a.example/\n", "\x00", "\ud800", "https://a.example/\t%", "\x7f"])
def test_what_no_url_can_hold_matches_nothing(index: VectorIndex, junk: str) -> None:
    put(index, row("a"))
    assert ids(index, IndexFilter(1, url_prefix=junk)) == ids(index, IndexFilter(1, language=junk)) == set()


@pytest.mark.parametrize("language", ["de", 'e"n', "e'n", "e\\n", "", '" or collection_id == 2 or language == "', "中"])
def test_languages_are_literal_and_no_filter_can_be_talked_out_of_its_collection(index: VectorIndex, language: str) -> None:
    fits = len(language.encode()) <= 16
    put(index, row("en"), row("same", language=language if fits else "x"), row("other", language="en", collection=2))
    assert ids(index, IndexFilter(1, language=language)) == ({"same"} if fits else set())


def test_filters_are_combined(index: VectorIndex) -> None:
    put(
        index,
        row("a", url="https://a.example/x", language="en"),
        row("b", url="https://a.example/x", language="de"),
        row("c", url="https://b.example/x", language="de"),
        row("d", url="https://a.example/x", language="de", collection=2),
    )
    assert ids(index, IndexFilter(1, url_prefix="https://a.example/", language="de")) == {"b"}
    assert ids(index, IndexFilter(3)) == set()


def test_many_ids_at_once(index: VectorIndex) -> None:
    keys = [f"{i:032}" for i in range(2500)]
    put(index, *(row(key) for key in keys))
    assert index.present([*keys, "z"]) == set(keys)
    index.delete(keys[1:])
    assert (index.count(), index.present(keys)) == (1, {keys[0]})


def test_it_is_there_again_after_reopening(tmp_path: Path) -> None:
    uri = str(tmp_path / "vectors.db")
    first = MilvusVectorIndex(uri=uri, dimension=DIMENSION)
    put(first, row("flushed"), row("gone"))
    first.upsert([row("in-the-log")], axis(3)[None])
    first.delete(["gone"])
    first.close()
    second = MilvusVectorIndex(uri=uri, dimension=DIMENSION)
    assert ids(second) == {"flushed", "in-the-log"}
    assert second.count() == 2
    second.close()


@pytest.mark.parametrize("killed_at", ["milvus_lite.db.save_schema", "pymilvus.MilvusClient.create_index"])
def test_an_index_half_made_by_a_killed_process_is_made_whole(tmp_path: Path, killed_at: str) -> None:
    uri = str(tmp_path / "vectors.db")
    with patch(killed_at, side_effect=OSError("as a kill leaves it")), pytest.raises((OSError, MilvusException)):
        MilvusVectorIndex(uri=uri, dimension=DIMENSION)
    server_manager_instance.release_server(uri)
    try:
        index = MilvusVectorIndex(uri=uri, dimension=DIMENSION)
        put(index, row("a"))
        assert ids(index) == {"a"}
        assert index._client.list_indexes("chunks") == ["vector"]
    finally:
        server_manager_instance.release_server(uri)
