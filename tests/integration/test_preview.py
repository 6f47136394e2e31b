"""Dry runs: the verdict on each URL, and nothing written but the job's own log."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from corpus.model import IngestMode, JobState
from corpus.tables import JobRow, UrlRow
from ingest import preview
from tests.integration.test_crawl import (
    READ,
    Ended,
    Ingest,
    doing,
    html,
    ingest,
    parser,
    script,
    site,
    sitemap,
    sitemap_index,
)
from tests.scripted_site import ScriptedSite, canary, page, redirect, status

__all__ = ["ingest", "parser", "site"]  # fixtures

pytestmark = pytest.mark.asyncio(loop_scope="module")

FETCH = ("skipped", "would_fetch")
CHECK = ("skipped", "would_check")


async def dry_run(ingest: Ingest, *urls: str, mode: IngestMode = IngestMode.CRAWL, **options: Any) -> Ended:
    return await ingest.run(*urls, mode=mode, dry_run=True, **options)


async def test_a_crawls_dry_run_tells_the_verdict_on_each_link_and_fetches_the_start_page_alone(
    ingest: Ingest, site: ScriptedSite
) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private\nCrawl-delay: 3", content_type="text/plain"))
    async with canary() as forbidden:
        links = [
            "/docs/a?utm_source=x",
            "b",
            "/private/x",
            "/out",
            "/docs/x.pdf",
            "/docs/r/r/r",
            "/docs/private",
            "#top",
            "mailto:a",
        ]
        site.script("/docs/", page(html("start", *links, forbidden.url("/secret"))))
        ended = await dry_run(ingest, "/docs/", exclude=["*.pdf"])
        assert forbidden.connections == 0
    assert ended.state is JobState.SUCCEEDED
    assert ended.outcomes == {
        **dict.fromkeys(["/docs/", "/docs/a", "/docs/b", "/docs/private"], FETCH),
        "/private/x": ("skipped", "outside_prefix"),
        "/out": ("skipped", "outside_prefix"),
        "/docs/x.pdf": ("skipped", "excluded"),
        "/docs/r/r/r": ("skipped", "repeated_segments"),
        forbidden.url("/secret"): ("skipped", "other_host"),
    }
    assert site.targets == ["/robots.txt", "/docs/"]
    assert await ingest.pages() == []
    assert ingest.shelf.counts() == {0}
    assert ended.notes == [
        f"{site.url('')}: 4 pages, one every 3 s: 12 s at least.",
        "These are the links of the start pages alone; a crawl goes on to the links of the pages behind them.",
    ]


async def test_robots_txt_and_what_is_known_are_told(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/robots.txt", page(b"User-agent: *\nDisallow: /private", content_type="text/plain"))
    script(site, {"/": ["/a", "/private/x"], "/a": []})
    await ingest.run("/")
    before = await ingest.generations()
    site.script("/a", status(404))
    ended = await dry_run(ingest, "/", max_depth=1)
    assert ended.outcomes == {"/": CHECK, "/a": CHECK, "/private/x": ("skipped", "robots_disallowed")}
    assert await ingest.generations() == before  # nor is anything taken out


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (status(404), ("failed", "http_404")),
        (status(503), ("failed", "http_503")),
        (page(html("secret", head="<meta name=robots content=noindex>")), ("skipped", "noindex")),
        (redirect("http://elsewhere.example/"), ("skipped", "redirected")),
        (redirect("http://127.0.0.3/"), ("failed", "forbidden_address")),
    ],
)
async def test_a_dry_run_takes_nothing_out_and_fails_where_the_job_would(
    ingest: Ingest, site: ScriptedSite, reply: Any, outcome: tuple[str, str]
) -> None:
    script(site, {"/": []})
    await ingest.run("/")
    site.script("/", reply)
    ended = await dry_run(ingest, "/")
    assert ended.state is JobState.FAILED
    assert ended.outcomes == {"/": outcome}
    assert await ingest.pages() == ["/"]


async def test_a_start_page_that_redirects_is_followed_within_scope(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/", redirect("/en/"))
    site.script("/en/", page(html("start", "/en/a")))
    ended = await dry_run(ingest, "/")
    assert ended.outcomes == {"/": ("skipped", "redirected"), "/en/": FETCH, "/en/a": FETCH}


async def test_pages_are_judged_without_being_asked_for(ingest: Ingest, site: ScriptedSite) -> None:
    async with canary() as forbidden:
        ended = await dry_run(ingest, "/a", forbidden.url("/x"), "http://exa mple/", mode=IngestMode.PAGE)
        assert forbidden.connections == 0
    assert ended.outcomes == {
        "/a": FETCH,
        forbidden.url("/x"): ("failed", "forbidden_address"),
        "http://exa mple/": ("failed", "bad_url"),
    }
    assert site.targets == ["/robots.txt"]


async def test_a_host_with_a_forbidden_address_is_told_even_where_robots_txt_is_not_asked(ingest: Ingest) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.3"]

    job_id = await ingest.submit("http://inside.test/", mode=IngestMode.PAGE, dry_run=True)
    ended = await ingest.work(job_id, resolve=resolve, respect_robots=False)
    assert ended.outcomes == {"http://inside.test/": ("failed", "forbidden_address")}


async def test_a_sitemaps_pages_are_judged(ingest: Ingest, site: ScriptedSite) -> None:
    site.script("/s.xml", sitemap_index(site.url("/1.xml"), site.url("/2.xml")))
    site.script("/1.xml", sitemap(site.url("/a"), site.url("/old/b")))
    ended = await dry_run(ingest, "/s.xml", mode=IngestMode.SITEMAP, exclude=["*/old/*"], max_pages=1)
    assert ended.outcomes == {
        "/s.xml": READ,
        "/1.xml": READ,
        "/a": FETCH,
        "/old/b": ("skipped", "excluded"),
        "/2.xml": ("failed", "http_404"),
    }
    assert not {"/a", "/old/b"} & set(site.targets)


async def test_a_dry_run_is_bounded_and_says_so(ingest: Ingest, site: ScriptedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    script(site, {"/": [f"/{n}" for n in range(preview.MAX_URLS + 100)]})
    ended = await dry_run(ingest, "/")
    assert preview.MAX_URLS <= len(ended.rows) <= preview.MAX_URLS + preview.TOLD_AT_ONCE
    assert any("looked at 200 URLs" in note for note in ended.notes)
    monkeypatch.setattr(preview, "DEADLINE_S", 0.0)
    ended = await dry_run(ingest, "/")
    assert any("stopped after 0 s" in note for note in ended.notes)


async def test_a_dry_run_can_be_cancelled(ingest: Ingest, site: ScriptedSite) -> None:
    job_id = await ingest.submit("/", dry_run=True)
    site.script("/", doing(lambda: ingest.cancel(job_id), page(html("start", "/a"))))
    ended = await ingest.work(job_id)
    assert ended.state is JobState.CANCELLED


async def test_a_dry_run_that_is_retried_looks_anew_and_still_fetches_nothing(ingest: Ingest, site: ScriptedSite) -> None:
    job_id = await ingest.submit("/", dry_run=True)
    site.script("/", status(503), page(html("start", "/a")))
    assert (await ingest.work(job_id)).outcomes == {"/": ("failed", "http_503")}
    async with ingest.shelf.database.write() as connection:  # as Jobs.retry does
        await connection.execute(update(JobRow).values(state=JobState.QUEUED))
        await connection.execute(update(UrlRow).values(state="pending"))
    assert (await ingest.work(job_id)).outcomes == {"/": FETCH, "/a": FETCH}
    assert await ingest.pages() == []
