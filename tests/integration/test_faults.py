"""Writes that fail: once, always, for want of room; at each index, and at each statement of the metadata database.

The errors are raised where the libraries raise them. The worker is the real one, with its queue. Whatever fails, nothing is
half-live: the old version is read until the new one is whole.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio
from dbos import DBOSClient
from pymilvus.exceptions import MilvusException
from sqlalchemy import event

from corpus.database import Database, utc_now
from corpus.jobs import Jobs, JobStatus
from corpus.model import IngestMode, JobState, UrlState
from corpus.settings import Settings
from corpus.sources import JobSpec
from ingest.crawl import DISK_FULL
from ingest.worker import IngestWorker
from tests.fakes import FakeEmbedder
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page
from tests.shelf import Shelf, open_shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ("/a", "/b")
FULL = "[Errno 28] No space left on device"
WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass
class Works:
    shelf: Shelf
    jobs: Jobs
    site: ScriptedSite
    worker: IngestWorker
    versions: Iterator[int] = field(default_factory=count)
    version: int = -1

    async def change(self) -> str:
        """Put new pages on the air and submit them."""
        self.version = next(self.versions)
        for path in PATHS:
            self.site.script(path, page(self.body(path)))
        spec = JobSpec(urls=[self.site.url(path) for path in PATHS], mode=IngestMode.PAGE, max_pages=9, max_depth=1)
        return await self.jobs.submit(collection_id=self.shelf.collection, spec=spec)

    def body(self, path: str) -> bytes:
        text = f"<p>The page {path} in its version {self.version}, of {'bees' if path == '/a' else 'ships'}.</p>"
        return f"<html><head><title>{path}</title></head><body><main>{text}</main></body></html>".encode()

    async def ended(self, job_id: str) -> JobStatus:
        async with asyncio.timeout(60):
            async for job in self.jobs.watch(job_id):
                if job.state.is_final:
                    return job
        raise AssertionError("the job doesn't end")

    async def waits_for_room(self, job_id: str) -> None:
        async with asyncio.timeout(60):
            async for job in self.jobs.watch(job_id):
                if job.error == DISK_FULL:
                    return

    async def live_versions(self) -> set[int]:
        """As readers see them."""
        listed, _ = await self.shelf.pages.list(collection="default")
        texts = [(await self.shelf.pages.text(one.id))[0] for one in listed]
        assert len(texts) == len(PATHS)
        return {int(text.partition("version ")[2].partition(",")[0]) for text in texts}

    async def is_whole(self) -> bool:
        """Nothing half-live, nothing missing, nothing left over."""
        await self.shelf.writer.clean_up()
        report = await self.shelf.verifier().verify()
        assert not report.differences, report.counts
        return set(await self.shelf.generation_states()) == {"live"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def works(tmp_path_factory: pytest.TempPathFactory, fake_embedder: FakeEmbedder, empty_queue: Any) -> AsyncIterator[Works]:
    data = tmp_path_factory.mktemp("data")
    shutil.copy(empty_queue, data / "queue.sqlite")
    ingest = {"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "max_attempts": 2}
    settings = Settings(data_dir=data, llm={"engine": "none"}, ingest=ingest)
    quick = [
        patch("ingest.recording.RETRY_BASE_S", 0.02),
        patch("ingest.crawl.STORAGE_PAUSE_S", 0.05),
        patch("ingest.worker.STORAGE_PAUSE_S", 0.05),
        patch("corpus.jobs.PROGRESS_POLL_S", 0.02),
    ]
    for one in quick:
        one.start()
    async with ScriptedSite() as site, open_shelf(settings, fake_embedder) as shelf:
        queue = await asyncio.to_thread(DBOSClient, system_database_url=shelf.corpus.queue_url, lazy=True)
        async with IngestWorker(corpus=shelf.corpus) as worker:
            works = Works(shelf, Jobs(database=shelf.database, queue=queue), site, worker)
            assert (await works.ended(await works.change())).state is JobState.SUCCEEDED
            yield works
        await asyncio.to_thread(queue.destroy)
    for one in quick:
        one.stop()


class Fault:
    """Raises ``error`` in the next ``times`` calls."""

    def __init__(self, error: Exception, times: float) -> None:
        self.error = error
        self.left = times
        self.raised = 0

    def strike(self) -> None:
        if self.left > 0:
            self.left -= 1
            self.raised += 1
            raise self.error


class Faulty:
    """Everything of ``real``, but one method that a fault strikes first. ``dies``: struck once, ``real`` is let go of."""

    def __init__(self, real: Any, method: str, fault: Fault, *, dies: bool = False) -> None:
        self._real, self._method, self._fault, self._dies = real, method, fault, dies

    def __getattr__(self, name: str) -> Any:
        return self._strike if name == self._method and self._fault.left > 0 else getattr(self._real, name)

    def _strike(self, *args: Any, **kwargs: Any) -> Any:
        if self._dies:
            self._real = None
        self._fault.strike()


@contextmanager
def milvus(method: str, fault: Fault, works: Works) -> Iterator[None]:
    index: Any = works.shelf.corpus.index.vectors
    real, index._client = index._client, Faulty(index._client, method, fault)
    yield
    index._client = real


@contextmanager
def tantivy(method: str, fault: Fault, works: Works) -> Iterator[None]:
    index: Any = works.shelf.corpus.index.lexical
    make = index._new_writer
    # The writer alone holds the index' lock: nobody but the proxy may keep it.
    index._writer = Faulty(index._writer, method, fault, dies=True)
    with patch.object(index, "_new_writer", lambda: Faulty(make(), method, fault, dies=True)):
        yield


@contextmanager
def tokens(method: str, fault: Fault, works: Works) -> Iterator[None]:
    store: Any = works.shelf.corpus.index.tokens
    real, store._connection = store._connection, Faulty(store._connection, method, fault)
    yield
    store._connection = real


INDEX_WRITES: list[tuple[Callable[..., Any], str, Exception, Exception]] = [
    (milvus, "upsert", MilvusException(message="refused"), MilvusException(message=FULL)),
    (milvus, "flush", MilvusException(message="refused"), MilvusException(message=FULL)),
    (milvus, "delete", MilvusException(message="refused"), MilvusException(message=FULL)),
    (tantivy, "commit", ValueError("refused"), ValueError(f"IoError {FULL}")),
    (tokens, "executemany", sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("database or disk is full")),
]
NAMES = [f"{break_.__name__}.{method}" for break_, method, *_ in INDEX_WRITES]


@pytest.mark.parametrize(("break_", "method", "error", "_full"), INDEX_WRITES, ids=NAMES)
async def test_an_index_write_that_fails_once_is_tried_again(
    works: Works, break_: Callable[..., Any], method: str, error: Exception, _full: Exception
) -> None:
    fault = Fault(error, times=1)
    with break_(method, fault, works):
        job = await works.ended(await works.change())
    assert fault.raised == 1
    assert (job.state, job.urls) == (JobState.SUCCEEDED, {UrlState.INDEXED: len(PATHS)})
    assert await works.live_versions() == {works.version}
    assert await works.is_whole()


@pytest.mark.parametrize(
    ("break_", "method", "error", "_full"),
    [case for case in INDEX_WRITES if case[1] != "delete"],
    ids=[name for name in NAMES if "delete" not in name],
)
async def test_an_index_write_that_always_fails_fails_the_pages_and_keeps_the_old_ones(
    works: Works, break_: Callable[..., Any], method: str, error: Exception, _full: Exception
) -> None:
    before = works.version
    fault = Fault(error, times=float("inf"))
    with break_(method, fault, works):
        job = await works.ended(await works.change())
        assert await works.live_versions() == {before}
    assert fault.raised > 1
    assert (job.state, job.urls) == (JobState.FAILED, {UrlState.FAILED: len(PATHS)})
    assert {failure.reason for failure in job.failures} == {"index_write_failed"}
    assert (await works.ended(await works.change())).state is JobState.SUCCEEDED
    assert await works.is_whole()


async def test_what_cannot_be_removed_from_an_index_is_not_seen_and_goes_later(works: Works) -> None:
    fault = Fault(MilvusException(message="refused"), times=float("inf"))
    with milvus("delete", fault, works):
        job = await works.ended(await works.change())
        assert job.state is JobState.SUCCEEDED
        assert {f"version {works.version}," in hit.chunk.text for hit in await works.shelf.search("its version")} == {True}
    assert fault.raised >= 1
    assert await works.is_whole()


@pytest.mark.parametrize(("break_", "method", "_error", "full"), INDEX_WRITES, ids=NAMES)
async def test_where_an_index_has_no_room_the_job_waits_and_goes_on_by_itself(
    works: Works, break_: Callable[..., Any], method: str, _error: Exception, full: Exception
) -> None:
    before = works.version
    fault = Fault(full, times=float("inf"))
    with break_(method, fault, works):
        job_id = await works.change()
        if method != "delete":  # which only makes the sweep wait
            await works.waits_for_room(job_id)
            assert await works.live_versions() == {before}
            fault.left = 0
        job = await works.ended(job_id)
    assert fault.raised >= 1
    assert (job.state, job.urls, job.error) == (JobState.SUCCEEDED, {UrlState.INDEXED: len(PATHS)}, None)
    assert await works.live_versions() == {works.version}
    assert await works.is_whole()


async def test_the_disk_may_be_full_at_any_write_to_the_database(works: Works) -> None:
    """Each statement that writes is struck when it is first executed, and once more later on."""
    database: Database = works.worker._database
    passed: Counter[str] = Counter()
    struck: Counter[str] = Counter()

    def strike(cursor: Any, statement: str, parameters: Any, context: Any) -> None:
        if statement.startswith(WRITES):
            passed[statement] += 1
            if passed[statement] in (1, 4):
                struck[statement] += 1
                raise sqlite3.OperationalError("database or disk is full")

    engine = database.engine.sync_engine
    for name in ("do_execute", "do_executemany"):
        event.listen(engine, name, strike)
    try:
        for _ in range(3):
            job = await works.ended(await works.change())
            assert (job.state, job.urls, job.error) == (JobState.SUCCEEDED, {UrlState.INDEXED: len(PATHS)}, None)
            assert await works.live_versions() == {works.version}
    finally:
        for name in ("do_execute", "do_executemany"):
            event.remove(engine, name, strike)
    assert len(struck) > 10, struck
    assert max(struck.values()) == 2
    # What couldn't even be given up waits for the next start, which begins with this.
    await works.shelf.writer.sweep(abandoned_before=utc_now())
    assert await works.is_whole()
