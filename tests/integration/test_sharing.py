"""A job that several workers share: each URL is one's at a time, and what a worker brings that has lost it is dropped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from corpus.database import utc_now
from corpus.generations import GenerationWriter
from corpus.model import JobState, UrlState
from corpus.tables import GenerationRow, JobRow, ProcessRow, UrlRow
from ingest import crawl, frontier
from ingest.crawl import Crawler
from tests.integration.test_crawl import (
    INDEXED,
    MAX_BATCHES,
    Ingest,
    article,
    html,
    ingest,
    parser,
    prose,
    script,
    site,
)
from tests.integration.test_worker import Gate
from tests.scripted_site import ScriptedSite, page, status

__all__ = ["ingest", "parser", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER, HELPER, THIRD = "owner", "helper", "third"


@pytest.fixture(autouse=True)
async def processes(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(frontier, "CLAIMS_POLL_S", 0.02)
    now = utc_now()
    facts: dict[str, Any] = {"role": "worker", "host": "h", "pid": 1, "shares_index": True, "started_at": now, "seen_at": now}
    async with ingest.shelf.database.write() as connection:
        for name in (OWNER, HELPER, THIRD):
            await connection.execute(insert(ProcessRow).values(facts | {"id": name, "place": name}))
    yield
    async with ingest.shelf.database.write() as connection:
        await connection.execute(delete(ProcessRow))


class Team:
    """Three workers' crawlers on one corpus, the first of which runs the job."""

    def __init__(self, ingest: Ingest, *crawlers: Crawler) -> None:
        self.ingest = ingest
        self.owner, *self.helpers = crawlers

    async def own(self, job_id: str) -> None:
        if await self.owner.begin(job_id):
            for _ in range(MAX_BATCHES * 20):
                if not await self.owner.run_batch(job_id):
                    return
            pytest.fail("The job has not ended.")

    async def help(self, helper: Crawler, job_id: str, *, until: asyncio.Event) -> None:
        while not until.is_set():
            if not await helper.help(job_id):
                await asyncio.sleep(0.01)

    async def share(self, job_id: str) -> Any:
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for helper in self.helpers:
                group.create_task(self.help(helper, job_id, until=done))
            await self.own(job_id)
            done.set()
        assert await self.owner.finish(job_id)
        return await self.ingest.look(job_id)

    async def until_claimed(self, path: str, by: str) -> None:
        async with asyncio.timeout(30):
            while True:
                async with self.ingest.shelf.database.read() as connection:
                    claim = select(UrlRow.claimed_by).where(UrlRow.url == self.ingest.site.url(path))
                    if await connection.scalar(claim) == by:
                        return
                await asyncio.sleep(0.01)

    async def kill(self, process: str) -> None:
        """What is done of a process that was silent for too long (``corpus/processes.py``)."""
        async with self.ingest.shelf.database.write() as connection:
            await connection.execute(update(ProcessRow).where(ProcessRow.id == process).values(dead_at=utc_now()))


@pytest.fixture
async def team(ingest: Ingest) -> AsyncIterator[Team]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        yield Team(ingest, *[await enter(ingest.crawler(claimant=name)) for name in (OWNER, HELPER, THIRD)])


async def writers(ingest: Ingest) -> Counter[str | None]:
    """How many versions each process wrote."""
    async with ingest.shelf.database.read() as connection:
        return Counter((await connection.scalars(select(GenerationRow.writer))).all())


async def test_three_workers_share_a_crawl_and_no_page_is_visited_twice(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crawl, "SHARED_BATCH_URLS", 3)
    paths = [f"/{number}" for number in range(30)]
    script(site, {"/": paths, **dict.fromkeys(paths, paths)})
    ended = await team.share(await ingest.submit("/"))
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == dict.fromkeys(["/", *paths], INDEXED)
    visits = Counter(target for target in site.targets if target != "/robots.txt")
    assert visits == Counter(["/", *paths])
    assert sum((await writers(ingest)).values()) == 31
    assert len(await writers(ingest)) >= 2
    assert ingest.shelf.counts() == {sum(row.chunks for row in ended.rows.values())}


async def test_a_job_waits_for_what_others_hold_and_takes_it_when_they_die(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
) -> None:
    script(site, {"/": ["/a", "/b"], "/a": [], "/b": []})
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    await team.owner.run_batch(job_id)
    taken, _ = await frontier.claim(ingest.shelf.database, job_id, run=1, me=HELPER, limit=10)
    assert len(taken) == 2
    assert await frontier.claim(ingest.shelf.database, job_id, run=1, me=OWNER, limit=10) == ([], frontier.CLAIMS_POLL_S)
    assert await team.owner.run_batch(job_id)  # it only waited
    assert not await team.owner.finish(job_id)
    assert site.targets.count("/a") == 0
    await team.kill(HELPER)
    await team.own(job_id)
    assert await team.owner.finish(job_id)
    assert (await ingest.look(job_id)).outcomes == dict.fromkeys(["/", "/a", "/b"], INDEXED)


@pytest.mark.parametrize("taken_over", [True, False])
async def test_what_a_worker_brings_that_was_taken_for_dead_is_dropped(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
    taken_over: bool,
) -> None:
    gate = Gate(page(article("a", prose("old"))))
    site.script("/", page(html("start", "/a")))
    site.script("/a", gate, page(article("a", prose("new"))))
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    await team.owner.run_batch(job_id)
    late = asyncio.create_task(team.helpers[0].help(job_id))
    await gate.knocked.wait()
    await team.kill(HELPER)
    if taken_over:
        await team.own(job_id)
    gate.opened.set()
    assert await late
    if not taken_over:
        assert (await ingest.look(job_id)).rows["/a"].state == UrlState.PENDING
        await team.own(job_id)
    assert await team.owner.finish(job_id)
    assert (await ingest.look(job_id)).outcomes == {"/": INDEXED, "/a": INDEXED}
    assert (await writers(ingest))[HELPER] == 0
    assert "live" in await ingest.shelf.generation_states()
    assert set(await ingest.shelf.generation_states()) == {"live"}


async def test_a_failure_that_comes_too_late_changes_nothing(ingest: Ingest, site: ScriptedSite, team: Team) -> None:
    gate = Gate(status(404))
    site.script("/", page(html("start", "/a")))
    site.script("/a", gate, page(html("a")))
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    await team.owner.run_batch(job_id)
    late = asyncio.create_task(team.helpers[0].help(job_id))
    await gate.knocked.wait()
    await team.kill(HELPER)
    await team.owner.run_batch(job_id)
    gate.opened.set()
    assert await late
    assert (await ingest.look(job_id)).outcomes == {"/": INDEXED, "/a": INDEXED}
    assert await ingest.pages() == ["/", "/a"]


async def test_a_version_that_was_swept_under_its_writer_leaves_no_chunk_and_loses_no_page(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker was so slow that it was taken for dead, and was heard of again before anybody took its URL."""
    script(site, {"/": []})
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    corpus, database = ingest.shelf.corpus, ingest.shelf.database
    other = GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder, process=THIRD)
    write = corpus.index.write
    swept: list[int] = []

    def write_late(*args: Any) -> None:
        if not swept:
            swept.append(asyncio.run_coroutine_threadsafe(sweep(), loop).result(30))
        write(*args)

    async def sweep() -> int:
        await team.kill(OWNER)
        count = await other.sweep(abandoned_before=utc_now() + timedelta(hours=1))
        async with database.write() as connection:
            await connection.execute(update(ProcessRow).where(ProcessRow.id == OWNER).values(dead_at=None))
        return count

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(corpus.index, "write", write_late)
    await team.owner.run_batch(job_id)
    assert swept == [1]
    assert (await ingest.look(job_id)).rows["/"].state == UrlState.PENDING
    assert ingest.shelf.counts() == {0}
    await team.own(job_id)
    assert await team.owner.finish(job_id)
    assert (await ingest.look(job_id)).outcomes == {"/": INDEXED}


async def test_the_living_writers_versions_are_not_swept(ingest: Ingest, team: Team) -> None:
    corpus, database = ingest.shelf.corpus, ingest.shelf.database
    ours, theirs = (
        GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder, process=name)
        for name in (OWNER, HELPER)
    )
    await theirs._begin([ingest.shelf.new_page("https://h/", "A text.")])
    assert await ours.sweep(abandoned_before=utc_now()) == 0
    await team.kill(HELPER)
    assert await ours.sweep(abandoned_before=utc_now()) == 1


async def test_of_two_pages_that_say_the_same_one_is_kept_though_two_workers_read_them(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crawl, "SHARED_BATCH_URLS", 1)
    text = prose("the same")
    site.script("/", page(html("start", "/a", "/b")))
    site.script("/a", page(article("same", text)))
    site.script("/b", page(article("same", text)))
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    await team.owner.run_batch(job_id)
    both_judged = asyncio.Barrier(2)
    write = GenerationWriter._write

    async def write_together(self: GenerationWriter, *args: Any) -> None:
        async with asyncio.timeout(30):
            await both_judged.wait()
        await write(self, *args)

    monkeypatch.setattr(GenerationWriter, "_write", write_together)
    await asyncio.gather(team.owner.run_batch(job_id), team.helpers[0].help(job_id))
    await team.own(job_id)
    assert await team.owner.finish(job_id)
    outcomes = (await ingest.look(job_id)).outcomes
    assert sorted([outcomes["/a"], outcomes["/b"]]) == [INDEXED, ("skipped", "duplicate")]
    assert len(await ingest.pages()) == 2


@pytest.mark.parametrize("asked", ["cancel_requested", "pause_requested"])
async def test_a_helper_brings_nothing_to_a_job_that_has_ended(
    ingest: Ingest,
    site: ScriptedSite,
    team: Team,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(site, {"/": ["/a"], "/a": []})
    job_id = await ingest.submit("/")
    await team.owner.begin(job_id)
    await team.owner.run_batch(job_id)
    held = frontier.held

    async def held_after_the_end(connection: Any, *args: Any, **options: Any) -> set[int]:
        values = {asked: True, "state": JobState.CANCELLED if asked == "cancel_requested" else JobState.PAUSED}
        await connection.execute(update(JobRow).where(JobRow.id == job_id).values(values))
        return await held(connection, *args, **options)

    monkeypatch.setattr(frontier, "held", held_after_the_end)
    assert await team.helpers[0].help(job_id)
    rows = (await ingest.look(job_id)).rows
    assert (rows["/a"].state, rows["/a"].claimed_by) == (UrlState.PENDING, None)
    assert await ingest.pages() == ["/"]


async def test_what_a_link_may_vary_in_is_counted_over_all_workers(
    ingest: Ingest,
    site: ScriptedSite,
) -> None:
    def listing(name: str, first: int) -> Callable[..., Any]:
        return page(html(name, *[f"/list?p={number}" for number in range(first, first + 6)]))

    site.script("/", page(html("start", "/a", "/b")))
    site.script("/a", listing("a", 0))
    site.script("/b", listing("b", 6))
    job_id = await ingest.submit("/")
    async with (
        ingest.crawler(claimant=OWNER, max_query_variants=8) as one,
        ingest.crawler(claimant=HELPER, max_query_variants=8) as two,
    ):
        await one.begin(job_id)
        await one.run_batch(job_id)
        claimed, _ = await frontier.claim(ingest.shelf.database, job_id, run=1, me=OWNER, limit=1)
        assert await two.help(job_id)  # reads /b
        assert claimed
        await one.run_batch(job_id)
    rows = (await ingest.look(job_id)).rows.values()
    assert sum("?p=" in row.url and row.state != UrlState.SKIPPED for row in rows) == 8


async def test_nobody_helps_where_nothing_is_to_be_done(ingest: Ingest, site: ScriptedSite, team: Team) -> None:
    script(site, {"/": ["/a"], "/a": []})
    job_id = await ingest.submit("/")
    assert not await team.helpers[0].help(job_id)  # queued
    await team.owner.begin(job_id)
    database = ingest.shelf.database
    assert job_id in await frontier.wanting(database, me=HELPER)
    async with database.write() as connection:
        await connection.execute(update(UrlRow).values(not_before=utc_now() + timedelta(hours=1)))
    assert job_id not in await frontier.wanting(database, me=HELPER)
    async with database.write() as connection:
        await connection.execute(update(UrlRow).values(not_before=None, claimed_by=OWNER))
    assert job_id not in await frontier.wanting(database, me=HELPER)
    assert not await team.helpers[0].help(job_id)
