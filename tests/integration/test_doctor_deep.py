"""``footnote doctor --deep`` against servers that are there, and that aren't."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymilvus import MilvusClient

from corpus.settings import MilvusSettings, Settings
from footnote.doctor import Status
from footnote.doctor_deep import check_milvus, check_model_server, check_postgresql
from tests.milvus import LiteServer, free_port
from tests.postgres import PostgresServer


def test_postgresql_is_written_to_and_left_as_it_was(tmp_path: Path, postgres: PostgresServer) -> None:
    settings = Settings(data_dir=tmp_path, database={"url": postgres.fresh_database()})
    for _ in range(2):  # the first left nothing in the second's way
        finding, *_ = check_postgresql(settings)
        assert (finding.name, finding.status) == ("postgresql", Status.OK)
        assert "can be made and taken back" in finding.found


def test_a_postgresql_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://footnote:hunter2@127.0.0.1:{free_port()}/db"
    [finding] = check_postgresql(Settings(data_dir=tmp_path, database={"url": url}))
    assert finding.status is Status.MISSING
    assert "127.0.0.1" in finding.found
    assert "hunter2" not in finding.found


def test_the_index_server_is_written_to_and_its_probe_dropped(
    tmp_path: Path, milvus: LiteServer, milvus_settings: MilvusSettings
) -> None:
    [finding] = check_milvus(Settings(data_dir=tmp_path, milvus=milvus_settings))
    assert (finding.name, finding.status) == ("index server", Status.WARN)  # for it is a milvus-lite server
    assert "found by vector and by word, and deleted" in finding.found
    client = MilvusClient(milvus.uri, dedicated=True)
    assert [name for name in client.list_collections() if name.startswith(milvus_settings.collection_prefix)] == []
    client.close()


def test_an_index_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    milvus = MilvusSettings(uri=f"http://127.0.0.1:{free_port()}", token="hunter2")
    [finding] = check_milvus(Settings(data_dir=tmp_path, milvus=milvus))
    assert finding.status is Status.MISSING
    assert milvus.uri.removeprefix("http://") in finding.found
    assert "hunter2" not in finding.found


@pytest.mark.parametrize("key", ["", "secret"])
def test_a_model_server_that_is_not_there_is_missing(tmp_path: Path, key: str) -> None:
    llm = {"engine": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1", "model": "m", "api_key": key}
    finding = check_model_server(Settings(data_dir=tmp_path, llm=llm))
    assert (finding.name, finding.status) == ("model server", Status.MISSING)
