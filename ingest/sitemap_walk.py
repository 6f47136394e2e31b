"""From a sitemap's address, or a site's, to the page URLs that it lists (sitemaps.org 0.9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from corpus.errors import IngestError, PermanentError
from corpus.settings import IngestSettings
from ingest.fetch import Fetcher
from ingest.robots import Robots
from ingest.sitemap import Sitemap
from ingest.urls import check_url, normalise, split_url

ACCEPT = "application/xml, text/xml;q=0.9, text/plain;q=0.5"
MAX_SITEMAPS = 200
MAX_DEPTH = 3


class Parser(Protocol):
    async def sitemap(self, body: bytes) -> Sitemap: ...


class SitemapWalker:
    def __init__(self, *, fetcher: Fetcher, robots: Robots, parser: Parser, settings: IngestSettings) -> None:
        self._fetcher = fetcher
        self._robots = robots
        self._parser = parser
        self._settings = settings

    async def walk(self, url: str, *, limit: int, admits: Callable[[str], bool]) -> list[str]:
        """Normalised page URLs that ``admits`` lets in, at most ``limit``, of one host: a sitemap speaks only for its own
        (sitemaps.org).

        ``url`` is a sitemap; or any other address of a site, whose robots.txt or /sitemap.xml then tells where one is.

        Raises:
            PermanentError, TransientError: no sitemap of those named could be read.
        """
        first = [url] if _is_sitemap(url) else await self._announced(url)
        waiting = deque((normalise(address), 1) for address in first)
        authority = split_url(url).authority
        pages: dict[str, None] = {}
        seen: set[str] = set()
        failure: IngestError | None = None
        while waiting and len(pages) < limit and len(seen) < MAX_SITEMAPS:
            address, depth = waiting.popleft()
            if address in seen:
                continue
            seen.add(address)
            try:
                sitemap = await self._read(address)
            except IngestError as exc:
                failure = exc
                continue
            if depth < MAX_DEPTH:
                waiting.extend((child, depth + 1) for child in _normalised(sitemap.children, authority))
            listed = _normalised([entry.loc for entry in sitemap.urls], authority)
            pages |= dict.fromkeys(page for page in listed if admits(page))
        if not pages and failure is not None:
            raise failure
        return list(pages)[:limit]

    async def _announced(self, url: str) -> list[str]:
        origin = split_url(url).origin
        return await self._robots.sitemaps(origin) or [f"{origin}/sitemap.xml"]

    async def _read(self, address: str) -> Sitemap:
        check_url(address, self._settings)
        verdict = await self._robots.allowed(address)
        if not verdict.allowed:
            raise PermanentError(f"The site's robots.txt forbids its sitemap {address}.", reason=verdict.reason)
        response = await self._fetcher.fetch(address, accept=ACCEPT)
        return await self._parser.sitemap(response.body)


def _is_sitemap(url: str) -> bool:
    path = split_url(url).path.lower()
    return path.endswith((".xml", ".xml.gz", ".txt"))


def _normalised(urls: tuple[str, ...] | list[str], authority: str) -> list[str]:
    """Those of ``urls`` that can be read at all and are on the sitemap's own host."""
    kept = []
    for url in urls:
        try:
            spelled = normalise(url)
        except PermanentError:
            continue
        if split_url(spelled).authority == authority:
            kept.append(spelled)
    return kept
