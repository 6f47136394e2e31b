"""Whole jobs, begin to finish: the real crawler, fetcher, parser and indexes against a site that changes under them."""

from __future__ import annotations

import asyncio
import random
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from corpus import generations, sources
from corpus.database import utc_now
from corpus.embedding import Embedding
from corpus.errors import StorageFull
from corpus.generations import GenerationWriter, NewPage
from corpus.jobs import JobSpec
from corpus.model import IngestMode, JobState, UrlState, page_id
from corpus.settings import IngestSettings
from corpus.tables import JobRow, PageRow, UrlRow
from footnote.tracing import recording as recording_spans
from ingest import crawl, frontier, recording
from ingest.crawl import DISK_FULL, Crawler
from ingest.extract.pool import ParserPool
from ingest.fetch import Fetcher
from ingest.guard import Resolve
from ingest.recording import Recorder
from ingest.robots import Robots
from ingest.sheet import TRAPPED_SHOWN
from ingest.sitemap_walk import Listed, SitemapReader
from ingest.vanished import Delisting
from ingest.visit import Outcome, Visitor
from tests.scripted_site import PUBLIC_IP, Reply, Request, ScriptedSite, canary, conditional, page, raw, redirect, reset, status
from tests.shelf import Shelf

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_BATCHES = 60
VOCABULARY = [
    first + second for first in ("lo", "ka", "mi", "su", "ten", "var") for second in ("rem", "do", "pan", "lis", "go", "ni")
]
INDEXED = ("indexed", None)
UNCHANGED = ("unchanged", None)
READ = ("skipped", "sitemap")


class Killed(BaseException):
    """What a SIGKILL looks like from inside: nothing catches it and nothing is tidied up."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended. URLs of the site are shown as their path."""

    state: JobState
    error: str | None
    rows: dict[str, Any]
    notes: list[str]
    removed: int

    @property
    def outcomes(self) -> dict[str, tuple[str, str | None]]:
        return {path: (str(row.state), row.reason) for path, row in self.rows.items()}

    @property
    def depths(self) -> dict[str, int]:
        return {path: row.depth for path, row in self.rows.items()}


class Ingest:
    """Jobs on one site, run as the worker runs them but for the queue."""

    def __init__(self, shelf: Shelf, site: ScriptedSite, parser: ParserPool) -> None:
        self.shelf = shelf
        self.site = site
        self._parser = parser

    async def submit(self, *urls: str, mode: IngestMode = IngestMode.CRAWL, collection: int | None = None, **options: Any) -> str:
        """``urls`` are paths of the site, or whole URLs."""
        whole = [self.site.url(url) if url.startswith("/") else url for url in urls]
        spec = JobSpec(**{"urls": whole, "mode": mode, "max_pages": 50, "max_depth": 10, **options})
        job_id = str(uuid.uuid4())
        collection = collection or self.shelf.collection
        row: dict[str, Any] = {"id": job_id, "collection_id": collection, "spec": spec.model_dump(mode="json")}
        async with self.shelf.database.write() as connection:
            if not spec.dry_run:
                row["source_id"] = await sources.remember(connection, collection_id=collection, spec=spec)
            values = {**row, "state": JobState.QUEUED, "cancel_requested": False, "created_at": utc_now()}
            await connection.execute(insert(JobRow).values(values))
        return job_id

    async def cancel(self, job_id: str) -> None:
        async with self.shelf.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values(cancel_requested=True))

    async def work(
        self,
        job_id: str,
        *,
        after_batch: Callable[[], Awaitable[None]] | None = None,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> Ended:
        """A process's work on a job: a crawler of its own, which remembers nothing of one that ran before."""
        async with self.crawler(resolve=resolve, ssl_context=ssl_context, **settings) as crawler:
            if await crawler.begin(job_id):
                for _ in range(MAX_BATCHES):
                    if not await crawler.run_batch(job_id):
                        break
                    if after_batch:
                        await after_batch()
                else:
                    pytest.fail(f"The job has not ended after {MAX_BATCHES} batches.")
            await crawler.finish(job_id)
        return await self.look(job_id)

    @asynccontextmanager
    async def crawler(
        self,
        *,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        claimant: str | None = None,
        **settings: Any,
    ) -> AsyncIterator[Crawler]:
        chosen = IngestSettings(**{"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "fetch_deadline_s": 5.0, **settings})
        database, corpus = self.shelf.database, self.shelf.corpus
        writer = GenerationWriter(database=database, index=corpus.index, embedder=corpus.embedder, process=claimant)
        async with Fetcher(settings=chosen, resolve=resolve, ssl_context=ssl_context) as fetcher:
            robots = Robots(settings=chosen, fetcher=fetcher)
            visitor = Visitor(
                fetcher=fetcher,
                robots=robots,
                parser=self._parser,
                tokenizer=self.shelf.corpus.embedder.tokenizer,
                index=self.shelf.corpus.settings.index,
                user_agent=chosen.user_agent,
            )
            yield Crawler(
                database=database,
                visitor=visitor,
                recorder=Recorder(database=database, writer=writer, settings=chosen, claimant=claimant),
                delisting=Delisting(database=database, writer=writer),
                sitemaps=SitemapReader(fetcher=fetcher, robots=robots, parser=self._parser, settings=chosen),
                settings=chosen,
                should_stop=lambda: False,
                claimant=claimant,
            )

    async def run(self, *urls: str, mode: IngestMode = IngestMode.CRAWL, **options: Any) -> Ended:
        return await self.work(await self.submit(*urls, mode=mode, **options))

    async def look(self, job_id: str) -> Ended:
        async with self.shelf.database.read() as connection:
            job = (await connection.execute(select(JobRow).where(JobRow.id == job_id))).one()
            rows = (await connection.execute(select(UrlRow).where(UrlRow.job_id == job_id).order_by(UrlRow.seq))).all()
        return Ended(JobState(job.state), job.error, {self._path(row.url): row for row in rows}, job.notes or [], job.removed)

    async def pages(self) -> list[str]:
        listed, _ = await self.shelf.pages.list(collection="default", limit=1000)
        return sorted(self._path(listed_page.url) for listed_page in listed)

    async def generations(self) -> dict[str, int]:
        """The live generation of each page."""
        async with self.shelf.database.read() as connection:
            rows = (await connection.execute(select(PageRow.url, PageRow.live_generation))).all()
        return {self._path(row.url): row.live_generation for row in rows}

    def _path(self, url: str) -> str:
        return url.removeprefix(self.site.url("")) if url.startswith(self.site.url("/")) else url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[ParserPool]:
    async with ParserPool(timeout_s=30.0, memory_bytes=1_500_000_000) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        yield site


@pytest.fixture
def ingest(emptied_shelf: Shelf, site: ScriptedSite, parser: ParserPool, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    monkeypatch.setattr(recording, "RETRY_BASE_S", 0.01)
    monkeypatch.setattr(crawl, "STORAGE_PAUSE_S", 0.0)
    monkeypatch.setattr(crawl, "HALT_CHECK_S", 0.0)
    return Ingest(emptied_shelf, site, parser)


def html(name: str, *links: str, head: str = "") -> bytes:
    anchors = "".join(f"<li><a href='{link}'>further</a></li>" for link in links)
    text = f"<h1>{name}</h1><p>This page tells all there is to tell about {name}, and it is a page of its own.</p>"
    document = f"<html lang=en><head><title>{name}</title>{head}</head><body><main>{text}<ul>{anchors}</ul></main></body></html>"
    return document.encode()


def prose(seed: str, words: int = 120) -> str:
    """So many words that no other text has in this order."""
    rng = random.Random(seed)
    return " ".join(rng.choice(VOCABULARY) for _ in range(words)) + "."


def article(name: str, text: str, *links: str, head: str = "") -> bytes:
    """A page of this title and text; its links are no part of the text."""
    anchors = "".join(f"<a href='{link}'>{link}</a>" for link in links)
    body = f"<nav>{anchors}</nav><main><h1>{name}</h1><p>{text}</p></main>"
    return f"<html lang=en><head><title>{name}</title>{head}</head><body>{body}</body></html>".encode()


def doing(action: Callable[[], Awaitable[None]], reply: Reply) -> Reply:
    """``reply``, after something else happened."""

    async def do_and_reply(request: Request, writer: Any) -> None:
        await action()
        await reply(request, writer)

    return do_and_reply


def script(site: ScriptedSite, links: dict[str, Sequence[str]]) -> None:
    for path, targets in links.items():
        site.script(path, page(html(f"page {path}", *targets)))


# What a crawl takes in


async def test_a_crawl_follows_each_link_in_scope_once_with_its_depth(ingest: Ingest, site: ScriptedSite) -> None:
    async with ScriptedSite() as other:
        script(
            site,
            {
                "/docs/": ["/docs/a", "b", "/docs/a#part", "/outside", other.url("/docs/x"), "mailto:me@a.example", "http://["],
                "/docs/a": ["/docs/", "/docs/b", "/docs/c"],
                "/docs/b": ["/docs/a"],
                "/docs/c": [],
                "/outside": [],
            },
        )
        ended = await ingest.run("/docs/")
        assert other.connections == 0
    assert ended.state is JobState.SUCCEEDED
    assert ended.error is None
    assert ended.outcomes == dict.fromkeys(["/docs/", "/docs/a", "/docs/b", "/docs/c"], INDEXED)
    assert ended.depths == {"/docs/": 0, "/docs/a": 1, "/docs/b": 1, "/docs/c": 2}
    assert await ingest.pages() == ["/docs/", "/docs/a", "/docs/b", "/docs/c"]
    assert Counter(site.targets) == Counter(["/robots.txt", "/docs/", "/docs/a", "/docs/b", "/docs/c"])
    assert all(row.chunks for row in ended.rows.values())
    assert ingest.shelf.counts() == {sum(row.chunks for row in ended.rows.values())}


async def test_a_crawl_stops_at_its_depth(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/1"], "/1": ["/2"], "/2": ["/3"], "/3": []})
    ended = await ingest.run("/", max_depth=2)
    assert ended.depths == {"/": 0, "/1": 1, "/2": 2}
    assert "/3" not in site.targets


async def test_include_and_exclude_bound_a_crawl(ingest: Ingest, site: ScriptedSite) -> None:
    script(
        site, {"/": ["/docs/a", "/docs/old", "/blog/a"], "/docs/a": ["/docs/b"], "/docs/b": [], "/docs/old": [], "/blog/a": []}
    )
    await ingest.run("/", include=["*/docs/*"], exclude=["*/old"])
    assert await ingest.pages() == ["/", "/docs/a", "/docs/b"]
    assert not {"/docs/old", "/blog/a"} & set(site.targets)


async def test_a_crawl_keeps_its_page_budget(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a", "/b", "/c"], "/a": ["/d"], "/b": [], "/c": [], "/d": []})
    ended = await ingest.run("/", max_pages=3)
    assert ended.outcomes == {"/": INDEXED, "/a": INDEXED, "/b": INDEXED}
    assert not {"/c", "/d"} & set(site.targets)


async def test_a_site_of_nothing_but_skipped_pages_comes_to_an_end(ingest: Ingest, site: ScriptedSite) -> None:
    noindex = "<meta name=robots content=noindex>"
    for n in range(60):
        site.script(f"/{n}", page(html(f"page {n}", f"/{n + 1}", head=noindex)))
    ended = await ingest.run("/0", max_pages=2, max_depth=1000)
    assert len(ended.rows) == 2 * frontier.MAX_URLS_PER_PAGE
    assert "budget" in ended.notes[0]


async def test_all_start_urls_are_visited_even_beyond_the_budget(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": ["/c"], "/b": [], "/c": []})
    await ingest.run("/a", "/b", max_pages=1)
    assert await ingest.pages() == ["/a", "/b"]


async def test_in_page_mode_no_link_is_followed(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": ["/b"], "/b": []})
    await ingest.run("/a", mode=IngestMode.PAGE)
    assert await ingest.pages() == ["/a"]


async def test_what_robots_txt_forbids_is_skipped_and_never_requested(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    script(site, {"/": ["/private/a", "/moved"], "/private/a": [], "/private/b": []})
    site.script("/moved", redirect("/private/b"))
    ended = await ingest.run("/")
    assert ended.outcomes == {
        "/": INDEXED,
        "/private/a": ("skipped", "robots_disallowed"),
        "/moved": ("skipped", "redirected"),
    }
    assert not {"/private/a", "/private/b"} & set(site.targets)


# Redirects


async def test_redirects_index_their_target_once(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/one", "/two"], "/target": []})
    site.script("/one", redirect("/target"))
    site.script("/two", redirect("/target", code=301))
    ended = await ingest.run("/", max_pages=3)  # a page that only changed its address costs no budget
    skipped = ("skipped", "redirected")
    assert ended.outcomes == {"/": INDEXED, "/one": skipped, "/two": skipped, "/target": INDEXED}
    assert ended.depths["/target"] == 1
    assert await ingest.pages() == ["/", "/target"]
    assert site.url("/target") in ended.rows["/one"].message


async def test_a_chain_of_ever_new_redirects_ends(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/hop/0"]})
    site.script("/hop/0", redirect("/hop/1"))
    for n in range(1, 200):  # each is a page to who is led there, and a redirect to who comes for it
        site.script(f"/hop/{n}", page(html(f"hop {n}")), redirect(f"/hop/{n + 1}"))
    ended = await ingest.run("/")
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/": INDEXED, "/hop/0": ("skipped", "redirected"), "/hop/1": ("failed", "redirects_again")}


async def test_a_loop_of_redirects_fails_without_retries(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a"]})
    site.script("/a", redirect("/b"))
    site.script("/b", redirect("/a"))
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": INDEXED, "/a": ("failed", "too_many_redirects")}


async def test_a_start_url_that_redirects_out_of_scope_fails_the_job_and_names_the_target(
    ingest: Ingest, site: ScriptedSite
) -> None:
    async with ScriptedSite() as other:
        other.script("/new", page(html("elsewhere")))
        site.script("/", redirect(other.url("/new")))
        ended = await ingest.run("/")
        assert ended.state is JobState.FAILED
        assert ended.error is not None
        assert other.url("/new") in ended.error
        assert "/new" not in other.targets
    assert await ingest.pages() == []


# A second crawl


async def test_a_page_that_moved_is_no_longer_under_its_old_url(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/old"], "/old": [], "/new": []})
    await ingest.run("/")
    assert await ingest.pages() == ["/", "/old"]
    site.script("/old", redirect("/new"))
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": UNCHANGED, "/old": ("skipped", "redirected"), "/new": INDEXED}
    assert await ingest.pages() == ["/", "/new"]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (status(404), ("failed", "http_404")),
        (status(410), ("failed", "http_410")),
        (page(html("secret", head="<meta name=robots content=noindex>")), ("skipped", "noindex")),
        (page(html("secret", head="<meta name=robots content='unavailable_after: 2010-06-25'>")), ("skipped", "noindex")),
        (page(html("secret", head="<meta name=robots content=all><meta name=FootnoteBot content=none>")), ("skipped", "noindex")),
        (page(html("secret"), x_robots_tag="noindex"), ("skipped", "noindex")),
        (page(html("secret"), x_robots_tag="footnotebot: unavailable_after: 25 Jun 2010 15:00:00 PST"), ("skipped", "noindex")),
    ],
    ids=["404", "410", "meta", "meta, over", "meta, ours", "header", "header, over"],
)
async def test_a_page_that_is_gone_or_unwanted_is_removed(
    ingest: Ingest, site: ScriptedSite, reply: Reply, outcome: tuple[str, str]
) -> None:
    script(site, {"/": ["/secret"], "/secret": []})
    await ingest.run("/")
    assert await ingest.pages() == ["/", "/secret"]
    site.script("/secret", reply)
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": UNCHANGED, "/secret": outcome}
    assert await ingest.pages() == ["/"]
    assert ingest.shelf.counts() == {1}


@pytest.mark.parametrize("reply", [status(403), status(503), reset()], ids=["403", "503", "reset"])
async def test_a_page_that_only_fails_is_kept(ingest: Ingest, site: ScriptedSite, reply: Reply) -> None:
    script(site, {"/": ["/a"], "/a": []})
    await ingest.run("/")
    site.script("/a", reply)
    ended = await ingest.run("/")
    assert ended.outcomes["/a"][0] == "failed"
    assert await ingest.pages() == ["/", "/a"]


async def test_a_page_with_new_text_is_replaced(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", page(html("summer")), page(html("winter")))
    await ingest.run("/")
    before = await ingest.generations()
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": INDEXED}
    assert (await ingest.generations())["/"] > before["/"]
    assert [hit.chunk.title for hit in await ingest.shelf.search("winter summer")] == ["winter"]


async def test_304_means_unchanged_and_the_stored_links_are_followed(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(html("start", "/child"), '"one"'))
    script(site, {"/child": []})
    await ingest.run("/")
    before = await ingest.generations()
    for _ in range(2):  # a second time too: what was known of the page is still known after a 304
        site.requests.clear()
        ended = await ingest.run("/")
        assert ended.state is JobState.SUCCEEDED
        assert ended.outcomes == {"/": UNCHANGED, "/child": UNCHANGED}
        (request,) = [request for request in site.requests if request.target == "/"]
        assert request.headers["if-none-match"] == '"one"'
    assert await ingest.generations() == before


async def test_a_304_may_say_that_the_page_is_not_to_be_indexed_any_more(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a"]})
    site.script("/a", conditional(html("a"), '"one"'))
    await ingest.run("/")
    site.script("/a", conditional(html("a"), '"one"', x_robots_tag="noindex"))
    assert (await ingest.run("/")).outcomes == {"/": UNCHANGED, "/a": ("skipped", "noindex")}
    assert site.requests[-1].headers["if-none-match"] == '"one"'
    assert await ingest.pages() == ["/"]


async def test_the_same_text_without_validators_is_unchanged_too(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/child"], "/child": []})
    await ingest.run("/")
    before = await ingest.generations()
    site.script("/child", page(html("page /child", "/grandchild")))  # the text is the same, but there is a new link
    script(site, {"/grandchild": []})
    ended = await ingest.run("/")
    assert ended.outcomes["/"] == UNCHANGED
    assert ended.outcomes["/grandchild"] == INDEXED
    assert (await ingest.generations())["/"] == before["/"]


async def test_an_etag_that_is_not_ascii_does_not_break_the_second_crawl(ingest: Ingest, site: ScriptedSite) -> None:
    body = html("start", "/child")
    head = b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nETag: "caf\xe9"\r\n\r\n' % len(body)
    site.script("/", raw(head + body))
    script(site, {"/child": []})
    await ingest.run("/")
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": UNCHANGED, "/child": UNCHANGED}


async def test_a_second_crawl_of_an_unchanged_site_embeds_and_writes_nothing(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.script("/", conditional(html("start", "/a", "/b"), '"one"'))
    script(site, {"/a": [], "/b": []})
    embedded: list[str] = []
    embed = GenerationWriter._embed

    async def counted(self: GenerationWriter, texts: Sequence[str], *more: Any) -> Any:
        embedded.extend(texts)
        return await embed(self, texts, *more)

    monkeypatch.setattr(GenerationWriter, "_embed", counted)
    await ingest.run("/")
    assert len(embedded) == 3
    before = await ingest.generations()
    ended = await ingest.run("/")
    assert ended.outcomes == dict.fromkeys(["/", "/a", "/b"], UNCHANGED)
    assert len(embedded) == 3
    assert await ingest.generations() == before


async def test_each_url_tells_of_its_last_visit(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", conditional(html("start", "/gone", "/odd", "/moved"), '"one"'))
    site.script("/odd", page(b"GIF89a", content_type="image/gif"))
    site.script("/moved", redirect("/"))
    for status_code, size in ((200, len(html("start", "/gone", "/odd", "/moved"))), (304, None)):
        rows = (await ingest.run("/")).rows
        assert (rows["/"].http_status, rows["/"].size_bytes) == (status_code, size)
        assert rows["/"].elapsed_ms >= 0
        assert rows["/gone"].http_status == 404
        assert (rows["/odd"].http_status, rows["/odd"].size_bytes) == (200, 6)
        assert rows["/moved"].http_status == 200  # of where it led


# Failures


@pytest.mark.parametrize(("reply", "reason"), [(status(503), "http_503"), (reset(), "connection_lost")], ids=["503", "reset"])
async def test_a_passing_failure_is_tried_again_and_then_given_up(
    ingest: Ingest, site: ScriptedSite, reply: Reply, reason: str
) -> None:
    script(site, {"/": ["/flaky", "/down"]})
    site.script("/flaky", reply, page(html("at last", "/child")))
    site.script("/down", reply)
    script(site, {"/child": []})
    ended = await ingest.work(await ingest.submit("/"), max_attempts=3)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/": INDEXED, "/flaky": INDEXED, "/down": ("failed", reason), "/child": INDEXED}
    assert (site.targets.count("/flaky"), site.targets.count("/down")) == (2, 3)
    assert await ingest.pages() == ["/", "/child", "/flaky"]


async def test_a_job_without_a_single_page_fails_and_says_so(ingest: Ingest, site: ScriptedSite) -> None:
    ended = await ingest.run("/nothing-here")
    assert ended.state is JobState.FAILED
    assert ended.error == "No page could be indexed; the failed URLs say why."
    assert site.targets.count("/nothing-here") == 1  # a 404 is no passing failure


@pytest.mark.parametrize("mode", [IngestMode.CRAWL, IngestMode.PAGE])
async def test_one_bad_url_among_several_is_recorded_and_the_rest_is_indexed(
    ingest: Ingest, site: ScriptedSite, mode: IngestMode
) -> None:
    script(site, {"/a": [], "/b": []})
    ended = await ingest.run("/a", "http://exa mple/", "/b", mode=mode)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/a": INDEXED, "http://exa mple/": ("failed", "bad_url"), "/b": INDEXED}


async def test_an_unexpected_error_costs_one_page_alone(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visitor.visit

    async def odd_visit(self: Visitor, url: str, **options: Any) -> Outcome:
        if url.endswith("/odd"):
            raise RuntimeError("nobody thought of this")
        return await visit(self, url, **options)

    monkeypatch.setattr(Visitor, "visit", odd_visit)
    script(site, {"/": ["/a", "/odd", "/b"], "/a": [], "/odd": [], "/b": []})
    ended = await ingest.run("/")
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/": INDEXED, "/a": INDEXED, "/odd": ("failed", "unexpected"), "/b": INDEXED}
    assert "nobody thought of this" in ended.rows["/odd"].message


async def test_a_write_that_the_indexes_lost_is_tried_again(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ingest.shelf.corpus.index
    found_missing: list[Sequence[str]] = []
    missing = index.missing

    def forgetful(ids: Sequence[str]) -> Any:
        if found_missing:
            return missing(ids)
        found_missing.append(ids)
        return set(ids)

    monkeypatch.setattr(index, "missing", forgetful)
    script(site, {"/": ["/a"], "/a": []})
    ended = await ingest.run("/")
    assert {path: row.state for path, row in ended.rows.items()} == {"/": "indexed", "/a": "indexed"}
    assert site.targets.count("/") == 2
    assert ingest.shelf.counts() == {2}


# Ends before the end


async def test_a_cancelled_job_ends_early_and_keeps_what_was_indexed(ingest: Ingest, site: ScriptedSite) -> None:
    children = [f"/{n}" for n in range(12)]
    script(site, {"/": children, **{child: [] for child in children}})
    job_id = await ingest.submit("/")
    site.script("/3", doing(lambda: ingest.cancel(job_id), page(html("page /3"))))
    ended = await ingest.work(job_id, concurrency=1)
    assert ended.state is JobState.CANCELLED
    assert ended.error is None
    assert "/" in await ingest.pages()
    assert set(await ingest.pages()) == {path for path, outcome in ended.outcomes.items() if outcome == INDEXED}
    assert not {"/5", "/11"} & set(site.targets)
    assert ended.rows["/11"].state == UrlState.PENDING


async def test_what_was_read_ahead_of_a_cancellation_is_not_recorded(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/a"], "/a": ["/b"], "/b": []})
    await ingest.run("/")
    site.requests.clear()
    job_id = await ingest.submit("/")
    site.script("/a", doing(lambda: ingest.cancel(job_id), page(html("page /a", "/b"))))
    ended = await ingest.work(job_id)
    assert "/a" in site.targets  # it was fetched whole and found unchanged, and nobody wanted to know by then
    assert ended.state is JobState.CANCELLED
    assert ended.outcomes == {"/": UNCHANGED, "/a": ("pending", None)}


@pytest.mark.parametrize(
    ("asked", "state"), [("cancel_requested", JobState.CANCELLED), ("pause_requested", JobState.PAUSED)], ids=["cancel", "pause"]
)
async def test_a_large_page_is_given_up_between_two_slices_of_its_embedding(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch, asked: str, state: JobState
) -> None:
    monkeypatch.setattr(generations, "EMBED_SLICE", 2)
    sections = "".join(f"<h2>Part {n}</h2><p>{prose(f'part {n}', 150)}</p>" for n in range(9))
    site.script("/", page(f"<html lang=en><title>Large</title><main>{sections}</main></html>".encode()))
    job_id = await ingest.submit("/")
    embedder, loop = ingest.shelf.corpus.embedder, asyncio.get_running_loop()
    embed, slices = embedder.embed_passages, []

    async def ask(answer: bool) -> None:
        async with ingest.shelf.database.write() as connection:
            await connection.execute(update(JobRow).where(JobRow.id == job_id).values({asked: answer}))

    def asked_meanwhile(texts: Sequence[str]) -> list[Embedding]:
        slices.append(len(texts))
        if len(slices) == 2:
            asyncio.run_coroutine_threadsafe(ask(True), loop).result()
        return embed(texts)

    monkeypatch.setattr(embedder, "embed_passages", asked_meanwhile)
    ended = await ingest.work(job_id)
    assert slices == [2, 2]
    assert (ended.state, ended.outcomes) == (state, {"/": ("pending", None)})
    assert (await ingest.pages(), ingest.shelf.counts()) == ([], {0})
    assert await ingest.shelf.generation_states() == []  # nothing half-written is left
    await ask(False)
    async with ingest.shelf.database.write() as connection:
        await connection.execute(update(JobRow).where(JobRow.id == job_id).values(state=JobState.QUEUED))
    ended = await ingest.work(job_id)
    assert ended.outcomes == {"/": INDEXED}
    assert ended.rows["/"].chunks == sum(slices[2:]) > 4


async def test_a_job_cancelled_before_it_began_requests_nothing(ingest: Ingest, site: ScriptedSite) -> None:
    job_id = await ingest.submit("/")
    await ingest.cancel(job_id)
    ended = await ingest.work(job_id)
    assert ended.state is JobState.CANCELLED
    assert site.connections == 0


async def test_a_full_disk_makes_the_job_wait_and_say_so(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = GenerationWriter.commit
    commits = 0

    async def full_once(self: GenerationWriter, pages: Sequence[NewPage], **options: Any) -> None:
        nonlocal commits
        commits += 1
        if commits == 1:
            raise StorageFull("full")
        await commit(self, pages, **options)

    monkeypatch.setattr(GenerationWriter, "commit", full_once)
    script(site, {"/": []})
    job_id = await ingest.submit("/")
    seen: list[tuple[str | None, dict[str, tuple[str, str | None]]]] = []

    async def look() -> None:
        now = await ingest.look(job_id)
        seen.append((now.error, now.outcomes))

    ended = await ingest.work(job_id, after_batch=look)
    assert seen == [(DISK_FULL, {"/": ("pending", None)}), (None, {"/": INDEXED})]
    assert ended.state is JobState.SUCCEEDED
    assert ended.error is None
    assert ended.rows["/"].attempts == 0


async def test_a_job_killed_before_a_commit_is_resumed(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(site, {"/": ["/a", "/b"], "/a": ["/c"], "/b": [], "/c": []})
    job_id = await ingest.submit("/")
    commit = GenerationWriter.commit

    async def killed(self: GenerationWriter, pages: Sequence[NewPage], **options: Any) -> None:
        if any(new.url.endswith(("/a", "/b")) for new in pages):
            raise Killed
        await commit(self, pages, **options)

    with monkeypatch.context() as patched:
        patched.setattr(GenerationWriter, "commit", killed)
        with pytest.raises(BaseExceptionGroup):
            await ingest.work(job_id)
    assert await ingest.pages() == ["/"]
    await assert_resumed(ingest, site, job_id)


async def test_a_job_killed_in_the_middle_of_a_flip_is_resumed(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks are in the indexes by then, and the page, its URL's outcome or its links may only come together."""
    script(site, {"/": ["/a", "/b"], "/a": ["/c"], "/b": [], "/c": []})
    job_id = await ingest.submit("/")
    add = frontier.add

    async def killed(connection: AsyncConnection, job: str, urls: Any, **options: Any) -> Any:
        if isinstance(urls, dict) and 2 in urls.values():  # the links of /a: its page and outcome are written, but not committed
            raise Killed
        return await add(connection, job, urls, **options)

    with monkeypatch.context() as patched:
        patched.setattr(frontier, "add", killed)
        with pytest.raises(BaseExceptionGroup):
            await ingest.work(job_id)
    assert "/a" not in await ingest.pages()
    assert (await ingest.look(job_id)).rows["/a"].state == UrlState.PENDING
    await assert_resumed(ingest, site, job_id)


async def assert_resumed(ingest: Ingest, site: ScriptedSite, job_id: str) -> None:
    """A new process finishes the job: every page is there once, and what was done is not done again."""
    assert (await ingest.look(job_id)).state is JobState.RUNNING
    before = await ingest.generations()
    await ingest.shelf.writer.sweep(abandoned_before=utc_now())  # as every start does
    ended = await ingest.work(job_id)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == dict.fromkeys(["/", "/a", "/b", "/c"], INDEXED)
    assert await ingest.pages() == ["/", "/a", "/b", "/c"]
    assert (await ingest.generations())["/"] == before["/"]
    assert site.targets.count("/") == 1
    assert ingest.shelf.counts() == {sum(row.chunks for row in ended.rows.values())}
    assert await ingest.shelf.pages.counts() == {"pages": 4, "chunks": 4, "awaiting_sweep": 0}


async def test_a_page_that_another_job_wrote_meanwhile_is_superseded(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GenerationWriter._write
    raced = False

    async def raced_write(self: GenerationWriter, pending: Any, *options: Any) -> None:
        nonlocal raced
        await write(self, pending, *options)
        if not raced:
            raced = True
            await ingest.shelf.put(site.url("/"), "Somebody else was quicker.")

    monkeypatch.setattr(GenerationWriter, "_write", raced_write)
    script(site, {"/": ["/a"], "/a": []})
    ended = await ingest.run("/")
    assert ended.outcomes == {"/": ("skipped", "superseded"), "/a": INDEXED}
    assert "Somebody else" in (await ingest.shelf.pages.text(page_id(ingest.shelf.collection, site.url("/"))))[0]


# Sitemaps


def sitemap(*urls: str, root: str = "urlset", entry: str = "url", **lastmods: str) -> Reply:
    listed = "".join(f"<{entry}><loc>{url}</loc><lastmod>{lastmods.get(url, '')}</lastmod></{entry}>" for url in urls)
    document = f'<?xml version="1.0"?><{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{listed}</{root}>'
    return page(document.encode(), content_type="application/xml")


def sitemap_index(*urls: str, **lastmods: str) -> Reply:
    return sitemap(*urls, root="sitemapindex", entry="sitemap", **lastmods)


async def test_a_sitemaps_pages_are_chosen_before_they_are_counted(ingest: Ingest, site: ScriptedSite) -> None:
    paths = ["/blog/1", "/blog/2", "/docs/old", "/docs/1", "/docs/2", "/docs/3"]
    script(site, {path: ["/docs/unlisted"] for path in paths})
    site.script("/sitemap.xml", sitemap(*map(site.url, paths)))
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP, include=["*/docs/*"], exclude=["*/old"], max_pages=2)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {"/sitemap.xml": READ, "/docs/1": INDEXED, "/docs/2": INDEXED}
    assert Counter(site.targets) == Counter(["/robots.txt", "/sitemap.xml", "/docs/1", "/docs/2"])


async def test_a_sitemap_speaks_only_for_its_own_host(ingest: Ingest, site: ScriptedSite) -> None:
    async with ScriptedSite() as other:
        other.script("/a", page(html("foreign")))
        script(site, {"/a": []})
        site.script("/robots.txt", page(f"Sitemap: {site.url('/list.xml')}".encode(), content_type="text/plain"))
        site.script("/list.xml", sitemap(other.url("/a"), site.url("/a")))
        ended = await ingest.run("/", mode=IngestMode.SITEMAP, max_pages=1)
        assert other.connections == 0
    assert ended.outcomes == {"/robots.txt": READ, "/list.xml": READ, "/a": INDEXED}


async def test_a_sitemap_that_cannot_be_read_fails_the_job(ingest: Ingest, site: ScriptedSite) -> None:
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert ended.state is JobState.FAILED
    assert ended.outcomes == {"/sitemap.xml": ("failed", "http_404")}


async def test_a_failing_part_of_a_sitemap_is_tried_again_and_told_if_it_stays_away(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": [], "/b": []})
    site.script("/sitemap.xml", sitemap_index(*map(site.url, ["/1.xml", "/2.xml", "/3.xml"])))
    site.script("/1.xml", sitemap(site.url("/a")))
    site.script("/2.xml", reset(), sitemap(site.url("/b")))
    site.script("/3.xml", status(500))
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {
        "/sitemap.xml": READ,
        "/1.xml": READ,
        "/2.xml": READ,
        "/3.xml": ("failed", "http_500"),
        "/a": INDEXED,
        "/b": INDEXED,
    }
    assert site.targets.count("/3.xml") == IngestSettings().max_attempts


async def test_a_job_over_a_sitemap_can_be_cancelled_between_its_parts(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/a": []})
    parts = [f"/{n}.xml" for n in range(20)]
    site.script("/sitemap.xml", sitemap_index(*map(site.url, parts)))
    job_id = await ingest.submit("/sitemap.xml", mode=IngestMode.SITEMAP)
    for part in parts:
        site.script(part, sitemap(site.url("/a")))
    site.script(parts[2], doing(lambda: ingest.cancel(job_id), sitemap(site.url("/a"))))
    ended = await ingest.work(job_id, concurrency=1)
    assert ended.state is JobState.CANCELLED
    assert parts[5] not in site.targets
    assert ended.rows[parts[19]].state == UrlState.PENDING


async def test_a_job_killed_in_the_middle_of_a_sitemap_goes_on_with_the_next_part(
    ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(site, {"/a": [], "/b": []})
    site.script("/sitemap.xml", sitemap_index(*map(site.url, ["/1.xml", "/2.xml"])))
    site.script("/1.xml", sitemap(site.url("/a")))
    site.script("/2.xml", sitemap(site.url("/b")))
    job_id = await ingest.submit("/sitemap.xml", mode=IngestMode.SITEMAP)
    read = SitemapReader.read

    async def killed(self: SitemapReader, url: str) -> Listed:
        if url.endswith("/2.xml"):
            raise Killed
        return await read(self, url)

    with monkeypatch.context() as patched:
        patched.setattr(SitemapReader, "read", killed)
        with pytest.raises(BaseExceptionGroup):
            await ingest.work(job_id, concurrency=1)
    ended = await ingest.work(job_id)
    assert ended.outcomes == {"/sitemap.xml": READ, "/1.xml": READ, "/2.xml": READ, "/a": INDEXED, "/b": INDEXED}
    assert site.targets.count("/sitemap.xml") == 1


async def test_the_newest_pages_of_a_sitemap_come_first_and_the_rest_of_it_is_not_read_in_vain(
    ingest: Ingest, site: ScriptedSite
) -> None:
    dated = {"/old": "2019-01-01", "/new": "2026-10-01", "/undated": "", "/newer": "2026-11-01T00:00:00Z"}
    script(site, dict.fromkeys(dated, ()))
    site.script(
        "/sitemap.xml", sitemap_index(site.url("/past.xml"), site.url("/now.xml"), **{site.url("/now.xml"): "2026-11-01"})
    )
    site.script("/now.xml", sitemap(*map(site.url, dated), **{site.url(path): day for path, day in dated.items()}))
    site.script("/past.xml", sitemap(site.url("/old")))
    ended = await ingest.run("/sitemap.xml", mode=IngestMode.SITEMAP, max_pages=2)
    assert list(ended.outcomes.items()) == [
        ("/sitemap.xml", READ),
        ("/now.xml", READ),
        ("/past.xml", ("skipped", "page_budget")),
        ("/newer", INDEXED),
        ("/new", INDEXED),
    ]
    assert "/past.xml" not in site.targets
    assert "4 pages, 4 of them in scope and 2 added" in ended.rows["/now.xml"].message


async def test_sitemaps_within_sitemaps_end(ingest: Ingest, site: ScriptedSite) -> None:
    for n in range(10):
        site.script(f"/{n}.xml", sitemap_index(site.url(f"/{n + 1}.xml"), site.url(f"/{n}.xml")))
    ended = await ingest.run("/0.xml", mode=IngestMode.SITEMAP)
    assert ended.state is JobState.FAILED
    assert ended.outcomes == dict.fromkeys(["/0.xml", "/1.xml", "/2.xml", "/3.xml"], READ)


async def test_robots_txt_holds_for_sitemaps_and_for_where_they_redirect(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    site.script("/moved.xml", redirect("/private.xml"))
    ended = await ingest.run("/private.xml", "/moved.xml", mode=IngestMode.SITEMAP)
    assert ended.outcomes == dict.fromkeys(["/private.xml", "/moved.xml"], ("failed", "robots_disallowed"))
    assert "/private.xml" not in site.targets


async def test_a_sitemap_leads_to_no_forbidden_address(ingest: Ingest, site: ScriptedSite) -> None:
    async with canary() as forbidden:
        secret = forbidden.url("/secret")
        site.script("/sitemap.xml", sitemap_index(forbidden.url("/s.xml"), site.url("/1.xml")))
        site.script("/1.xml", sitemap(secret, f"http://a@{forbidden.authority}/", site.url("/a")))
        site.script("/robots.txt", page(f"Sitemap: {forbidden.url('/s.xml')}".encode(), content_type="text/plain"))
        script(site, {"/a": []})
        ended = await ingest.run("/sitemap.xml", "/", secret, mode=IngestMode.SITEMAP)
        assert forbidden.connections == 0
    assert ended.outcomes["/a"] == INDEXED
    assert ended.outcomes[forbidden.url("/s.xml")] == ended.outcomes[secret] == ("failed", "forbidden_address")


# Traps


async def test_traps_are_left_out_and_named(ingest: Ingest, site: ScriptedSite) -> None:
    script(
        site,
        {
            "/": [
                "/a/b/a/b/a/b",
                "/list?n=1",
                "/list?n=2",
                "/list?n=3",
                "/2026/01/",
                "/2026/02/",
                "/x?utm_source=a",
                "/x?fbclid=b",
            ],
            "/list?n=1": [],
            "/list?n=2": [],
            "/2026/01/": [],
            "/x": [],
        },
    )
    limits = {"max_query_variants": 2, "max_date_variants": 1}
    ended = await ingest.work(await ingest.submit("/"), **limits)
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {
        **dict.fromkeys(["/", "/list?n=1", "/list?n=2", "/2026/01/", "/x"], INDEXED),
        "/a/b/a/b/a/b": ("skipped", "repeated_segments"),
        "/list?n=3": ("skipped", "query_variants"),
        "/2026/02/": ("skipped", "date_variants"),
    }
    assert "ingest.max_query_variants" in ended.rows["/list?n=3"].message


async def test_a_url_that_was_given_is_no_trap_and_keeps_its_parameters(ingest: Ingest, site: ScriptedSite) -> None:
    given = ["/a/a/a/a?utm_source=me", "/2026/01/?a", "/2026/02/?b", "/q?PHPSESSID=1"]
    script(site, dict.fromkeys(given, ()))
    ended = await ingest.work(await ingest.submit(*given), max_date_variants=1)
    assert ended.outcomes == dict.fromkeys(given, INDEXED)


async def test_an_endless_site_ends_and_its_log_is_short(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": [f"/all?page={n}" for n in range(100)], **{f"/all?page={n}": [] for n in range(100)}})
    ended = await ingest.work(await ingest.submit("/", max_pages=1000), max_query_variants=3)
    counted = Counter(ended.outcomes.values())
    assert counted == {INDEXED: 4, ("skipped", "query_variants"): TRAPPED_SHOWN}


async def test_a_new_process_remembers_what_was_followed(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/q?1", "/next"], "/q?1": [], "/next": ["/q?2"]})
    job_id = await ingest.submit("/")

    async def killed_at_next() -> None:
        raise Killed

    site.script("/next", page(html("next", "/q?2")))
    with pytest.raises(Killed):
        await ingest.work(job_id, after_batch=killed_at_next, max_query_variants=1)
    ended = await ingest.work(job_id, max_query_variants=1)
    assert ended.outcomes["/q?1"] == INDEXED
    assert ended.outcomes["/q?2"] == ("skipped", "query_variants")


async def test_hosts_share_a_jobs_budget(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/1", "/2", "/3"], "/1": [], "/2": [], "/3": []})
    ended = await ingest.work(await ingest.submit("/"), max_pages_per_host=3)
    assert ended.outcomes == {**dict.fromkeys(["/", "/1", "/2"], INDEXED), "/3": ("skipped", "host_budget")}


async def test_a_start_url_may_redirect_to_the_same_name_with_www(ingest: Ingest, site: ScriptedSite) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        assert host in ("site.test", "www.site.test")
        return [PUBLIC_IP]

    apex, www = f"http://site.test:{site.port}", f"http://www.site.test:{site.port}"
    script(site, {"/home": ["/a", f"{www}/b"], "/a": [], "/b": []})
    site.script("/", redirect(f"{www}/home"))
    job_id = await ingest.submit(f"{apex}/")
    ended = await ingest.work(job_id, resolve=resolve, allow_private_hosts=["site.test", "www.site.test"])
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {
        f"{apex}/": ("skipped", "redirected"),
        **dict.fromkeys([f"{www}/home", f"{www}/a", f"{www}/b"], INDEXED),
    }


# What of it can be traced


async def test_visits_and_commits_are_traced(ingest: Ingest, site: ScriptedSite) -> None:
    script(site, {"/": ["/gone"]})
    site.script("/gone", status(404))
    exporter = InMemorySpanExporter()
    with recording_spans(SimpleSpanProcessor(exporter)):
        await ingest.run("/")
    spans = exporter.get_finished_spans()
    visits = {one.attributes["url.full"]: one for one in spans if one.name == "visit"}
    assert set(visits) == {site.url("/"), site.url("/gone")}
    assert visits[site.url("/gone")].attributes["error.type"] == "PermanentError"
    within = {one.name for one in spans if one.parent and one.parent.span_id == visits[site.url("/")].context.span_id}
    assert within == {"fetch", "extract"}
    [commit] = [one for one in spans if one.name == "commit"]
    assert commit.attributes["footnote.pages"] == 1
    assert {one.name for one in spans if one.parent and one.parent.span_id == commit.context.span_id} == {"embed", "store"}
