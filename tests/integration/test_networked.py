"""The networked profile: metadata and token vectors in PostgreSQL, vectors and words on an index server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from corpus.analysis import ANALYSIS_VERSION
from corpus.errors import StartupError, Unavailable
from corpus.index_homes import LITE_WRITER_LOCK
from corpus.jobs import Jobs, open_queue
from corpus.model import Hit, IngestMode, JobState, SearchMode, UrlState
from corpus.reindexing import Reindexer
from corpus.settings import AnswerSettings, IndexSettings, IngestSettings, MilvusSettings, Settings
from corpus.sources import JobSpec
from corpus.token_vectors_postgres import alone, token_engine
from ingest.worker import IngestWorker
from tests.fakes import FakeEmbedder
from tests.integration.test_worker import Gate, html
from tests.milvus import LiteServer, free_port
from tests.postgres import PostgresServer
from tests.running import running, until
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page
from tests.shelf import Shelf, open_shelf, urls


@pytest.fixture(params=["postgresql", "sqlite"])
def networked(request: pytest.FixtureRequest, tmp_path: Path, milvus_settings: MilvusSettings) -> Settings:
    """An index server; its metadata in PostgreSQL, or in a file of one process."""
    database = {}
    if request.param == "postgresql":
        database = {"url": request.getfixturevalue("postgres").fresh_database()}
    return Settings(data_dir=tmp_path / "data", llm={"engine": "none"}, database=database, milvus=milvus_settings)


@pytest.fixture
async def shelf(networked: Settings, fake_embedder: FakeEmbedder) -> AsyncIterator[Shelf]:
    async with open_shelf(networked, fake_embedder) as opened:
        yield opened


async def test_a_page_is_written_found_replaced_and_deleted(shelf: Shelf) -> None:
    page = await shelf.put("https://a.example/lamp", "# Lamp", "The lamp is lit at dusk.")
    await shelf.put("https://a.example/door", "# Door", "The door is shut at dawn.")
    assert urls(await shelf.search("lamp at dusk"))[0] == "https://a.example/lamp"
    [hit] = await shelf.search("lamp", mode=SearchMode.LEXICAL)
    assert (hit.chunk.url, hit.score > 0) == ("https://a.example/lamp", True)
    await shelf.put("https://a.example/lamp", "# Lamp", "The lantern is lit at dusk.")
    assert await shelf.search("lamp is", mode=SearchMode.LEXICAL, url_prefix="https://a.example/door") == []
    assert urls(await shelf.search("lantern", mode=SearchMode.LEXICAL)) == ["https://a.example/lamp"]
    assert len(shelf.counts()) == 1
    assert (await shelf.verifier().verify()).differences == 0
    await shelf.pages.delete(page)
    assert urls(await shelf.search("lamp lantern dusk")) == ["https://a.example/door"]
    assert (await shelf.verifier().verify()).differences == 0


async def test_nothing_of_an_index_lies_in_files_but_token_vectors_without_a_database_server(shelf: Shelf) -> None:
    await shelf.put("https://a.example/lamp", "The lamp is lit at dusk.")
    directory = shelf.corpus.directory
    assert not directory.vectors.exists()
    assert not directory.lexical.exists()
    assert directory.tokens.exists() is not shelf.corpus.database_url.startswith("postgresql")


async def test_what_the_server_has_lost_is_made_again_at_the_next_start(networked: Settings, fake_embedder: FakeEmbedder) -> None:
    async with open_shelf(networked, fake_embedder) as shelf:
        await shelf.put("https://a.example/lamp", "# Lamp", "The lamp is lit at dusk.")
        held = shelf.counts()
        shelf.corpus.home.remove(1)
    async with open_shelf(networked, fake_embedder) as shelf:
        assert shelf.corpus.rebuilt_chunks == max(held)
        assert urls(await shelf.search("lamp")) == ["https://a.example/lamp"]
        assert (await shelf.verifier().verify()).differences == 0


async def test_words_of_an_older_analysis_are_named_until_a_reindex(
    networked: Settings, fake_embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.opening.ANALYSIS_VERSION", ANALYSIS_VERSION - 1)  # as the release before it did
    async with open_shelf(networked, fake_embedder) as shelf:
        await shelf.put("https://a.example/lamp", "# Lamp", "The lamp is lit at dusk.")
        assert not shelf.corpus.has_old_words
    monkeypatch.undo()
    for _ in range(2):  # not only at the first start
        caplog.clear()
        async with open_shelf(networked, fake_embedder) as shelf:
            assert shelf.corpus.has_old_words
            assert "footnote reindex --anyway" in caplog.text
    smaller = IndexSettings(chunk_max_tokens=40, chunk_min_tokens=0)
    async with open_shelf(networked, fake_embedder) as shelf:
        home = shelf.corpus.home
        reindexer = Reindexer(database=shelf.database, home=home, settings=smaller, embedder=fake_embedder)
        index = await reindexer.begin()
        await reindexer.build(index)
        assert await reindexer.switch(index)
        index.close()
    async with open_shelf(networked, fake_embedder) as shelf:
        assert not shelf.corpus.has_old_words


async def test_a_reindex_builds_a_second_collection_and_drops_the_first(networked: Settings, fake_embedder: FakeEmbedder) -> None:
    smaller = IndexSettings(chunk_max_tokens=40, chunk_min_tokens=0)
    async with open_shelf(networked, fake_embedder) as shelf:
        await shelf.put("https://a.example/lamp", "# Lamp", *(f"The lamp of house {n} is lit at dusk. " * 6 for n in range(5)))
        before = max(shelf.counts())
        home = shelf.corpus.home
        reindexer = Reindexer(database=shelf.database, home=home, settings=smaller, embedder=fake_embedder)
        index = await reindexer.begin()
        await reindexer.build(index)
        await reindexer.check(index)
        assert await reindexer.switch(index)
        assert home.numbers() == {1, 2}
        index.close()
    async with open_shelf(networked, fake_embedder) as shelf:
        assert shelf.corpus.home.numbers() == {2}
        assert shelf.corpus.rebuilt_chunks == 0
        assert max(shelf.counts()) > before
        assert urls(await shelf.search("lamp"))[0] == "https://a.example/lamp"
        assert (await shelf.verifier().verify()).differences == 0


async def test_two_footnotes_on_one_server_keep_out_of_each_others_way(
    networked: Settings, fake_embedder: FakeEmbedder, tmp_path: Path, postgres: PostgresServer
) -> None:
    other = networked.model_copy(update={"data_dir": tmp_path / "other"})
    if other.database.url.get_secret_value():
        other = Settings(data_dir=tmp_path / "other", database={"url": postgres.fresh_database()}, milvus=networked.milvus)
    async with open_shelf(networked, fake_embedder) as one, open_shelf(other, fake_embedder) as two:
        await one.put("https://a.example/lamp", "The lamp is lit at dusk.")
        await two.put("https://b.example/lamp", "The lamp is lit at dawn.")
        assert urls(await one.search("lamp")) == ["https://a.example/lamp"]
        assert urls(await two.search("lamp")) == ["https://b.example/lamp"]
        assert one.corpus.home.numbers() == two.corpus.home.numbers() == {1}


async def test_without_the_server_questions_are_refused_and_a_deletion_holds(
    shelf: Shelf, milvus: LiteServer, caplog: pytest.LogCaptureFixture
) -> None:
    page = await shelf.put("https://a.example/lamp", "The lamp is lit at dusk.")
    await shelf.put("https://a.example/door", "The door is shut at dusk.")
    milvus.stop()
    try:
        for mode in SearchMode:
            with pytest.raises(Unavailable, match="can't be reached") as caught:
                await shelf.search("dusk", mode=mode)
            assert caught.value.retry_after_s > 0
        with pytest.raises(Unavailable):
            await shelf.put("https://a.example/new", "The moon is up at dusk.")
        await shelf.pages.delete(page)  # which is true at once, and cleared away later
        assert await shelf.chunks(page) == []
        assert shelf.corpus.home.trouble is not None
    finally:
        milvus.start()
    assert [line for line in caplog.messages if "can't be reached" in line] != []
    hits = await search_again(shelf, "dusk")
    assert urls(hits) == ["https://a.example/door"]
    assert shelf.corpus.home.trouble is None
    await shelf.put("https://a.example/new", "The moon is up at dusk.")
    assert (await shelf.verifier().verify()).differences == 0


async def search_again(shelf: Shelf, text: str) -> list[Hit]:
    """Once the breaker lets a call through again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await shelf.search(text)
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_start_without_the_server_names_it(networked: Settings, fake_embedder: FakeEmbedder) -> None:
    port = free_port()
    milvus = networked.milvus.model_copy(update={"uri": f"http://127.0.0.1:{port}", "token": SecretStr("hunter2")})
    with pytest.raises(StartupError, match=f"127.0.0.1:{port} can't be reached"):
        async with open_shelf(networked.model_copy(update={"milvus": milvus}), fake_embedder):
            pass


def test_over_http_an_index_server_that_is_away_is_503_with_retry_after_and_named(
    networked: Settings, milvus: LiteServer, fake_embedder: FakeEmbedder, empty_queue: Path
) -> None:
    networked.data_dir.mkdir()
    networked = networked.model_copy(update={"answer": AnswerSettings(abstain_below=0.1)})
    with running(networked, embedder=fake_embedder, queue=empty_queue) as api:
        page = api.put("https://a.example/lamp", "The lamp is lit at dusk.")
        api.put("https://a.example/door", "The door is shut at dusk.")
        assert api.http.get("/readyz").json()["degraded"] == []
        asked = [("/v1/search", {"query": "lamp"}), ("/v1/ask", {"question": "When is the lamp lit?"})]
        milvus.stop()
        try:
            for path, body in asked:
                refused = api.http.post(path, json=body)
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), path
                assert int(refused.headers["retry-after"]) > 0
            ready = api.http.get("/readyz")
            assert ready.status_code == 200
            assert [milvus.uri.removeprefix("http://") in lack for lack in ready.json()["degraded"]] == [True]
            assert api.http.delete(f"/v1/pages/{page}").status_code == 204
            assert api.http.get(f"/v1/pages/{page}").status_code == 404
        finally:
            milvus.start()
        until(lambda: api.http.get("/readyz").json()["degraded"] == [])
        found = api.http.post("/v1/search", json={"query": "dusk"}).json()["hits"]
        assert [hit["url"] for hit in found] == ["https://a.example/door"]


async def test_a_job_outlives_an_outage_of_the_index_server(
    networked: Settings,
    milvus: LiteServer,
    fake_embedder: FakeEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server goes while pages are fetched, and comes back: nothing failed, nothing is lost or there twice."""
    for module in ("ingest.crawl", "ingest.worker"):
        monkeypatch.setattr(f"{module}.STORAGE_PAUSE_S", 0.2)
    settings = networked.model_copy(update={"ingest": IngestSettings(allow_private_hosts=[PUBLIC_IP], delay_s=0.0)})
    async with ScriptedSite() as site, open_shelf(settings, fake_embedder) as shelf:
        gates = {path: Gate(page(html(f"The lamp of {path} is lit at dusk."))) for path in ("/a", "/b", "/c")}
        for path, gate in gates.items():
            site.script(path, gate)
        queue = await asyncio.to_thread(open_queue, shelf.corpus.queue_url)
        jobs = Jobs(database=shelf.database, queue=queue)
        async with IngestWorker(corpus=shelf.corpus):
            spec = JobSpec(urls=[site.url(path) for path in gates], mode=IngestMode.PAGE, max_pages=9, max_depth=0)
            job_id = await jobs.submit(collection_id=shelf.collection, spec=spec)
            async with asyncio.timeout(120):
                await gates["/a"].knocked.wait()
                await asyncio.to_thread(milvus.stop)
                for gate in gates.values():
                    gate.opened.set()
                while not any("waits" in line and "can't be reached" in line for line in caplog.messages):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (await jobs.get(job_id)).state is JobState.RUNNING
            await asyncio.to_thread(milvus.start)
            async with asyncio.timeout(120):
                async for status in jobs.watch(job_id):
                    ended = status
        await asyncio.to_thread(queue.destroy)
        assert (ended.state, ended.urls) == (JobState.SUCCEEDED, {UrlState.INDEXED: 3})
        assert sorted(urls(await shelf.search("lamp at dusk"))) == [site.url(path) for path in gates]
        assert (await shelf.verifier().verify()).differences == 0


async def test_processes_write_to_a_lite_server_one_after_the_other(
    postgres: PostgresServer, tmp_path: Path, milvus_settings: MilvusSettings, fake_embedder: FakeEmbedder
) -> None:
    """It fails, or loses rows, where two do so at once."""
    settings = Settings(data_dir=tmp_path, database={"url": postgres.fresh_database()}, milvus=milvus_settings)
    async with open_shelf(settings, fake_embedder) as shelf:
        engine = token_engine(shelf.corpus.database_url)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with engine.connect() as onlooker:
            with alone(engine, LITE_WRITER_LOCK):
                writing = asyncio.create_task(shelf.put("https://a.example/lamp", "The lamp is lit at dusk."))
                async with asyncio.timeout(60):
                    while not onlooker.exec_driver_sql(waiting).scalar():
                        assert not writing.done(), writing.result()
                        await asyncio.sleep(0.02)
                assert shelf.counts() == {0}
            await writing
        engine.dispose()
        assert len(shelf.counts() - {0}) == 1
