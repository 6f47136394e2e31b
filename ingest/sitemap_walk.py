"""From a sitemap's address to what it lists (sitemaps.org 0.9).

A sitemap is an entry of the job's frontier like a page: read one by one, tried again after a passing failure, its outcome
written down, and gone on with after a crash. An entry for a site's robots.txt stands for the sitemaps that it announces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from corpus.errors import PermanentError
from corpus.settings import IngestSettings
from ingest.extract.sitemap import MAX_SITEMAP_BYTES, Sitemap, SitemapUrl
from ingest.fetch import Fetcher
from ingest.robots import Robots, unreachable
from ingest.urls import check_url, resolve_link, same_site, split_url

ACCEPT = "application/xml, text/xml;q=0.9, application/rss+xml;q=0.8, application/atom+xml;q=0.8, text/plain;q=0.5, */*;q=0.1"
MAX_SITEMAPS = 500  # of one job
MAX_SITEMAP_DEPTH = 3  # indexes within indexes; the protocol itself allows one

_NAMED_AS_SITEMAP = re.compile(
    r"""[^?]* (?: \.(?:xml|txt|rss|atom|rdf)(?:\.gz)? | /[^/?]*sitemap[^/?]*/? | /(?:feed|rss|atom)/? ) (?:\?.*)?
    | [^?]* \? (?:.*[&_-])? (?:sitemap|feed)\b .*""",
    re.IGNORECASE | re.VERBOSE,
)
_ADDRESS = re.compile(r"\S*[./]\S*")  # what robots.txt announces may be relative, but no mere word or sentence
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """The normalised URLs that a sitemap lists, newest ``lastmod`` first and those without one last: pages, sitemaps of its
    own site, and how many are on other sites or no URLs at all. A sitemap speaks only for its own site (sitemaps.org). ``notes``
    as :class:`Sitemap` has them."""

    pages: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    foreign: int = 0
    notes: tuple[str, ...] = ()


class Parser(Protocol):
    async def sitemap(self, body: bytes) -> Sitemap: ...


class SitemapReader:
    def __init__(self, *, fetcher: Fetcher, robots: Robots, parser: Parser, settings: IngestSettings) -> None:
        self._fetcher = fetcher
        self._robots = robots
        self._parser = parser
        self._settings = settings

    async def read(self, url: str) -> Listed:
        """What the sitemap at the normalised ``url`` lists; of a robots.txt: the sitemaps it announces, else /sitemap.xml.

        Raises:
            PermanentError, TransientError: it can't be read, now or at all.
        """
        await self._admit(url)
        parts = split_url(url)
        if parts.path == "/robots.txt":
            announced = [SitemapUrl(a) for a in await self._robots.sitemaps(parts.origin) if _ADDRESS.fullmatch(a)]
            # What a site's own robots.txt announces may lie on another host (sitemaps.org, "cross submits").
            return Listed(sitemaps=tuple(_spelled(announced, url)) or (f"{parts.origin}/sitemap.xml",))
        # One byte more than is read of it, so that a larger one is known as such.
        limit_bytes = MAX_SITEMAP_BYTES + 1
        response = await self._fetcher.fetch(url, accept=ACCEPT, max_bytes=limit_bytes, truncate=True, admit=self._admit)
        sitemap = await self._parser.sitemap(response.body)
        listed, children = _spelled(sitemap.urls, response.final_url), _spelled(sitemap.children, response.final_url)
        pages = tuple(page for page in listed if same_site(page, url))
        sitemaps = tuple(child for child in children if same_site(child, url))
        foreign = len(sitemap.urls) + len(sitemap.children) - len(pages) - len(sitemaps)
        return Listed(pages=pages, sitemaps=sitemaps, foreign=foreign, notes=sitemap.notes)

    async def _admit(self, url: str) -> None:
        check_url(url, self._settings)
        verdict = await self._robots.allowed(url)
        if verdict.is_transient:
            raise unreachable(url, verdict)
        if not verdict.allowed:
            raise PermanentError(f"The site's robots.txt forbids its sitemap {url}.", reason=verdict.reason)


def sitemap_address(url: str) -> str:
    """Where a job over the sitemaps of ``url`` begins: ``url`` itself if it looks like a sitemap or feed, else its site's
    robots.txt."""
    parts = split_url(url)
    return url if _NAMED_AS_SITEMAP.fullmatch(parts.target) else f"{parts.origin}/robots.txt"


def _spelled(entries: Iterable[SitemapUrl], base: str) -> list[str]:
    """Those that can be read at all, once each, newest first; relative ones as links of ``base``."""
    spelled: dict[str, None] = {}
    for entry in sorted(entries, key=lambda entry: entry.lastmod or _LONG_AGO, reverse=True):
        try:
            spelled[resolve_link(base, entry.loc)] = None
        except PermanentError:
            continue
    return list(spelled)
