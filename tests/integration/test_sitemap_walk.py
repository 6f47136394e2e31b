"""What one sitemap leads to, read from a real site."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from corpus.errors import PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest.extract.sitemap import Sitemap, parse_sitemap
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.sitemap_walk import Listed, SitemapReader, sitemap_address
from tests.scripted_site import PUBLIC_IP, ScriptedSite, page, redirect, reset, status


class InThisProcess:
    async def sitemap(self, body: bytes) -> Sitemap:
        return parse_sitemap(body)


@pytest.fixture
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        yield site


@pytest.fixture
async def reader() -> AsyncIterator[SitemapReader]:
    async def resolve(host: str, port: int) -> list[str]:
        return [PUBLIC_IP]

    settings = IngestSettings(allow_private_hosts=[PUBLIC_IP, "h.test", "www.h.test"], delay_s=0.0, fetch_deadline_s=5.0)
    async with Fetcher(settings=settings, resolve=resolve) as fetcher:
        robots = Robots(settings=settings, fetcher=fetcher)
        yield SitemapReader(fetcher=fetcher, robots=robots, parser=InThisProcess(), settings=settings)


async def test_a_sitemap_speaks_for_its_own_site_alone(site: ScriptedSite, reader: SitemapReader) -> None:
    apex, www = f"http://h.test:{site.port}", f"http://www.h.test:{site.port}"
    listed = [
        f"{apex}/a#x",
        f"{www}/b",
        f"{apex}/a",
        "http://h.test/other-port",
        "http://evil.example/",
        "mailto:a@b",
        "http://[",
    ]
    site.script("/s.txt", page("\n".join(url for url in listed if url.startswith("http")).encode(), content_type="text/plain"))
    children = "".join(f"<sitemap><loc>{url}/x.xml</loc></sitemap>" for url in (apex, www, "http://evil.example"))
    site.script("/index.xml", page(f"<sitemapindex>{children}</sitemapindex>".encode(), content_type="text/xml"))
    assert await reader.read(f"{apex}/s.txt") == Listed(pages=(f"{apex}/a", f"{www}/b"), foreign=4)
    assert await reader.read(f"{apex}/index.xml") == Listed(sitemaps=(f"{apex}/x.xml", f"{www}/x.xml"), foreign=1)


async def test_gzip_in_gzip_and_newest_first(site: ScriptedSite, reader: SitemapReader) -> None:
    days = {"/old": datetime(2020, 1, 1, tzinfo=UTC), "/new": datetime(2026, 1, 1, tzinfo=UTC), "/undated": None}
    entries = "".join(
        f"<url><loc>{site.url(path)}</loc>{f'<lastmod>{day.isoformat()}</lastmod>' if day else ''}</url>"
        for path, day in days.items()
    )
    body = gzip.compress(f"<urlset>{entries}</urlset>".encode())
    site.script("/s.xml.gz", page(gzip.compress(body), content_encoding="gzip", content_type="application/gzip"))
    listed = await reader.read(site.url("/s.xml.gz"))
    assert listed.pages == (site.url("/new"), site.url("/old"), site.url("/undated"))


async def test_relative_addresses_are_read_against_the_sitemaps_own(site: ScriptedSite, reader: SitemapReader) -> None:
    entries = "".join(f"<url><loc>{loc}</loc></url>" for loc in ("/a", "b", f"//{site.authority}/c", "\n ../d\n", "\\e"))
    site.script("/moved.xml", redirect("/maps/s.xml"))
    site.script("/maps/s.xml", page(f"<urlset>{entries}</urlset>".encode(), content_type="text/xml"))
    listed = await reader.read(site.url("/moved.xml"))
    assert listed == Listed(pages=tuple(map(site.url, ("/a", "/maps/b", "/c", "/d", "/e"))))


@pytest.mark.parametrize("content_type", ["text/xml", "application/xml", "application/x-gzip", "text/plain"])
async def test_of_a_gzip_file_that_was_cut_off_the_beginning_is_taken(
    site: ScriptedSite, reader: SitemapReader, content_type: str
) -> None:
    entries = "".join(f"<url><loc>/{n * 7919 % 10_007}</loc></url>" for n in range(9_000))
    body = gzip.compress(f"<urlset>{entries}</urlset>".encode())
    site.script("/sitemap.xml.gz", page(body[: len(body) * 9 // 10], content_type=content_type))
    listed = await reader.read(site.url("/sitemap.xml.gz"))
    assert len(listed.pages) > 1_000
    assert any("gzip" in note for note in listed.notes)


async def test_what_is_incomplete_is_noted(site: ScriptedSite, reader: SitemapReader) -> None:
    entry = f"<url><loc>{site.url('/a')}</loc></url>"
    site.script("/s.xml", page(f"<urlset>\n{entry}<url><loc>{site.url('/c')}".encode(), content_type="text/html"))
    note = "isn't well-formed (line 2); what could be read of it was taken"
    assert await reader.read(site.url("/s.xml")) == Listed(pages=(site.url("/a"),), notes=(note,))


async def test_of_a_sitemap_beyond_the_size_limit_the_beginning_is_taken(
    site: ScriptedSite, reader: SitemapReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ingest.sitemap_walk", "ingest.extract.sitemap"):
        monkeypatch.setattr(f"{module}.MAX_SITEMAP_BYTES", 1_000)
    entry = f"<url><loc>{site.url('/a')}</loc></url>"
    site.script("/s.xml", page(f"<urlset>{entry * 100}</urlset>".encode(), content_type="text/xml"))
    listed = await reader.read(site.url("/s.xml"))
    assert (listed.pages, len(listed.notes)) == ((site.url("/a"),), 2)


async def test_a_sites_robots_txt_stands_for_the_sitemaps_it_announces(site: ScriptedSite, reader: SitemapReader) -> None:
    given = (site.url("/1.xml"), "http://elsewhere.example/2.xml", "not a url.", "none", "/3.xml", "Http://h.test/4.xml")
    text = "\n".join(f"Sitemap: {address}" for address in given)
    site.script("/robots.txt", page(text.encode(), content_type="text/plain"))
    announced = (site.url("/1.xml"), "http://elsewhere.example/2.xml", site.url("/3.xml"), "http://h.test/4.xml")
    assert await reader.read(site.url("/robots.txt")) == Listed(sitemaps=announced)


async def test_a_site_that_announces_none_is_asked_for_the_usual_one(site: ScriptedSite, reader: SitemapReader) -> None:
    assert await reader.read(site.url("/robots.txt")) == Listed(sitemaps=(site.url("/sitemap.xml"),))


async def test_an_unreachable_robots_txt_is_a_passing_failure(site: ScriptedSite, reader: SitemapReader) -> None:
    site.script("/robots.txt", status(503, retry_after="30"))
    with pytest.raises(TransientError) as caught:
        await reader.read(site.url("/s.xml"))
    assert (caught.value.reason, round(caught.value.retry_after_s or 0)) == ("robots_unreachable", 30)


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (status(404), PermanentError, "http_404"),
        (reset(), TransientError, "connection_lost"),
        (page(b"<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>"), PermanentError, "bad_sitemap"),
        (redirect("http://169.254.169.254/"), PermanentError, "forbidden_address"),
    ],
)
async def test_failures(site: ScriptedSite, reader: SitemapReader, reply: object, kind: type[Exception], reason: str) -> None:
    site.script("/s.xml", reply)  # type: ignore[arg-type]
    with pytest.raises(kind) as caught:
        await reader.read(site.url("/s.xml"))
    assert getattr(caught.value, "reason", None) == reason


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h/map.XML", "http://h/map.XML"),
        ("http://h/map.xml.gz?x", "http://h/map.xml.gz?x"),
        ("http://h/list.txt", "http://h/list.txt"),
        ("http://h/feed/", "http://h/feed/"),
        ("http://h/blog/atom", "http://h/blog/atom"),
        ("http://h/news.rss", "http://h/news.rss"),
        ("http://h/sitemap.php?page=1", "http://h/sitemap.php?page=1"),
        ("http://h/sitemap_index", "http://h/sitemap_index"),
        ("http://h/?feed=rss2", "http://h/?feed=rss2"),
        ("http://h:81/docs/", "http://h:81/robots.txt"),
        ("http://h:81/docs/feedback?x=feedback", "http://h:81/robots.txt"),
    ],
)
def test_where_a_job_begins(url: str, address: str) -> None:
    assert sitemap_address(url) == address
