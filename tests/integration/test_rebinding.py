"""Names whose addresses change: asked of a real name server, with a public site on 127.0.0.2 and a forbidden one on 127.0.0.3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from corpus.errors import ForbiddenAddress, PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest import urls
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.sitemap_walk import SitemapReader
from tests.dns_server import DnsServer
from tests.integration.test_fetch import Network
from tests.scripted_site import FORBIDDEN_IP, PUBLIC_IP, ScriptedSite, canary, page, redirect

FetcherFor = Callable[..., AbstractAsyncContextManager[Fetcher]]


@pytest.fixture
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        site.script("/", page(b"public"))
        yield site


@pytest.fixture
async def forbidden(site: ScriptedSite) -> AsyncIterator[ScriptedSite]:
    """At the same port as the site, so that whoever follows a changed address finds it."""
    async with canary(port=site.port) as forbidden:
        forbidden.script("/", page(b"secret"))
        forbidden.script("/robots.txt", page(b"Sitemap: http://inside.test/", content_type="text/plain"))
        yield forbidden
        assert forbidden.connections == 0


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture
def fetcher_for(site: ScriptedSite, forbidden: ScriptedSite, dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> FetcherFor:
    """Fetchers to whom 127.0.0.2 is as public as any address, and every other judged as ever. Port 80 is the sites' port."""
    judged = urls.special_purpose
    monkeypatch.setattr(urls, "special_purpose", lambda ip: None if str(ip) == PUBLIC_IP else judged(ip))

    def fetcher(**settings: Any) -> Fetcher:
        chosen = IngestSettings(**{"delay_s": 0.0, "fetch_deadline_s": 20.0, **settings})
        return Fetcher(settings=chosen, resolve=dns.resolve, network=Network(ports={80: site.port}))

    return fetcher


async def test_a_name_may_change_between_two_fetches_but_not_to_a_forbidden_address(
    dns: DnsServer, fetcher_for: FetcherFor
) -> None:
    dns.script("rebinding.test", [PUBLIC_IP], [FORBIDDEN_IP])
    async with fetcher_for() as fetcher:
        assert (await fetcher.fetch("http://rebinding.test/", accept="*/*")).body == b"public"
        assert dns.asked == ["rebinding.test"]  # one question a connection: no second answer can slip in between
        with pytest.raises(ForbiddenAddress):
            await fetcher.fetch("http://rebinding.test/", accept="*/*")


async def test_a_name_that_changes_in_the_midst_of_a_redirect(
    site: ScriptedSite, dns: DnsServer, fetcher_for: FetcherFor
) -> None:
    dns.script("rebinding.test", [PUBLIC_IP], [FORBIDDEN_IP])
    site.script("/", redirect("http://rebinding.test/"))
    async with fetcher_for() as fetcher:
        with pytest.raises(ForbiddenAddress):
            await fetcher.fetch("http://rebinding.test/", accept="*/*")
    assert site.connections == 1


@pytest.mark.parametrize("answer", [[FORBIDDEN_IP], [PUBLIC_IP, FORBIDDEN_IP], [FORBIDDEN_IP, PUBLIC_IP]])
async def test_one_forbidden_answer_condemns_the_name(
    site: ScriptedSite, dns: DnsServer, fetcher_for: FetcherFor, answer: list[str]
) -> None:
    dns.script("mixed.test", answer)
    async with fetcher_for() as fetcher:
        with pytest.raises(ForbiddenAddress):
            await fetcher.fetch("http://mixed.test/", accept="*/*")
        with pytest.raises(ForbiddenAddress):
            await fetcher.vet("http://mixed.test/")
    assert site.connections == 0


async def test_robots_txt_and_sitemaps_go_the_same_way(dns: DnsServer, site: ScriptedSite, fetcher_for: FetcherFor) -> None:
    dns.script("inside.test", [FORBIDDEN_IP])
    dns.script("turning.test", [PUBLIC_IP], [FORBIDDEN_IP])
    settings = IngestSettings(delay_s=0.0)
    async with fetcher_for() as fetcher:
        robots = Robots(settings=settings, fetcher=fetcher)
        with pytest.raises(ForbiddenAddress):
            await robots.allowed("http://inside.test/")
        reader = SitemapReader(fetcher=fetcher, robots=robots, parser=NoParser(), settings=settings)
        with pytest.raises(ForbiddenAddress):  # its robots.txt came from the public site
            await reader.read("http://turning.test/sitemap.xml")
    assert site.targets == ["/robots.txt"]


class NoParser:
    async def sitemap(self, body: bytes) -> Any:
        raise AssertionError("nothing came to be parsed")


async def test_a_name_server_that_is_silent(dns: DnsServer, fetcher_for: FetcherFor) -> None:
    dns.script("silent.test", None, [PUBLIC_IP])
    async with fetcher_for(connect_timeout_s=0.2) as fetcher, asyncio.timeout(10):
        with pytest.raises(TransientError) as caught:
            await fetcher.fetch("http://silent.test/", accept="*/*")
        assert caught.value.reason == "dns_failed"
        assert (await fetcher.fetch("http://silent.test/", accept="*/*")).body == b"public"


async def test_a_name_that_does_not_exist(dns: DnsServer, fetcher_for: FetcherFor) -> None:
    async with fetcher_for() as fetcher:
        with pytest.raises(PermanentError) as caught:
            await fetcher.fetch("http://nowhere.test/", accept="*/*")
    assert caught.value.reason == "no_such_host"


async def test_many_fetches_of_a_name_that_changes_all_the_time(dns: DnsServer, fetcher_for: FetcherFor) -> None:
    dns.script("flapping.test", *([[PUBLIC_IP], [FORBIDDEN_IP]] * 20))
    bodies, refused = [], 0
    async with fetcher_for() as fetcher:
        for _ in range(40):
            try:
                bodies.append((await fetcher.fetch("http://flapping.test/", accept="*/*")).body)
            except ForbiddenAddress:
                refused += 1
    assert (set(bodies), len(bodies), refused) == ({b"public"}, 20, 20)
