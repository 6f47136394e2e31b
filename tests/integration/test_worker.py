"""The worker with its real queue: what is submitted gets done, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from dbos import DBOSClient

from corpus.jobs import Jobs, JobStatus
from corpus.model import IngestMode, JobState
from corpus.settings import Settings
from corpus.sources import JobSpec
from ingest.worker import IngestWorker
from tests.fakes import FakeEmbedder
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page
from tests.shelf import Shelf, open_shelf


@dataclass
class Works:
    """A corpus, a queue and a site; workers come and go."""

    shelf: Shelf
    jobs: Jobs
    site: ScriptedSite

    async def submit(self, *paths: str, mode: IngestMode = IngestMode.PAGE) -> str:
        spec = JobSpec(urls=[self.site.url(path) for path in paths], mode=mode, max_pages=50, max_depth=5)
        return await self.jobs.submit(collection_id=self.shelf.collection, spec=spec)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[IngestWorker]:
        async with IngestWorker(corpus=self.shelf.corpus) as worker:
            yield worker

    async def until(self, job_id: str, *states: JobState) -> JobStatus:
        async for status in self.jobs.watch(job_id):
            if status.state in states:
                return status
        raise AssertionError(f"the job ended as {status.state}: {status.error}")


@pytest.fixture
async def works(tmp_path: Path, fake_embedder: FakeEmbedder, empty_queue: Path) -> AsyncIterator[Works]:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(empty_queue, data / "queue.sqlite")
    ingest = {"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "fetch_deadline_s": 30.0}
    settings = Settings(data_dir=data, llm={"engine": "none"}, ingest=ingest)
    async with ScriptedSite() as site, open_shelf(settings, fake_embedder) as shelf:
        queue = await asyncio.to_thread(DBOSClient, system_database_url=shelf.corpus.queue_url, lazy=True)
        yield Works(shelf, Jobs(database=shelf.database, queue=queue), site)
        await asyncio.to_thread(queue.destroy)


def html(text: str, *links: str) -> bytes:
    listed = "".join(f'<a href="{link}">to {link}</a> ' for link in links)
    return f"<html><head><title>{text}</title></head><body><main><p>The page says {text}.</p>{listed}</main></body></html>".encode()


async def test_a_job_is_done(works: Works) -> None:
    works.site.script("/a", page(html("one")))
    async with works.worker():
        job_id = await works.submit("/a")
        status = await works.until(job_id, JobState.SUCCEEDED)
    assert status.found == 1
