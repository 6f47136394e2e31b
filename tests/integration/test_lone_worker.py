"""``footnote worker``: a worker without a service."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import insert

from corpus.database import Database, sqlite_url, utc_now
from corpus.datadir import DataDirectory
from corpus.errors import StartupError
from corpus.model import JobState
from corpus.opening import open_corpus
from corpus.settings import Settings
from corpus.sources import JobSpec, record_job
from corpus.tables import CollectionRow
from footnote import lone_worker
from footnote.embedded import EmbeddedService, serve
from ingest.worker import worker_for
from tests.fakes import FakeEmbedder
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page, stall


@pytest.fixture
def settings(tmp_path: Path, empty_queue: Path) -> Settings:
    shutil.copy(empty_queue, tmp_path / "queue.sqlite")
    ingest = {"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "fetch_deadline_s": 600.0}
    return Settings(data_dir=tmp_path, llm={"engine": "none"}, ingest=ingest, server={"shutdown_grace_s": 0.0})


@pytest.fixture(autouse=True)
def _fake_embedder(fake_embedder: FakeEmbedder) -> Iterator[None]:
    with patch("corpus.opening.load_embedder", return_value=fake_embedder):
        yield


async def until_logged(caplog: pytest.LogCaptureFixture, what: str) -> None:
    async with asyncio.timeout(60):
        while what not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def record(settings: Settings, url: str) -> str:
    async with Database(url=sqlite_url(settings.data_dir / "footnote.sqlite")) as database:
        await database.migrate()
        async with database.write() as connection:
            made = insert(CollectionRow).values(name="default", created_at=utc_now()).returning(CollectionRow.id)
            collection = (await connection.execute(made)).scalar_one()
            spec = JobSpec(urls=[url], mode="page", max_pages=5, max_depth=1)
            return await record_job(connection, collection_id=collection, source_id=None, spec=spec, now=utc_now())


async def test_it_works_until_it_is_told_to_stop(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    life = settings.data_dir / "alive"
    async with ScriptedSite() as site:
        site.script("/a", page(b"<title>A</title><main><p>The page says what there is to say.</p></main>"))
        job = await record(settings, site.url("/a"))
        working = asyncio.create_task(lone_worker._work(settings))
        await until_logged(caplog, f"job {job} {JobState.SUCCEEDED}")
        assert life.exists()
        os.kill(os.getpid(), signal.SIGTERM)
        await working
    assert "the worker has stopped" in caplog.text
    assert not life.exists()


async def test_one_whose_own_loop_hangs_shows_no_life(settings: Settings) -> None:
    gate = threading.Event()
    async with open_corpus(settings) as corpus, worker_for(corpus) as worker:
        await worker.answers()
        worker._loop.call_soon_threadsafe(gate.wait)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lone_worker._show_life(worker, corpus.directory), 0.2)
            assert not corpus.directory.life_file.exists()
        finally:
            gate.set()


async def test_a_second_signal_ends_it_at_once(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    async with ScriptedSite() as site:
        site.script("/a", stall())
        await record(settings, site.url("/a"))
        working = asyncio.create_task(lone_worker._work(settings))
        await until_logged(caplog, "the worker is ready")
        os.kill(os.getpid(), signal.SIGTERM)
        await until_logged(caplog, "stopping, after what is going on")
        assert codes == []
        os.kill(os.getpid(), signal.SIGTERM)
        await working
    assert codes == [128 + signal.SIGTERM]


def test_beside_a_service_with_files_it_says_what_is_needed(settings: Settings) -> None:
    with (
        DataDirectory(settings.data_dir),
        pytest.raises(StartupError, match=r"set database\.url and milvus\.uri in all processes"),
    ):
        lone_worker.work_until_stopped(settings)


def test_a_service_that_leaves_its_jobs_to_nobody_says_so(settings: Settings) -> None:
    seen: list[list[str]] = []

    class Told(Exception):
        pass

    def bind(service: EmbeddedService) -> str:
        seen.append(service.readiness.degraded)
        raise Told

    with patch.object(EmbeddedService, "bind", bind), pytest.raises(Told):
        serve(settings, with_worker=False)
    assert "no ingest worker" in seen[0][0]
