"""One visit of one URL: robots.txt, fetch, extract, chunk. It decides what is to be done and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from corpus.chunking import Tokenizer, chunk_by_settings
from corpus.coverage import StoredCoverage, selectors_hash
from corpus.errors import IngestError, PermanentError
from corpus.generations import NO_RULES, NewPage, ReadBy
from corpus.model import ChunkSpan, ContentSelectors, PageText
from corpus.settings import IndexSettings
from corpus.spans import span
from ingest.directives import in_headers as directives_in_headers
from ingest.duplicates import simhash
from ingest.extract import EXTRACTION_VERSION
from ingest.extract.document import ExtractedPage
from ingest.extract.extracted import NO_SELECTORS
from ingest.extract.html.refusals import Refusal, is_sign_in_address
from ingest.extract.media_types import ACCEPT
from ingest.fetch import Fetcher, Response
from ingest.frontier import NO_FACTS, Facts
from ingest.pointers import canonical_named, refresh_from
from ingest.robots import Robots, product_token, unreachable
from ingest.urls import normalise, same_site, split_url

MAX_REFRESHES = 3

FRAMESET = "frameset"  # the reason of a page whose frames are read instead
HTML_TYPES = ("text/html", "application/xhtml+xml", None)

SelectorsOf = Callable[[str], ContentSelectors]  # of a URL


def no_selectors(url: str) -> ContentSelectors:
    return NO_SELECTORS


@dataclass(frozen=True, slots=True)
class KnownPage:
    """What is stored of a page that is about to be visited again."""

    generation: int
    content_hash: str
    etag: str | None
    last_modified: str | None
    read_by: ReadBy


@dataclass(frozen=True, slots=True)
class Changed:
    """The page is new or has another text. ``canonical``: the URL that it names as its own, if that is another one which the
    job may visit."""

    page: NewPage
    canonical: str | None = None
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The stored text still stands. ``links`` is None if they are those that are stored. ``read``: what reading it anew told,
    if it was read; None if the site said that nothing changed."""

    generation: int
    fetched_at: datetime
    etag: str | None
    last_modified: str | None
    links: tuple[str, ...] | None
    facts: Facts = NO_FACTS
    read: ReadAnew | None = None


@dataclass(frozen=True, slots=True)
class ReadAnew:
    """What is written of a version whose text was read again and is the same: how much was kept, and by which rules now."""

    coverage: StoredCoverage | None
    read_by: ReadBy
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The URL redirects: the content lives at ``url``."""

    url: str
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class NotIndexed:
    """The page is not to be indexed: the site doesn't want it (robots.txt, noindex), or it is none (frames, a sign-in form).
    ``remove``: nor is what is stored of it."""

    reason: str
    message: str
    links: tuple[str, ...] = ()
    remove: bool = False
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page that was read to be shown. ``url``: where it was found."""

    url: str
    extracted: ExtractedPage
    notes: tuple[str, ...]


class _NotAdmitted(PermanentError):
    """A redirect that this job may not follow, to ``target``."""

    def __init__(self, message: str, *, target: str) -> None:
        super().__init__(message)
        self.target = target


Outcome = Changed | Unchanged | Elsewhere | NotIndexed


class Parser(Protocol):
    async def extract(
        self,
        body: bytes,
        *,
        url: str,
        content_type: str | None,
        charset: str | None,
        bot_name: str,
        selectors: ContentSelectors,
        explain: bool,
    ) -> ExtractedPage: ...


class PageRenderer(Protocol):
    always: bool

    async def render(self, response: Response) -> bytes: ...


class Visitor:
    def __init__(
        self,
        *,
        fetcher: Fetcher,
        robots: Robots,
        parser: Parser,
        tokenizer: Tokenizer,
        index: IndexSettings,
        user_agent: str,
        renderer: PageRenderer | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._robots = robots
        self._parser = parser
        self._tokenizer = tokenizer
        self._index = index
        self._renderer = renderer
        self._product = product_token(user_agent).lower()

    async def visit(
        self,
        url: str,
        *,
        collection_id: int,
        job_id: str,
        known: KnownPage | None,
        may_move_to: Callable[[str], bool],
        selectors: SelectorsOf = no_selectors,
    ) -> Outcome:
        """Visit a normalised URL. ``may_move_to`` says whether a redirect's target, or the canonical URL that the page names,
        may take its place. ``selectors``: which CSS selectors are in force for a URL.

        A page whose stored text was made by other rules than today's is fetched as if nothing were known of it: the site would
        say that it hasn't changed, and the old text would stay for ever.

        Raises: PermanentError, TransientError.
        """
        verdict = await self._robots.allowed(url)
        if not verdict.allowed:
            if verdict.is_transient:
                raise unreachable(url, verdict)
            return NotIndexed("robots_disallowed", "The site's robots.txt forbids it.")
        is_read_so = known is not None and known.read_by == read_by(selectors(url))
        etag, last_modified = (known.etag, known.last_modified) if known and is_read_so else (None, None)

        async def admit(target: str) -> None:
            await self._admit(target, may_move_to)

        try:
            with span("fetch"):
                response = await self._fetcher.fetch(url, accept=ACCEPT, etag=etag, last_modified=last_modified, admit=admit)
            if response.not_modified:
                if known is None or response.final_url != url:
                    return Elsewhere(response.final_url, _facts(response))
                facts = _facts(response)
                if "noindex" in self._directives(response):  # which servers set for a whole folder: its files stay as they are
                    return _noindex((), facts)
                return Unchanged(known.generation, datetime.now(UTC), known.etag, known.last_modified, None, facts)
            response, extracted = await self._refreshed(response, url, admit, selectors)
        except _NotAdmitted as exc:
            if is_sign_in_address(exc.target):  # no reason to remove what is stored: the site may ask for it only now
                raise _login_required(f"{exc.message} By its address that is a sign-in form.") from exc
            return NotIndexed("redirected", exc.message, remove=True)
        if refused := self._refused(response, extracted, url):
            return refused
        if extracted is None or response.final_url != url:
            return Elsewhere(response.final_url, _facts(response))
        rules = read_by(selectors(url))
        outcome = await self._read(response, extracted, collection_id=collection_id, job_id=job_id, known=known, rules=rules)
        if isinstance(outcome, Changed) and (named := canonical_named(response, extracted)):
            return replace(outcome, canonical=await self._canonical(named, url, may_move_to))
        return outcome

    async def _refreshed(
        self,
        response: Response,
        url: str,
        admit: Callable[[str], Awaitable[None]],
        selectors: SelectorsOf = no_selectors,
        *,
        explain: bool = False,
    ) -> tuple[Response, ExtractedPage | None]:
        """Where a chain of pages ends that hold little but a ``Refresh``, in a header or in ``<meta http-equiv>``, which is a
        redirect for browsers: each step passes the same checks. The page is None where it is at another URL and can't be read:
        its own visit will say why."""
        for _ in range(MAX_REFRESHES + 1):
            extracted, failure = None, None
            try:
                extracted = await self._extract(response, selectors(response.final_url), explain=explain)
            except PermanentError as exc:
                failure = exc
            target = refresh_from(response, extracted) if failure is None or failure.reason == "no_text" else None
            if target is None:
                if failure is not None and response.final_url == url:
                    raise failure
                return response, extracted
            await admit(target)
            response = await self._fetcher.fetch(target, accept=ACCEPT, admit=admit)
        raise PermanentError(f"{url} refreshes to other pages more than {MAX_REFRESHES} times.", reason="too_many_redirects")

    async def _extract(self, response: Response, selectors: ContentSelectors, *, explain: bool) -> ExtractedPage:
        """What the page holds; where scripts make it and a browser is there to run them, what it then holds."""
        renderer = self._renderer if response.content_type in HTML_TYPES else None
        parse = partial(self._parse, response, selectors=selectors, explain=explain)
        try:
            if renderer is None or not renderer.always:
                try:
                    return await parse(response.body, response.content_type, response.charset)
                except PermanentError as exc:
                    if exc.reason != "no_text" or renderer is None:
                        raise
            return await parse(await renderer.render(response), "text/html", "utf-8")
        except IngestError as exc:
            exc.details.update(asdict(_facts(response)))
            raise

    async def _parse(
        self,
        response: Response,
        body: bytes,
        content_type: str | None,
        charset: str | None,
        *,
        selectors: ContentSelectors,
        explain: bool,
    ) -> ExtractedPage:
        with span("extract", footnote__bytes=len(body)):
            return await self._parser.extract(
                body,
                url=response.final_url,
                content_type=content_type,
                charset=charset,
                bot_name=self._product,
                selectors=selectors,
                explain=explain,
            )

    async def _canonical(self, named: str, url: str, may_move_to: Callable[[str], bool]) -> str | None:
        """The canonical URL that a page names, if it is another of the same site that the job may visit: nobody else can say
        that a page is another's copy."""
        try:
            canonical = normalise(named)
            if canonical == url or not same_site(canonical, url):
                return None
            await self._admit(canonical, may_move_to)
        except IngestError:
            return None
        return canonical

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

        async def admit(target: str) -> None:
            await self._admit(target, may_move_to)

        try:
            response, extracted = await self._refreshed(await self._fetcher.fetch(url, accept=ACCEPT, admit=admit), url, admit)
        except _NotAdmitted as exc:
            if is_sign_in_address(exc.target):
                raise _login_required(f"{exc.message} By its address that is a sign-in form.") from exc
            return NotIndexed("redirected", exc.message)
        if refused := self._refused(response, extracted, url):
            return refused
        if extracted is None or response.final_url != url:
            return Elsewhere(response.final_url)
        read = await self._read(response, extracted, collection_id=0, job_id="", known=None, rules=NO_RULES)
        if isinstance(read, NotIndexed):
            return read
        return replace(would_fetch, links=tuple(read.page.links)) if isinstance(read, Changed) else would_fetch

    async def read(self, url: str, *, selectors: SelectorsOf) -> ReadPage:
        """Fetch and read a normalised URL, wherever it leads, to show what becomes of it; what is left out comes in full.

        Raises: PermanentError, TransientError.
        """
        verdict = await self._robots.allowed(url)
        if verdict.is_transient:
            raise unreachable(url, verdict)
        if not verdict.allowed:
            raise PermanentError(f"The robots.txt of {url} forbids to fetch it.", reason="robots_disallowed")

        async def admit(target: str) -> None:
            await self._admit(target, lambda _: True)

        response = await self._fetcher.fetch(url, accept=ACCEPT, admit=admit)
        response, extracted = await self._refreshed(response, url, admit, selectors, explain=True)
        if extracted is None or not extracted.page.blocks:
            raise PermanentError(f"{response.final_url} holds no text.", reason="no_text")
        is_unwanted = extracted.noindex or "noindex" in self._directives(response)
        coverage = StoredCoverage.of(extracted.coverage) if extracted.coverage else None
        notes = [coverage.note] if coverage and coverage.is_poor else []
        notes += ["the page asks not to be indexed (noindex), so a job leaves it out"] if is_unwanted else []
        return ReadPage(response.final_url, extracted, (*extracted.notes, *notes))

    def pause_s(self, url: str) -> float:
        """Seconds between two requests to the host of a URL, as far as is known by now."""
        return self._fetcher.politeness.delay_for(split_url(url).host)

    async def _admit(self, target: str, may_move_to: Callable[[str], bool]) -> None:
        """Asked before a redirect is followed: scope and robots.txt hold for its target as for any URL."""
        if not may_move_to(target):
            raise _NotAdmitted(f"It redirects to {target}, which is out of scope.", target=target)
        verdict = await self._robots.allowed(target)
        if verdict.is_transient:
            raise unreachable(target, verdict)
        if not verdict.allowed:
            raise _NotAdmitted(f"It redirects to {target}, which robots.txt forbids.", target=target)

    def _refused(self, response: Response, extracted: ExtractedPage | None, url: str) -> NotIndexed | None:
        """What a page that answered 200 and means no makes of the URL; None of any other page. What is stored stays: a session
        may have expired, or a server may be in trouble.

        Raises: PermanentError: reason ``login_required`` or ``soft_404``.
        """
        if extracted is None or extracted.refusal is None:
            return None
        is_here, facts = response.final_url == url, _facts(response)
        if extracted.refusal is Refusal.SOFT_404:
            if is_here and self._is_noindex(response, extracted):
                return None
            where = "It" if is_here else f"It leads to {response.final_url}, which"
            message = f"{where} says that there is no such page (“{extracted.page.title}”), though not by its status."
            raise PermanentError(message, reason=Refusal.SOFT_404, **asdict(facts))
        if not is_here:
            raise _login_required(f"It leads to a sign-in form, {response.final_url}.", facts)
        if not is_sign_in_address(url):
            raise _login_required("It shows a sign-in form in the place of a page.", facts)
        return NotIndexed(
            "sign_in_form", "It is a sign-in form, which is no page to index.", self._links(response, extracted), facts=facts
        )

    async def _read(
        self,
        response: Response,
        extracted: ExtractedPage,
        *,
        collection_id: int,
        job_id: str,
        known: KnownPage | None,
        rules: ReadBy,
    ) -> Outcome:
        fetched_at, facts, headers = datetime.now(UTC), _facts(response), response.headers
        links = self._links(response, extracted)
        if self._is_noindex(response, extracted):
            return _noindex(links, facts)
        if extracted.is_frameset and not extracted.page.blocks:
            return NotIndexed(
                FRAMESET, "It is a frameset: its text is in its frames, which are read instead.", links, remove=True, facts=facts
            )
        if not extracted.page.blocks:  # nothing but a refresh that isn't followed
            raise PermanentError(f"The page holds no text and leads to {extracted.refresh}.", reason="no_text", **asdict(facts))
        etag, last_modified = headers.get("etag"), headers.get("last-modified")
        coverage = StoredCoverage.of(extracted.coverage) if extracted.coverage else None
        notes = (*extracted.notes, coverage.note) if coverage and coverage.is_poor else extracted.notes
        if known is not None and known.content_hash == extracted.page.content_hash:
            # The log repeats no quotes of what is stored already: a site that is visited every day would fill the disk with them.
            logged = coverage.without_parts() if coverage and known.read_by == rules else coverage
            read = ReadAnew(coverage, rules, notes)
            facts = replace(facts, coverage=logged)
            return Unchanged(known.generation, fetched_at, etag, last_modified, links, facts, read)
        page = NewPage(
            collection_id=collection_id,
            url=response.final_url,
            page=extracted.page,
            chunks=await asyncio.to_thread(self._chunks, extracted.page),
            links=links,
            etag=etag,
            last_modified=last_modified,
            fetched_at=fetched_at,
            job_id=job_id,
            published_at=extracted.published_at,
            modified_at=extracted.modified_at,
            notes=notes,
            simhash=await asyncio.to_thread(simhash, extracted.page),
            coverage=coverage,
            read_by=rules,
        )
        return Changed(page, facts=replace(facts, coverage=coverage))

    def _is_noindex(self, response: Response, extracted: ExtractedPage) -> bool:
        return extracted.noindex or "noindex" in self._directives(response)

    def _links(self, response: Response, extracted: ExtractedPage) -> tuple[str, ...]:
        return () if extracted.nofollow or "nofollow" in self._directives(response) else extracted.links

    def _directives(self, response: Response) -> frozenset[str]:
        values = response.headers.get_list("x-robots-tag")
        return directives_in_headers(values, product=self._product, now=datetime.now(UTC))

    def _chunks(self, page: PageText) -> Sequence[ChunkSpan]:
        return chunk_by_settings(page, tokenizer=self._tokenizer, settings=self._index)


def read_by(selectors: ContentSelectors) -> ReadBy:
    """The rules in force today, with these selectors."""
    return ReadBy(EXTRACTION_VERSION, selectors_hash(selectors))


def _noindex(links: Sequence[str], facts: Facts) -> NotIndexed:
    return NotIndexed("noindex", "The page asks not to be indexed.", links=tuple(links), remove=True, facts=facts)


def _facts(response: Response) -> Facts:
    size_bytes = None if response.not_modified else len(response.body)
    return Facts(http_status=response.status, size_bytes=size_bytes, elapsed_ms=round(response.elapsed_s * 1000))


def _login_required(message: str, facts: Facts = NO_FACTS) -> PermanentError:
    remedy = "Footnote doesn't sign in: publish the page where that isn't needed, or leave it out."
    return PermanentError(f"{message} {remedy}", reason=Refusal.LOGIN_REQUIRED, **asdict(facts))
