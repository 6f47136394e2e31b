"""robots.txt after RFC 9309: may this URL be fetched, how fast, and where are the site's sitemaps?

The file itself comes through the fetcher, with every guard. protego reads it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from protego import Protego

from corpus.errors import ForbiddenAddress, PermanentError, TransientError
from corpus.settings import IngestSettings
from ingest.fetch import Fetcher
from ingest.urls import split_url

MAX_ROBOTS_BYTES = 500 * 1024  # section 2.5: at least this much must be parsed, and no more is here
CACHE_S = 24 * 3600.0  # section 2.4
UNREACHABLE_CACHE_S = 5.0  # before an unreachable robots.txt is asked for again: a blip must not outlast a URL's retries
UNREACHABLE_CACHE_MAX_S = 600.0  # however long the site asks for

_MAX_ORIGINS = 10_000
_PRODUCT_TOKEN = re.compile(r"[A-Za-z_-]+")  # section 2.2.1
# In the forms that protego takes, among them those without a colon.
_USER_AGENT_LINE = re.compile(r"^([ \t]*user[- ]?agent[ \t]*[: \t][ \t]*+)(.*)", re.IGNORECASE | re.MULTILINE)
_EVERYBODY = re.compile(r"\*(?=[\s#]|$)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is None if allowed, else ``robots_disallowed`` or, which is worth another try after ``retry_after_s``,
    ``robots_unreachable``."""

    allowed: bool
    reason: str | None = None
    crawl_delay_s: float | None = None
    retry_after_s: float | None = None

    @property
    def is_transient(self) -> bool:
        return self.reason == "robots_unreachable"


@dataclass(slots=True)
class _Origin:
    """What is known of one origin. ``rules`` is None as long as its robots.txt could not be read."""

    rules: Protego | None = None
    stale_s: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Robots:
    """The robots.txt files of the sites met, kept in memory for a day."""

    def __init__(self, *, settings: IngestSettings, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._clock = clock
        self._product = product_token(settings.user_agent)
        self._origins: dict[str, _Origin] = {}

    async def allowed(self, url: str) -> Verdict:
        """Whether the normalised ``url`` may be fetched. Also paces the fetcher at the site's Crawl-delay, within bounds.

        Raises:
            ForbiddenAddress, PermanentError: the host can't be fetched from at all (``no_such_host``).
        """
        if not self._settings.respect_robots:
            return Verdict(True)
        parts = split_url(url)
        rules = await self._rules(parts.origin)
        if rules is None:
            return Verdict(False, "robots_unreachable", retry_after_s=self._origins[parts.origin].stale_s - self._clock())
        delay_s = self._crawl_delay(rules)
        self._fetcher.politeness.set_delay(parts.host, max(self._settings.delay_s, delay_s or 0.0))
        if rules.can_fetch(url, self._product):
            return Verdict(True, None, delay_s)
        return Verdict(False, "robots_disallowed", delay_s)

    async def sitemaps(self, origin: str) -> list[str]:
        """The sitemaps that the robots.txt of ``origin`` (any URL of it) names, as written there. Raises as :meth:`allowed`."""
        rules = await self._rules(split_url(origin).origin)
        return [] if rules is None else list(rules.sitemaps)

    def _crawl_delay(self, rules: Protego) -> float | None:
        asked_s = rules.crawl_delay(self._product)
        return None if asked_s is None else min(asked_s, self._settings.max_crawl_delay_s)

    async def _rules(self, origin: str) -> Protego | None:
        if origin not in self._origins and len(self._origins) >= _MAX_ORIGINS:
            self._forget_stale()
        entry = self._origins.setdefault(origin, _Origin())
        async with entry.lock:  # one request for all who ask at once
            if self._clock() >= entry.stale_s:
                rules, keep_s = await self._fetch(origin)
                if rules is not None:  # section 2.4: while the file can't be reached, yesterday's rules still stand
                    entry.rules = rules
                entry.stale_s = self._clock() + keep_s
            return entry.rules

    async def _fetch(self, origin: str) -> tuple[Protego | None, float]:
        """The rules of an origin and for how long they hold; None if they can't be reached, which forbids everything
        (section 2.3.1.4) until they are asked for again: a site that says when (Retry-After) isn't asked before."""
        try:
            response = await self._fetcher.fetch(
                f"{origin}/robots.txt", accept="text/plain, */*;q=0.1", max_bytes=MAX_ROBOTS_BYTES, truncate=True
            )
        except TransientError as exc:  # 429 too: who is asked to slow down hasn't been told that there are no rules
            return None, min(max(exc.retry_after_s or 0.0, UNREACHABLE_CACHE_S), UNREACHABLE_CACHE_MAX_S)
        except PermanentError as exc:
            if exc.reason.startswith("http_4") or exc.reason == "too_many_redirects":
                return Protego(), CACHE_S  # sections 2.3.1.2 and 2.3.1.3: no rules, so all is allowed
            if isinstance(exc, ForbiddenAddress) or exc.reason == "no_such_host":
                raise
            return None, UNREACHABLE_CACHE_S
        return await asyncio.to_thread(_parse, response.body, self._product), CACHE_S

    def _forget_stale(self) -> None:
        now_s = self._clock()
        self._origins = {o: entry for o, entry in self._origins.items() if entry.lock.locked() or entry.stale_s > now_s}


def unreachable(url: str, verdict: Verdict) -> TransientError:
    """What a transient verdict means to who wanted ``url``."""
    message = f"The robots.txt of {url} can't be read now, so nothing may be fetched. Does the site answer?"
    return TransientError(message, reason=verdict.reason, retry_after_s=verdict.retry_after_s)


def product_token(user_agent: str) -> str:
    """The name that robots.txt addresses: "FootnoteBot" of "FootnoteBot/0.1 (+https://…)"."""
    found = _PRODUCT_TOKEN.match(user_agent)
    return found[0] if found else user_agent


def _parse(body: bytes, product: str) -> Protego:
    if len(body) >= MAX_ROBOTS_BYTES:
        # Half a line could forbid, or allow, more than the whole one.
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    # Without its NULs, ASCII in UTF-16 is UTF-8 but for the byte order mark.
    text = body.replace(b"\0", b"").decode("utf-8", errors="replace").lstrip("\ufeff\ufffd")
    return Protego.parse(_USER_AGENT_LINE.sub(partial(_addressed, product=product), text.replace("\r", "\n")))


def _addressed(line: re.Match[str], *, product: str) -> str:
    """A ``User-agent`` line, spelled so that protego takes it as Google's reference parser does (RFC 9309, section 2.2.1): it
    names what stands before the first character that no product token holds, so "FootnoteBot/1.0 (self-hosted)" is FootnoteBot;
    and "* (all)" is "*". A line that names neither stays as it is."""
    field, value = line.groups()
    token = _PRODUCT_TOKEN.match(value)
    if token and token[0].lower() == product.lower():
        return f"{field}{product}"
    return f"{field}*" if _EVERYBODY.match(value) else line[0]
