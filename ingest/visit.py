"""One visit of one URL: robots.txt, fetch, extract, chunk. It decides what is to be done and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from corpus.chunking import Tokenizer, chunk_page
from corpus.errors import PermanentError
from corpus.generations import NewPage
from corpus.settings import IndexSettings
from ingest.extract import ExtractedPage
from ingest.fetch import Fetcher, Response
from ingest.media_types import ACCEPT
from ingest.robots import Robots, product_token, unreachable
from ingest.urls import split_url


@dataclass(frozen=True, slots=True)
class KnownPage:
    """What is stored of a page that is about to be visited again."""

    page_id: str
    content_hash: str
    etag: str | None
    last_modified: str | None
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The page is new or has another text."""

    page: NewPage


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The stored text still stands."""

    page_id: str
    fetched_at: datetime
    etag: str | None
    last_modified: str | None
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The URL redirects: the content lives at ``url``."""

    url: str


@dataclass(frozen=True, slots=True)
class NotIndexed:
    """The site doesn't want the page indexed (robots.txt, noindex). ``remove``: nor what is stored of it."""

    reason: str
    message: str
    links: tuple[str, ...] = ()
    remove: bool = False


class _NotAdmitted(PermanentError):
    """A redirect that this job may not follow."""


Outcome = Changed | Unchanged | Elsewhere | NotIndexed


class Parser(Protocol):
    async def extract(
        self, body: bytes, *, url: str, content_type: str | None, charset: str | None, bot_name: str
    ) -> ExtractedPage: ...


class Visitor:
    def __init__(
        self, *, fetcher: Fetcher, robots: Robots, parser: Parser, tokenizer: Tokenizer, index: IndexSettings, user_agent: str
    ) -> None:
        self._fetcher = fetcher
        self._robots = robots
        self._parser = parser
        self._tokenizer = tokenizer
        self._index = index
        self._product = product_token(user_agent).lower()

    async def visit(
        self, url: str, *, collection_id: int, job_id: str, known: KnownPage | None, may_move_to: Callable[[str], bool]
    ) -> Outcome:
        """Visit a normalised URL. ``may_move_to`` says whether a redirect's target may take its place.

        Raises: PermanentError, TransientError.
        """
        verdict = await self._robots.allowed(url)
        if not verdict.allowed:
            if verdict.is_transient:
                raise unreachable(url, verdict)
            return NotIndexed("robots_disallowed", "The site's robots.txt forbids it.")
        etag, last_modified = (known.etag, known.last_modified) if known else (None, None)
        try:
            response = await self._fetcher.fetch(
                url, accept=ACCEPT, etag=etag, last_modified=last_modified, admit=lambda target: self._admit(target, may_move_to)
            )
        except _NotAdmitted as exc:
            return NotIndexed("redirected", exc.message, remove=True)
        if response.final_url != url:
            return Elsewhere(response.final_url)
        if response.not_modified and known is not None:
            return Unchanged(known.page_id, datetime.now(UTC), known.etag, known.last_modified, known.links)
        return await self._read(response, collection_id=collection_id, job_id=job_id, known=known)

    async def look(self, url: str, *, fetch: bool, may_move_to: Callable[[str], bool]) -> NotIndexed | Elsewhere:
        """What a dry run can tell of a normalised URL: ``would_fetch`` or why not; if it may ``fetch``, with the links.

        Raises: PermanentError, TransientError.
        """
        verdict = await self._robots.allowed(url)
        if verdict.is_transient:
            raise unreachable(url, verdict)
        if not verdict.allowed:
            return NotIndexed("robots_disallowed", "The site's robots.txt forbids it.")
        would_fetch = NotIndexed("would_fetch", "It would be fetched.")
        if not fetch:
            await self._fetcher.vet(url)
            return would_fetch
        try:
            response = await self._fetcher.fetch(url, accept=ACCEPT, admit=lambda target: self._admit(target, may_move_to))
        except _NotAdmitted as exc:
            return NotIndexed("redirected", exc.message)
        if response.final_url != url:
            return Elsewhere(response.final_url)
        read = await self._read(response, collection_id=0, job_id="", known=None)
        if isinstance(read, NotIndexed):
            return read
        return replace(would_fetch, links=tuple(read.page.links)) if isinstance(read, Changed) else would_fetch

    def pause_s(self, url: str) -> float:
        """Seconds between two requests to the host of a URL, as far as is known by now."""
        return self._fetcher.politeness.delay_for(split_url(url).host)

    async def _admit(self, target: str, may_move_to: Callable[[str], bool]) -> None:
        """Asked before a redirect is followed: scope and robots.txt hold for its target as for any URL."""
        if not may_move_to(target):
            raise _NotAdmitted(f"It redirects to {target}, which is out of scope.")
        verdict = await self._robots.allowed(target)
        if verdict.is_transient:
            raise unreachable(target, verdict)
        if not verdict.allowed:
            raise _NotAdmitted(f"It redirects to {target}, which robots.txt forbids.")

    async def _read(self, response: Response, *, collection_id: int, job_id: str, known: KnownPage | None) -> Outcome:
        fetched_at = datetime.now(UTC)
        url, headers = response.final_url, response.headers
        extracted = await self._parser.extract(
            response.body, url=url, content_type=response.content_type, charset=response.charset, bot_name=self._product
        )
        directives = robots_tag(headers.get("x-robots-tag", ""), product=self._product)
        links = () if extracted.nofollow or "nofollow" in directives else extracted.links
        if extracted.noindex or "noindex" in directives:
            return NotIndexed("noindex", "The page asks not to be indexed.", links=links, remove=True)
        if not extracted.page.blocks:  # nothing but a refresh
            raise PermanentError(f"The page holds no text and leads to {extracted.refresh}.", reason="no_text")
        etag, last_modified = headers.get("etag"), headers.get("last-modified")
        if known is not None and known.content_hash == extracted.page.content_hash:
            return Unchanged(known.page_id, fetched_at, etag, last_modified, links)
        chunks = await asyncio.to_thread(
            chunk_page,
            extracted.page,
            tokenizer=self._tokenizer,
            max_tokens=self._index.chunk_max_tokens,
            min_tokens=self._index.chunk_min_tokens,
            overlap_tokens=self._index.chunk_overlap_tokens,
        )
        return Changed(
            NewPage(
                collection_id=collection_id,
                url=url,
                page=extracted.page,
                chunks=chunks,
                links=links,
                etag=etag,
                last_modified=last_modified,
                fetched_at=fetched_at,
                job_id=job_id,
                published_at=extracted.published_at,
                modified_at=extracted.modified_at,
                notes=extracted.notes,
            )
        )


def robots_tag(header: str, *, product: str) -> set[str]:
    """The directives of X-Robots-Tag that concern us: those for all, and those that name our product token.

    ``none`` is noindex and nofollow. Several headers come joined by commas, so a name holds until the next one.
    """
    directives: set[str] = set()
    concerns_us = True
    for part in header.lower().split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"):
            concerns_us, part = name.strip() == product, rest
        if concerns_us:
            directives.add(part.strip())
    return directives | {"noindex", "nofollow"} if "none" in directives else directives
