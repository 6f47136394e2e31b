"""Traps: links that lead on for ever without leading to anything new. Each rule has a word for the job's log.

================== ====================================================================================================
``url_too_long``       longer than the URL policy allows (:data:`ingest.urls.MAX_URL_CHARS`)
``too_many_segments``  the path has more than ``ingest.max_path_segments`` parts
``repeated_segments``  the same part, or run of parts, of the path comes more than ``ingest.max_repeated_segments`` times in
                       direct succession (/a/b/a/b/a/b): a relative link that a server answers at any depth. Numbers alone
                       don't count: /2024/1/1/1 addresses something
``query_variants``     the job follows ``ingest.max_query_variants`` URLs already that differ from it only in their query
``date_variants``      the job follows ``ingest.max_date_variants`` URLs already that differ from it only in a date in their
                       path (and perhaps their query): a calendar
``host_budget``        the job follows ``ingest.max_pages_per_host`` URLs of its host already
================== ====================================================================================================

Nothing here touches a URL that somebody gave, or that a sitemap lists: only links are followed into traps.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import takewhile

from corpus.settings import IngestSettings
from ingest.urls import MAX_URL_CHARS, UrlParts, split_url

_DATE = re.compile(r"(?<!\d)(?:19|20|21)\d\d([/._-])[Ww]?\d{1,2}(?:\1\d{1,2})?(?!\d)")

# What analytics and advertisers hang on links. None of it chooses what a page shows.
_TRACKING = re.compile(
    r"utm_\w+|mtm_\w+|pk_\w+|_hsenc|_hsmi|hsctatracking|mkt_tok|mc_[ce]id|fbclid|gclid|gclsrc|gbraid|wbraid|dclid|msclkid|yclid"
    r"|twclid|ttclid|li_fat_id|igshid|igsh|_ga|_gl|_openstat|oly_(?:anon|enc)_id|vero_id|wickedid|srsltid",
    re.IGNORECASE,
)
_SESSION = re.compile(
    r"phpsessid|jsessionid|aspsessionid\w*|asp\.net_sessionid|cfid|cftoken|session_?id|sessid|zenid", re.IGNORECASE
)
_PERHAPS_SESSION = re.compile(r"(?:sid|session|sess|s)=(?=\w*\d)\w{16,}", re.IGNORECASE)  # "sid=17" may well be a story
_PATH_SESSION = re.compile(r";(?:jsessionid|sid|phpsessid)=[^/;]*", re.IGNORECASE)


# What each reason means, the scope of a crawl included (ingest/urls), and which setting moves the limit.
REASONS = {
    "url_too_long": f"The link is longer than {MAX_URL_CHARS} characters.",
    "too_many_segments": "The link's path has too many parts (ingest.max_path_segments).",
    "repeated_segments": "The link's path repeats itself (ingest.max_repeated_segments).",
    "query_variants": "The job follows enough URLs that differ from it only in their query (ingest.max_query_variants).",
    "date_variants": "The job follows enough URLs that differ from it only in a date (ingest.max_date_variants).",
    "host_budget": "The job follows as many URLs of this host as it may (ingest.max_pages_per_host).",
    "other_host": "It is on another site than the start URLs.",
    "outside_prefix": "It is outside the folders of the start URLs.",
    "excluded": "A pattern excludes it.",
    "not_included": "No pattern includes it.",
    "too_deep": "It is more links away from a start URL than the job follows.",
}


def clean_link(url: str) -> str:
    """A normalised link without tracking parameters and session ids, which make endless URLs of one page."""
    before, question, query = url.partition("?")
    kept = [pair for pair in query.split("&") if not _is_noise(pair)]
    return _PATH_SESSION.sub("", before) + (question + "&".join(kept) if any(kept) else "")


class Traps:
    """What one job must remember of the links it follows. It is lost with the process and made again from the frontier."""

    def __init__(self, *, settings: IngestSettings) -> None:
        self._settings = settings
        self._seen: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self._told: Counter[str] = Counter()

    def remember(self, url: str, reason: str | None = None) -> None:
        """Count what the job knows already: a URL that it follows, or one that it refused for ``reason``."""
        if reason is not None:
            self._told[reason] += 1
            return
        for name, key, _ in self._counted(url):
            self._seen[name, key].add(hash(url))

    def refuses(self, url: str) -> str | None:
        """The reason not to follow a normalised link, or None; then it is counted. The same URL counts once."""
        if reason := _shape(url, self._settings):
            return reason
        for name, key, limit in self._counted(url):
            seen = self._seen[name, key]
            if len(seen) >= limit and hash(url) not in seen:
                return name
        self.remember(url)
        return None

    def tells(self, reason: str, *, limit: int) -> bool:
        """Whether one more URL refused for ``reason`` is to be written down: of an endless number, the first ``limit``."""
        self._told[reason] += 1
        return self._told[reason] <= limit

    def _counted(self, url: str) -> Iterator[tuple[str, str, int]]:
        parts = split_url(url)
        where = parts.authority + parts.path
        if "?" in parts.target:
            yield "query_variants", where, self._settings.max_query_variants
        if _DATE.search(parts.path):
            yield "date_variants", _DATE.sub("#", where), self._settings.max_date_variants
        yield "host_budget", parts.host, self._settings.max_pages_per_host


def _shape(url: str, settings: IngestSettings) -> str | None:
    if len(url) > MAX_URL_CHARS:
        return "url_too_long"
    segments = _segments(split_url(url))
    if len(segments) > settings.max_path_segments:
        return "too_many_segments"
    if _longest_repetition(segments) > settings.max_repeated_segments:
        return "repeated_segments"
    return None


def _segments(parts: UrlParts) -> list[str]:
    return [segment for segment in parts.path.split("/") if segment]


def _longest_repetition(segments: list[str]) -> int:
    """How often a run of segments comes in direct succession, at most."""
    most = 1
    for start in range(len(segments)):
        for length in range(1, (len(segments) - start) // 2 + 1):
            run = segments[start : start + length]
            if all(segment.isdecimal() for segment in run):
                continue
            following = range(start, len(segments), length)
            most = max(most, sum(1 for _ in takewhile(lambda at: segments[at : at + length] == run, following)))  # noqa: B023
    return most


def _is_noise(pair: str) -> bool:
    name = pair.partition("=")[0]
    return bool(_TRACKING.fullmatch(name) or _SESSION.fullmatch(name) or _PERHAPS_SESSION.fullmatch(pair))
