"""robots.txt, fetched from a real site that may not have one, or not let go of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from corpus.errors import ForbiddenAddress
from corpus.settings import IngestSettings
from ingest.fetch import Fetcher
from ingest.robots import CACHE_S, MAX_ROBOTS_BYTES, UNREACHABLE_CACHE_MAX_S, UNREACHABLE_CACHE_S, Robots, Verdict, product_token
from tests.scripted_site import PUBLIC_IP, Reply, ScriptedSite, canary, page, raw, redirect, reset, status


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def site() -> AsyncIterator[ScriptedSite]:
    async with ScriptedSite() as site:
        yield site


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def robots_for(clock: Clock, **settings: Any) -> AsyncIterator[Robots]:
    chosen = IngestSettings(**{"allow_private_hosts": [PUBLIC_IP], "delay_s": 0.0, "fetch_deadline_s": 5.0, **settings})
    async with Fetcher(settings=chosen) as fetcher:
        yield Robots(settings=chosen, fetcher=fetcher, clock=clock)


@pytest.fixture
async def robots(clock: Clock) -> AsyncIterator[Robots]:
    async with robots_for(clock) as robots:
        yield robots


def text(content: str | bytes) -> Reply:
    return page(content if isinstance(content, bytes) else content.encode(), content_type="text/plain")


ALLOWED = Verdict(True)
DISALLOWED = Verdict(False, "robots_disallowed")
UNREACHABLE = Verdict(False, "robots_unreachable", retry_after_s=UNREACHABLE_CACHE_S)


async def test_rules_for_us_and_for_others(site: ScriptedSite, robots: Robots) -> None:
    site.script(
        "/robots.txt",
        text(
            "User-agent: *\nDisallow: /\n\n"
            "User-agent: footnotebot\nUser-agent: other\nDisallow: /private\nAllow: /private/open$\nDisallow: /*.pdf$\n"
        ),
    )
    assert await robots.allowed(site.url("/")) == ALLOWED
    assert await robots.allowed(site.url("/private/x")) == DISALLOWED
    assert await robots.allowed(site.url("/private/open")) == ALLOWED
    assert await robots.allowed(site.url("/a/b.pdf")) == DISALLOWED
    assert await robots.allowed(site.url("/a/b.pdf?x")) == ALLOWED
    assert site.targets == ["/robots.txt"]
    assert not DISALLOWED.is_transient


@pytest.mark.parametrize(
    "line",
    [
        "User-agent: FootnoteBot/1.0",
        "User-agent: footnotebot/0.1 (self-hosted)",
        "User-Agent: FOOTNOTEBOT/*",
        "user-agent:FootnoteBot*",
        "User-agent: FootnoteBot # that's the one",
        "User-agent: FootnoteBot, OtherBot",
        "User-agent: FootnoteBot;q=1",
        "  Useragent :\tFootnoteBot/2",
        "user agent FootnoteBot/2",
        "User-agent: OtherBot/1.0\nUser-agent: FootnoteBot/1.0",
    ],
)
async def test_a_group_is_ours_whatever_stands_after_our_name(site: ScriptedSite, robots: Robots, line: str) -> None:
    site.script("/robots.txt", text(f"{line}\nDisallow: /private/\n\nUser-agent: *\nDisallow:\n"))
    assert await robots.allowed(site.url("/private/x")) == DISALLOWED
    assert await robots.allowed(site.url("/open")) == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "User-agent: FootnoteBot-Images/1.0",
        "User-agent: MyFootnoteBot",
        "User-agent: OtherBot, FootnoteBot",
        "User-agent: Footnote Reader",
        "User-agent: /FootnoteBot",
        "User-agent:",
    ],
)
async def test_a_group_of_another_name_is_not_ours(site: ScriptedSite, robots: Robots, line: str) -> None:
    site.script("/robots.txt", text(f"{line}\nDisallow: /x\n\nUser-agent: *\nDisallow: /y\n"))
    assert await robots.allowed(site.url("/x")) == ALLOWED
    assert await robots.allowed(site.url("/y")) == DISALLOWED


@pytest.mark.parametrize("value", ["*", "* (all robots)", "*# all", "*\t"])
async def test_everybody(site: ScriptedSite, robots: Robots, value: str) -> None:
    site.script("/robots.txt", text(f"User-agent: {value}\nDisallow: /x"))
    assert await robots.allowed(site.url("/x")) == DISALLOWED


async def test_groups_of_one_name_are_one_group_and_other_lines_stay(site: ScriptedSite, robots: Robots) -> None:
    site.script(
        "/robots.txt",
        text(
            "User-agent: FootnoteBot/1.0\nDisallow: /a\nDisallow: /user-agent: b/1.0\n\n"
            "User-agent: FootnoteBot/2.0\nDisallow: /c\nSitemap: http://h/User-agent: FootnoteBot/1.xml"
        ),
    )
    for path in ("/a", "/user-agent:%20b/1.0", "/c"):
        assert await robots.allowed(site.url(path)) == DISALLOWED
    assert await robots.sitemaps(site.url()) == ["http://h/User-agent: FootnoteBot/1.xml"]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
async def test_no_robots_txt_means_all_is_allowed(site: ScriptedSite, robots: Robots, code: int) -> None:
    site.script("/robots.txt", status(code))
    assert await robots.allowed(site.url("/any")) == ALLOWED
    assert await robots.sitemaps(site.url()) == []
    assert len(site.requests) == 1


@pytest.mark.parametrize("reply", [status(500), status(503), status(429), reset(), raw(b"junk")])
async def test_unreachable_means_nothing_is_allowed_for_now(
    site: ScriptedSite, robots: Robots, clock: Clock, reply: Reply
) -> None:
    site.script("/robots.txt", reply, text("User-agent: *\nDisallow: /x"))
    assert await robots.allowed(site.url("/any")) == UNREACHABLE
    assert UNREACHABLE.is_transient
    assert await robots.allowed(site.url("/any")) == UNREACHABLE
    assert await robots.sitemaps(site.url()) == []
    assert len(site.requests) == 1
    clock.now_s += UNREACHABLE_CACHE_S
    assert await robots.allowed(site.url("/any")) == ALLOWED
    assert await robots.allowed(site.url("/x")) == DISALLOWED


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("asked", "deferred_s"), [("120", 120.0), ("86400", UNREACHABLE_CACHE_MAX_S), ("1", UNREACHABLE_CACHE_S)]
)
async def test_who_is_asked_to_wait_waits(site: ScriptedSite, clock: Clock, code: int, asked: str, deferred_s: float) -> None:
    site.script("/robots.txt", status(code, retry_after=asked), text(""))
    async with robots_for(clock, max_crawl_delay_s=0.0) as robots:
        assert await robots.allowed(site.url("/")) == Verdict(False, "robots_unreachable", retry_after_s=deferred_s)
        clock.now_s += deferred_s - 1
        assert await robots.allowed(site.url("/")) == Verdict(False, "robots_unreachable", retry_after_s=1.0)
        assert len(site.requests) == 1
        clock.now_s += 1
        assert await robots.allowed(site.url("/")) == ALLOWED


async def test_kept_for_a_day(site: ScriptedSite, robots: Robots, clock: Clock) -> None:
    site.script("/robots.txt", text("User-agent: *\nDisallow: /"), text(""))
    assert await robots.allowed(site.url("/")) == DISALLOWED
    clock.now_s += CACHE_S - 1
    assert await robots.allowed(site.url("/")) == DISALLOWED
    clock.now_s += 1
    assert await robots.allowed(site.url("/")) == ALLOWED
    assert len(site.requests) == 2


async def test_old_rules_stand_while_new_ones_can_not_be_had(site: ScriptedSite, robots: Robots, clock: Clock) -> None:
    site.script("/robots.txt", text("User-agent: *\nDisallow: /x"), status(503))
    assert await robots.allowed(site.url("/y")) == ALLOWED
    clock.now_s += CACHE_S
    assert await robots.allowed(site.url("/y")) == ALLOWED
    assert await robots.allowed(site.url("/x")) == DISALLOWED
    assert len(site.requests) == 2


async def test_asked_once_by_many(site: ScriptedSite, robots: Robots) -> None:
    site.script("/robots.txt", text(""))
    verdicts = await asyncio.gather(*(robots.allowed(site.url(f"/{n}")) for n in range(10)))
    assert verdicts == [ALLOWED] * 10
    assert len(site.requests) == 1


async def test_redirects_are_followed(site: ScriptedSite, robots: Robots) -> None:
    site.script("/robots.txt", redirect("/elsewhere.txt"))
    site.script("/elsewhere.txt", text("User-agent: *\nDisallow: /"))
    assert await robots.allowed(site.url("/")) == DISALLOWED


async def test_endless_redirects_count_as_no_robots_txt(site: ScriptedSite, robots: Robots) -> None:
    site.script("/robots.txt", redirect("/robots.txt"))
    assert await robots.allowed(site.url("/")) == ALLOWED


async def test_robots_txt_leads_to_no_forbidden_address(site: ScriptedSite, robots: Robots) -> None:
    async with canary() as forbidden:
        site.script("/robots.txt", redirect(forbidden.url("/robots.txt")))
        with pytest.raises(ForbiddenAddress):
            await robots.allowed(site.url("/"))
        with pytest.raises(ForbiddenAddress):
            await robots.allowed(forbidden.url("/"))
        assert forbidden.connections == 0


async def test_only_the_first_500_kib_are_read_and_no_half_line(site: ScriptedSite, robots: Robots) -> None:
    rules = "User-agent: *\nDisallow: /first\n"
    half_line = "Disallow: /half"
    filler = "#" * (MAX_ROBOTS_BYTES - len(rules) - len(half_line) - 1) + "\n"
    site.script("/robots.txt", text(rules + filler + half_line + "-a-line\nDisallow: /last\n"))
    assert await robots.allowed(site.url("/first")) == DISALLOWED
    assert await robots.allowed(site.url("/last")) == ALLOWED
    assert await robots.allowed(site.url("/halfway")) == ALLOWED


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /x",
        b"\xff\xfe\nUser-agent: *\rDisallow: /x",
        b"\r\rUser-agent: FootnoteBot/1.0\rDisallow: /x\r\rUser-agent: *\rDisallow:\r",
        b"User-agent: *\0\nDisallow: /x\0\n",
        "User-agent: FootnoteBot/1.0\r\nDisallow: /x\r\n".encode("utf-16"),
        "User-agent: *\nDisallow: /x\n".encode("utf-16-be"),
        b"User-agent: *\nDisallow: /x\n" + b"Disallow: /" + b"z" * 100_000 + b"\n",
        b"User-agent: " + b" " * 200_000 + b"FootnoteBot/1\nDisallow: /x\n",
    ],
    ids=range(8),
)
async def test_odd_bytes(site: ScriptedSite, robots: Robots, content: bytes) -> None:
    site.script("/robots.txt", text(content))
    assert await robots.allowed(site.url("/x")) == DISALLOWED
    assert await robots.allowed(site.url("/y")) == ALLOWED


async def test_a_web_page_in_its_place_forbids_nothing(site: ScriptedSite, robots: Robots) -> None:
    site.script("/robots.txt", page(b"<!doctype html><title>Not found</title>"))
    assert await robots.allowed(site.url("/")) == ALLOWED


@pytest.mark.parametrize(("asked", "delay_s"), [("2.5", 2.5), ("86400", 30.0), ("0.01", 0.01), ("soon", None), ("inf", None)])
async def test_crawl_delay(site: ScriptedSite, clock: Clock, asked: str, delay_s: float | None) -> None:
    site.script("/robots.txt", text(f"User-agent: *\nCrawl-delay: {asked}\n"))
    async with robots_for(clock, delay_s=0.5, max_crawl_delay_s=30.0) as robots:
        assert await robots.allowed(site.url("/")) == Verdict(True, None, delay_s)
        assert robots._fetcher.politeness.delay_for(PUBLIC_IP) == max(0.5, delay_s or 0)


async def test_sitemaps(site: ScriptedSite, robots: Robots) -> None:
    site.script("/robots.txt", text("Sitemap: http://h/a.xml\nUser-agent: *\nDisallow:\nsitemap: http://h/b.xml"))
    assert await robots.sitemaps(site.url("/some/page")) == ["http://h/a.xml", "http://h/b.xml"]


async def test_robots_can_be_turned_off(site: ScriptedSite, clock: Clock) -> None:
    site.script("/robots.txt", text("User-agent: *\nDisallow: /"))
    async with robots_for(clock, respect_robots=False) as robots:
        assert await robots.allowed(site.url("/")) == ALLOWED
    assert site.requests == []


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [("FootnoteBot/0.1 (+https://x)", "FootnoteBot"), ("my-bot", "my-bot"), ("a_b c", "a_b"), ("007", "007")],
)
def test_product_token(user_agent: str, token: str) -> None:
    assert product_token(user_agent) == token


def test_the_default_product_token() -> None:
    assert product_token(IngestSettings().user_agent) == "FootnoteBot"
